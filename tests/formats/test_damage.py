"""Whatever is done to a body, a reader answers with its value or with our error."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from bsv_store.errors import FormatError
from bsv_store.formats.density_zip import read_density_zip
from bsv_store.formats.envelope import read_envelope
from bsv_store.formats.experiments import read_experiments
from bsv_store.formats.nrrd import read_nrrd
from bsv_store.formats.structures import read_structures
from bsv_store.formats.unionizes import read_unionizes
from tests.formats import bodies

Reader = Callable[[bytes], object]

READERS: dict[str, tuple[Reader, bytes, int]] = {
    "envelope": (lambda body: read_envelope(body, what="x"), bodies.envelope([{"id": 1}]), 500),
    "structures": (lambda body: read_structures(body, what="x"), bodies.bare(bodies.structures()), 500),
    "api": (lambda body: read_experiments(body, what="x"), bodies.bare([bodies.with_line(1), bodies.api_row(2)]), 500),
    "search": (lambda body: read_experiments(body, what="x"), bodies.envelope([bodies.search_row()]), 500),
    "web csv": (lambda body: read_experiments(body, what="x"), bodies.csv_body([bodies.web_row()]), 500),
    "unionize json": (lambda body: read_unionizes(body, what="x"), bodies.envelope(bodies.unionizes()), 500),
    "unionize csv": (lambda body: read_unionizes(body, what="x"), bodies.sdk_csv(bodies.unionizes()), 500),
    "nrrd": (lambda body: read_nrrd(body, "projection_density", what="x"), bodies.nrrd(), 60),
    "zip": (lambda body: read_density_zip(body, what="x"), bodies.density_zip(), 60),
}
TYPICAL = b"0123456789\"'\n,{}[]:eE.-+ \x00\xff()/naNInf"


def _damaged(body: bytes, chance: random.Random) -> bytes:
    changed = bytearray(body)
    for _ in range(chance.randint(1, 3)):
        # The heads and tails of binary files are where their structure is.
        at = chance.choice([chance.randrange(len(changed)), chance.randrange(min(300, len(changed)))])
        at = chance.choice([at, len(changed) - 1 - at])
        match chance.randrange(4):
            case 0:
                changed[at] ^= 1 << chance.randrange(8)
            case 1:
                changed[at] = chance.choice(TYPICAL)
            case 2:
                del changed[at : at + chance.randint(1, 8)]
            case _:
                changed[at:at] = bytes(chance.choices(TYPICAL, k=chance.randint(1, 6)))
        changed = changed or bytearray(b"x")
    return bytes(changed)


@pytest.mark.parametrize("name", READERS)
def test_random_damage_gives_a_value_or_our_error(name: str) -> None:
    read, body, rounds = READERS[name]
    read(body)
    chance = random.Random(name)
    refused = 0
    for _ in range(rounds):
        try:
            read(_damaged(body, chance))
        except FormatError:
            refused += 1
    assert refused > rounds // 4

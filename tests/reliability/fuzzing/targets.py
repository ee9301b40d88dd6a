"""All targets, in one list."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.reliability.fuzzing.documents import DOCUMENTS
from tests.reliability.fuzzing.formats import FORMATS
from tests.reliability.fuzzing.remote import REMOTE
from tests.reliability.fuzzing.server import SERVER
from tests.reliability.fuzzing.stored import STORED
from tests.reliability.fuzzing.target import Target

TARGETS: Mapping[str, Target] = {**FORMATS, **DOCUMENTS, **STORED, **REMOTE, **SERVER}

_HERE = Path(__file__).parent
CORPUS, FOUND = _HERE / "corpus", _HERE / "found"


def inputs_in(folder: Path, name: str) -> list[Path]:
    """The stored inputs of a target."""
    return sorted(path for path in (folder / name).glob("*") if path.is_file())


def share_of(name: str) -> float:
    """The share of all inputs that a target gets."""
    return TARGETS[name].weight / sum(target.weight for target in TARGETS.values())

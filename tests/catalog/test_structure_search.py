"""Structures found, or what may have been meant; and the sets there are."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection

from bsv_store.catalog.database.engine import Database
from bsv_store.catalog.search.structures import find_or_near, structure_sets
from bsv_store.catalog.structures import UNIONIZE_STRUCTURE_SET_ID


def test_what_has_the_text_is_found(reading: Connection) -> None:
    found = find_or_near(reading, "visual area")
    assert found.exact
    assert [row.acronym for row in found.structures] == ["VIS", "VISp", "VISp1", "VISl", "VISpm"]
    assert [row.acronym for row in find_or_near(reading, "visual area", limit=2).structures] == ["VIS", "VISp"]


def test_case_is_distinguished(reading: Connection) -> None:
    assert find_or_near(reading, "CM").structures[0].id == 599
    assert find_or_near(reading, "cm").structures[0].id == 753


def test_what_is_near_is_marked_as_such(reading: Connection) -> None:
    found = find_or_near(reading, "caudoputamne")
    assert not found.exact
    assert found.structures[0].acronym == "CP"


@pytest.mark.parametrize("text", ["", "  ", "x" * 10_000, "a\x00b", "%", "'; --"])
def test_nothing_is_near_to_nonsense(reading: Connection, text: str) -> None:
    assert find_or_near(reading, text).structures == ()


def test_sets_with_the_number_of_their_members(reading: Connection) -> None:
    (only,) = structure_sets(reading)
    assert (only.id, only.name, only.members) == (UNIONIZE_STRUCTURE_SET_ID, None, 14)


def test_real_sets(atlas_2020: Database) -> None:
    with atlas_2020.reading() as connection:
        sizes = {row.id: row.members for row in structure_sets(connection)}
    assert (sizes[167587189], sizes[687527945], sizes[184527634]) == (316, 293, 840)

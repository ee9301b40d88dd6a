"""Structures found, or what may have been meant; and the sets there are."""

from __future__ import annotations

import pytest

from bsv_store import Store


def test_what_has_the_text_is_found(small_store: Store) -> None:
    found = small_store.atlas.find_structures("visual area")
    assert found.exact
    assert [row.acronym for row in found.structures] == ["VIS", "VISp", "VISl", "VISpm", "VISp1"]
    assert [row.acronym for row in small_store.atlas.find_structures("visual area", limit=2).structures] == [
        "VIS",
        "VISp",
    ]


def test_whole_words_and_higher_structures_come_first(atlas_2020: Store) -> None:
    def found(text: str, limit: int = 5) -> list[str]:
        return [row.acronym for row in atlas_2020.atlas.find_structures(text, limit=limit).structures]

    # The example of the documentation: none of them is a layer.
    assert found("visual area") == ["VIS", "VISal", "VISam", "VISl", "VISp"]
    # Also in the middle of words, such as "somatomotor areas" for "motor area", but last.
    assert found("motor area", limit=3) == ["MOp", "MOs", "MOp1"]
    assert found("CA", limit=4)[0] == "CA"
    assert found("thalamus", limit=1) == ["TH"]


def test_case_is_distinguished(small_store: Store) -> None:
    assert small_store.atlas.find_structures("CM").structures[0].id == 599
    assert small_store.atlas.find_structures("cm").structures[0].id == 753


def test_what_is_near_is_marked_as_such(small_store: Store) -> None:
    found = small_store.atlas.find_structures("caudoputamne")
    assert not found.exact
    assert found.structures[0].acronym == "CP"


@pytest.mark.parametrize("text", ["", "  ", "x" * 10_000, "a\x00b", "%", "'; --"])
def test_nothing_is_near_to_nonsense(small_store: Store, text: str) -> None:
    assert small_store.atlas.find_structures(text).structures == ()


def test_sets_with_the_number_of_their_members(small_store: Store) -> None:
    (only,) = small_store.atlas.structure_sets()
    assert (only.id, only.name, only.members) == (184527634, None, 14)


def test_real_sets(atlas_2020: Store) -> None:
    sizes = {row.id: row.members for row in atlas_2020.atlas.structure_sets()}
    assert (sizes[167587189], sizes[687527945], sizes[184527634]) == (316, 293, 840)

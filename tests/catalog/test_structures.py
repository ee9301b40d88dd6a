"""Finding structures, and walking up and down the tree, on both databases."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sqlalchemy import Connection

from bsv_store.catalog.database.engine import Database
from bsv_store.catalog.structures import (
    UNIONIZE_STRUCTURE_SET_ID,
    ancestry,
    descendant_ids,
    find_structure,
    find_structures,
    search,
    structure_set,
    subtree,
)
from bsv_store.errors import InputError, UnknownStructureError
from tests.catalog.small_catalog import NOT_MEASURED, STRUCTURES


def test_finds_by_acronym_and_by_id(reading: Connection) -> None:
    structure = find_structure(reading, "VISp")
    assert structure == find_structure(reading, 385) == find_structure(reading, "385")
    assert (structure.id, structure.acronym, structure.name) == (385, "VISp", "Primary visual area")
    assert (structure.parent_structure_id, structure.depth) == (669, 4)
    assert find_structure(reading, "root").parent_structure_id is None


def test_id_1_exists(reading: Connection) -> None:
    assert find_structure(reading, 1).acronym == "TMv"


def test_case_and_punctuation_matter(reading: Connection) -> None:
    assert find_structure(reading, "CM").id == 599
    assert find_structure(reading, "cm").id == 753
    assert find_structure(reading, "CUL4, 5").id == 1091


def test_keeps_the_order_and_repetition_asked_for(reading: Connection) -> None:
    wanted: list[str | int] = ["VISp", 8, "cm", "VISp", 385]
    assert [row.id for row in find_structures(reading, wanted)] == [385, 8, 753, 385, 385]
    assert find_structures(reading, []) == ()
    assert find_structures(reading, np.array([8, 385])) == find_structures(reading, [8, 385])
    assert find_structures(reading, np.int64(385)) == find_structures(reading, 385)


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("visp", "VISp"),
        ("VISPM", "VISpm"),
        ("Cul4, 5", "CUL4, 5"),
        ("CUL4,5", "CUL4, 5"),
        ("Primary visual area", "VISp"),
        ("primary visual aera", "VISp"),
        ("visceral", "VISC"),
        ("thalamus", "TH"),
    ],
)
def test_near_misses_are_suggested_best_first(reading: Connection, text: str, first: str) -> None:
    with pytest.raises(UnknownStructureError, match="Did you mean") as caught:
        find_structure(reading, text)
    assert caught.value.hint is not None
    assert caught.value.hint.startswith(f"Did you mean {first} (")


@pytest.mark.parametrize(
    "wanted",
    ["", " VISp", "VISp ", "VIS%", "VIS_", "'; DROP TABLE structure; --", "a\0b", "a\nb", "\ud800", "x" * 10_240],
)
def test_what_is_not_there_is_an_error_and_never_a_near_match(reading: Connection, wanted: str) -> None:
    with pytest.raises(UnknownStructureError) as caught:
        find_structure(reading, wanted)
    assert len(str(caught.value)) < 700


@pytest.mark.parametrize("wanted", [0, -1, 2**63, 10**400, 424242, "0", "9" * 100])
def test_unknown_id_is_an_error(reading: Connection, wanted: Any) -> None:
    with pytest.raises(UnknownStructureError):
        find_structure(reading, wanted)


def test_a_list_in_one_string_is_distinguished_from_an_acronym_with_a_comma(reading: Connection) -> None:
    assert find_structure(reading, "CUL4, 5").id == 1091
    with pytest.raises(UnknownStructureError) as caught:
        find_structure(reading, "VISp,VISl")
    assert caught.value.hint == "Acronyms may contain commas, so name each separately: 'VISp', 'VISl'."
    with pytest.raises(UnknownStructureError) as caught:
        find_structure(reading, "VISp,nonsense")
    assert "each on its own" not in (caught.value.hint or "")


def test_all_unknown_ones_are_named(reading: Connection) -> None:
    with pytest.raises(UnknownStructureError, match="structures 'nope', 424242"):
        find_structures(reading, ["VISp", "nope", 424242, "nope"])


def test_empty_catalog_says_what_to_do(empty_catalog: Database) -> None:
    with empty_catalog.reading() as connection, pytest.raises(UnknownStructureError, match="sync structures"):
        find_structure(connection, "VISp")


@pytest.mark.parametrize(
    ("text", "acronyms"),
    [
        ("VISp", ["VISp", "VISp1", "VISpm"]),
        ("visp", ["VISp", "VISp1", "VISpm"]),
        ("CM", ["CM", "cm"]),
        ("cm", ["cm", "CM"]),
        ("visual", ["VIS", "VISp", "VISp1", "VISl", "VISpm"]),
        ("  Caudoputamen ", ["CP"]),
        ("100%", []),
        ("", []),
        ("x" * 10_240, []),
    ],
)
def test_search_ranks_exact_matches_first(reading: Connection, text: str, acronyms: list[str]) -> None:
    assert [row.acronym for row in search(reading, text)] == acronyms


def test_search_stops_at_the_limit(reading: Connection) -> None:
    assert [row.acronym for row in search(reading, "vis", limit=2)] == ["VIS", "VISp"]


def test_subtree_is_the_ontology_not_the_prefix(reading: Connection) -> None:
    assert [row.acronym for row in subtree(reading, "VIS")] == ["VIS", "VISp", "VISp1", "VISl", "VISpm"]
    assert [row.acronym for row in subtree(reading, "VISp")] == ["VISp", "VISp1"]
    assert len(subtree(reading, "root")) == len(STRUCTURES)


def test_ancestry_leads_from_each_structure_to_the_root(reading: Connection) -> None:
    paths = ancestry(reading)
    assert set(paths) == {acronym for _, acronym, _, _ in STRUCTURES}
    assert paths["VISp1"] == ("VISp1", "VISp", "VIS", "Isocortex", "grey", "root")
    assert paths["cm"] == ("cm", "root")
    assert paths["root"] == ("root",)


def test_descendants_include_the_structures_themselves(reading: Connection) -> None:
    assert descendant_ids(reading, [669, 549]) == {669, 385, 593, 409, 533, 549, 599}
    assert descendant_ids(reading, [424242]) == set()
    assert descendant_ids(reading, []) == set()


def test_structure_set_lists_its_members_in_graph_order(reading: Connection) -> None:
    members = [row.id for row in structure_set(reading, UNIONIZE_STRUCTURE_SET_ID)]
    assert members == [id_ for id_, *_ in STRUCTURES if id_ not in NOT_MEASURED | {997}]


@pytest.mark.parametrize("set_id", [0, -1, 5, 2**63])
def test_unknown_structure_set_is_an_error(reading: Connection, set_id: int) -> None:
    with pytest.raises(InputError, match=f"no structure set {set_id}"):
        structure_set(reading, set_id)

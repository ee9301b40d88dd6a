"""Finding structures, and walking up and down the tree, on both databases."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bsv_store import Store
from bsv_store.catalog.structures import StructureRef, StructureRow
from bsv_store.errors import InputError, UnknownStructureError
from tests.catalog.small_catalog import NOT_MEASURED, STRUCTURES


def find_structure(store: Store, structure: StructureRef) -> StructureRow:
    return store.atlas.structure_tree(structure)[0]


def test_finds_by_acronym_and_by_id(small_store: Store) -> None:
    structure = find_structure(small_store, "VISp")
    assert structure == find_structure(small_store, 385) == find_structure(small_store, "385")
    assert (structure.id, structure.acronym, structure.name) == (385, "VISp", "Primary visual area")
    assert (structure.parent_structure_id, structure.depth) == (669, 4)
    assert find_structure(small_store, "root").parent_structure_id is None


def test_id_1_exists(small_store: Store) -> None:
    assert find_structure(small_store, 1).acronym == "TMv"


def test_case_and_punctuation_matter(small_store: Store) -> None:
    assert find_structure(small_store, "CM").id == 599
    assert find_structure(small_store, "cm").id == 753
    assert find_structure(small_store, "CUL4, 5").id == 1091


def test_ids_of_numpy_are_ids(small_store: Store) -> None:
    assert [row.id for row in small_store.atlas.structures(np.array([8, 385]))] == [8, 385]  # type: ignore[arg-type]
    assert find_structure(small_store, np.int64(385)).acronym == "VISp"  # type: ignore[arg-type]


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
def test_near_misses_are_suggested_best_first(small_store: Store, text: str, first: str) -> None:
    with pytest.raises(UnknownStructureError, match="Did you mean") as caught:
        find_structure(small_store, text)
    assert caught.value.hint is not None
    assert caught.value.hint.startswith(f"Did you mean {first} (")


@pytest.mark.parametrize(
    "wanted",
    ["", " VISp", "VISp ", "VIS%", "VIS_", "'; DROP TABLE structure; --", "a\0b", "a\nb", "\ud800", "x" * 10_240],
)
def test_what_is_not_there_is_an_error_and_never_a_near_match(small_store: Store, wanted: str) -> None:
    with pytest.raises(UnknownStructureError) as caught:
        find_structure(small_store, wanted)
    assert len(str(caught.value)) < 700


@pytest.mark.parametrize("wanted", [0, -1, 2**63, 10**400, 424242, "0", "9" * 100])
def test_unknown_id_is_an_error(small_store: Store, wanted: Any) -> None:
    with pytest.raises(UnknownStructureError):
        find_structure(small_store, wanted)


def test_a_list_in_one_string_is_distinguished_from_an_acronym_with_a_comma(small_store: Store) -> None:
    assert find_structure(small_store, "CUL4, 5").id == 1091
    with pytest.raises(UnknownStructureError) as caught:
        find_structure(small_store, "VISp,VISl")
    assert caught.value.hint == "Acronyms may contain commas, so name each separately: 'VISp', 'VISl'."
    with pytest.raises(UnknownStructureError) as caught:
        find_structure(small_store, "VISp,nonsense")
    assert "each on its own" not in (caught.value.hint or "")


def test_empty_catalog_says_what_to_do(empty_store: Store) -> None:
    with pytest.raises(UnknownStructureError, match="sync structures"):
        find_structure(empty_store, "VISp")


@pytest.mark.parametrize(
    ("text", "acronyms"),
    [
        ("VISp", ["VISp", "VISpm", "VISp1"]),
        ("visp", ["VISp", "VISpm", "VISp1"]),
        ("CM", ["CM", "cm"]),
        ("cm", ["cm", "CM"]),
        ("visual", ["VIS", "VISp", "VISl", "VISpm", "VISp1"]),
        ("  Caudoputamen ", ["CP"]),
        ("100%", []),
        ("", []),
        ("x" * 10_240, []),
    ],
)
def test_search_ranks_exact_matches_first(small_store: Store, text: str, acronyms: list[str]) -> None:
    found = small_store.atlas.find_structures(text)
    assert [row.acronym for row in found.structures if found.exact] == acronyms


def test_search_stops_at_the_limit(small_store: Store) -> None:
    assert [row.acronym for row in small_store.atlas.find_structures("vis", limit=2).structures] == ["VIS", "VISp"]


def test_subtree_is_the_ontology_not_the_prefix(small_store: Store) -> None:
    assert [row.acronym for row in small_store.atlas.structure_tree("VIS")] == ["VIS", "VISp", "VISp1", "VISl", "VISpm"]
    assert [row.acronym for row in small_store.atlas.structure_tree("VISp")] == ["VISp", "VISp1"]
    assert len(small_store.atlas.structure_tree("root")) == len(STRUCTURES)


def test_the_path_leads_from_the_root_to_the_structure(small_store: Store) -> None:
    paths = {
        acronym: [row.acronym for row in small_store.atlas.structure_path(acronym)]
        for acronym in ("VISp1", "cm", "root")
    }
    assert paths == {
        "VISp1": ["root", "grey", "Isocortex", "VIS", "VISp", "VISp1"],
        "cm": ["root", "cm"],
        "root": ["root"],
    }


def test_structure_set_lists_its_members_in_graph_order(small_store: Store) -> None:
    members = [row.id for row in small_store.atlas.structure_set(184527634)]
    assert members == [id_ for id_, *_ in STRUCTURES if id_ not in NOT_MEASURED | {997}]


@pytest.mark.parametrize("set_id", [0, -1, 5, 2**63])
def test_unknown_structure_set_is_an_error(small_store: Store, set_id: int) -> None:
    with pytest.raises(InputError, match=f"no structure set {set_id}"):
        small_store.atlas.structure_set(set_id)

"""Structures found, or what may have been meant; and the sets there are."""

from __future__ import annotations

import pytest

from bsv_store import Store
from bsv_store.catalog.structure_synonyms import STRUCTURE_SYNONYMS
from bsv_store.catalog.structures import all_structures, unknown_structures
from bsv_store.errors import UnknownStructureError


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


def test_names_of_other_atlases_are_found_and_suggested_but_not_accepted(atlas_2020: Store) -> None:
    found = atlas_2020.atlas.find_structures
    assert [found(text, limit=1).structures[0].acronym for text in ("V1", "cpu", "dLGN", "S1", "M1", "caudate")] == [
        *("VISp", "CP", "LGd", "SSp", "MOp", "CP")
    ]
    # An acronym of Allen's own comes first.
    assert found("LH", limit=1).structures[0].acronym == "LH"
    with pytest.raises(UnknownStructureError) as failed:
        atlas_2020.search.sources(["V1", "CPu"])
    assert failed.value.hint == (
        "In Allen's ontology, use VISp (Primary visual area) for V1, CP (Caudoputamen) for CPu."
    )
    with pytest.raises(UnknownStructureError) as failed:
        atlas_2020.search.sources(["V1", "LGN"])
    assert failed.value.hint == (
        "In Allen's ontology, use VISp (Primary visual area) for V1. Allen's ontology has no single structure LGN. "
        "Choose from LGd (Dorsal part of the lateral geniculate complex), LGv (Ventral part of the lateral geniculate "
        "complex) and IGL (Intergeniculate leaflet of the lateral geniculate complex)."
    )


def test_a_synonym_of_structures_that_the_ontology_lacks_says_which(small_store: Store) -> None:
    with pytest.raises(UnknownStructureError) as failed:
        small_store.search.sources("mPFC")
    assert failed.value.hint == (
        "In Allen's ontology, mPFC is ACA, PL and ILA, which the ontology of this store lacks."
    )


def test_a_synonym_of_structures_of_which_the_ontology_has_some_says_which(atlas_2020: Store) -> None:
    with atlas_2020.database.reading() as connection:
        rows = [row for row in all_structures(connection) if row.acronym not in ("LGv", "IGL")]
    assert unknown_structures(rows, ["LGN"]).hint == (
        "Allen's ontology has no single structure LGN: it is LGd, LGv and IGL, of which the ontology of this store has "
        "only LGd (Dorsal part of the lateral geniculate complex)."
    )


# What a neuroscientist types, and what comes first.
ABBREVIATIONS = {
    **{"A1": "AUDp", "ACC": "ACA", "ARC": "ARH", "BLA": "BLA", "BNST": "BST", "CA1": "CA1", "CeA": "CEA", "DG": "DG"},
    **{"DMH": "DMH", "DRN": "DR", "EC": "ENT", "GPe": "GPe", "GPi": "GPi", "HPC": "HIP", "IC": "IC", "LC": "LC"},
    **{"LEC": "ENTl", "LHb": "LH", "M2": "MOs", "MEC": "ENTm", "MHb": "MH", "MS": "MS", "NAc": "ACB", "OFC": "ORB"},
    **{"PAG": "PAG", "PBN": "PB", "POm": "PO", "PPC": "PTLp", "PVH": "PVH", "PVN": "PVH", "RSC": "RSP"},
    **{"S1BF": "SSp-bfd", "SCN": "SCH", "SNc": "SNc", "SNr": "SNr", "SON": "SO", "STN": "STN", "Tu": "OT"},
    **{"VTA": "VTA", "ZI": "ZI", "ec": "ec"},
    **{"GP": "PALd", "LGN": "LGd LGv IGL", "PFC": "ACA PL ILA ORB", "POA": "MPO LPO", "SC": "SCs SCm"},
    **{"SN": "SNc SNr SNl", "lateral  geniculate nucleus": "LGd LGv IGL", "mPFC": "ACA PL ILA"},
}


def test_common_abbreviations_lead_to_their_structures(atlas_2020: Store) -> None:
    for text, expected in ABBREVIATIONS.items():
        found = atlas_2020.atlas.find_structures(text, limit=len(expected.split()))
        assert [row.acronym for row in found.structures] == expected.split(), text
        assert found.exact
    assert "PF" in {row.acronym for row in atlas_2020.atlas.find_structures("PFN").structures}


def test_every_synonym_is_unknown_to_the_ontology_and_names_a_structure(atlas_2020: Store) -> None:
    rows = atlas_2020.atlas.structure_tree("root")
    acronyms, names = {row.acronym for row in rows}, {row.name.casefold() for row in rows}
    assert {each for meant in STRUCTURE_SYNONYMS.values() for each in meant} <= acronyms
    assert not set(STRUCTURE_SYNONYMS) & acronyms
    assert not {name.casefold() for name in STRUCTURE_SYNONYMS} & names


def test_synonyms_of_several_structures_have_no_structure_of_exactly_these(atlas_2020: Store) -> None:
    children: dict[int | None, set[str]] = {}
    for row in atlas_2020.atlas.structure_tree("root"):
        children.setdefault(row.parent_structure_id, set()).add(row.acronym)
    several = {name: set(meant) for name, meant in STRUCTURE_SYNONYMS.items() if len(meant) > 1}
    assert {name for name, meant in several.items() if meant in children.values()} == set()

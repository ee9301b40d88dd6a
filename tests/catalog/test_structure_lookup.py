"""Many structures at once: by id, acronym and name; maps; which contain each other."""

from __future__ import annotations

from typing import Any

import pytest

from bsv_store import Store
from bsv_store.errors import InputError, UnknownStructureError


@pytest.mark.parametrize(
    ("by", "asked"),
    [
        ("any", ["CP", 385, "Primary visual area", "cm", "672", "CUL4, 5"]),
        ("acronym", ["CP", "VISp", "VISp", "cm", "CP", "CUL4, 5"]),
        ("id", [672, "385", 385, 753, 672, 1091]),
        (
            "name",
            [
                *("Caudoputamen", "Primary visual area", "Primary visual area"),
                *("cingulum bundle, a name that differs by case", "Caudoputamen", "Lobules IV-V"),
            ],
        ),
    ],
)
def test_structures_are_returned_in_the_order_given_with_repetitions(small_store: Store, by: Any, asked: Any) -> None:
    found = small_store.atlas.structures(asked, by=by)
    assert [row.acronym for row in found] == ["CP", "VISp", "VISp", "cm", "CP", "CUL4, 5"]


def test_a_text_is_an_acronym_before_it_is_a_name(small_store: Store) -> None:
    assert [row.id for row in small_store.atlas.structures("root")] == [997]
    assert small_store.atlas.structures([]) == ()


def test_all_unknown_ones_are_named_in_one_error(small_store: Store) -> None:
    with pytest.raises(UnknownStructureError, match=r"no structures 'CPx', 5, 'x1', 'x2', 'x3', 'x4', 'x5'\n"):
        small_store.atlas.structures(["CPx", "CP", 5, "CPx", "x1", "x2", "x3", "x4", "x5"])
    with pytest.raises(UnknownStructureError, match="no structure with the name 'CP'"):
        small_store.atlas.structures(["Caudoputamen", "CP"], by="name")
    with pytest.raises(InputError, match="672 is not a structure") as failed:
        small_store.atlas.structures(672, by="acronym")
    assert failed.value.hint == "by='acronym' looks up acronyms."
    with pytest.raises(InputError, match="'CP' is not a structure"):
        small_store.atlas.structures("CP", by="id")
    with pytest.raises(InputError, match="True is not a structure"):
        small_store.atlas.structures([True])
    with pytest.raises(InputError, match="by must be one of any, acronym, id, name"):
        small_store.atlas.structures("CP", by="color")  # type: ignore[arg-type]


def test_maps_have_every_structure(atlas_2020: Store) -> None:
    atlas = atlas_2020.atlas
    ids, names, colors = atlas.acronym_map(), atlas.name_map(), atlas.color_map()
    assert (len(ids), len(names), len(colors)) == (1327, 1327, 1327)
    assert (ids["CP"], ids["CM"], ids["cm"]) == (672, 599, 967)
    assert names[385] == "Primary visual area"
    assert colors[672] == (0x98, 0xD6, 0xF9)
    assert colors[385] == (0x08, 0x85, 0x8C)
    assert next(iter(ids)) == "root"


def test_what_contains_what_follows_the_ontology(small_store: Store) -> None:
    atlas = small_store.atlas
    assert atlas.descends_from("VISp1", "VIS")
    assert atlas.descends_from(385, 385)
    assert not atlas.descends_from("VIS", "VISp1")
    # The name begins with that of VISp.
    assert not atlas.descends_from("VISpm", "VISp")
    assert [row.acronym for row in atlas.structure_path("VISp1")] == [
        *("root", "grey", "Isocortex", "VIS", "VISp", "VISp1")
    ]
    with pytest.raises(UnknownStructureError, match="'VISx'"):
        atlas.descends_from("VISp", "VISx")


def test_overlapping_structures_are_pairs(small_store: Store) -> None:
    def pairs(*structures: str | int) -> list[tuple[str, str]]:
        return [
            (each.outer.acronym, each.inner.acronym) for each in small_store.atlas.overlapping_structures(structures)
        ]

    assert pairs("VISp1", "CP", "VIS", 385) == [("VIS", "VISp"), ("VIS", "VISp1"), ("VISp", "VISp1")]
    assert pairs("VISp", "VISpm", "VISl", "CP", "VISp") == []
    with pytest.raises(UnknownStructureError, match="'VISx'"):
        pairs("VISp", "VISx")

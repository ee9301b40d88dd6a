"""Which rows decide the criteria of a selection: damage of these rows would change the selection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bsv_store import Selection
from bsv_store.catalog.selection.in_store import needs_side, needs_unionizes, reads_sides, unionizes_read, volumes_read
from tests.catalog.small_catalog import CURRENT_IDS

if TYPE_CHECKING:
    from bsv_store import Store

ROOT, VISP, VISPM, VISL, MOP = 997, 385, 533, 409, 985


@pytest.mark.parametrize(
    ("criteria", "injection", "projection"),
    [
        ({}, set(), set()),
        ({"injected_in": "VISp", "sex": "M"}, set(), set()),
        ({"projecting_to": ["VISp", "MOp"]}, set(), {ROOT, VISP, MOP}),
        ({"injected_in": "VISl", "min_injection_overlap": 0.5}, {ROOT, VISL}, set()),
        ({"injected_in": "VISl", "max_injection_outside_primary": 0.5}, {ROOT, VISP, VISPM, VISL, MOP}, set()),
        ({"min_laterality_index": 0.1}, set(), {ROOT}),
        ({"max_laterality_index": 0.1}, set(), {ROOT}),
        ({"with_unionizes": True}, {ROOT}, {ROOT}),
        ({"with_unionizes": False}, {ROOT}, {ROOT}),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, dict) else "",
)
def test_criteria_read_the_unionize_rows_of_these_structures(
    filled: Store, criteria: dict[str, Any], injection: set[int], projection: set[int]
) -> None:
    leaves = list(Selection(**criteria).leaves())
    with filled.database.reading() as connection:
        assert unionizes_read(connection, leaves) == {"injection": injection, "projection": projection}
    is_measured = bool(injection | projection) and "with_unionizes" not in criteria
    assert [needs_unionizes(leaf) for leaf in leaves] == [is_measured]


def test_all_parts_of_a_selection_are_read(filled: Store) -> None:
    both = Selection(projecting_to="VISp") - Selection(projecting_to="VISl", with_volume="injection_density")
    leaves = list(both.leaves())
    with filled.database.reading() as connection:
        assert unionizes_read(connection, leaves)["projection"] == {ROOT, VISP, VISL}
    assert volumes_read(leaves) == {("injection_density", 100)}
    finer = Selection(with_volume="data_mask", with_volume_spacing_um=25)
    assert volumes_read([*leaves, *finer.leaves()]) == {("injection_density", 100), ("data_mask", 25)}


@pytest.mark.parametrize(
    ("criteria", "name", "expected"),
    [
        ({"projecting_to": "VISp"}, "projecting_to", False),
        ({"projecting_to": "VISp", "target_hemisphere": "left"}, "projecting_to", False),
        ({"projecting_to": "VISp", "target_hemisphere": "ipsilateral"}, "projecting_to", True),
        ({"min_laterality_index": 0.1}, "min_laterality_index", True),
        ({"max_laterality_index": 0.1}, "max_laterality_index", True),
        ({"max_injection_outside_primary": 0.1}, "max_injection_outside_primary", False),
    ],
)
def test_a_criterion_relative_to_the_injection_needs_its_side(
    criteria: dict[str, Any], name: str, expected: bool
) -> None:
    (leaf,) = Selection(**criteria).leaves()
    assert needs_side(name, leaf) is expected


def test_experiments_with_the_whole_table_in_the_store_are_those_with_both_halves(small_store: Store) -> None:
    complete = small_store.select(Selection(with_unionizes=True))
    # The store has the rows of 105 inside its injection only.
    assert complete == (101, 102, 103)
    assert 105 in CURRENT_IDS
    rest = tuple(each for each in CURRENT_IDS if each not in complete)
    assert small_store.select(Selection(with_unionizes=False)) == rest


@pytest.mark.parametrize(
    ("criteria", "expected"),
    [
        ({}, False),
        ({"injected_in": "VISp", "line": "Emx1", "sex": "M", "min_injection_volume": 0.1}, False),
        ({"sex": "M", "injected_hemisphere": "left"}, True),
        ({"bilateral": False}, True),
        ({"projecting_to": "VISp"}, False),
        ({"projecting_to": "VISp", "target_hemisphere": "contralateral"}, True),
        ({"max_laterality_index": 0.1}, True),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, dict) else "",
)
def test_criteria_that_may_depend_on_the_injected_side(criteria: dict[str, Any], expected: bool) -> None:
    leaves = [*Selection(ids=[1]).leaves(), *Selection(**criteria).leaves()]
    assert reads_sides(leaves) is expected

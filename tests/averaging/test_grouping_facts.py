"""What groupings say about experiments: their facts in the catalog, sources, members of selections, and words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bsv_store import Selection, by_coordinate, by_field, by_region, by_selection, crossed, no_grouping
from bsv_store.averaging.grouping.assignment import source_acronyms
from bsv_store.averaging.grouping.facts import ExperimentFacts, experiment_facts, is_known
from bsv_store.averaging.grouping.grouping import Grouping
from bsv_store.averaging.grouping.membership import read_membership
from bsv_store.averaging.grouping.words import grouping_words
from bsv_store.errors import EmptySelectionError, UnknownStructureError
from tests.catalog.small_catalog import fill

if TYPE_CHECKING:
    from bsv_store import Store


@pytest.fixture
def small(store: Store) -> Store:
    """A store with the small catalog."""
    with store.database.writing() as connection:
        fill(connection)
    return store


def test_facts_of_experiments_are_read_from_the_catalog(small: Store) -> None:
    with small.database.reading() as connection:
        found = experiment_facts(connection, [203, 102, 104, 999])
        assert experiment_facts(connection, []) == []
    assert found == [
        ExperimentFacts(
            experiment_id=102,
            primary_structure="VISp1",
            primary_structure_id=593,
            injection_ap=8000,
            injection_dv=1500,
            injection_ml=8500,
            injected_hemisphere="right",
            injection_volume_left=0.002,
            injection_volume_right=0.1,
            is_bilateral=True,
            fields={
                "primary_structure": "VISp1",
                "line": None,
                "sex": "M",
                "product": 5,
                "injected_hemisphere": "right",
                "strain": "C57BL/6J",
            },
        ),
        ExperimentFacts(
            experiment_id=104,
            primary_structure="VISl",
            primary_structure_id=409,
            fields={
                "primary_structure": "VISl",
                "line": None,
                "sex": "M",
                "product": 5,
                "injected_hemisphere": None,
                "strain": "C57BL/6J",
            },
        ),
        ExperimentFacts(
            experiment_id=203,
            primary_structure="VISC",
            primary_structure_id=677,
            injection_ap=8000,
            injection_dv=1500,
            injection_ml=8500,
            injected_hemisphere="right",
            fields={
                "primary_structure": "VISC",
                "line": "Ai75(RCL-nt)",
                "sex": "M",
                "product": 35,
                "injected_hemisphere": "right",
                "strain": "C57BL/6J",
            },
        ),
    ]
    assert [each.is_bilateral for each in found] == [True, False, False]


@pytest.mark.parametrize(
    ("coordinate", "expected"), [(None, False), (0.0, False), (float("nan"), False), (float("inf"), False), (1, True)]
)
def test_a_coordinate_of_zero_is_not_known(coordinate: float | None, expected: bool) -> None:
    assert is_known(coordinate) is expected
    facts = ExperimentFacts(1, "VISp", 385, injection_dv=coordinate)
    assert facts.coordinate("DV") == (coordinate if expected else None)
    assert facts.coordinate("AP") is None
    assert facts.fields == {}


@pytest.mark.parametrize(
    ("left", "right", "share"),
    [(None, None, 0.0), (None, 0.5, 0.0), (0.5, None, 0.0), (0.0, 0.0, 0.0), (0.1, 0.3, 0.25), (0.6, 0.2, 0.25)],
)
def test_minor_share_is_the_share_of_the_smaller_side(left: float | None, right: float | None, share: float) -> None:
    facts = ExperimentFacts(1, "VISp", 385, injection_volume_left=left, injection_volume_right=right)
    assert facts.minor_share == pytest.approx(share)


GROUPED = by_selection({"visual": Selection(injected_in="VISl"), "wide": Selection(min_injection_volume=9)})


def test_members_of_the_selections_of_a_grouping(small: Store) -> None:
    with small.database.reading() as connection:
        assert read_membership(connection, by_field("line")) == {}
        found = {"visual": frozenset({104, 202}), "wide": frozenset()}
        assert read_membership(connection, GROUPED) == found
        assert read_membership(connection, crossed(by_field("sex"), GROUPED)) == found
        with pytest.raises(EmptySelectionError, match="min_injection_volume"):
            read_membership(connection, GROUPED, allow_empty=False)


def test_sources_are_primary_structures_or_the_regions_of_the_group() -> None:
    ancestry = {"VISp": ("VISp", "VIS"), "VISl": ("VISl", "VIS"), "VIS": ("VIS",), "CP": ("CP",)}
    experiments = [ExperimentFacts(number, name, 1) for number, name in ((7, "VISp"), (8, "VISl"), (9, "CP"))]
    primary = {7: ("VISp",), 8: ("VISl",), 9: ("CP",)}
    assert source_acronyms(by_field("line"), experiments) == primary
    regions = by_region([["CP", "VISl"], "VIS"])
    expected = {7: ("VIS",), 8: ("CP", "VISl"), 9: ("CP", "VISl")}
    assert source_acronyms(regions, experiments, ancestry) == expected
    assert source_acronyms(crossed(by_field("sex"), regions), experiments, ancestry) == expected
    assert source_acronyms(by_region("VISp"), experiments, ancestry) == primary
    with pytest.raises(UnknownStructureError, match="'VIS', listed to group by, is not in the ontology"):
        source_acronyms(by_region("VIS"), experiments, {})


@pytest.mark.parametrize(
    ("grouping", "words"),
    [
        (no_grouping(), None),
        (by_coordinate("AP"), "by the AP injection coordinate (anterior to posterior) in 5 bins of equal width"),
        (
            by_coordinate("ML", bins=3, method="quantile"),
            "by the ML injection coordinate (left to right) in 3 bins with about equal numbers of experiments",
        ),
        (
            by_coordinate("DV", edges=[0, 2500.5, 8000]),
            "by the DV injection coordinate (superior to inferior) in 2 bins with the edges 0, 2,500.5 and 8,000 um",
        ),
        (
            by_region({"VISp": "VISp", "VISl+VISam": ["VISl", "VISam"], "motor": ["MOp", "MOs"]}),
            "by the primary injection structure: VISp, VISl+VISam and motor (MOp and MOs) (descendants included)",
        ),
        (by_field("line"), "by transgenic line"),
        (
            crossed(by_field("sex"), by_coordinate("AP", bins=2)),
            "by sex and by the AP injection coordinate (anterior to posterior) in 2 bins of equal width",
        ),
        (
            by_selection({"one": Selection(ids=[1]), "some": [2, 3]}),
            "by selection: one (experiments chosen by id (1)) and some (experiments chosen by id (2, 3))",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_grouping_in_words(grouping: Grouping, words: str | None) -> None:
    assert grouping_words(grouping) == words

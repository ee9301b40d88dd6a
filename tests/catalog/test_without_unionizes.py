"""What the library says of experiments for which unionize tables do not give an answer."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import insert

from bsv_store import Selection, Store
from bsv_store.catalog.database.models import Unionize, UnionizeCoverage
from bsv_store.catalog.missing import report_without_volume
from bsv_store.catalog.without_unionizes import report_left_out, report_unknown_sides, report_without_covariate
from bsv_store.errors import (
    BsvStoreWarning,
    EmptySelectionError,
    InputError,
    LeftOutWarning,
    MissingDataError,
    MissingUnionizesWarning,
    UnknownHemisphereWarning,
)
from tests.catalog.small_catalog import fill, unionize_rows

if TYPE_CHECKING:
    from tests.catalog.conftest import SharedStores

TO_CP = Selection(projecting_to="CP")
ASKED = {
    "matrix": lambda store, **options: store.catalog.matrix(Selection(ids=[101, 201, 202]), targets="CP", **options),
    "matrix of a selection by target": lambda store, **options: store.catalog.matrix(TO_CP, targets="CP", **options),
    "targets": lambda store, **options: store.search.targets("CP", **options),
    "correlation": lambda store, **options: store.search.correlation(101, structure_set=184527634, **options),
    "select": lambda store, **options: store.select(TO_CP, **options),
    "experiments": lambda store, **options: store.experiments(TO_CP, **options),
    "unionizes": lambda store, **options: store.catalog.unionizes(
        TO_CP, is_injection=False, **{"missing": "leave_out", **options}
    ),
}
# They have no argument `missing`, or another error.
ONLY_WARNED = {
    "summary": lambda store: store.catalog.summary(TO_CP),
    "history": lambda store: store.catalog.unionize_history(TO_CP),
    "check": lambda store: store.volumes.check(TO_CP),
    "unionizes of ids": lambda store: store.catalog.unionizes([101, 201, 202], is_injection=False, missing="leave_out"),
}


@pytest.mark.parametrize("call", [*ASKED.values(), *ONLY_WARNED.values()], ids=[*ASKED, *ONLY_WARNED])
def test_experiments_left_out_are_warned_about_once_a_call(small_store: Store, call: Any) -> None:
    with pytest.warns(BsvStoreWarning) as caught:
        found = call(small_store)
    (warning,) = caught
    assert isinstance(warning.message, MissingUnionizesWarning)
    problem, hint = str(warning.message).split("\n", 1)
    assert re.search(r"unionize (table is|tables are) not in the store: \d", problem)
    assert str(warning.message.experiment_ids[0]) in problem
    assert hint.startswith("Download the tables: bsv-store sync unionizes")
    # The warning points at the caller, so that filters by module work.
    assert warning.filename == __file__
    attributes = getattr(found, "attrs", {})
    if attributes.get("without_unionizes"):
        assert tuple(attributes["without_unionizes"]) == warning.message.experiment_ids
    assert warning.message.experiment_ids


@pytest.mark.parametrize("call", ASKED.values(), ids=list(ASKED))
def test_missing_tables_are_an_error_on_request(small_store: Store, call: Any) -> None:
    with pytest.raises(MissingDataError, match=r"unionize (table is|tables are) not in the store: \d+"):
        call(small_store, missing="error")
    with pytest.raises(InputError, match="missing"):
        call(small_store, missing="ignore")


@pytest.mark.parametrize("call", ASKED.values(), ids=list(ASKED))
def test_the_warning_can_be_filtered(small_store: Store, call: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MissingUnionizesWarning)
        call(small_store)


def test_complete_data_give_no_warning(small_store: Store) -> None:
    known = Selection(ids=[101, 102, 103, 201])
    small_store.catalog.matrix(known, targets="CP", missing="error")
    small_store.search.targets("CP", selection=known, missing="error")
    assert small_store.select(known & TO_CP, missing="error") == (101, 102, 103)
    small_store.select(Selection(injected_in="VISp"), missing="error")


# -- the injected hemisphere is not known ------------------------------------------------------------------------------

RETINA = 109
BOTH_KNOWN_AND_NOT = [101, 103, RETINA]
RELATIVE = {
    "matrix": lambda store, side, **options: store.catalog.matrix(
        BOTH_KNOWN_AND_NOT, targets="CP", hemisphere=["both", side], **options
    ),
    "matrix by experiment": lambda store, side, **options: store.catalog.matrix(
        BOTH_KNOWN_AND_NOT, rows="experiments", targets="CP", hemisphere=side, **options
    ),
    "targets": lambda store, side, **options: store.search.targets(
        "CP", selection=BOTH_KNOWN_AND_NOT, hemisphere=side, **options
    ),
    "sources": lambda store, side: store.search.sources(
        ["VIS", "retina"], selection=BOTH_KNOWN_AND_NOT, hemisphere=side
    ),
    "correlation": lambda store, side, **options: store.search.correlation(
        101, selection=BOTH_KNOWN_AND_NOT, structure_set=184527634, hemisphere=side, **options
    ),
    "select": lambda store, side, **options: store.select(
        Selection(ids=BOTH_KNOWN_AND_NOT, projecting_to="CP", target_hemisphere=side), **options
    ),
    "experiments": lambda store, side, **options: store.experiments(
        Selection(ids=BOTH_KNOWN_AND_NOT, projecting_to="CP", target_hemisphere=side), **options
    ),
}
WITH_MISSING = {name: call for name, call in RELATIVE.items() if name != "sources"}


def fill_with_retina(store: Store) -> None:
    """Write the small catalog, and rows of a retina experiment outside its injection site."""
    with store.database.writing() as connection:
        fill(connection)
        own = [
            {**row, "experiment_id": RETINA, "id": row["id"] + 1_000}
            for row in unionize_rows()
            if row["experiment_id"] == 101 and not row["is_injection"]
        ]
        connection.execute(insert(Unionize), own)
        coverage = {"part": "projection", "snapshot_id": 1, "row_count": len(own), "content_sha256": "0" * 64}
        connection.execute(insert(UnionizeCoverage).values(experiment_id=RETINA, **coverage))


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def with_retina(request: pytest.FixtureRequest, shared_stores: SharedStores) -> Store:
    """That store. Do not write to it."""
    return shared_stores.get(fill_with_retina, request)


@pytest.mark.parametrize("side", ["ipsilateral", "contralateral"])
@pytest.mark.parametrize("call", RELATIVE.values(), ids=list(RELATIVE))
def test_experiments_without_a_known_side_are_named_once_a_call(with_retina: Store, call: Any, side: str) -> None:
    with pytest.warns(BsvStoreWarning) as caught:
        found = call(with_retina, side)
    (warning,) = caught
    assert isinstance(warning.message, UnknownHemisphereWarning)
    assert warning.message.experiment_ids == (RETINA,)
    assert f"its injected hemisphere is not known: {RETINA}" in warning.message.message
    # No unionize table tells the side of an eye.
    assert "sync" not in str(warning.message)
    assert warning.filename == __file__
    assert getattr(found, "attrs", {}).get("without_hemisphere", [RETINA]) == [RETINA]


RANKED = {
    "targets_of": lambda store, **options: store.search.targets_of([101, RETINA], targets="CP", **options),
    "sources_of": lambda store, **options: store.search.sources_of("CP", selection=[101, RETINA], **options),
}


@pytest.mark.parametrize("call", RANKED.values(), ids=list(RANKED))
def test_rankings_do_not_advise_the_hemisphere_that_they_have(with_retina: Store, call: Any) -> None:
    with pytest.warns(UnknownHemisphereWarning, match="1 of the selected experiments is left out") as caught:
        assert call(with_retina).attrs["without_hemisphere"] == [RETINA]
    (warning,) = caught
    assert "bsv-store matrix --hemisphere both" in str(warning.message)
    assert warning.filename == __file__
    with pytest.raises(MissingDataError, match=r"none of .* has a known injected hemisphere\n.*bsv-store matrix"):
        with_retina.search.targets_of([RETINA])
    with pytest.raises(MissingDataError, match=rf"its injected hemisphere is not known: {RETINA}"):
        call(with_retina, missing="error")
    assert with_retina.catalog.matrix([RETINA], targets="CP", hemisphere="both").shape == (1, 1)


@pytest.mark.parametrize(
    ("count", "are", "have", "their", "tables"),
    [
        (1, "is", "has", "its", "its unionize table is not"),
        (2, "are", "have", "their", "their unionize tables are not"),
    ],
)
def test_one_experiment_is_singular(count: int, are: str, have: str, their: str, tables: str) -> None:
    ids = list(range(1, count + 1))
    left_out = f"^{count} of the selected experiments {are} left out, because "
    with pytest.warns(MissingUnionizesWarning, match=f"{left_out}{tables} in the store: 1"):
        report_left_out(ids, missing="leave_out")
    with pytest.warns(LeftOutWarning, match=f"{left_out}{their} injection volume is not known: 1"):
        report_without_covariate(ids, "injection volume", missing="leave_out")
    with pytest.warns(LeftOutWarning, match=left_out):
        report_without_volume(Selection(), ids, kind="data_mask", spacing_um=100)
    no_values = f"^{count} of the selected experiments {have} no ipsilateral values, because {their} injected"
    with pytest.warns(UnknownHemisphereWarning, match=no_values):
        report_unknown_sides(ids, ["ipsilateral"], missing="leave_out")


@pytest.mark.parametrize("call", WITH_MISSING.values(), ids=list(WITH_MISSING))
def test_sides_that_are_not_known_are_an_error_on_request(with_retina: Store, call: Any) -> None:
    with pytest.raises(MissingDataError, match=rf"its injected hemisphere is not known: {RETINA}"):
        call(with_retina, "ipsilateral", missing="error")


@pytest.mark.parametrize("side", ["both", "left", "right"])
@pytest.mark.parametrize("call", WITH_MISSING.values(), ids=list(WITH_MISSING))
def test_hemispheres_that_are_not_relative_need_no_side(with_retina: Store, call: Any, side: str) -> None:
    found = call(with_retina, side, missing="error")
    assert getattr(found, "attrs", {}).get("without_hemisphere", []) == []


def test_an_experiment_without_a_known_side_cannot_be_compared_by_side(with_retina: Store) -> None:
    with pytest.raises(
        MissingDataError, match=f"the injected hemisphere of experiment {RETINA} is not known"
    ) as caught:
        with_retina.search.correlation(RETINA, structure_set=184527634, hemisphere="ipsilateral")
    assert "sync" not in str(caught.value)


def test_a_selection_that_is_empty_for_want_of_a_side_says_so(with_retina: Store) -> None:
    wish = Selection(ids=[RETINA], projecting_to="CP", target_hemisphere="ipsilateral")
    with pytest.raises(EmptySelectionError, match="The injected hemisphere of 1 experiment "):
        with_retina.catalog.matrix(wish, targets="CP")

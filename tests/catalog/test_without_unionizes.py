"""What the library says of experiments whose unionize tables are not in the store."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from bsv_store import Selection, Store
from bsv_store.errors import BsvStoreWarning, InputError, MissingDataError, MissingUnionizesWarning

TO_CP = Selection(projecting_to="CP")
ASKED = {
    "matrix": lambda store, **options: store.catalog.matrix(Selection(ids=[101, 201, 202]), targets="CP", **options),
    "matrix of a selection by target": lambda store, **options: store.catalog.matrix(TO_CP, targets="CP", **options),
    "targets": lambda store, **options: store.search.targets("CP", **options),
    "correlation": lambda store, **options: store.search.correlation(101, structure_set=184527634, **options),
    "select": lambda store, **options: store.select(TO_CP, **options),
    "experiments": lambda store, **options: store.experiments(TO_CP, **options),
}


@pytest.mark.parametrize("call", ASKED.values(), ids=list(ASKED))
def test_experiments_left_out_are_warned_about_once_a_call(small_store: Store, call: Any) -> None:
    with pytest.warns(BsvStoreWarning) as caught:
        found = call(small_store)
    (warning,) = caught
    assert isinstance(warning.message, MissingUnionizesWarning)
    assert "their unionize tables are not in the store\nDownload them: bsv-store sync unionizes" in str(warning.message)
    # The warning points at the caller, so that filters by module work.
    assert warning.filename == __file__
    attributes = getattr(found, "attrs", {})
    if attributes.get("without_unionizes"):
        assert tuple(attributes["without_unionizes"]) == warning.message.experiment_ids
    assert warning.message.experiment_ids


@pytest.mark.parametrize("call", ASKED.values(), ids=list(ASKED))
def test_missing_tables_are_an_error_on_request(small_store: Store, call: Any) -> None:
    with pytest.raises(MissingDataError, match=r"their unionize tables are not in the store: \d+"):
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

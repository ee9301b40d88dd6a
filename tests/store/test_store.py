"""The store as its users see it: what no room tests by itself."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from bsv_store import Store
from bsv_store.errors import SelectionError


def test_a_text_in_place_of_a_selection_is_named(store: Store) -> None:
    with pytest.raises(SelectionError, match="injected_in"):
        store.experiments("VISp")  # type: ignore[arg-type]


def test_status_names_the_current_list_not_the_last_ingested(store: Store, data: Path) -> None:
    store.ingest_structures(data / "allensdk_cache" / "structures.json")
    store.ingest_experiments(data / "experiments_2020-11_2997rows_5dup.json")
    store.ingest_experiments(data / "experiments_2020-07_2992rows.json")
    in_force = {item.what: item.upstream_date for item in store.status().catalog.latest_snapshots}
    assert in_force["experiments"] == date(2020, 11, 1)


def test_status_prints_as_a_summary(store: Store) -> None:
    lines = str(store.status()).splitlines()
    assert lines[0] == f"Store     {store.path} (from argument)"
    assert [line.split()[0] for line in lines[1:]] == ["Database", "Structures", "Experiments", "Unionizes", "Datasets"]
    assert "Unionizes    0 rows of 0 experiments" in lines
    assert repr(store.status().catalog) == "<CatalogStatus: 0 experiments, 0 volumes, 0 dataset versions>"

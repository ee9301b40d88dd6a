"""Copies of a store and of what it returns: pickled, sent to other processes, deep-copied."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
import threading
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text

from bsv_store import Selection, Store, open_store
from bsv_store.errors import ReadOnlyStoreError, StoreMismatchError, StoreUnreachableError
from tests.stores import rename_database

IDS = (1, 2)


def selected(store: Store, selection: Selection) -> tuple[int, ...]:
    """What a worker process does with a store that it was given."""
    return store.select(selection)


@pytest.mark.parametrize("copied", [lambda each: pickle.loads(pickle.dumps(each)), copy.deepcopy, copy.copy])
def test_a_copy_is_the_same_store_with_connections_of_its_own(filled: Store, copied: Any) -> None:
    other = copied(filled)
    assert other.path == filled.path
    assert other.select() == filled.select()
    filled.close()
    other.catalog.exclude(list(IDS), reason="copy")
    other.close()
    assert not set(IDS) & set(filled.select())


def test_a_copy_is_read_only_if_the_store_is(filled_location: Path) -> None:
    with open_store(filled_location, read_only=True) as reader, copy.deepcopy(reader) as other:
        assert other.select() == reader.select()
        with pytest.raises(ReadOnlyStoreError):
            other.catalog.exclude(list(IDS), reason="x")


def test_a_closed_store_can_be_pickled(filled: Store) -> None:
    filled.close()
    with pickle.loads(pickle.dumps(filled)) as other:
        assert other.select() == filled.select()


def test_namespaces_and_results_can_be_pickled(filled: Store) -> None:
    version = filled.aggregate(list(IDS), name="visual")
    for name in ("catalog", "search", "atlas", "volumes", "datasets"):
        assert pickle.loads(pickle.dumps(getattr(filled, name)))
    copied = pickle.loads(pickle.dumps(version))
    assert (copied.ref, copied.fingerprint, copied.recipe) == (version.ref, version.fingerprint, version.recipe)
    np.testing.assert_array_equal(copied.mean, version.mean)
    datasets = pickle.loads(pickle.dumps(filled.datasets))
    assert datasets.get("visual@1").fingerprint == version.fingerprint
    datasets._database.close()
    selection = Selection(injected_in="VIS", ids=list(IDS)) & Selection(line="wild-type")
    assert pickle.loads(pickle.dumps(selection)) == selection
    assert copy.deepcopy(selection) == selection


def test_processes_that_are_given_a_store_use_it(filled: Store) -> None:
    # "spawn" starts new interpreters, as joblib and Dask do.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        results = list(pool.map(selected, [filled] * 2, [Selection(ids=[each]) for each in IDS]))
    assert results == [(1,), (2,)]


def test_another_store_at_the_same_path_is_refused(filled: Store, tmp_path: Path) -> None:
    data = pickle.dumps(filled)
    with filled.database.writing() as connection:
        connection.execute(text("UPDATE store_info SET store_id = 'another'"))
    with pytest.raises(StoreMismatchError):
        pickle.loads(data)
    file = filled.path / "store.toml"
    lines = [line for line in file.read_text().splitlines() if not line.startswith("checksum")]
    file.write_text("\n".join('store_id = "another"' if line.startswith("store_id") else line for line in lines))
    with pytest.raises(StoreMismatchError, match="the copied object is of store"):
        pickle.loads(data)


def test_a_store_that_is_gone_is_named(filled: Store) -> None:
    if filled.database.is_sqlite:
        data = pickle.dumps(filled)
        (filled.path / "catalog.db").unlink()
        with pytest.raises(StoreUnreachableError, match="catalog"):
            pickle.loads(data)
        return
    assert isinstance(filled.config.database, str)
    name = filled.config.database.rpartition("/")[2].partition("?")[0]
    rename_database(filled.path, name, "no_such_database")
    with pytest.raises(StoreUnreachableError, match="no_such_database"):
        pickle.loads(pickle.dumps(filled))


def test_threads_share_a_store(filled: Store) -> None:
    found: list[tuple[int, ...]] = []
    threads = [threading.Thread(target=lambda: found.append(filled.select())) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [filled.select()] * 30

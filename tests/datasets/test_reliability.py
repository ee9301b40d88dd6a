"""Versions under kills and many writers, on both databases."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from bsv_store import Selection, open_store
from tests.databases import both_databases
from tests.datasets.killing import asking
from tests.datasets.world import ask

if TYPE_CHECKING:
    from bsv_store import Store

pytestmark = both_databases


def test_writers_of_the_same_question_make_one_version(filled_location: Path) -> None:
    children = [asking(filled_location, (1, 2, 3)) for _ in range(4)]
    for child in children:
        output, errors = child.communicate(timeout=300)
        assert (child.returncode, errors, output) == (0, "", "1\n")
    with open_store(filled_location) as store:
        assert_sound(store)
        assert store.datasets.list()[0].versions == 1
        assert len(list((store.path / "datasets" / "test").iterdir())) == 1


def test_the_loser_of_a_race_removes_a_file_of_other_bytes(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two releases may write other bytes of the same inputs; the first to commit wins."""
    from bsv_store.datasets import aggregate as module

    real = module.compute  # type: ignore[attr-defined]
    first = []

    def slow(*arguments: object, **options: object) -> object:
        monkeypatch.setattr(module, "compute", real)
        monkeypatch.setattr("bsv_store.datasets.result.contents.software", lambda: "another release")
        first.append(ask(filled, Selection(ids=[1, 2])))
        monkeypatch.undo()
        return real(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "compute", slow)
    version = ask(filled, Selection(ids=[1, 2]))
    assert first[0].was_computed
    assert not version.was_computed
    assert version.path == first[0].path
    assert [path.name for path in (filled.path / "datasets" / "test").iterdir()] == [version.path.name]
    assert len(list((filled.path / "trash").glob("*.nc"))) == 1
    np.testing.assert_array_equal(version.mean, first[0].mean)


def test_a_version_whose_file_cannot_be_written_leaves_nothing(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    from bsv_store.errors import NoSpaceError

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NoSpaceError):
        ask(filled)
    monkeypatch.undo()
    assert filled.datasets.list() == ()
    assert list((filled.path / "tmp").iterdir()) == []
    assert ask(filled).number == 1


def assert_sound(store: Store) -> None:
    """Every version is whole: its file, groups and members; numbers without gap; no dataset without a version."""
    versions = store.sql("SELECT id, dataset_id, number FROM dataset_version ORDER BY number")
    names = store.sql("SELECT id, name, last_number FROM dataset")
    for row in names.itertuples():
        numbers = versions[versions.dataset_id == row.id].number.to_list()
        assert numbers == list(range(1, row.last_number + 1)), row.name
        assert row.last_number > 0
    for table in ("dataset_group", "dataset_member"):
        assert set(store.sql(f"SELECT version_id FROM {table}").version_id) == set(versions.id)
    for name, last in zip(names.name, names.last_number, strict=True):
        for number in range(1, last + 1):
            version = store.dataset(f"{name}@{number}")
            assert version.statistic("mean").shape[0] == len(version.groups)

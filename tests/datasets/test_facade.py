"""``store.datasets``: every way leads to what it says, on either database."""

from __future__ import annotations

import getpass
import inspect
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from bsv_store import Selection, create_store, open_store
from bsv_store.errors import InputError, ReadOnlyStoreError, UnknownDatasetError
from bsv_store.store.datasets import Datasets
from tests.datasets.world import add_volume, ask, fill, voxels
from tests.stores import store_with

if TYPE_CHECKING:
    from bsv_store import Store


def _fill(store: Store) -> None:
    """Two versions, of other members."""
    fill(store)
    ask(store, Selection(ids=[1, 2]))
    ask(store, Selection(ids=[1, 2, 3]))


filled = store_with(_fill)


@pytest.fixture
def versions(filled: Store) -> Datasets:
    """The versions of the store."""
    return filled.datasets


def test_the_store_has_one_of_them(filled: Store) -> None:
    assert isinstance(filled.datasets, Datasets)
    assert filled.datasets is filled.datasets


def test_a_version_is_found_by_every_name(filled: Store, versions: Datasets) -> None:
    versions.tag("test@1", "draft")
    assert [versions.get(ref).number for ref in ("test", "test@1", "test@latest", "test@draft")] == [2, 1, 2, 1]
    assert filled.dataset("test@draft").number == 1
    (summary,) = versions.list()
    assert (summary.name, summary.latest, summary.versions, summary.tags) == ("test", 2, 2, ("draft@1",))
    with pytest.raises(UnknownDatasetError, match="no version 3"):
        versions.get("test@3")


def test_two_versions_are_compared(versions: Datasets) -> None:
    found = versions.diff("test@1", "test@2")
    assert (found.first, found.second, found.is_equal) == ("test@1", "test@2", False)
    assert [change.experiment_id for change in found.members.entered] == [3]
    assert found.voxels[0].largest > 0
    assert versions.diff("test", "test@2").is_equal


def test_lineage_and_volumes_of_a_version(versions: Datasets) -> None:
    assert [member.experiment_id for member in versions.lineage("test@1").members] == [1, 2]
    stack = versions.stack("test@1")
    assert stack.experiment_ids == (1, 2)
    np.testing.assert_array_equal(stack[1], voxels(2))
    assert versions.stack("test@1", processed=True).dtype == np.float64


def test_stale_reports_one_version_or_the_latest_of_each(filled: Store, versions: Datasets) -> None:
    assert [(report.ref, report.is_stale) for report in versions.stale()] == [("test@2", False)]
    add_volume(filled, 3, seed=1)
    assert [(report.ref, report.is_stale) for report in versions.stale()] == [("test@2", True)]
    assert [(report.ref, report.is_stale) for report in versions.stale("test@1")] == [("test@1", False)]


def test_a_damaged_file_is_rebuilt_unless_it_is_only_to_be_checked(versions: Datasets) -> None:
    path = versions.get("test@1").path
    before = path.read_bytes()
    path.write_bytes(before[:-1])
    report = versions.rebuild("test@1", check_only=True)
    assert (report.file_state, report.is_identical, report.was_restored) == ("damaged", True, False)
    assert path.read_bytes() != before
    assert versions.rebuild("test@1").was_restored
    assert path.read_bytes() == before


def test_a_tag_moves_only_on_request_and_records_the_user(filled: Store, versions: Datasets) -> None:
    assert versions.tag("test@1", "figure-3").tags == ("figure-3",)
    with pytest.raises(InputError, match="is on test@1"):
        versions.tag("test@2", "figure-3")
    assert versions.tag("test@2", "figure-3", move=True).ref == "test@2"
    by = filled.sql("SELECT created_by FROM dataset_tag")["created_by"].tolist()
    assert by == [getpass.getuser()]
    versions.untag("test", "figure-3")
    assert versions.list()[0].tags == ()


def test_a_version_is_deleted_unless_it_has_a_tag(versions: Datasets) -> None:
    versions.tag("test@2", "keep")
    with pytest.raises(InputError, match="keep"):
        versions.delete("test@2")
    path = versions.get("test@1").path
    gone = versions.delete("test@1")
    assert (gone.ref, path.exists()) == ("test@1", False)
    with pytest.raises(UnknownDatasetError, match="no version 1"):
        versions.get("test@1")


def test_a_bundle_goes_to_another_store(versions: Datasets, tmp_path: Path) -> None:
    bundle = versions.get("test@2").export(tmp_path / "a.bsv.zip")
    with create_store(tmp_path / "other") as other:
        fill(other, volumes=())
        taken = other.datasets.import_bundle(bundle, name="theirs")
        assert (taken.ref, taken.fingerprint) == ("theirs@2", versions.get("test@2").fingerprint)
        assert other.datasets.import_bundle(bundle).ref == "test@2"


def test_who_may_only_read_can_look_and_nothing_else(filled: Store, versions: Datasets, tmp_path: Path) -> None:
    bundle = versions.get("test@1").export(tmp_path / "a.bsv.zip")
    with open_store(filled.path, read_only=True) as store:
        mine = store.datasets
        assert mine.diff("test@1", "test@1").is_equal
        assert mine.rebuild("test@1", check_only=True).is_identical
        for refused in (
            lambda: mine.tag("test", "x"),
            lambda: mine.delete("test@1"),
            lambda: mine.rebuild("test@1"),
            lambda: mine.import_bundle(bundle, name="other"),
        ):
            with pytest.raises(ReadOnlyStoreError):
                refused()
    assert [summary.latest for summary in versions.list()] == [2]


def test_options_are_named() -> None:
    for name, method in inspect.getmembers(Datasets, inspect.isfunction):
        parameters = list(inspect.signature(method).parameters.values())
        given = [each for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD]
        # What is asked about comes first, also where it has a default.
        allowed = (("stale", "ref"), ("subregions", "structures"))
        assert all(each.default is each.empty or (name, each.name) in allowed for each in given), name

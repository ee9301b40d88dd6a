from __future__ import annotations

import shutil
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np
import pytest

from bsv_store import Selection, by_coordinate, create_store, crossed, open_store
from bsv_store.datasets.result.contents import read_inputs
from bsv_store.errors import (
    BsvStoreWarning,
    FormatError,
    FrameError,
    InputError,
    ReadOnlyStoreError,
    UnknownExperimentError,
)
from tests.datasets.bundles import changed, edit_result, set_manifest
from tests.datasets.world import IDS, add_volume, ask, remove_volume

if TYPE_CHECKING:
    from bsv_store import DatasetVersion, Store


def answer(store: Store) -> DatasetVersion:
    return ask(
        store,
        Selection(ids=IDS),
        by_coordinate("AP", edges=[3000, 8200, 9400]),
        normalize="injection_volume",
        statistics=("mean", "sd", "n"),
    )


@pytest.fixture
def version(filled: Store) -> DatasetVersion:
    return answer(filled)


@pytest.fixture(scope="session")
def bundle(_filled_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bundle of that version, as bytes."""
    folder = tmp_path_factory.mktemp("bundle")
    shutil.copytree(_filled_sqlite, folder / "store")
    with open_store(folder / "store") as store:
        return answer(store).export(folder / "a.bsv.zip").read_bytes()


@pytest.fixture
def other(_filled_sqlite: Path, tmp_path: Path) -> Iterator[Store]:
    """Another store, with the same catalog."""
    shutil.copytree(_filled_sqlite, tmp_path / "other")
    with open_store(tmp_path / "other") as store:
        yield store


def take(store: Store, path: Path, *, name: str | None = None) -> DatasetVersion:
    return store.datasets.import_bundle(path, name=name)


def test_another_store_takes_the_version_as_it_is(version: DatasetVersion, other: Store, tmp_path: Path) -> None:
    taken = take(other, version.export(tmp_path / "a.bsv.zip"))
    assert taken.ref == "test@1"
    for fact in (
        "fingerprint",
        "content_sha256",
        "file_sha256",
        "recipe",
        "groups",
        "experiments",
        "software",
        "created_at",
        "created_by",
        "algorithm_version",
    ):
        assert getattr(taken, fact) == getattr(version, fact), fact
    np.testing.assert_array_equal(taken.mean, version.mean)
    again = other.dataset("test")
    assert again.experiments == version.experiments


def test_the_second_coordinate_and_the_masks_come_along(filled: Store, other: Store, tmp_path: Path) -> None:
    inside = np.zeros((132, 80, 114), np.float32)
    inside[:66] = 0.5
    for identifier in IDS:
        add_volume(filled, identifier, kind="injection_fraction", array=inside)
    grouping = crossed(by_coordinate("AP", edges=[3000, 8200, 9400]), by_coordinate("ML", edges=[0, 5700, 11400]))
    version = ask(filled, Selection(ids=IDS), grouping, exclude_injection=True)
    assert any(group.second_lower is not None for group in version.groups)
    assert any(member.injection_fraction_sha256 for member in version.experiments)
    taken = take(other, version.export(tmp_path / "a.bsv.zip"))
    assert (taken.groups, taken.experiments) == (version.groups, version.experiments)


def test_importing_twice_makes_one_version(version: DatasetVersion, other: Store, tmp_path: Path) -> None:
    path = version.export(tmp_path / "a.bsv.zip")
    assert take(other, path).number == take(other, path).number == 1
    assert len(list((other.path / "datasets" / "test").iterdir())) == 1
    assert take(other, path, name="mine").ref == "mine@1"


def test_an_imported_version_takes_the_next_number(version: DatasetVersion, filled: Store, tmp_path: Path) -> None:
    path = version.export(tmp_path / "a.bsv.zip")
    ask(filled, name="mine")
    with pytest.warns(BsvStoreWarning, match="version 1 of the bundle is mine@2"):
        assert take(filled, path, name="mine").number == 2
    assert not take(filled, path).was_computed


def test_an_imported_version_can_be_rebuilt_where_the_volumes_are(
    version: DatasetVersion, other: Store, tmp_path: Path
) -> None:
    take(other, version.export(tmp_path / "a.bsv.zip"))
    assert other.datasets.rebuild("test", check_only=True).is_identical


def test_the_same_version_gives_the_same_bytes(version: DatasetVersion, tmp_path: Path) -> None:
    one, two = version.export(tmp_path / "1.bsv.zip"), version.export(tmp_path / "2.bsv.zip")
    assert one.read_bytes() == two.read_bytes()


def test_a_bundle_explains_itself(version: DatasetVersion, tmp_path: Path) -> None:
    with zipfile.ZipFile(version.export(tmp_path / "a.bsv.zip")) as archive:
        assert archive.namelist() == [
            "bundle.json",
            "README.txt",
            "members.csv",
            "citation.txt",
            "references.bib",
            "result.nc",
        ]
        assert archive.testzip() is None
        assert archive.read("result.nc") == version.path.read_bytes()
        assert "experiment_id" in archive.read("members.csv").decode()


def test_a_catalog_without_the_experiments_refuses(version: DatasetVersion, tmp_path: Path) -> None:
    empty = create_store(tmp_path / "empty")
    with pytest.raises(UnknownExperimentError, match="1, 2, 3, 4, 5, 6, 7"):
        take(empty, version.export(tmp_path / "a.bsv.zip"))
    assert list((empty.path / "datasets").iterdir()) == []


def test_a_bad_name_is_refused(bundle: bytes, other: Store, tmp_path: Path) -> None:
    path = tmp_path / "a.bsv.zip"
    path.write_bytes(bundle)
    with pytest.raises(InputError, match="not a valid dataset name"):
        take(other, path, name="../x")


def test_the_result_file_is_never_in_memory(
    bundle: bytes, other: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At 10 um it can take gigabytes."""
    path = tmp_path / "a.bsv.zip"
    path.write_bytes(bundle)
    content_sha256 = take(other, path).content_sha256
    other.datasets.delete("test@1")
    # Computing it again takes more memory than reading it.
    remove_volume(other, 1)
    # The arrays are hashed in chunks of 1.2 MB, which is nearly as much as this whole file.
    monkeypatch.setattr("bsv_store.datasets.share.bundle.content_hash", lambda *_: content_sha256)
    monkeypatch.setattr("bsv_store.datasets.share.bundle.check_values", lambda *_: None)
    monkeypatch.setattr("bsv_store.datasets.share.bundle._BLOCK_BYTES", 1 << 16)
    tracemalloc.start()
    version = take(other, path, name="again")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < version.size_bytes / 2
    assert [*(other.path / "tmp").iterdir()] == []


def test_a_result_file_that_vanished_is_taken_out_again(
    bundle: bytes, other: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process deletes a version with the same bytes just after they were published."""
    path = tmp_path / "a.bsv.zip"
    path.write_bytes(bundle)
    passed: list[str] = []

    def delete_once(point: str) -> None:
        passed.append(point)
        if passed == ["version:published"]:
            (published,) = (other.path / "datasets").rglob("*.nc")
            published.unlink()

    monkeypatch.setattr("bsv_store.datasets.publish.checkpoint", delete_once)
    version = take(other, path)
    assert passed == ["version:published", "version:published", "version:inserted", "version:committed"]
    assert version.mean.max() > 0
    assert [*(other.path / "tmp").iterdir()] == []


def test_what_a_store_has_is_found_though_it_is_open_read_only(bundle: bytes, other: Store, tmp_path: Path) -> None:
    path = tmp_path / "a.bsv.zip"
    path.write_bytes(bundle)
    version = take(other, path)
    shutil.rmtree(other.path / "tmp")
    with open_store(other.path, read_only=True) as reader:
        assert take(reader, path).ref == version.ref
        with pytest.raises(ReadOnlyStoreError):
            take(reader, path, name="new")
    assert not (other.path / "tmp").exists()


# -- bundles that were tampered with --------------------------------------------------------------------------------


def _voxel(file: h5py.File) -> None:
    file["mean"][0, 5, 5, 5] = 0.5


def _inputs(file: h5py.File) -> None:
    text = read_inputs(file).replace('"divisor":0.2', '"divisor":0.3')
    del file["inputs"]
    file.create_dataset("inputs", data=text, dtype=h5py.string_dtype())


def _frame(file: h5py.File) -> None:
    file.attrs["frame"] = "Allen CCFv2 (2015)"


def _no_inputs(file: h5py.File) -> None:
    del file["inputs"]


def _drop(name: str) -> Callable[[dict[str, bytes]], None]:
    def change(parts: dict[str, bytes]) -> None:
        del parts[name]

    return change


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (edit_result(_voxel), FormatError, "arrays"),
        (edit_result(_inputs), FormatError, "fingerprint"),
        (edit_result(_no_inputs), FormatError, "is not valid"),
        (edit_result(_frame), FrameError, "got 'Allen CCFv2"),
        (set_manifest(fingerprint="0" * 64), FormatError, "fingerprint"),
        (set_manifest(content_sha256="0" * 64), FormatError, "arrays"),
        (set_manifest(file_sha256="0" * 64), FormatError, "differs from what was exported"),
        (set_manifest(size_bytes=10), FormatError, "differs from what was exported"),
        (set_manifest(size_bytes="many"), FormatError, "size_bytes"),
        (set_manifest(algorithm_version=7), FormatError, "algorithm"),
        (set_manifest(bundle_version=2), FormatError, "version 2"),
        (set_manifest(name="../../etc"), InputError, "not a valid dataset name"),
        (set_manifest(created_at="yesterday"), FormatError, "yesterday"),
        (set_manifest(created_by=None), FormatError, "created_by"),
        (_drop("result.nc"), FormatError, "not a readable bundle"),
        (_drop("bundle.json"), FormatError, "not a readable bundle"),
        (lambda parts: parts.update({"bundle.json": b"[]"}), FormatError, "not a JSON object"),
        (lambda parts: parts.update({"bundle.json": b"{"}), FormatError, "not a readable bundle"),
        (lambda parts: parts.update({"bundle.json": b" " * 200_000}), FormatError, "too large"),
    ],
)
def test_a_changed_bundle_is_refused_and_nothing_is_stored(
    bundle: bytes,
    other: Store,
    tmp_path: Path,
    change: Callable[[dict[str, bytes]], None],
    error: type[Exception],
    message: str,
) -> None:
    (tmp_path / "a.bsv.zip").write_bytes(bundle)
    path = changed(tmp_path / "a.bsv.zip", change)
    with pytest.raises(error, match=message):
        take(other, path)
    assert other.datasets.list() == ()
    assert list((other.path / "datasets").iterdir()) == []
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.bsv.zip", "changed.bsv.zip", "other"]


@pytest.mark.parametrize("cut", ["cut", "empty", "text", "missing"])
def test_files_that_are_not_bundles_are_refused(bundle: bytes, other: Store, tmp_path: Path, cut: str) -> None:
    path = tmp_path / "a.bsv.zip"
    if cut != "missing":
        path.write_bytes({"cut": bundle[: len(bundle) // 2], "empty": b"", "text": b"hello"}[cut])
    reason = "cannot be read: No such file" if cut == "missing" else "not a readable bundle"
    with pytest.raises(InputError, match=reason):
        take(other, path)

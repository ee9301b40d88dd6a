from __future__ import annotations

import hashlib
import json
import pickle
import shutil
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest
from pandas.testing import assert_frame_equal

from bsv_store import Selection, by_coordinate, create_store, crossed, open_store, reports
from bsv_store.datasets.result.contents import read_inputs
from bsv_store.errors import (
    BsvStoreWarning,
    FormatError,
    FrameError,
    InputError,
    ReadOnlyStoreError,
)
from tests.datasets.bundles import changed, edit_result, set_manifest
from tests.datasets.world import FACTS, IDS, add_volume, ask, change_experiments, fill, remove_volume
from tests.stores import store_with

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


def _fill(store: Store) -> None:
    fill(store)
    answer(store)


answered = store_with(_fill)


@pytest.fixture
def version(answered: Store) -> DatasetVersion:
    return answered.dataset("test@1")


@pytest.fixture(scope="session")
def bundle(_filled_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bundle of that version, as bytes."""
    folder = tmp_path_factory.mktemp("bundle")
    shutil.copytree(_filled_sqlite, folder / "store")
    with open_store(folder / "store") as store:
        answer(store)
        store.datasets.tag("test@1", "figure-2")
        return store.dataset("test@1").export(folder / "a.bsv.zip").read_bytes()


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


def test_an_imported_version_takes_the_next_number(version: DatasetVersion, answered: Store, tmp_path: Path) -> None:
    path = version.export(tmp_path / "a.bsv.zip")
    ask(answered, name="mine")
    with pytest.warns(BsvStoreWarning, match="version 1 of the bundle is mine@2"):
        assert take(answered, path, name="mine").number == 2
    assert not take(answered, path).was_computed


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
            "catalog.json",
            "members.csv",
            "citation.txt",
            "references.bib",
            "result.nc",
        ]
        assert archive.testzip() is None
        assert archive.read("result.nc") == version.path.read_bytes()
        assert "experiment_id" in archive.read("members.csv").decode()


@pytest.fixture
def empty(store: Store) -> Store:
    """A store without a catalog, on both databases."""
    return store


def source_kinds(store: Store) -> dict[int, str]:
    """The kind of list that each experiment is from."""
    frame = store.sql("SELECT id, source_kind FROM experiment")
    return dict(zip(frame["id"].tolist(), frame["source_kind"], strict=True))


def test_an_empty_store_shows_plots_and_cites_the_version(bundle: bytes, empty: Store, tmp_path: Path) -> None:
    (tmp_path / "a.bsv.zip").write_bytes(bundle)
    version = take(empty, tmp_path / "a.bsv.zip")
    assert version.ref == "test@1"
    assert version.tags == ("figure-2",)
    assert [summary.name for summary in empty.datasets.list()] == ["test"]
    assert reports.slices(empty, version).axes
    methods = empty.dataset("test@figure-2").cite().methods
    # The list of the store that exported it, not of this one.
    assert "from the experiment list (Allen API, stored on" in methods
    # The volumes have never been in this store, which is no finding.
    assert empty.admin.verify(deep=True).findings == ()


def test_an_empty_store_takes_a_version_whose_ontology_is_a_part_of_allens(
    bundle: bytes, empty: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bsv_store.catalog.ingest.structures._ALLEN_TOP", {(8, "grey")})
    (tmp_path / "a.bsv.zip").write_bytes(bundle)
    assert take(empty, tmp_path / "a.bsv.zip").ref == "test@1"


def test_experiments_of_a_bundle_are_selectable_and_marked(bundle: bytes, empty: Store, tmp_path: Path) -> None:
    (tmp_path / "a.bsv.zip").write_bytes(bundle)
    take(empty, tmp_path / "a.bsv.zip")
    assert empty.select(Selection(injected_in="VIS", line="wild-type")) == (1, 2, 4)
    assert empty.experiments().set_index("experiment_id").loc[3, "transgenic_line"] == "Rbp4-Cre_KL100"
    assert source_kinds(empty) == dict.fromkeys(IDS, "bundle")


def test_a_later_list_replaces_the_experiments_of_a_bundle(bundle: bytes, empty: Store, tmp_path: Path) -> None:
    (tmp_path / "a.bsv.zip").write_bytes(bundle)
    take(empty, tmp_path / "a.bsv.zip")
    listed = [replace(fact, ap=7000) for fact in FACTS[:5]]
    change_experiments(empty, listed)
    found = empty.experiments(Selection(include_withdrawn=True)).set_index("experiment_id")
    assert empty.select() == (1, 2, 3, 4, 5)
    assert source_kinds(empty) == {**dict.fromkeys(IDS[:5], "api"), **dict.fromkeys(IDS[5:], "bundle")}
    assert list(found["injection_ap"][:5]) == [7000] * 5
    assert empty.dataset("test").groups[0].n > 0
    assert empty.admin.verify().is_intact


def test_a_bundle_changes_nothing_that_a_real_list_has(bundle: bytes, other: Store, tmp_path: Path) -> None:
    (tmp_path / "a.bsv.zip").write_bytes(bundle)
    with open_store(other.path) as store:
        change_experiments(store, [replace(fact, ap=7000) for fact in FACTS[:6]])
        before = store.experiments()
        remove_volume(store, 1)
        take(store, tmp_path / "a.bsv.zip")
        assert_frame_equal(store.experiments(), before)
        # The list does not have the last one, which is therefore not current.
        assert store.select() == (1, 2, 3, 4, 5, 6)


def test_an_import_states_the_original_name_and_passes_it_on(bundle: bytes, empty: Store, tmp_path: Path) -> None:
    (tmp_path / "a.bsv.zip").write_bytes(bundle)
    renamed = take(empty, tmp_path / "a.bsv.zip", name="mine")
    assert renamed.provenance().exported_as == "test@1"
    assert f"(dataset mine@1, exported as test@1, fingerprint {renamed.fingerprint})" in renamed.cite().methods
    third = create_store(tmp_path / "third")
    again = take(third, renamed.export(tmp_path / "b.bsv.zip"))
    assert again.ref == "mine@1"
    assert again.provenance() == renamed.provenance()
    third.close()


def test_a_tag_that_another_version_has_stays_there(bundle: bytes, other: Store, tmp_path: Path) -> None:
    (tmp_path / "a.bsv.zip").write_bytes(bundle)
    remove_volume(other, 1)
    ask(other, Selection(ids=[2]), name="mine")
    other.datasets.tag("mine@1", "figure-2")
    with pytest.warns(BsvStoreWarning) as caught:
        version = take(other, tmp_path / "a.bsv.zip", name="mine")
    assert any("did not get 1 tag of the bundle" in str(each.message) for each in caught)
    assert version.tags == ()
    assert other.dataset("mine@figure-2").number == 1


def test_a_pickled_version_is_not_bundled_without_its_catalog(version: DatasetVersion, tmp_path: Path) -> None:
    copied = pickle.loads(pickle.dumps(version))
    with pytest.raises(InputError, match="not connected to its store"):
        copied.export(tmp_path / "a.bsv.zip")


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
    take(other, path)
    other.datasets.delete("test@1", force=True)
    # Computing it again takes more memory than reading it.
    remove_volume(other, 1)
    # The arrays are hashed in chunks of 1.2 MB, which is nearly as much as this whole file.
    monkeypatch.setattr("bsv_store.datasets.share.bundle.has_content", lambda *_: True)
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


def _catalog(**values: Any) -> Callable[[dict[str, bytes]], None]:
    """Change values of the first experiment, and give the manifest the right hash."""

    def change(parts: dict[str, bytes]) -> None:
        value = json.loads(parts["catalog.json"])
        value["experiments"][0].update(values)
        parts["catalog.json"] = json.dumps(value).encode()
        set_manifest(catalog_sha256=hashlib.sha256(parts["catalog.json"]).hexdigest())(parts)

    return change


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
        (set_manifest(tags=["a b"]), InputError, "tag"),
        (set_manifest(tags=[1]), FormatError, "tags"),
        (set_manifest(provenance={"ontology": "x"}), FormatError, "provenance"),
        (set_manifest(catalog_sha256="0" * 64), FormatError, "catalog.json in .* differs"),
        (_catalog(id=99), FormatError, "does not have the experiments"),
        (_catalog(injection_ap="far"), FormatError, "not an integer"),
        (_catalog(injection_ap=True), FormatError, "injection_ap is True"),
        (_catalog(primary_structure_id=12), FormatError, "structure that is not in its ontology"),
        (_catalog(strain=5), FormatError, "not text"),
        (_catalog(lines="x"), FormatError, "must be a list"),
        (_catalog(evil=1), FormatError, "must have exactly"),
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

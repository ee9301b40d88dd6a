"""Bundles with consistent hashes whose content no average has: a named error, and nothing is stored."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest

from bsv_store import Selection, by_coordinate, open_store
from bsv_store.errors import FormatError, InputError
from bsv_store.volumes import hdf5_probe
from tests.datasets.bundles import (
    Change,
    at_one_voxel,
    changed,
    edit_inputs,
    edit_result,
    forged,
    replace_array,
    set_manifest,
)
from tests.datasets.world import IDS, SHAPE, ask, remove_volume

if TYPE_CHECKING:
    from bsv_store import Store

Edit = Callable[[dict[str, Any]], None]


@pytest.fixture(scope="module")
def bundle(_filled_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    shutil.copytree(_filled_sqlite, folder / "store")
    with open_store(folder / "store") as store:
        grouping = by_coordinate("AP", edges=[3000, 8200, 9400])
        version = ask(store, Selection(ids=IDS), grouping, normalize="injection_volume", statistics=("mean", "sd", "n"))
        return version.export(folder / "a.bsv.zip")


@pytest.fixture(scope="module")
def other(_filled_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store that cannot compute the bundle again: only the schema can refuse it."""
    folder = tmp_path_factory.mktemp("other")
    shutil.copytree(_filled_sqlite, folder / "store")
    with open_store(folder / "store") as store:
        remove_volume(store, 1)
        yield store


def refused(store: Store, path: Path, match: str) -> None:
    with pytest.raises(FormatError, match=match):
        store.datasets.import_bundle(path)
    assert store.datasets.list() == ()
    assert [path.name for path in (store.path / "datasets").iterdir() if path.name != ".numbers"] == []
    assert list((store.path / "tmp").iterdir()) == []
    assert not (store.path.parent / "evil").exists()


def take(bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(bundle, tmp_path / "a.bsv.zip"))


def test_the_bundle_itself_and_a_repacked_one_are_accepted(other: Store, bundle: Path, tmp_path: Path) -> None:
    path = take(bundle, tmp_path)
    assert other.datasets.import_bundle(changed(path, forged(lambda _file: None))).ref == "test@1"
    assert other.datasets.import_bundle(path).ref == "test@1"
    other.datasets.delete("test@1")
    other.files.path("datasets/test").rmdir()


MEAN: dict[str, Any] = {"chunks": (1, 33, 80, 114), "compression": "gzip", "fletcher32": True}
FULL = (2, *SHAPE)


def _zeros(shape: tuple[int, ...], dtype: Any) -> Any:
    return np.zeros(shape, dtype)


def _huge(name: str, shape: tuple[int, ...]) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[name]
        file.create_dataset(name, shape=shape, dtype="<f4", chunks=(1, 1, 1, 100)[: len(shape)], compression="gzip")

    return change


def _group_instead(file: h5py.File) -> None:
    del file["mean"]
    file.create_group("mean")


def _external_link(file: h5py.File) -> None:
    del file["mean"]
    file["mean"] = h5py.ExternalLink("/etc/passwd", "/mean")


def _external_data(file: h5py.File) -> None:
    del file["mean"]
    file.create_dataset("mean", shape=FULL, dtype="<f4", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)])


def _soft_link(file: h5py.File) -> None:
    file["sd2"] = file["sd"]
    del file["sd"]
    file["sd"] = h5py.SoftLink("/sd2")


def _set_attribute(name: str, value: Any, where: str = "/") -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        file[where].attrs[name] = value

    return change


def _delete(name: str) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[name]

    return change


def _extra(file: h5py.File) -> None:
    file.create_dataset("extra", data=1)


def _label(file: h5py.File) -> None:
    file["group"][0] = "another"


def _axis(file: h5py.File) -> None:
    file["ap"][...] = file["ap"][...][::-1]


def _divisor(file: h5py.File) -> None:
    file["member_divisor"][0] = 7.0


@pytest.mark.parametrize(
    ("edit", "match"),
    [
        (replace_array("mean", _zeros((2, 10, 10, 10), "<f4"), chunks=(1, 10, 10, 10)), "shape"),
        (replace_array("mean", _zeros((1, *SHAPE), "<f4"), **MEAN), "shape"),
        (replace_array("mean", _zeros(FULL, "i1"), **MEAN), "type"),
        (replace_array("mean", _zeros(FULL, "<c8"), **MEAN), "neither numbers nor text"),
        (replace_array("mean", _zeros(FULL, ">f4"), **MEAN), "type"),
        (replace_array("mean", _zeros(FULL, "<f8"), **MEAN), "type"),
        (replace_array("mean", _zeros(FULL, "<f4"), chunks=FULL), "chunks"),
        (
            replace_array("mean", _zeros(FULL, "<f4"), compression="lzf", chunks=MEAN["chunks"]),
            "a filter that bsv-store does not use",
        ),
        (_huge("mean", (1, 1, 100_000, 100_000)), "shape"),
        (_huge("mean", (10**9, 1, 1, 1000)), "shape"),
        (_huge("group_n", (10**9,)), "shape|type"),
        (_group_instead, "'mean' is not an array"),
        (_external_link, "is a link to another place"),
        (_external_data, "are in other places"),
        (_soft_link, "'sd' is a link to another place"),
        (_delete("sd"), "missing: sd"),
        (_delete("member"), "missing: member"),
        (_extra, "unexpected: extra"),
        (at_one_voxel("mean", -np.inf), "infinite"),
        (at_one_voxel("mean", np.inf), "infinite"),
        (at_one_voxel("mean", -0.5), "negative"),
        (at_one_voxel("sd", -0.5), "negative"),
        (at_one_voxel("n", 99), "larger than its number of experiments"),
        (_label, "group does not match"),
        (_axis, "ap does not match"),
        (_divisor, "member_divisor does not match"),
        (_set_attribute("units", "kg", "mean"), "units of mean"),
        (_set_attribute("spacing_um", 25), "spacing_um"),
        (_set_attribute("axis_order", "ml dv ap"), "axis_order"),
        (_set_attribute("orientation", "asr"), "orientation"),
    ],
)
def test_a_result_file_of_another_structure_is_refused(
    other: Store, bundle: Path, tmp_path: Path, edit: Callable[[h5py.File], None], match: str
) -> None:
    refused(other, changed(take(bundle, tmp_path), forged(edit)), match)


@pytest.mark.usefixtures("new_process_for_hdf5")
def test_a_result_file_that_crashes_hdf5_is_refused(
    other: Store, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nkill -SEGV $$\n")
    program.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(program))
    refused(other, take(bundle, tmp_path), "it crashes the HDF5 library")


@pytest.mark.parametrize("process", ["forked", "new"])
def test_the_process_that_reads_a_result_first_says_whether_it_could(
    bundle: Path, tmp_path: Path, process: str, request: pytest.FixtureRequest
) -> None:
    if process == "new":
        request.getfixturevalue("new_process_for_hdf5")
    with zipfile.ZipFile(bundle) as archive:
        whole = Path(archive.extract("result.nc", tmp_path))
    assert hdf5_probe.read_in_process(whole) == 0
    whole.write_bytes(whole.read_bytes()[:-100])
    assert hdf5_probe.read_in_process(whole) == 1


def _member(**values: Any) -> Edit:
    def change(value: dict[str, Any]) -> None:
        value["members"][0].update(values)

    return change


def _recipe(**values: Any) -> Edit:
    def change(value: dict[str, Any]) -> None:
        value["recipe"].update(values)

    return change


def _part(name: str, part: Any) -> Edit:
    def change(value: dict[str, Any]) -> None:
        value[name] = part

    return change


def _twice(value: dict[str, Any]) -> None:
    value["members"].append(value["members"][0])


def _swapped(value: dict[str, Any]) -> None:
    value["members"].reverse()


def _nowhere(value: dict[str, Any]) -> None:
    value["left_out"] += [{"experiment_id": each["experiment_id"], "reason": "x"} for each in value["members"]]
    value["members"] = []


def _same_label(value: dict[str, Any]) -> None:
    value["groups"][1]["label"] = value["groups"][0]["label"]


def _ranges(ranges: Any) -> Edit:
    def change(value: dict[str, Any]) -> None:
        value["groups"][0]["ranges"] = ranges

    return change


@pytest.mark.parametrize(
    ("edit", "match"),
    [
        (_member(divisor="abc"), "divisor is not valid, got 'abc'"),
        (_member(divisor=0), "divisor is not valid, got 0"),
        (_member(divisor=True), "divisor"),
        (_member(divisor=None), "divisor"),
        (_member(group=-1), "group is not valid, got -1"),
        (_member(group=7), "contains the group of each member"),
        (_member(group=None), "group"),
        (_member(injected="up"), "injected"),
        (_member(injected="left"), "does not match the recipe"),
        (_member(volume="x" * 64), "volume"),
        (_member(volume=None), "volume"),
        (_member(weights="0" * 64), "masks"),
        (_member(experiment_id="1"), "experiment_id must be a positive integer"),
        (_member(experiment_id=2**70), "more than 64 bits"),
        (_member(more=1), "must have exactly"),
        (_part("members", []), "no members"),
        (_part("members", {}), "must be lists"),
        (_part("left_out", [{"experiment_id": 99, "reason": ""}]), "reason"),
        (_part("groups", []), "contains the group of each member"),
        (_part("groups", "all"), "must be a list"),
        (_part("algorithm_version", "1"), "algorithm version"),
        (_part("algorithm_version", -1), "algorithm version"),
        (_part("more", 1), "exactly the keys"),
        (_twice, "more than once"),
        (_swapped, "must be canonical JSON"),
        (_nowhere, "more than once|no members"),
        (_same_label, "same label"),
        (_ranges([]), "do not match the grouping"),
        (_ranges([{"axis": "AP", "lower_um": "low", "upper_um": 1, "center_um": 1}]), "lower_um"),
        (_ranges([{"axis": "XY", "lower_um": 1, "upper_um": 1, "center_um": 1}]), "range of group 0"),
        (_recipe(spacing_um=25), "spacing_um"),
        (_recipe(spacing_um=30), "spacing"),
        (_recipe(statistics=["mean", "max", "n"]), "unexpected: sd; missing: max"),
        (_recipe(statistics=["n"]), "must be canonical JSON|arrays of its recipe"),
        (_recipe(dtype="float64"), "type"),
        (_recipe(dtype="float16"), "dtype"),
        (_recipe(kind="Projection density"), "must be canonical JSON"),
        (_recipe(old_key=1), "no part 'old_key'"),
    ],
)
def test_inputs_that_no_average_has_are_refused(
    other: Store, bundle: Path, tmp_path: Path, edit: Edit, match: str
) -> None:
    refused(other, changed(take(bundle, tmp_path), forged(edit_inputs(edit))), match)


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"created_at": "2099-01-01T00:00:00+00:00"}, "created_at must be between 2020 and now"),
        ({"created_at": "1999-01-01T00:00:00+00:00"}, "created_at must be between 2020 and now"),
        ({"created_at": "2025-01-01T00:00:00"}, "no time zone"),
        ({"created_by": "a\x1b[31m"}, "created_by"),
        ({"created_by": "x" * 5_000}, "created_by"),
        ({"software": ""}, "software"),
        ({"fingerprint": "A" * 64}, "fingerprint"),
        ({"number": True}, "number"),
        ({"number": -1}, "number"),
        ({"size_bytes": -1}, "size_bytes"),
        ({"bundle_version": True}, "version True"),
        ({"more": 1}, "unknown part 'more'"),
    ],
)
def test_a_manifest_that_cannot_be_true_is_refused(
    other: Store, bundle: Path, tmp_path: Path, values: dict[str, Any], match: str
) -> None:
    refused(other, changed(take(bundle, tmp_path), set_manifest(**values)), match)


def _add(name: str) -> Change:
    def change(parts: dict[str, bytes]) -> None:
        parts[name] = b"x"

    return change


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "..\\evil", "C:\\evil", "sub/evil", "evil", "result.nc/"])
def test_an_archive_with_other_files_is_refused(other: Store, bundle: Path, tmp_path: Path, name: str) -> None:
    refused(other, changed(take(bundle, tmp_path), _add(name)), "not a readable bundle: it contains|not an ordinary")


def _rewritten(bundle: Path, target: Path, write: Callable[[zipfile.ZipFile, str, bytes], None]) -> Path:
    with zipfile.ZipFile(bundle) as source, zipfile.ZipFile(target, "w") as archive:
        for name in source.namelist():
            write(archive, name, source.read(name))
    return target


def test_links_doubles_and_compressed_results_in_an_archive_are_refused(
    other: Store, bundle: Path, tmp_path: Path
) -> None:
    def link(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
        info = zipfile.ZipInfo(name)
        if name == "result.nc":
            info.external_attr = 0o120777 << 16
            content = b"/etc/passwd"
        archive.writestr(info, content)

    def compressed(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
        archive.writestr(name, bytes(10**8) if name == "result.nc" else content, zipfile.ZIP_DEFLATED)

    refused(other, _rewritten(bundle, tmp_path / "link.zip", link), "not an ordinary file")
    refused(other, _rewritten(bundle, tmp_path / "bomb.zip", compressed), "is compressed")

    def twice(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
        archive.writestr(name, content)
        if name == "result.nc":
            archive.writestr(name, content)

    with pytest.warns(UserWarning, match="Duplicate name"):
        path = _rewritten(bundle, tmp_path / "twice.zip", twice)
    refused(other, path, "contains a file twice")


def test_paths_that_are_not_files_are_refused(other: Store, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        with pytest.raises(InputError, match="not a regular file"):
            other.datasets.import_bundle(path)


def test_deeply_nested_json_is_refused(other: Store, bundle: Path, tmp_path: Path) -> None:
    def nested(parts: dict[str, bytes]) -> None:
        parts["bundle.json"] = b"[" * 50_000

    def nested_inputs(file: h5py.File) -> None:
        del file["inputs"]
        file.create_dataset("inputs", data="[" * 1_000_000, dtype=h5py.string_dtype())

    path = take(bundle, tmp_path)
    refused(other, changed(path, nested), "not a readable bundle")

    def change(parts: dict[str, bytes]) -> None:
        from bsv_store.averaging.recorded import fingerprint_of

        edit_result(nested_inputs)(parts)
        set_manifest(fingerprint=fingerprint_of("[" * 1_000_000))(parts)

    refused(other, changed(path, change), "not valid JSON")


def test_a_bundle_of_another_release_comes_with_advice(other: Store, bundle: Path, tmp_path: Path) -> None:
    def old(parts: dict[str, bytes]) -> None:
        def rename(value: dict[str, Any]) -> None:
            value["recipe"]["space"] = value["recipe"].pop("spacing_um")

        forged(edit_inputs(rename))(parts)
        software = json.loads(parts["bundle.json"])["software"].split(",", 1)[1]
        set_manifest(software=f"bsv-store 0.0.1,{software}")(parts)

    with pytest.raises(FormatError, match="no part 'space'") as caught:
        other.datasets.import_bundle(changed(take(bundle, tmp_path), old))
    assert "It was computed with bsv-store 0.0.1" in str(caught.value.hint)
    assert "result.nc" in str(caught.value.hint)

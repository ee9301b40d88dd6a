"""Targets: files in the folder of a store, in backups, and bundles."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import random
import shutil
import zipfile
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from bsv_store import Selection, by_coordinate, create_store
from bsv_store.acquisition.tasks.orphans import _source
from bsv_store.datasets.numbers import GivenNumber, given_number
from bsv_store.datasets.numbers import _path as number_path
from bsv_store.datasets.result import slabs
from bsv_store.datasets.result.content_hash import planes_per_chunk
from bsv_store.datasets.result.contents import read_inputs
from bsv_store.datasets.share.bundle import read_bundle
from bsv_store.documents import seal_of
from bsv_store.errors import BackupError, DamagedFileError
from bsv_store.maintenance.backup.lock import _facts
from bsv_store.maintenance.backup.manifest import decoded
from bsv_store.maintenance.backup.repository import MARKER, open_repository
from bsv_store.vocabulary import TRASH_REASONS
from bsv_store.volumes.annotation import annotation_from_image, annotation_image
from bsv_store.volumes.encoding import decode_with_hdf5, encode
from bsv_store.volumes.files import StoreFiles
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.hdf5_limits import HDF5_ERRORS
from bsv_store.volumes.template import Template, template_from_image, template_image
from bsv_store.volumes.trash import new_record, read_record
from bsv_store.volumes.volume import Volume
from tests.datasets.bundles import edit_result, set_manifest
from tests.datasets.world import IDS, fill
from tests.reliability.fuzzing.mutate import any_of, in_hdf5, in_zip, mutate_bytes, mutate_json, mutate_tree, sealed
from tests.reliability.fuzzing.target import Mutator, Prepared, Target

_GRID = Grid(100)


# -- HDF5 -------------------------------------------------------------------------------------------------------------


def _arrays() -> list[np.ndarray[Any, Any]]:
    sparse = np.zeros(_GRID.shape, np.float32)
    sparse[60:63, 40, 50] = 0.5, 0.25, np.nan
    return [sparse, np.full(_GRID.shape, 0.5, np.float32)]


def _volume(_scratch: Path) -> Prepared:
    seeds = [encode(Volume("projection_density", array), experiment_id=7, source="fuzzed").image for array in _arrays()]

    def run(data: bytes) -> None:
        try:
            source = _source(io.BytesIO(data))
        except HDF5_ERRORS as error:
            raise DamagedFileError(str(error)) from error
        found = decode_with_hdf5(data, _GRID, what="fuzzed")
        assert isinstance(source, str)
        assert found.shape == _GRID.shape
        with h5py.File(io.BytesIO(data), "r") as file:
            if "volume" in file:
                expected = file["volume"][()]
            else:
                expected = np.zeros(_GRID.size, "f4")
                expected[file["indices_0"][()]] = file["values"][()]
        assert np.array_equal(found, expected.reshape(_GRID.shape), equal_nan=True), "h5py reads other voxels"

    return Prepared(seeds, run)


def _annotation(_scratch: Path) -> Prepared:
    from bsv_store.volumes.annotation import Annotation

    ids = np.zeros(_GRID.shape, "u4")
    ids[40:80, 20:60, 30:90] = 997
    ids[50:60, 30:40, 40:50] = 385
    seed = annotation_image(Annotation.from_planes(_GRID, lambda first, last: ids[first:last]), source="fuzzed")

    def run(data: bytes) -> None:
        found, _ = annotation_from_image(data, what="fuzzed")
        with h5py.File(io.BytesIO(data), "r") as file:
            expected = file["volume"][()]
        read = np.concatenate([planes for _, planes in found.slabs()])
        assert np.array_equal(read, expected), "h5py reads other ids"

    return Prepared([seed], run)


def _template(_scratch: Path) -> Prepared:
    values = np.zeros(_GRID.shape, "u2")
    values[40:80, 20:60, 30:90] = 300
    values[50:60, 30:40, 40:50] = 120
    template = Template.from_planes(_GRID, "uint16", lambda first, last: values[first:last])

    def run(data: bytes) -> None:
        found, _ = template_from_image(data, what="fuzzed")
        with h5py.File(io.BytesIO(data), "r") as file:
            expected = file["volume"][()]
        read = np.concatenate([planes for _, planes in found.slabs()])
        assert np.array_equal(read, expected), "h5py reads other values"

    return Prepared([template_image(template, source="fuzzed")], run)


def _large_result(scratch: Path) -> Prepared:
    """A result at 100 um that is hashed by slabs, as those at 25 um are."""
    with pytest.MonkeyPatch.context() as patch, create_store(scratch / "store") as store:
        patch.setattr(slabs, "_LARGEST_SPACING_UM", 100)
        fill(store)
        version = store.aggregate(Selection(ids=IDS), name="test")
        seed, expected = version.path.read_bytes(), version.mean
    shutil.rmtree(scratch / "store")
    large = slabs.LargeResult(
        StoreFiles(scratch),
        "result.nc",
        len(seed),
        version.content_sha256,
        (("mean", 0),),
        _GRID,
        planes_per_chunk(_GRID, 4),
        "fuzzed",
    )
    where = (slice(45, 75), slice(0, 80), slice(20, 60))

    def run(data: bytes) -> None:
        (scratch / "result.nc").write_bytes(data)
        slabs._tables.clear()
        found = np.empty((30, 80, 40), "<f4")
        if not replace(large, size_bytes=len(data)).read_into(found, "mean", 0, where):
            raise DamagedFileError("the file must be verified as a whole")
        assert np.array_equal(found, expected[(0, *where)], equal_nan=True), "other values than were written"

    return Prepared([seed], run)


# -- bundles ----------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _bundle_bytes(folder: str) -> bytes:
    place = Path(folder) / "made"
    place.mkdir()
    with create_store(place / "store") as store:
        fill(store)
        version = store.aggregate(
            Selection(ids=IDS),
            group_by=by_coordinate("AP", edges=[3000, 8200, 9400]),
            name="test",
            statistics=("mean", "n"),
        )
        data = version.export(place / "a.bsv.zip").read_bytes()
    shutil.rmtree(place)
    return data


def _bundle(scratch: Path) -> Prepared:
    seed = _bundle_bytes(str(scratch))
    path, extracted = scratch / "a.bsv.zip", scratch / "result.nc"

    def run(data: bytes) -> None:
        path.write_bytes(data)
        extracted.unlink(missing_ok=True)
        found = read_bundle(path, extracted)
        with zipfile.ZipFile(path) as archive, h5py.File(io.BytesIO(archive.read("result.nc")), "r") as file:
            manifest = json.loads(archive.read("bundle.json"))
            assert found.version.fingerprint == hashlib.sha256(read_inputs(file).encode()).hexdigest()
            assert found.name == manifest["name"]

    return Prepared([seed], run)


def _changed_inputs(file: Any, chance: random.Random) -> None:
    value = mutate_tree(json.loads(read_inputs(file)), chance)
    with contextlib.suppress(RecursionError):
        file["inputs"][0] = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _refitted(parts: dict[str, bytes]) -> None:
    """Make the hashes of the manifest fit the other parts, as an attacker would."""
    from bsv_store.averaging.recorded import fingerprint_of
    from bsv_store.datasets.result.content_hash import content_hash

    values: dict[str, Any] = {
        "size_bytes": len(parts["result.nc"]),
        "file_sha256": hashlib.sha256(parts["result.nc"]).hexdigest(),
        "catalog_sha256": hashlib.sha256(parts["catalog.json"]).hexdigest(),
    }
    with contextlib.suppress(Exception), h5py.File(io.BytesIO(parts["result.nc"]), "r") as file:
        values["fingerprint"] = fingerprint_of(read_inputs(file))
        if file["mean"].size * 4 < 1 << 25:
            values["content_sha256"] = content_hash(file, ["mean", "n"], [])
    with contextlib.suppress(ValueError, TypeError):
        set_manifest(**values)(parts)


_RESULT = in_hdf5(_changed_inputs, bytes_too=True)


def _mutated_bundle(data: bytes, chance: random.Random) -> bytes:
    """Change a part of a bundle, and mostly make the hashes fit."""
    kind = chance.random()
    if kind < 0.25:
        return in_zip({"bundle.json": mutate_json, "catalog.json": mutate_json, "result.nc": _RESULT})(data, chance)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        if kind < 0.75:
            parts["result.nc"] = _RESULT(parts["result.nc"], chance)
            if chance.random() < 0.3:
                edit_result(lambda file: file.attrs.__setitem__("recipe", "x"))(parts)
        elif kind < 0.9:
            parts["catalog.json"] = mutate_json(parts["catalog.json"], chance)
        else:
            parts["bundle.json"] = mutate_json(parts["bundle.json"], chance)
        if kind < 0.9:
            _refitted(parts)
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, content in parts.items():
                archive.writestr(name, content)
        return buffer.getvalue()
    # Whatever the libraries say of an input that was mutated before.
    except Exception:  # noqa: BLE001
        return mutate_bytes(data, chance)


# -- records ----------------------------------------------------------------------------------------------------------


def _trash(scratch: Path) -> Prepared:
    from datetime import UTC, datetime

    reason = next(iter(TRASH_REASONS.values())).name
    at = datetime(2025, 1, 1, tzinfo=UTC)
    record = new_record("volumes/projection_density/100um/1.abc.h5", reason, size_bytes=5, at=at)
    row = new_record("datasets/a/b.nc", reason, size_bytes=5, at=at, rows={"key": "version/a@1", "x": [1, None]})

    def run(data: bytes) -> None:
        found = read_record(data, what="fuzzed")
        assert found.trashed_at.tzinfo is not None
        assert (scratch / found.file_path).resolve().is_relative_to(scratch.resolve())

    return Prepared([record.to_json().encode(), row.to_json().encode()], run)


def _number(scratch: Path) -> Prepared:
    import warnings
    from dataclasses import asdict

    files = StoreFiles(scratch)
    path = files.path(number_path("test"))
    path.parent.mkdir(parents=True, exist_ok=True)
    value = asdict(GivenNumber("test", 3, "a" * 64, None))
    seed = json.dumps({"given": value, "sha256": seal_of(value)}).encode()

    def run(data: bytes) -> None:
        path.write_bytes(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = given_number(files, "test")
        assert found is None or type(found.number) is int

    return Prepared([seed], run)


def _manifest(scratch: Path) -> Prepared:
    with create_store(scratch / "store") as store:
        store.admin.backup(scratch / "target")
    (seed,) = [file.read_bytes() for file in (scratch / "target").glob("snapshots/*.json")]
    shutil.rmtree(scratch / "store")

    def run(data: bytes) -> None:
        found = decoded(hashlib.sha256(data).hexdigest(), data, "fuzzed")
        assert found.created_at.tzinfo is not None
        assert found.size_bytes >= 0
        for each in (*found.files, *found.beside):
            assert (scratch / each.path).resolve().is_relative_to(scratch.resolve())

    return Prepared([seed], run)


def _backup_facts(scratch: Path) -> Prepared:
    folder = scratch / "repository"
    folder.mkdir()
    names = ("purpose", "user", "host", "owner")
    lock = {
        **dict.fromkeys(names, "x"),
        "started_at": "2025-01-01T00:00:00+00:00",
        "refreshed_at": "2025-01-01T00:00:00+00:00",
    }

    def run(data: bytes) -> None:
        (folder / MARKER).write_bytes(data)
        try:
            _facts(data)
        except ValueError as error:
            open_repository(folder)
            raise BackupError(str(error)) from error

    return Prepared([json.dumps(lock).encode(), b'{"format": 1, "id": "x"}'], run)


_HDF5: Mutator = in_hdf5()

STORED: dict[str, Target] = {
    "volume-hdf5": Target("volumes, HDF5", _volume, _HDF5, weight=1, memory_bytes=128 << 20, has_hash=True),
    "annotation-hdf5": Target(
        "annotation files", _annotation, _HDF5, weight=0.7, memory_bytes=128 << 20, has_hash=True
    ),
    "template-hdf5": Target("template files", _template, _HDF5, weight=0.7, memory_bytes=128 << 20, has_hash=True),
    "large-result": Target(
        "parts of results that are hashed by slabs",
        _large_result,
        any_of(_HDF5, mutate_bytes),
        weight=1,
        memory_bytes=128 << 20,
    ),
    "bundle": Target(
        "bundles and the netCDF results in them",
        _bundle,
        _mutated_bundle,
        weight=0.3,
        seconds=20,
        memory_bytes=192 << 20,
    ),
    "trash-record": Target("records of trashed files", _trash, sealed("record"), weight=15),
    "version-number": Target("records of version numbers", _number, sealed("given"), weight=10),
    "backup-manifest": Target("manifests of backups", _manifest, mutate_json, weight=10),
    "backup-marker": Target("locks and markers of backups", _backup_facts, mutate_json, weight=10),
}

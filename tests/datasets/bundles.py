"""Bundles that were changed, with hashes that fit the change."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from bsv_store.averaging.recipe import canonical_json
from bsv_store.averaging.recorded import fingerprint_of
from bsv_store.datasets.result.content_hash import content_hash
from bsv_store.datasets.result.contents import read_inputs
from bsv_store.vocabulary import COMPARISON_MAPS

Parts = dict[str, bytes]
Change = Callable[[Parts], None]


def changed(path: Path, change: Change) -> Path:
    """The bundle with other content."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    change(parts)
    target = path.with_name("changed.bsv.zip")
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return target


def set_manifest(**values: Any) -> Change:
    def change(parts: Parts) -> None:
        parts["bundle.json"] = json.dumps({**json.loads(parts["bundle.json"]), **values}).encode()

    return change


def edit_result(edit: Callable[[h5py.File], None]) -> Change:
    """Change the HDF5 file, and give the manifest the hash of the changed one."""

    def change(parts: Parts) -> None:
        buffer = io.BytesIO(parts["result.nc"])
        with h5py.File(buffer, "r+") as file:
            edit(file)
        image = parts["result.nc"] = buffer.getvalue()
        set_manifest(size_bytes=len(image), file_sha256=hashlib.sha256(image).hexdigest())(parts)

    return change


def forged(edit: Callable[[h5py.File], None]) -> Change:
    """Change the HDF5 file, and recompute all hashes, those of arrays and inputs too."""

    def change(parts: Parts) -> None:
        found: dict[str, str] = {}

        def edit_and_hash(file: h5py.File) -> None:
            edit(file)
            text = read_inputs(file)
            found["fingerprint"] = file.attrs["fingerprint"] = fingerprint_of(text)
            if file.get("mean", getclass=True) is h5py.Dataset and file["mean"].shape[0] > 100:
                # Hashing so many groups would take days.
                found["content_sha256"] = "0" * 64
                return
            maps = [name for name in COMPARISON_MAPS if name in file]
            try:
                found["content_sha256"] = content_hash(file, json.loads(text)["recipe"]["statistics"], maps)
            except (KeyError, ValueError, TypeError, IndexError, AttributeError, MemoryError):
                # The arrays are such that they cannot be hashed.
                found["content_sha256"] = "0" * 64

        edit_result(edit_and_hash)(parts)
        set_manifest(**found)(parts)

    return change


def edit_inputs(edit: Callable[[dict[str, Any]], None]) -> Callable[[h5py.File], None]:
    """Change the recorded inputs, and all places that repeat the recipe."""

    def change(file: h5py.File) -> None:
        value = json.loads(read_inputs(file))
        edit(value)
        file["inputs"][0] = canonical_json(value)
        file.attrs["recipe"] = canonical_json(value["recipe"])

    return change


def replace_array(name: str, values: Any, **options: Any) -> Callable[[h5py.File], None]:
    """Replace an array of the result file."""

    def change(file: h5py.File) -> None:
        del file[name]
        file.create_dataset(name, data=values, **options)

    return change


def doubled(file: h5py.File) -> None:
    """Twice the mean, as valid as any other."""
    file["mean"][...] = 2 * file["mean"][...]


def at_one_voxel(name: str, value: float) -> Callable[[h5py.File], None]:
    """Another value at one voxel."""

    def change(file: h5py.File) -> None:
        file[name][0, 5, 5, 5] = np.asarray(value, file[name].dtype)

    return change

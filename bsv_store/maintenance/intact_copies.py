"""Files elsewhere in the store, such as in the trash, with the bytes of a lost file."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from bsv_store.maintenance.inventory import found_files
from bsv_store.maintenance.object_checks import file_sha256

if TYPE_CHECKING:
    from pathlib import Path

    from bsv_store.volumes.files import StoreFiles
    from bsv_store.volumes.stored_object import StoredObject


def find_copies(files: StoreFiles, lost: Iterable[StoredObject], *, skip: Collection[str]) -> dict[str, str]:
    """Files in the store with the recorded bytes of objects whose file is lost: path by key of the object.

    Parameters
    ----------
    lost : iterable of StoredObject
    skip : collection of str
        Paths of intact objects, which are not read.
    """
    wanted: dict[int, dict[str, list[str]]] = {}
    paths = {}
    for stored in lost:
        wanted.setdefault(stored.size_bytes, {}).setdefault(stored.file_sha256, []).append(stored.key)
        paths[stored.key] = stored.path
    found: dict[str, str] = {}
    if not wanted:
        return found
    for file in found_files(files, "volumes", "datasets", "trash"):
        hashes = wanted.get(file.size_bytes)
        if hashes is None or file.path in skip or not file.is_regular:
            continue
        try:
            sha256, _ = file_sha256(files.path(file.path))
        except OSError:
            continue
        for key in hashes.get(sha256, []):
            if paths[key] != file.path:
                found.setdefault(key, file.path)
    return found


def copy_new(source: Path, target: Path) -> None:
    """Copy a file to a new one."""
    with source.open("rb") as reading, target.open("xb") as writing:
        shutil.copyfileobj(reading, writing, 1 << 20)

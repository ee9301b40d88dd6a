"""A backup target with its objects and snapshots."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from bsv_store.documents import MAX_RECORD_BYTES, json_value
from bsv_store.errors import UPGRADE_HINT, BackupError, InputError
from bsv_store.maintenance.backup.manifest import FORMAT, Snapshot, decoded
from bsv_store.maintenance.backup.target import TMP, Target, open_target, target_errors
from bsv_store.progress import do_nothing
from bsv_store.text import shown

MARKER = "bsv-backup.json"
SNAPSHOTS = "snapshots"
_OBJECTS = "objects"
_BLOCK_BYTES = 1 << 20
# Parts of a database: small enough that an unchanged region of a large catalog is stored once.
PART_BYTES = 4 << 20


class DamagedObjectError(BackupError):
    """An object of a backup target is missing, or does not have its bytes."""


@dataclass(slots=True)
class Repository:
    """A backup target.

    Attributes
    ----------
    target : Target
    """

    target: Target
    _sizes: dict[str, int] = field(default_factory=dict)

    def object_sizes(self, *, refresh: bool = False) -> dict[str, int]:
        """Size of each object, by hash; listed once, and again if ``refresh`` is true."""
        if refresh or not self._sizes:
            found = self.target.sizes(_OBJECTS)
            self._sizes = {name.rpartition("/")[2]: size for name, size in found.items()}
        return self._sizes

    def has(self, sha256: str, size_bytes: int) -> bool:
        """Whether an object exists with its right size."""
        return self.object_sizes().get(sha256) == size_bytes

    def put(self, sha256: str, size_bytes: int, blocks: Iterator[bytes]) -> None:
        """Write an object, whose bytes the caller checks while they are read."""
        self.target.write(object_name(sha256), blocks)
        self.object_sizes()[sha256] = size_bytes

    def blocks(self, sha256: str, size_bytes: int, *, alive: Callable[[], None] = do_nothing) -> Iterator[bytes]:
        """The bytes of an object; its hash is checked at the end.

        Raises
        ------
        DamagedObjectError
            If the object is missing or damaged.
        BackupError
            If it cannot be read.
        """
        try:
            with self.target.opened(object_name(sha256)) as file:
                yield from checked_blocks(self._reader(file), sha256, size_bytes, alive=alive, error=self._damaged)
        except FileNotFoundError as error:
            raise self._damaged(sha256) from error

    def _reader(self, file: BinaryIO) -> Callable[[int], bytes]:
        def read(size_bytes: int) -> bytes:
            with target_errors(self.target):
                return file.read(size_bytes)

        return read

    def _damaged(self, sha256: str) -> DamagedObjectError:
        return DamagedObjectError(
            f"the object {sha256[:16]} in {self.target} is missing or damaged",
            hint="Find out which snapshots need it: bsv-store backup verify TARGET --deep. If the store still has the "
            "file, the next backup stores it again.",
        )

    def snapshots(self) -> tuple[list[Snapshot], list[str]]:
        """All snapshots, oldest first, and the ids of those whose manifest is damaged."""
        found, damaged = [], []
        for name in self.snapshot_ids():
            try:
                text = self.target.read(snapshot_name(name))
            except FileNotFoundError:
                # Another process has just pruned it.
                continue
            try:
                found.append(decoded(name, text, str(self.target)))
            except BackupError:
                damaged.append(name)
        return sorted(found, key=lambda each: (each.created_at, each.id)), damaged

    def snapshot_ids(self) -> list[str]:
        """The ids of all snapshots, sorted."""
        names = [name.rpartition("/")[2] for name in self.target.sizes(SNAPSHOTS)]
        return sorted(name.removesuffix(".json") for name in names if name.endswith(".json"))

    def snapshot(self, wanted: str | None = None) -> Snapshot:
        """The snapshot whose id begins with ``wanted``; by default, or with 'latest', the latest.

        Raises
        ------
        InputError
            If there is none, or several.
        BackupError
            If its manifest is damaged.
        """
        if wanted is None or wanted == "latest":
            found, _ = self.snapshots()
            if not found:
                raise InputError(f"{self.target} has no snapshots", hint="Take one: bsv-store backup create TARGET")
            if wanted is None and len({each.store_id for each in found}) > 1:
                raise InputError(
                    f"{self.target} has snapshots of several stores",
                    hint="Name one with --snapshot. List them: bsv-store backup list TARGET",
                )
            return found[-1]
        matching = [name for name in self.snapshot_ids() if name.startswith(wanted)] if wanted else []
        if len(matching) != 1:
            problem = "has no snapshot" if not matching else f"has {len(matching)} snapshots that begin with"
            raise InputError(f"{self.target} {problem} {shown(wanted)}", hint="List them: bsv-store backup list TARGET")
        return decoded(matching[0], self.target.read(snapshot_name(matching[0])), str(self.target))


def object_name(sha256: str) -> str:
    """The name of an object in its target."""
    return f"{_OBJECTS}/{sha256[:2]}/{sha256}"


def snapshot_name(identifier: str) -> str:
    """The name of a manifest in its target."""
    return f"{SNAPSHOTS}/{identifier}.json"


def open_repository(location: str | os.PathLike[str]) -> Repository:
    """The repository at an existing backup target.

    Raises
    ------
    InputError
        If the location is not valid, or not a backup target.
    BackupError
        If it cannot be read, or was made by a later version.
    """
    target = open_target(location)
    try:
        values = json_value(target.read(MARKER), max_bytes=MAX_RECORD_BYTES)
        if not isinstance(values, dict):
            raise ValueError("it must be a JSON object")
    except FileNotFoundError as error:
        raise InputError(
            f"{target} is not a backup target: {MARKER} is missing", hint="Create it: bsv-store backup create TARGET"
        ) from error
    except ValueError as error:
        raise BackupError(f"{MARKER} in {target} is damaged: {error}") from error
    if values.get("format") != FORMAT:
        raise BackupError(
            f"{target} has format {shown(values.get('format'))}; this version of bsv-store supports {FORMAT}",
            hint=UPGRADE_HINT,
        )
    return Repository(target)


def create_repository(location: str | os.PathLike[str], *, outside: Path) -> Repository:
    """The repository at a backup target, which is created if it is new or empty.

    Parameters
    ----------
    outside : pathlib.Path
        The store's folder, in which there must be no backup.

    Raises
    ------
    InputError
        If the location is not valid, not empty, or inside the store.
    BackupError, NoSpaceError
        If it cannot be written.
    """
    target = open_target(location)
    root = getattr(target, "root", None)
    if isinstance(root, Path):
        folder = root.resolve()
        if outside.resolve() in (folder, *folder.parents):
            raise InputError(
                f"the backup target {target} is inside the store {outside}", hint="Use a folder on another disk."
            )
        if folder.exists() and not folder.is_dir():
            raise InputError(f"the backup target {target} is a file", hint="Use a new or empty folder.")
    try:
        return open_repository(location)
    except InputError:
        found = sorted(name.removeprefix("./") for name in target.sizes("."))
        if MARKER in found:
            # Another first backup has just created it.
            return open_repository(location)
        # Left by a killed first backup, or written by a running one.
        if foreign := [name for name in found if not name.startswith(f"{TMP}/")]:
            raise InputError(
                f"{target} is neither empty nor a backup target: it contains {foreign[0]}",
                hint="Use a new or empty folder.",
            ) from None
    target.write(MARKER, [json.dumps({"format": FORMAT, "id": str(uuid.uuid4())}).encode()])
    return Repository(target)


def checked_blocks(
    read: Callable[[int], bytes],
    sha256: str,
    size_bytes: int,
    *,
    error: Callable[[str], Exception],
    alive: Callable[[], None] = do_nothing,
) -> Iterator[bytes]:
    """The bytes that ``read`` returns, in blocks; raises ``error(sha256)`` at the end if size or hash differ."""
    digest, size = hashlib.sha256(), 0
    while block := read(_BLOCK_BYTES):
        alive()
        digest.update(block)
        size += len(block)
        yield block
    if size != size_bytes or digest.hexdigest() != sha256:
        raise error(sha256)

"""The unionize rows of a remote store: downloaded in packs, checked, and used only when all are there.

They are collected in one file, in one transaction for each pack, so that a killed process loses one pack. The complete
file is renamed; its name has a hash of its content, and one of its bytes.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import numpy as np

from bsv_store.catalog.database.driver_errors import translated
from bsv_store.catalog.records import UNIONIZE_COLUMNS, UNIONIZE_FIELDS
from bsv_store.catalog.unionize_seals import half_seals
from bsv_store.checkpoints import checkpoint
from bsv_store.errors import BusyError, FormatError, StoreUnreachableError
from bsv_store.formats.npy import read_npy
from bsv_store.progress import shown_progress
from bsv_store.remote.client import Client, ServerRefusalError
from bsv_store.remote.core import (
    ROW_TABLES,
    ROWS_PREFIX,
    Half,
    content_of,
    is_undamaged,
    named_with_hash,
    recorded_halves,
    row_objects,
)
from bsv_store.remote.folder import FILE_MODE, cache_errors
from bsv_store.remote.locks import locked
from bsv_store.remote.protocol import UNIONIZES
from bsv_store.text import number_of
from bsv_store.volumes.file_identity import FileIdentity, file_identity, is_settled
from bsv_store.volumes.folders import sync_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

PACK: Final = 20
"""Experiments that are requested at once."""

_PACK_LIMIT = PACK * 4 * 1024 * 1024
_PART = "unionizes.part"
# With more missing halves, the index is made at the end, which is faster.
_KEEP_INDEX = 200

# Errors that are not those of a damaged file.
_ENVIRONMENT = frozenset(
    (
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOLFS,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_READONLY,
    )
)

# Files whose bytes this process has compared with their hash, and what would show that they were changed since.
_verified: dict[Path, FileIdentity] = {}


def existing_rows(folder: Path, content: str) -> Path | None:
    """The complete file with these unionize rows, if it is there and undamaged; a damaged one is removed."""
    for file in folder.glob(f"{ROWS_PREFIX}{content[:16]}-*.db"):
        # Another process may remove it, if it has rows of a newer catalog.
        with cache_errors(file), suppress(FileNotFoundError):
            looked_ns, identity = time.time_ns(), file_identity(file.stat())
            if _verified.get(file) == identity:
                return file
            if is_undamaged(file):
                if is_settled(identity, looked_ns):
                    _verified[file] = identity
                return file
            file.unlink(missing_ok=True)
    return None


def forget_verified(folder: Path) -> None:
    """Compare the bytes of the files in a folder with their hashes again when they are next used."""
    for file in [each for each in _verified if each.parent == folder]:
        _verified.pop(file, None)


def complete_rows(client: Client, folder: Path, core: Path) -> Path:
    """The file with the unionize rows that a catalog records; the missing ones are downloaded.

    Raises
    ------
    StoreUnreachableError
        If rows are missing and the server cannot be reached. What was downloaded is kept.
    BusyError
        If the server has other rows by now, or another process takes too long.
    """
    wanted = recorded_halves(core)
    content = content_of(wanted)
    if (found := existing_rows(folder, content)) is not None:
        return found
    with cache_errors(folder), locked(folder / "unionizes.lock", f"the unionize rows of {client.url}"):
        if (found := existing_rows(folder, content)) is not None:
            return found
        part = folder / _PART
        try:
            _collect(client, folder, part, wanted, row_objects(core))
        except sqlite3.Error as error:
            raise translated(error, str(part)) from error
        complete = folder / named_with_hash(f"{ROWS_PREFIX}{content[:16]}", part)
        checkpoint("mirror:rows-complete")
        part.replace(complete)
        sync_folder(folder)
    _remove_others(folder, complete)
    return complete


def _collect(
    client: Client,
    folder: Path,
    part: Path,
    wanted: Mapping[Half, tuple[int, str]],
    objects: Mapping[tuple[str, str], str],
) -> None:
    """Complete the file of the rows that were downloaded so far; it starts over if it is damaged."""
    try:
        is_of_another_process = part.exists()
        if not is_of_another_process:
            _start(part, folder)
        _fill(client, part, wanted, objects, verify=is_of_another_process)
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _ENVIRONMENT:
            raise
        _remove_part(part)
        _start(part, folder)
        _fill(client, part, wanted, objects, verify=False)


def _remove_part(part: Path) -> None:
    # The journal first: with another database it would be rolled back into that.
    for each in (_journal(part), part):
        each.unlink(missing_ok=True)


def _journal(part: Path) -> Path:
    return part.with_name(f"{part.name}-journal")


def _start(part: Path, folder: Path) -> None:
    """Begin with the rows of an earlier state of the catalog, most of which are the same."""
    _remove_part(part)
    for old in sorted(folder.glob(f"{ROWS_PREFIX}*.db"), key=lambda file: file.stat().st_mtime, reverse=True):
        if is_undamaged(old):
            temporary = part.with_name(f"{part.name}-{os.getpid()}.tmp")
            shutil.copyfile(old, temporary)
            temporary.replace(part)
            return


def _fill(
    client: Client,
    part: Path,
    wanted: Mapping[Half, tuple[int, str]],
    objects: Mapping[tuple[str, str], str],
    *,
    verify: bool,
) -> None:
    """Download the missing rows into a file. The rows that it has are verified first if another process wrote them."""
    with closing(sqlite3.connect(part, isolation_level=None)) as driver:
        part.chmod(FILE_MODE)
        driver.execute("PRAGMA synchronous = FULL")
        _create(driver, objects)
        held: dict[Half, tuple[int, str]] = {
            (row[0], row[1]): (row[2], row[3])
            for row in driver.execute("SELECT experiment_id, part, row_count, content_sha256 FROM held")
        }
        gone = {half[0] for half, found in held.items() if wanted.get(half) != found}
        if verify:
            gone |= _damaged(driver, {half: found for half, found in held.items() if half[0] not in gone})
        if stale := sorted(gone):
            driver.execute("BEGIN IMMEDIATE")
            _delete(driver, stale)
            driver.execute("COMMIT")
            held = {half: found for half, found in held.items() if half[0] not in gone}
        missing = sorted({half[0] for half in wanted if half not in held})
        indexes = [name for kind, name in objects if kind == "index"]
        if len(missing) > _KEEP_INDEX:
            for name in indexes:
                driver.execute(f'DROP INDEX IF EXISTS "{name}"')
        progress = shown_progress(None)
        progress.start(len(missing), "downloading unionize rows")
        try:
            for first in range(0, len(missing), PACK):
                ids = missing[first : first + PACK]
                _add_pack(client, driver, ids, wanted, remaining=len(missing) - first)
                progress.advance(len(ids))
        finally:
            progress.finish()
        existing = {row[0] for row in driver.execute("SELECT name FROM sqlite_master WHERE type = 'index'")}
        for name in indexes:
            if name not in existing:
                driver.execute(objects["index", name])
    with part.open("r+b") as file:
        os.fsync(file.fileno())


def _create(driver: sqlite3.Connection, objects: Mapping[tuple[str, str], str]) -> None:
    existing = {row[0] for row in driver.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    driver.execute("BEGIN IMMEDIATE")
    for name in ROW_TABLES:
        if name not in existing:
            driver.execute(objects["table", name])
    driver.execute(
        "CREATE TABLE IF NOT EXISTS held (experiment_id INTEGER, part TEXT, row_count INTEGER, content_sha256 TEXT,"
        " PRIMARY KEY (experiment_id, part)) WITHOUT ROWID"
    )
    driver.execute("COMMIT")


def _delete(driver: sqlite3.Connection, experiment_ids: Iterable[int]) -> None:
    keys = [(each,) for each in experiment_ids]
    for table in (*ROW_TABLES, "held"):
        driver.executemany(f"DELETE FROM {table} WHERE experiment_id = ?", keys)


def _damaged(driver: sqlite3.Connection, held: Mapping[Half, tuple[int, str]]) -> set[int]:
    """The experiments whose rows or seals are not those that were stored."""
    damaged: set[int] = set()
    experiment_ids = sorted({half[0] for half in held})
    for first in range(0, len(experiment_ids), PACK):
        ids = experiment_ids[first : first + PACK]
        known = {half: found for half, found in held.items() if half[0] in set(ids)}
        where = f"WHERE experiment_id IN ({', '.join(map(str, ids))})"
        found = driver.execute(f"SELECT {', '.join(UNIONIZE_COLUMNS)} FROM unionize {where}").fetchall()
        sealed = driver.execute(f"SELECT experiment_id, part, hashes FROM unionize_seal {where}").fetchall()
        hashes = {(experiment_id, part): value for experiment_id, part, value in sealed}
        try:
            rows = np.array(found, [(column, code) for _, column, code in UNIONIZE_FIELDS])
        except (TypeError, ValueError, OverflowError):
            # A value that its column cannot have.
            damaged.update(ids)
            continue
        for half, seal in half_seals({name: rows[name] for name in UNIONIZE_COLUMNS}, ids).items():
            recorded = (*known[half], hashes.get(half)) if half in known else (0, seal.content_sha256, seal.hashes)
            if (seal.row_count, seal.content_sha256, seal.hashes) != recorded:
                damaged.add(half[0])
    return damaged


def _add_pack(
    client: Client,
    driver: sqlite3.Connection,
    ids: Sequence[int],
    wanted: Mapping[Half, tuple[int, str]],
    *,
    remaining: int,
) -> None:
    what = f"the unionize rows of {number_of(len(ids), 'experiment')}"
    try:
        rows = client.stream(
            f"{UNIONIZES}?ids={','.join(map(str, ids))}", what, lambda sink: _array(sink, what), limit_bytes=_PACK_LIMIT
        )
    except StoreUnreachableError as error:
        # The address contains the ids.
        reason = error.message.removeprefix(f"{what}: ").partition("; requested ")[0]
        raise StoreUnreachableError(
            f"the unionize rows of {number_of(remaining, 'experiment')} are not in the cache: {reason}",
            hint=error.hint,
        ) from error
    if not np.isin(rows["experiment_id"], ids).all():
        raise ServerRefusalError(f"{what}: the server sent rows of other experiments", hint="Check the address.")
    sealed = half_seals({name: rows[name] for name in UNIONIZE_COLUMNS}, ids)
    expected = {half: found for half, found in wanted.items() if half[0] in set(ids)}
    found = {half: (seal.row_count, seal.content_sha256) for half, seal in sealed.items() if half in expected}
    # A half without rows may be recorded or not.
    if found != expected or any(seal.row_count for half, seal in sealed.items() if half not in expected):
        raise BusyError(
            f"{client.url} has other unionize rows than the copy of its catalog records",
            hint="The catalog was changed in the meantime. Run it again.",
        )
    checkpoint("mirror:pack-checked")
    driver.execute("BEGIN IMMEDIATE")
    _delete(driver, ids)
    names = ", ".join(UNIONIZE_COLUMNS)
    marks = ", ".join("?" * len(UNIONIZE_COLUMNS))
    driver.executemany(
        f"INSERT INTO unionize ({names}) VALUES ({marks})",
        zip(*(rows[name].tolist() for name in UNIONIZE_COLUMNS), strict=True),
    )
    driver.executemany(
        "INSERT INTO unionize_seal (experiment_id, part, hashes) VALUES (?, ?, ?)",
        [(*half, seal.hashes) for half, seal in sealed.items() if half in expected],
    )
    driver.executemany("INSERT INTO held VALUES (?, ?, ?, ?)", [(*half, *recorded) for half, recorded in found.items()])
    driver.execute("COMMIT")
    checkpoint("mirror:pack-stored")


def _array(sink: BinaryIO, what: str) -> Any:
    rows = read_npy(sink, what=what, max_bytes=_PACK_LIMIT)
    if rows.ndim != 1 or not set(UNIONIZE_COLUMNS) <= set(rows.dtype.names or ()):
        raise FormatError(f"{what}: the array of the server does not have the expected columns")
    kinds = {column: np.dtype(kind).kind for _, column, kind in UNIONIZE_FIELDS}
    if wrong := [name for name in UNIONIZE_COLUMNS if rows.dtype[name].kind != kinds[name] or rows.dtype[name].shape]:
        raise FormatError(f"{what}: the column {wrong[0]} of the array of the server has another type")
    return rows


def _remove_others(folder: Path, complete: Path) -> None:
    for file in folder.glob(f"{ROWS_PREFIX}*.db"):
        if file != complete:
            # Connections that read it keep it; on Windows it cannot be removed meanwhile.
            with suppress(OSError):
                file.unlink()

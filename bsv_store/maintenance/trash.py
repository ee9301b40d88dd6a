"""The trash: list what it contains, restore items."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from bsv_store import check
from bsv_store.catalog.activity import record_activity
from bsv_store.catalog.unused_files import keep_files, used_paths
from bsv_store.checkpoints import checkpoint
from bsv_store.datasets.deleted_rows import restore_rows
from bsv_store.datasets.numbers import reserving
from bsv_store.errors import DamagedFileError, InputError, ReadOnlyStoreError
from bsv_store.file_systems import read_errors
from bsv_store.html import card, text_card
from bsv_store.maintenance.inventory import expected_objects
from bsv_store.owner import current_user
from bsv_store.text import listed, number_of, shown, size_text
from bsv_store.volumes.files import hashes_of, store_errors
from bsv_store.volumes.folders import sync_folder
from bsv_store.volumes.trash import TrashRecord, item_of_file, item_of_record, read_record

if TYPE_CHECKING:
    from bsv_store.catalog.database.engine import Database
    from bsv_store.vocabulary import TrashReason
    from bsv_store.volumes.files import StoreFiles

TRASH_DAYS = 30
"""Days after which `collect_garbage` purges a trashed file."""


@dataclass(frozen=True, slots=True)
class TrashItem:
    """A file in the trash.

    Attributes
    ----------
    item : str
        Its name, for `Admin.untrash`.
    what : str
        What it was: ``version/NAME@NUMBER``, ``volume/KIND/SPACING/EXPERIMENT``, ``annotation/SPACING``,
        ``template/SPACING``, or its path.
    path : str or None
        Its path before, relative to the store's folder; None if it has no valid record.
    size_bytes : int
    trashed_at : datetime.datetime
        Aware UTC, by the clock of the file server.
    trashed_by : str or None
    reason : TrashReason or None
    days_left : float
        Until it may be purged.
    file : str or None
        Its path in the trash, relative to the store's folder; None if it was not moved yet, since a deletion was
        interrupted.
    """

    item: str
    what: str
    path: str | None
    size_bytes: int
    trashed_at: datetime
    trashed_by: str | None
    reason: TrashReason | None
    days_left: float
    file: str | None

    def _repr_html_(self) -> str:
        facts = [
            ("Item", self.item),
            ("Size", size_text(self.size_bytes)),
            ("Trashed", f"{self.trashed_at:%Y-%m-%d %H:%M} UTC by {self.trashed_by or 'an unknown user'}"),
            ("Reason", self.reason),
            ("Days left", f"{max(0.0, self.days_left):.0f}"),
        ]
        return card(self.what, kind="in the trash", facts=facts)


@dataclass(frozen=True, slots=True)
class Untrashed:
    """An item that was restored.

    Attributes
    ----------
    item, what : str
        See `TrashItem`.
    remark : str
        What to know about it.
    """

    item: str
    what: str
    remark: str

    def _repr_html_(self) -> str:
        return text_card("Restored", str(self))

    def __str__(self) -> str:
        return f"{self.what}: {self.remark}"


def current_time(database: Database, files: StoreFiles) -> datetime:
    """The time of the file server's clock; of this host if the store cannot be written."""
    if not database.read_only:
        with contextlib.suppress(ReadOnlyStoreError):
            return files.server_time()
    return datetime.now(UTC)


def trash_items(
    database: Database, files: StoreFiles, now: datetime, *, trash_days: float = TRASH_DAYS
) -> list[TrashItem]:
    """All items in the trash, oldest first."""
    records, found = read_trash(files)
    if unmoved := [each for each in records.values() if each.rows is not None and each.item not in found]:
        with database.reading() as connection:
            used = used_paths(connection, [each.path for each in unmoved])
        for record in unmoved:
            if record.path in used:
                # Not deleted yet, or restored: a process is about to remove the record, or was killed.
                del records[record.item]
    items = [_with_record(record, found.pop(record.item, None), files, now, trash_days) for record in records.values()]
    items += [_without_record(item, path, now, trash_days) for item, path in found.items()]
    return sorted((each for each in items if each is not None), key=lambda each: (each.trashed_at, each.item))


def read_trash(files: StoreFiles) -> tuple[dict[str, TrashRecord], dict[str, Path]]:
    """The valid records, and the files, both by item. A file without a valid record may be named by the file itself."""
    folder = files.path("trash")
    records: dict[str, TrashRecord] = {}
    found: dict[str, Path] = {}
    with read_errors(folder):
        # A link may lead to a folder with other files, which would be purged.
        paths = sorted(folder.iterdir()) if folder.is_dir() and not folder.is_symlink() else ()
    for path in paths:
        if path.is_dir():
            # Not of bsv-store.
            continue
        if (item := item_of_record(path.name)) is None:
            found[item_of_file(path.name) or path.name] = path
            continue
        try:
            with read_errors(path):
                content = path.read_bytes()
            records[item] = read_record(content, what=path.name)
        except FileNotFoundError:
            continue
        except DamagedFileError:
            # If its file is there, it is listed as unknown.
            found.setdefault(path.name, path)
    return records, found


def _with_record(
    record: TrashRecord, path: Path | None, files: StoreFiles, now: datetime, trash_days: float
) -> TrashItem | None:
    if path is None and not (record.rows is not None and files.path(record.path).exists()):
        # About to be moved, or left by a process that was killed.
        return None
    return TrashItem(
        record.item,
        record.key or record.path,
        record.path,
        record.size_bytes,
        record.trashed_at,
        record.trashed_by,
        record.reason,
        _days_left(record.trashed_at, now, trash_days),
        None if path is None else f"trash/{path.name}",
    )


def _without_record(item: str, path: Path, now: datetime, trash_days: float) -> TrashItem | None:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return None
    # The time of its last change includes its move.
    at = datetime.fromtimestamp(max(status.st_mtime, status.st_ctime), UTC)
    left = _days_left(at, now, trash_days)
    return TrashItem(item, path.name, None, status.st_size, at, None, None, left, f"trash/{path.name}")


def _days_left(at: datetime, now: datetime, trash_days: float) -> float:
    return trash_days - (now - at) / timedelta(days=1)


# -- restore ----------------------------------------------------------------------------------------------------------


def untrash(database: Database, files: StoreFiles, items: Sequence[str]) -> tuple[Untrashed, ...]:
    """Restore items; see `Admin.untrash`."""
    names = [check.text("items", each, such_as="4f0c9a2be1d7") for each in items]
    if not names:
        raise InputError("items must name at least one item", hint="List them: bsv-store trash")
    database.require_writable()
    records, found = read_trash(files)
    # An interrupted deletion leaves a record without a file, which is not listed either.
    records = {item: each for item, each in records.items() if item in found or files.path(each.path).exists()}
    wanted = list(dict.fromkeys(_find(name, records, found) for name in names))
    return tuple(_restore(database, files, records[item], found.get(item)) for item in wanted)


def _find(name: str, records: dict[str, TrashRecord], found: dict[str, Path]) -> str:
    if name in records:
        return name
    keys = {name, f"version/{name}"}
    matching = sorted((each.trashed_at, each.item) for each in records.values() if each.key in keys)
    if len(matching) > 1:
        raise InputError(
            f"several items in the trash were {shown(name)}",
            hint=f"Choose one: {listed([item for _, item in matching])}. `bsv-store trash` shows them.",
        )
    if matching:
        return matching[0][1]
    if name in found:
        raise InputError(
            f"the item {name} cannot be restored: it has no valid record, so its place is unknown",
            hint=f"Its file is {found[name]}.",
        )
    raise InputError(f"the trash has no item {shown(name)}", hint="List the items: bsv-store trash")


def _restore(database: Database, files: StoreFiles, record: TrashRecord, path: Path | None) -> Untrashed:
    target = files.path(record.path)
    source = path if path is not None else target
    if not source.exists():
        raise InputError(f"the item {record.item} ({record.key or record.path}) has no file in the trash")
    with store_errors(target):
        files.make_folder(target.parent)
    if record.rows is not None:
        _check_content(source, record)
        remark = _restore_version(database, files, record, path)
    else:
        remark = _restore_file(database, files, record, path)
    checkpoint("untrash:committed")
    if path is not None:
        # Only if the same file was there again.
        with store_errors(path):
            path.unlink(missing_ok=True)
    files.forget_trash(record.item)
    return Untrashed(record.item, record.key or record.path, remark)


def _check_content(source: Path, record: TrashRecord) -> None:
    assert record.rows is not None
    with store_errors(source):
        sha256 = _sha256(source)
    if sha256 != record.rows["version"]["file_sha256"]:
        raise DamagedFileError(
            f"the file {source} differs from what was stored; {record.key} was not restored",
            hint="Compute the average again: bsv-store aggregate",
        )


def _restore_version(database: Database, files: StoreFiles, record: TrashRecord, path: Path | None) -> str:
    rows = record.rows
    assert rows is not None
    # A move is undone in the transaction; after an error of the commit itself the file stays, and so does the record.
    with (
        database.writing() as connection,
        reserving(files, rows["name"]) as numbers,
        _moving_back(files, record, path, replace=True) as move,
    ):
        keep_files(connection)
        source = files.path(record.path) if path is None else path
        lost = restore_rows(connection, rows, source, restored_by=current_user())
        numbers.record(rows["number"], rows["fingerprint"], rows["version"]["content_sha256"])
        record_activity(connection, "untrashed", f"{rows['name']}@{rows['number']}", {"item": record.item})
        move()
        checkpoint("untrash:moved")
    if lost:
        return f"restored without the tag {', '.join(lost)}, which another version has now"
    return "restored"


def _restore_file(database: Database, files: StoreFiles, record: TrashRecord, path: Path | None) -> str:
    with database.writing() as connection, _moving_back(files, record, path, replace=False) as move:
        keep_files(connection)
        expected = [each for each in expected_objects(connection) if record.path == each.path or record.key == each.key]
        if expected:
            state = "has it" if expected[0].path == record.path else "has a newer file"
            raise InputError(
                f"the item {record.item} was not restored: the store {state} for {expected[0].key}",
                hint=f"The trashed file is {files.path(record.file_path)}.",
            )
        record_activity(connection, "untrashed", record.key or record.path, {"item": record.item})
        move()
        checkpoint("untrash:moved")
    return f"moved back to {record.path}; the next `fetch`, `adopt` or `aggregate` that needs this file uses it"


class _Move:
    """Moves a trashed file back, when called, and into the trash again.

    No row names a file in its place. One that a killed or running process left there is kept if it has the same
    content, otherwise replaced if ``replace`` is True, and an error if not.
    """

    def __init__(self, files: StoreFiles, record: TrashRecord, path: Path | None, *, replace: bool) -> None:
        self._files = files
        self._target = files.path(record.path)
        self._item = record.item
        self._path = path
        self._replace = replace
        self._is_moved = False

    def __call__(self) -> None:
        if self._path is None:
            return
        with store_errors(self._target):
            if self._target.exists():
                if _sha256(self._target) == _sha256(self._path):
                    return
                if not self._replace:
                    raise InputError(
                        f"the item {self._item} was not restored: another file is in its place, {self._target}",
                        hint="If no run is using it, move it to the trash: bsv-store gc --apply",
                    )
            self._files.make_folder(self._target.parent)
            try:
                # New, so that the grace period of `collect_garbage` begins again.
                os.utime(self._path)
                self._path.replace(self._target)
            except FileNotFoundError as error:
                raise InputError(
                    f"the item {self._item} was not restored: another process has removed it from the trash"
                ) from error
            self._is_moved = True
            sync_folder(self._target.parent)

    def undo(self) -> None:
        if self._is_moved and self._path is not None:
            self._target.rename(self._path)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashes_of(stream).sha256


@contextlib.contextmanager
def _moving_back(files: StoreFiles, record: TrashRecord, path: Path | None, *, replace: bool) -> Iterator[_Move]:
    move = _Move(files, record, path, replace=replace)
    try:
        yield move
    except BaseException:
        with contextlib.suppress(OSError):
            move.undo()
        raise


def trash_summary(items: Sequence[TrashItem]) -> str:
    """The number and size of items in one sentence."""
    return f"{number_of(len(items), 'item')} in the trash, {size_text(sum(each.size_bytes for each in items))}"

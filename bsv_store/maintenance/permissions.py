"""Group and permissions of the store's files and folders: show and correct them."""

from __future__ import annotations

import os
import stat
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bsv_store.catalog.activity import record_activity
from bsv_store.config import FOLDERS, StoreConfig
from bsv_store.errors import BsvStoreWarning, ReadOnlyStoreError
from bsv_store.file_systems import entries_below
from bsv_store.html import card, table
from bsv_store.volumes.groups import group_id, group_name, has_groups, owner_name, set_group

if TYPE_CHECKING:
    from bsv_store.catalog.database.engine import Database


@dataclass(frozen=True, slots=True)
class PermissionChange:
    """A file or folder with another group or other permissions than the store sets.

    Attributes
    ----------
    path : str
        Relative to the store's folder, with slashes; '.' is the folder itself.
    owner : str
    group, wanted_group : str
    mode, wanted_mode : str
        Octal digits, such as '0664'.
    problem : str or None
        Why it could not be corrected; None if it was, or if that was not tried.
    """

    path: str
    owner: str
    group: str
    wanted_group: str
    mode: str
    wanted_mode: str
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class PermissionReport:
    """Group and permissions of the store's files and folders.

    Attributes
    ----------
    checked : int
        Number of files and folders.
    group : str
        The group that all should have.
    is_applied : bool
        Whether the changes were made.
    changes : tuple of PermissionChange
        In the order of their paths.
    """

    checked: int
    group: str
    is_applied: bool
    changes: tuple[PermissionChange, ...]

    def _repr_html_(self) -> str:
        facts = [
            ("Checked", f"{self.checked:,}"),
            ("Group", self.group),
            ("Corrected", f"{len(self.changes) - len(self.remaining):,}" if self.is_applied else None),
            ("To correct", f"{len(self.remaining):,}"),
        ]
        rows = [
            [each.path, f"{each.group} {each.mode}", f"{each.wanted_group} {each.wanted_mode}", each.problem or ""]
            for each in self.changes
        ]
        return card("Permissions", table(["path", "is", "should be", "problem"], rows), kind="", facts=facts)

    @property
    def remaining(self) -> tuple[PermissionChange, ...]:
        """The changes that are still to be made."""
        return tuple(each for each in self.changes if each.problem is not None) if self.is_applied else self.changes


def check_permissions(root: Path, config: StoreConfig, *, whole: bool = True) -> PermissionReport:
    """Compare group and permissions of the store's files and folders with the settings of the store.

    Parameters
    ----------
    root : pathlib.Path
    config : StoreConfig
    whole : bool
        False checks only the top: the folder, and the files and folders of the store that are directly in it.

    Raises
    ------
    InputError
        If the group of the store does not exist on this computer.
    """
    group = root.stat().st_gid if config.group is None or not has_groups() else group_id(config.group)
    checked = 0
    changes = []
    for path, found in _entries(root, whole=whole):
        checked += 1
        mode = stat.S_IMODE(found.st_mode)
        wanted = config.directory_mode if stat.S_ISDIR(found.st_mode) else config.file_mode
        if has_groups() and (mode != wanted or found.st_gid != group):
            changes.append(
                PermissionChange(
                    path.relative_to(root).as_posix(),
                    owner_name(found.st_uid),
                    group_name(found.st_gid),
                    group_name(group),
                    f"{mode:04o}",
                    f"{wanted:04o}",
                )
            )
    changes.sort(key=lambda change: change.path)
    return PermissionReport(checked, group_name(group), False, tuple(changes))


def apply_permissions(root: Path, config: StoreConfig, database: Database) -> PermissionReport:
    """See `Admin.permissions`."""
    report = check_permissions(root, config)
    if not report.changes:
        return replace(report, is_applied=True)
    group = group_id(report.group)
    changes = tuple(replace(each, problem=_correct(root / each.path, each, group)) for each in report.changes)
    done = replace(report, is_applied=True, changes=changes)
    changed = len(changes) - len(done.remaining)
    if changed:
        _record(database, changed, report.group)
    return done


def _record(database: Database, changed: int, group: str) -> None:
    # Afterwards, because the permissions of the catalog may have been wrong.
    try:
        with database.writing() as connection:
            record_activity(connection, "configured", "permissions", {"changed": changed, "group": group})
    except ReadOnlyStoreError as error:
        warnings.warn(
            BsvStoreWarning(f"the changes were made, but not recorded: {error.message}", hint=error.hint), stacklevel=4
        )


def _correct(path: Path, change: PermissionChange, group: int) -> str | None:
    """Correct one file or folder; returns the reason if that is not possible."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    try:
        if stat.S_ISLNK(found.st_mode):
            return "it was replaced by a symbolic link"
        if found.st_gid != group:
            # First the group, because a change of it clears the setgid bit.
            set_group(path, group)
        wanted = int(change.wanted_mode, 8)
        path.chmod(wanted)
        if stat.S_IMODE(path.lstat().st_mode) != wanted:
            # A user outside the group cannot set the setgid bit.
            return "the file system did not accept the permissions"
    except FileNotFoundError:
        # Moved to the trash, or a temporary that is complete.
        return None
    except OSError as error:
        if found.st_uid == os.geteuid() and found.st_gid != group:
            return f"{error.strerror}: you are not a member of the group {change.wanted_group}"
        return f"{error.strerror}: the owner is {change.owner}"
    return None


def _entries(root: Path, *, whole: bool) -> Iterator[tuple[Path, os.stat_result]]:
    """The store's files and folders: no symbolic links, no foreign folders, no files in ``tmp`` (may be incomplete)."""
    yield root, root.stat()
    for path in root.iterdir():
        try:
            found = path.lstat()
        except FileNotFoundError:
            continue
        is_folder = stat.S_ISDIR(found.st_mode) and path.name in FOLDERS
        if is_folder or stat.S_ISREG(found.st_mode):
            yield path, found
        if whole and is_folder and path.name != "tmp":
            for inner, status in entries_below(path):
                if stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode):
                    yield inner, status

"""Atomic writing of files and folders outside the store."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bsv_store.errors import InputError, NoSpaceError
from bsv_store.volumes.files import is_no_space
from bsv_store.volumes.folders import sync_folder


def check_target(target: Path, *, overwrite: bool = False, marker: str | None = None) -> None:
    """Raise if a file, or with a ``marker`` a folder, may not be written to this path.

    Parameters
    ----------
    target : pathlib.Path
    overwrite : bool
    marker : str, optional
        The target is a folder. One that exists is overwritten only if it contains a file of this name.

    Raises
    ------
    InputError
        If the parent folder does not exist, the target exists and ``overwrite`` is False, or the target is a file
        instead of a folder or vice versa.
    """
    if not target.parent.is_dir():
        raise InputError(f"the folder {target.parent} does not exist", hint="Create it first.")
    if target.is_dir() and marker is None:
        raise InputError(f"{target} is a folder", hint="Use the path of a file.")
    if target.exists() and not overwrite:
        raise InputError(f"{target} exists", hint="Use another path, or replace it with overwrite=True.")
    if marker is None and target.exists() and not target.is_file():
        raise InputError(f"{target} is not a regular file", hint="Use another path.")
    if marker is not None and target.exists() and not (target / marker).is_file():
        raise InputError(f"{target} exists and does not contain {marker}", hint="Use another path.")


@contextmanager
def atomic_output(target: Path, *, overwrite: bool = False, marker: str | None = None) -> Iterator[Path]:
    """A temporary path beside the target, which becomes the target if the block ends without an error.

    Parameters
    ----------
    target, overwrite, marker
        As for `check_target`.

    Raises
    ------
    InputError
        As `check_target` does; or if the target cannot be written.
    NoSpaceError
        If the disk is full.
    """
    check_target(target, overwrite=overwrite, marker=marker)
    temporary = target.with_name(f".{target.stem}.{secrets.token_hex(4)}{target.suffix}")
    try:
        yield temporary
        _sync(temporary)
        if target.is_dir():
            _replace_folder(temporary, target)
        else:
            temporary.replace(target)
            sync_folder(target.parent)
    except OSError as error:
        if is_no_space(error):
            raise NoSpaceError(
                f"no space left to write {target}", hint="Free disk space, or write elsewhere."
            ) from error
        raise InputError(
            f"{target} cannot be written: {error.strerror or error}", hint="Choose another path."
        ) from error
    finally:
        _remove(temporary)


def _sync(path: Path) -> None:
    """Flush a file or folder to disk, so that it survives a power failure."""
    if not path.is_dir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
        return
    for folder, _, names in os.walk(path):
        for name in names:
            with (Path(folder) / name).open("rb") as file:
                os.fsync(file.fileno())
        sync_folder(Path(folder))


def _replace_folder(new: Path, target: Path) -> None:
    # A folder can be renamed only to a name that is free.
    old = new.with_name(f"{new.name}.old")
    target.replace(old)
    try:
        new.replace(target)
    except OSError:
        old.replace(target)
        raise
    # Before the old files are removed: the renames may reach the disk after that.
    sync_folder(target.parent)
    _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)

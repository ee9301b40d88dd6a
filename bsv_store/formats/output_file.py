"""Files that a user asked for outside the store: there whole, or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bsv_store.errors import InputError, NoSpaceError
from bsv_store.volumes.files import is_no_space


@contextmanager
def written_whole(target: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A temporary path beside the target, which becomes the target when the block ends without an error.

    Raises
    ------
    InputError
        If the folder does not exist, the target does, or it cannot be written.
    NoSpaceError
        If the disk is full.
    """
    if not target.parent.is_dir():
        raise InputError(f"the folder {target.parent} does not exist", hint="Make it first.")
    if target.is_dir():
        raise InputError(f"{target} is a folder", hint="Name a file.")
    if target.exists() and not overwrite:
        raise InputError(f"{target} exists", hint="Name another file, or allow to overwrite it.")
    temporary = target.with_name(f".{target.stem}.{secrets.token_hex(4)}{target.suffix}")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
    except OSError as error:
        if is_no_space(error):
            raise NoSpaceError(
                f"no space left to write {target}", hint="Free some room, or write elsewhere."
            ) from error
        raise InputError(
            f"{target} cannot be written: {error.strerror or error}", hint="Choose another place."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)

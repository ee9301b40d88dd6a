"""The inventory of a store: the files that its database expects, and the files that its folder contains."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from bsv_store.config import FOLDERS
from bsv_store.datasets.numbers import NUMBERS_FOLDER
from bsv_store.file_systems import entries_below, read_errors
from bsv_store.volumes.files import temporary_owner

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from bsv_store.volumes.files import StoreFiles
    from bsv_store.volumes.stored_object import StoredObject

Folder = Literal["volumes", "datasets", "tmp", "trash"]


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file in the store's folder.

    Attributes
    ----------
    path : str
        Relative to the store's folder, with slashes.
    size_bytes : int
    mode : int
        Type and permission bits, as in ``os.stat_result.st_mode``.
    group_id : int
    modified_at : datetime.datetime
        Aware UTC, by the clock of the file server.
    """

    path: str
    size_bytes: int
    mode: int
    group_id: int
    modified_at: datetime

    @property
    def is_regular(self) -> bool:
        """Whether it is a regular file; a store contains no symbolic links or devices."""
        return stat.S_ISREG(self.mode)

    @property
    def owner(self) -> str | None:
        """Of a file in ``tmp``: the process that created it, as in `bsv_store.owner`; None if bsv-store did not."""
        return temporary_owner(self.path.removeprefix("tmp/")) if self.is_regular else None


def expected_objects(connection: Connection) -> Iterator[StoredObject]:
    """All files that the database expects: volumes, annotations, templates, results of dataset versions."""
    # Imported here, because listing files, as `status` does, needs no NumPy.
    from bsv_store.catalog.annotations import stored_annotations
    from bsv_store.catalog.templates import stored_templates
    from bsv_store.catalog.volumes import stored_volumes
    from bsv_store.datasets.listing import stored_results

    yield from stored_volumes(connection)
    yield from stored_annotations(connection)
    yield from stored_templates(connection)
    yield from stored_results(connection)


def found_files(files: StoreFiles, *folders: Folder) -> Iterator[FoundFile]:
    """The files in these folders of the store, by default in all four, in no particular order.

    A file that disappears while the folders are listed is left out, and so are the records of version numbers. Symbolic
    links are not followed, because callers delete files that they do not know.
    """
    for name in folders or FOLDERS:
        if (files.root / name).is_symlink():
            continue
        with read_errors(files.root / name):
            entries = list(entries_below(files.root / name))
        for path, found in entries:
            relative = path.relative_to(files.root).as_posix()
            if stat.S_ISDIR(found.st_mode) or relative.startswith(f"{NUMBERS_FOLDER}/"):
                continue
            modified_at = datetime.fromtimestamp(found.st_mtime, UTC)
            yield FoundFile(relative, found.st_size, found.st_mode, found.st_gid, modified_at)

"""The link between a Postgres database and the folder of its store, by which a second folder is noticed.

A catalog on Postgres does not lie in the folder, so a copied folder shares it with the original. Each of the two would
then have only some of the files that the catalog expects. The folder therefore has a file with a random token, and the
database records the token, the inode number of the file, its time of last change (``st_ctime_ns``), the path and the
host. A copied file has the same token but another inode and a later time of change, whatever program copied it. When
the folder is mounted elsewhere, both are the same: network file systems report those of their server.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sqlalchemy import insert, select, update

from bsv_store.catalog.database.models import StoreLink
from bsv_store.documents import json_value, record_of
from bsv_store.errors import DamagedCatalogError, FolderWarning, StoreMismatchError
from bsv_store.file_systems import read_errors
from bsv_store.text import store_option

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from bsv_store.volumes.files import StoreFiles

TOKEN_FILE = "folder.id"

# same: certainly the linked folder; copy: certainly a copy of it; other: another folder was linked later;
# unknown: cannot be decided.
Sameness = Literal["same", "copy", "other", "unknown"]


@dataclass(frozen=True, slots=True)
class FolderIdentity:
    """What identifies a folder of a store.

    Attributes
    ----------
    token : str
        Random text in the token file.
    inode : int
        Of the token file.
    changed_ns : int
        Time of the last change of the token file's inode, which programs cannot set.
    path, host : str
        Where the folder was when it was linked.
    """

    token: str
    inode: int
    changed_ns: int
    path: str
    host: str


def read_identity(folder: Path) -> FolderIdentity | None:
    """The identity of a folder; None if it has no token file."""
    file = folder / TOKEN_FILE
    try:
        with read_errors(file):
            token = file.read_text(encoding="utf-8").strip()
            found = file.stat()
    except FileNotFoundError:
        return None
    # At most 64 bits, as JSON documents here: some file systems of Windows have 128.
    inode = found.st_ino % 2**64
    return FolderIdentity(token, inode, found.st_ctime_ns, os.fspath(folder.resolve()), socket.gethostname())


def recorded_identity(connection: Connection) -> FolderIdentity | None:
    """The identity of the linked folder; None if none was linked."""
    text = connection.scalar(select(StoreLink.folder))
    return None if text is None else _linked(text)


def _linked(text: str) -> FolderIdentity:
    try:
        return record_of(FolderIdentity, json_value(text))
    except ValueError as error:
        raise DamagedCatalogError(
            f"the link of the catalog to its folder is damaged: {error}", hint="Link them again: bsv-store store attach"
        ) from error


def link_folder(connection: Connection, files: StoreFiles, *, replace: bool = False) -> None:
    """Link the folder to the database, in a transaction that may write. Does nothing on SQLite.

    Parameters
    ----------
    connection : Connection
    files : StoreFiles
        A new token file is written, so that a folder that was linked before is noticed.
    replace : bool
        Whether to replace an existing link.
    """
    if connection.dialect.name == "sqlite":
        return
    # Simultaneous initializations of a folder must not write different tokens.
    connection.exec_driver_sql("LOCK TABLE store_link")
    if recorded_identity(connection) is None or replace:
        write_token(files)
        record_identity(connection, files)


def write_token(files: StoreFiles) -> None:
    """Write a new token file."""
    files.publish(TOKEN_FILE, f"{secrets.token_hex(16)}\n".encode())


def record_identity(connection: Connection, files: StoreFiles) -> None:
    """Record the identity of a folder that has a token file."""
    identity = read_identity(files.root)
    assert identity is not None
    _set(connection, {"folder": json.dumps(asdict(identity))})


def set_moved_to(connection: Connection, url: str | None) -> None:
    """Record which database has the catalog instead of this one; None: this one has it."""
    _set(connection, {"moved_to": url})


def unlink_folder(connection: Connection) -> None:
    """Remove the link of a copied catalog to the folder of the original."""
    _set(connection, {"folder": None})


def _set(connection: Connection, values: Mapping[str, str | None]) -> None:
    """Set columns of the single row of ``store_link``."""
    if connection.execute(update(StoreLink.__table__).values(values)).rowcount == 0:
        connection.execute(insert(StoreLink.__table__).values(id=1, **values))


def check_folder(folder: Path, recorded: str | None) -> None:
    """Check that a folder is the one to which the database is linked.

    Parameters
    ----------
    folder : pathlib.Path
    recorded : str or None
        Content of ``store_link.folder``. Without it there is nothing to check.

    Raises
    ------
    StoreMismatchError
        If it is certainly another one.

    Warns
    -----
    FolderWarning
        If that cannot be decided.
    """
    if recorded is None:
        return
    link = _linked(recorded)
    found = read_identity(folder)
    sameness = compare(found, link)
    hint = f"If this is now the folder of the store, attach it: bsv-store {store_option(folder)} store attach"
    if sameness == "same":
        return
    if sameness == "copy":
        raise StoreMismatchError(
            f"the folder {folder} is a copy of {link.path}, whose catalog on Postgres it would share",
            hint="Use the original. For an independent copy of a store: bsv-store backup create, then restore.\n"
            f"{hint}",
        )
    if sameness == "other":
        raise StoreMismatchError(
            f"the catalog belongs to the folder {link.path} (on {link.host}), which was attached after {folder}",
            hint=hint,
        )
    problem = "has no token file" if found is None else "is not the one that was attached, or was moved or restored"
    warnings.warn(
        FolderWarning(
            f"the folder {folder} {problem}; the catalog on Postgres is linked to {link.path} on {link.host}. If both "
            "are in use, each has only some of the files",
            hint=hint,
        ),
        stacklevel=2,
    )


def compare(found: FolderIdentity | None, link: FolderIdentity) -> Sameness:
    """Whether a folder is the linked one."""
    if found is None:
        return "unknown"
    if found.token != link.token:
        return "other"
    # A change of permissions changes the time; some clients of network file systems make up inode numbers. A copy
    # differs in both.
    if found.inode == link.inode or found.changed_ns == link.changed_ns:
        return "same"
    if found.host == link.host and found.path != link.path:
        original = read_identity(Path(link.path))
        if original is not None and original.token == link.token and compare(original, link) == "same":
            return "copy"
    return "unknown"

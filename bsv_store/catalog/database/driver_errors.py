"""The errors of bsv-store for errors of the database drivers."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError

from bsv_store.errors import (
    BsvStoreError,
    BusyError,
    DamagedCatalogError,
    InputError,
    NoSpaceError,
    ReadOnlyStoreError,
    StoreMismatchError,
    StoreUnreachableError,
)

BUSY_TIMEOUT_S = 30.0

# What triggers say in a database whose catalog was moved to another one.
MOVED = "the catalog was moved to another database"

READER_HINT = (
    "Ask the store's maintainer for permission to write to its folder and database. Reading works without it. To add "
    "data, create a store of your own: bsv-store init FOLDER"
)


def translated(error: Exception, where: str) -> BsvStoreError:
    """The error of bsv-store for an error of the database driver."""
    original = error.orig if isinstance(error, DBAPIError) else error
    text = str(original).lower()
    if MOVED in text:
        return StoreMismatchError(
            f"the catalog in the database {where} was moved to another one while this process had it open",
            hint="Open the store again. Nothing was stored in the old database.",
        )
    if "deadlock" in text:
        return BusyError(f"deadlock with another job in the database {where}", hint="Run the command again.")
    if "locked" in text or "lock timeout" in text:
        return BusyError(
            f"the database {where} stayed locked for {BUSY_TIMEOUT_S:.0f} s",
            hint="Another job is writing; try again when it has finished.",
        )
    if "readonly" in text or "read-only" in text or "permission denied for" in text:
        return ReadOnlyStoreError(f"cannot write to the database {where}: {original}", hint=READER_HINT)
    if "malformed" in text or "not a database" in text or "could not decode" in text:
        return DamagedCatalogError(
            f"the database {where} is damaged: {original}", hint="Restore the database from a backup."
        )
    if "full" in text or "no space" in text:
        return NoSpaceError(
            f"no disk space left for the database {where}", hint="Free some space and run the command again."
        )
    kind = type(original).__name__
    if kind in {"OperationalError", "InterfaceError", "DatabaseError", "AdminShutdown"} or "connection" in text:
        return StoreUnreachableError(
            f"the database {where} cannot be used: {original}",
            hint="Check that the server is running, or that the file exists and is readable.",
        )
    return InputError(f"the database refused the request: {original}")

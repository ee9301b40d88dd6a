"""Move the catalog of a store from SQLite to Postgres or back.

The steps, each of which may be the last one of a killed process:

1. The old database is locked for writers. All rows are copied to the new one and compared, in one transaction. The new
   database is committed with the remark that the old one has the catalog.
2. The old database is committed with the remark that the new one has the catalog, and refuses every change from then
   on: also those of processes that opened the store before.
3. The remark in the new database is removed.
4. ``store.toml`` is replaced.

Killed before step 2, the store is unchanged, and the next move copies again. Killed after it, the store cannot be
opened until the next move has completed steps 3 and 4.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import func, inspect, select

from bsv_store.catalog.activity import record_activity
from bsv_store.catalog.database import schema
from bsv_store.catalog.database.bulk import refresh_statistics_after
from bsv_store.catalog.database.driver_errors import MOVED
from bsv_store.catalog.database.engine import Database
from bsv_store.catalog.database.models import Base, Claim, StoreInfo, StoreLink
from bsv_store.catalog.database.models.base import now
from bsv_store.catalog.database.postgres import normalized_url
from bsv_store.checkpoints import checkpoint
from bsv_store.config import CATALOG_FILE, SQLITE, STORE_FILE, StoreConfig
from bsv_store.errors import BusyError, InputError, StoreExistsError, StoreMismatchError
from bsv_store.maintenance.backup.database_copy import new_sqlite_catalog
from bsv_store.maintenance.folder_link import read_identity, record_identity, set_moved_to, unlink_folder, write_token
from bsv_store.maintenance.logical_copy import compare_rows, copy_rows
from bsv_store.progress import do_nothing
from bsv_store.text import number_of, store_option
from bsv_store.volumes.files import StoreFiles

if TYPE_CHECKING:
    from sqlalchemy import Connection

_REFUSAL = "refuse_change_of_moved_catalog"


@dataclass(frozen=True, slots=True)
class MoveReport:
    """Result of a move.

    Attributes
    ----------
    before, after : str
        ``sqlite`` or the URL of a Postgres database.
    rows : int or None
        Number of rows that were copied and compared; None if an earlier move, which was killed, did that.
    """

    before: str
    after: str
    rows: int | None


def move_catalog(
    folder: Path,
    config: StoreConfig,
    source: Database,
    *,
    database: str,
    check_abort: Callable[[], None] = do_nothing,
) -> MoveReport:
    """See `bsv_store.store.restoring.move_store`."""
    after = database if database == SQLITE else normalized_url(database).render_as_string()
    if after == config.database:
        raise InputError(f"the catalog of {folder} is already in {after}", hint="Name another database.")
    files = StoreFiles(folder, config.file_mode, config.directory_mode)
    moved_to = _moved_to(folder, source, config)
    if moved_to is not None and moved_to != after:
        raise StoreMismatchError(
            f"the catalog of {folder} was moved to {moved_to} before, but {STORE_FILE} was not changed",
            hint=f"Complete that move first: bsv-store {store_option(folder)} store move "
            f"--database {shlex.quote(moved_to)}",
        )
    rows = None
    if moved_to is None:
        rows = _copy(files, config, source, after, check_abort)
        checkpoint("move:marked")
    with _destination(files, after) as destination, destination.writing() as connection:
        if connection.scalar(select(StoreInfo.store_id)) != config.store_id:
            raise StoreMismatchError(f"the database {destination} has the catalog of another store")
        set_moved_to(connection, None)
    checkpoint("move:released")
    files.publish(STORE_FILE, replace(config, database=after).to_toml().encode())
    checkpoint("move:switched")
    return MoveReport(config.database, after, rows)


def _moved_to(folder: Path, source: Database, config: StoreConfig) -> str | None:
    with source.reading() as connection:
        schema.check_schema(connection, f"bsv-store {store_option(folder)} db upgrade")
        if connection.scalar(select(StoreInfo.store_id)) != config.store_id:
            raise StoreMismatchError(f"the database {source} has the catalog of another store")
        return connection.scalar(select(StoreLink.moved_to))


@contextmanager
def _destination(files: StoreFiles, after: str) -> Iterator[Database]:
    target = files.root / CATALOG_FILE if after == SQLITE else normalized_url(after)
    with closing(Database(target)) as database:
        yield database


# -- steps 1 and 2 ----------------------------------------------------------------------------------------------------


def _copy(files: StoreFiles, config: StoreConfig, source: Database, after: str, check_abort: Callable[[], None]) -> int:
    with source.writing() as old:
        _lock(old)
        if (moved_to := old.scalar(select(StoreLink.moved_to))) is not None:
            # Checked before the token of the folder is replaced, because the new database knows the present one.
            raise StoreMismatchError(f"another process has moved the catalog to {moved_to} meanwhile")
        _refuse_claims(old)
        if after == SQLITE:
            rows = _copy_to_sqlite(files, config, old, check_abort)
        else:
            rows = _copy_to_postgres(files, config, old, after, check_abort)
        checkpoint("move:copied")
        set_moved_to(old, after)
        _refuse_changes(old)
    return rows


def _lock(connection: Connection) -> None:
    """Make writers wait; readers are not affected. A SQLite transaction that may write is enough."""
    if connection.dialect.name != "sqlite":
        names = connection.dialect.identifier_preparer.format_table
        tables = ", ".join(names(each) for each in Base.metadata.sorted_tables)
        connection.exec_driver_sql(f"LOCK TABLE {tables} IN SHARE ROW EXCLUSIVE MODE")


def _refuse_claims(connection: Connection) -> None:
    count = connection.scalar(select(func.count()).select_from(Claim.__table__).where(Claim.expires_at > now()))
    if count:
        raise BusyError(
            f"other jobs are downloading: they have {number_of(count, 'claim')} in the catalog",
            hint="Move the catalog when they have finished. Claims of killed jobs expire within minutes.",
        )


def _copy_to_postgres(
    files: StoreFiles, config: StoreConfig, old: Connection, after: str, check_abort: Callable[[], None]
) -> int:
    with _destination(files, after) as new:
        _prepare(new, config)
        if old.dialect.name == "sqlite" or read_identity(files.root) is None:
            # A database on Postgres is linked by the token that is there, and is still in use if the move fails.
            write_token(files)
        with new.writing() as connection:
            # Of a catalog that was moved from there before.
            connection.exec_driver_sql(f"DROP FUNCTION IF EXISTS {_REFUSAL}() CASCADE")
            rows = _copy_rows(old, connection, config, after, check_abort)
            record_identity(connection, files)
        refresh_statistics_after(new, rows)
    return rows


def _prepare(new: Database, config: StoreConfig) -> None:
    """Create the schema in the new database. It may have a former catalog of this store, whose rows are replaced."""
    with new.reading() as connection:
        revision = schema.current_revision(connection)
        if revision is None and inspect(connection).get_table_names():
            raise StoreExistsError(f"the database {new} is not empty", hint="Use a new database; createdb creates one.")
        is_outdated = revision is not None and not _is_replaceable(connection, revision, config)
    if is_outdated:
        raise StoreExistsError(
            f"the database {new} already has the catalog of a store", hint="Use a new database; createdb creates one."
        )
    schema.upgrade(new)


def _is_replaceable(connection: Connection, revision: str, config: StoreConfig) -> bool:
    """Whether a database has no store, or an earlier state of this store that says that its catalog is elsewhere."""
    store_id = connection.scalar(select(StoreInfo.store_id))
    if store_id is None:
        return True
    if store_id != config.store_id or revision != schema.HEAD:
        return False
    return connection.scalar(select(StoreLink.moved_to)) == config.database


def _copy_to_sqlite(files: StoreFiles, config: StoreConfig, old: Connection, check_abort: Callable[[], None]) -> int:
    existing = files.root / CATALOG_FILE
    if existing.exists():
        with closing(Database(existing, read_only=True)) as found, found.reading() as connection:
            revision = schema.current_revision(connection)
            if revision is None or not _is_replaceable(connection, revision, config):
                raise StoreExistsError(
                    f"{existing} has a catalog that is not a former one of this store",
                    hint="Move it out of the folder.",
                )
    with files.temporary() as temporary:
        temporary.touch()
        with new_sqlite_catalog(temporary) as connection:
            rows = _copy_rows(old, connection, config, SQLITE, check_abort)
        # A journal that a crash left would be applied to the new file.
        for name in (CATALOG_FILE, *(f"{CATALOG_FILE}-{suffix}" for suffix in ("journal", "wal", "shm"))):
            if (files.root / name).exists():
                files.trash(name, "replaced")
        files.publish_file(temporary, CATALOG_FILE)
    return rows


def _copy_rows(
    old: Connection, new: Connection, config: StoreConfig, after: str, check_abort: Callable[[], None]
) -> int:
    copy_rows(old, new, check_abort=check_abort)
    checkpoint("move:rows")
    rows = compare_rows(old, new, check_abort=check_abort)
    unlink_folder(new)
    set_moved_to(new, config.database)
    record_activity(new, "moved", after, {"from": config.database, "rows": rows})
    return rows


def _refuse_changes(connection: Connection) -> None:
    """Make every table refuse changes, for processes that have the store open with its former database."""
    if connection.dialect.name == "sqlite":
        for table in Base.metadata.sorted_tables:
            for what in ("INSERT", "UPDATE", "DELETE"):
                connection.exec_driver_sql(
                    f"CREATE TRIGGER {table.name}_{what.lower()}_was_moved BEFORE {what} ON {table.name}"
                    f" BEGIN SELECT RAISE(ABORT, '{MOVED}'); END"
                )
        return
    connection.exec_driver_sql(
        f"CREATE OR REPLACE FUNCTION {_REFUSAL}() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN RAISE EXCEPTION '{MOVED}'; END $$"
    )
    for table in Base.metadata.sorted_tables:
        name = connection.dialect.identifier_preparer.format_table(table)
        connection.exec_driver_sql(
            f"CREATE TRIGGER catalog_was_moved BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {name}"
            f" FOR EACH STATEMENT EXECUTE FUNCTION {_REFUSAL}()"
        )

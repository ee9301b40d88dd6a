"""Build stores of past revisions, and read all their rows."""

from __future__ import annotations

import importlib
import re
import shutil
from collections.abc import Collection, Mapping
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from sqlalchemy import inspect, text

from bsv_store.catalog.database import schema
from bsv_store.catalog.database.engine import Database
from bsv_store.catalog.database.postgres import normalized_url
from bsv_store.config import FOLDERS, StoreConfig
from tests.catalog.revisions.r0001 import STORE_ID

if TYPE_CHECKING:
    from tests.postgres import PostgresServer

MODULES: Mapping[str, ModuleType] = {
    path.stem[1:]: importlib.import_module(f"tests.catalog.revisions.{path.stem}")
    for path in sorted(Path(__file__).parent.glob("r[0-9]*.py"))
}
# Their rows are written by every upgrade.
SEALS = {"seal", "unionize_seal"}


def fill(database: Database, revision: str) -> None:
    """Insert the rows that a store can have since a revision."""
    with database.writing() as connection:
        if not database.is_sqlite:
            connection.execute(text("SET LOCAL TimeZone = 'UTC'"))
        for statement in MODULES[revision].STATEMENTS:
            connection.exec_driver_sql(
                statement if database.is_sqlite else re.sub(r"X'(\w*)'", r"'\\x\1'", statement).replace("%", "%%")
            )


def build_on_sqlite(folder: Path) -> dict[str, Path]:
    """The catalog of each revision, as a SQLite file."""
    chain = folder / "chain.db"
    chain.touch()
    catalogs = {}
    for revision in MODULES:
        with closing(Database(chain, pooled=False)) as database:
            schema.upgrade(database, revision, force=True)
            fill(database, revision)
        catalogs[revision] = folder / f"{revision}.db"
        shutil.copyfile(chain, catalogs[revision])
    return catalogs


def build_on_postgres(server: PostgresServer, *, twice: Collection[str]) -> dict[str, list[str]]:
    """The catalog of each revision, as the names of one database, or of two."""
    url = normalized_url(server.create_database("revisions_chain"))
    catalogs = {}
    for revision in MODULES:
        with closing(Database(url, pooled=False)) as database:
            schema.upgrade(database, revision, force=True)
            fill(database, revision)
        catalogs[revision] = [f"revisions_{revision}_{number}" for number in range(1 + (revision in twice))]
        for name in catalogs[revision]:
            server.create_database(name, template="revisions_chain")
    return catalogs


def make_folder(folder: Path, database: str) -> None:
    """The folder of a store whose catalog was built here."""
    folder.mkdir()
    for name in FOLDERS:
        (folder / name).mkdir()
    (folder / "store.toml").write_text(StoreConfig(STORE_ID, database=database).to_toml(), encoding="utf-8")


def all_rows(database: Database) -> dict[str, list[dict[str, Any]]]:
    """All rows of all tables that the database has, except seals and the revision."""
    with database.reading() as connection:
        return {
            name: [dict(row) for row in connection.execute(text(f"SELECT * FROM {name}")).mappings()]
            for name in inspect(connection).get_table_names()
            if name not in SEALS and name != schema.VERSION_TABLE
        }

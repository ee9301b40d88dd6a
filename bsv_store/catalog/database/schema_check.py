"""Compare the schema of a database with the one that the migrations create: tables, views, triggers and comments.

The expected schema is created by running the migrations: for SQLite in a temporary file, for Postgres in a schema of
its own, in a transaction that is rolled back.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, inspect

from bsv_store.catalog.database import privileges, schema
from bsv_store.catalog.database.engine import Database
from bsv_store.catalog.database.models import Base
from bsv_store.catalog.database.postgres import quoted
from bsv_store.temporary import TemporaryFolder

if TYPE_CHECKING:
    from collections.abc import Iterator

# Kind of object and name ("column", "experiment.sex") -> definition.
_Definitions = dict[tuple[str, str], str]


@dataclass(frozen=True, slots=True)
class SchemaDifference:
    """An object of the database that differs from what the migrations create."""

    kind: str
    name: str
    problem: str


@dataclass(frozen=True, slots=True)
class SchemaCheck:
    """The result of checking the schema.

    Attributes
    ----------
    differences : tuple of SchemaDifference
        Empty if the schema is as the migrations create it.
    not_checked : str or None
        What could not be checked, and why.
    """

    differences: tuple[SchemaDifference, ...]
    not_checked: str | None = None


def check_definitions(database: Database) -> SchemaCheck:
    """Compare the tables with the models, and all objects with those that the migrations create.

    Objects that users added, such as their own views, indexes and tables, are ignored.

    Raises
    ------
    StoreUnreachableError, BusyError
        If the database cannot be reached, or stays locked.
    """
    # A connection of its own, because the expected schema is created in the same transaction.
    with (
        closing(Database(database.target, read_only=database.read_only, pooled=False)) as private,
        private.translating(),
        private.engine.connect() as connection,
        connection.begin() as transaction,
    ):
        differences = list(_from_models(connection))
        expected: _Definitions | None
        if private.is_sqlite:
            found, expected, reason = _sqlite_definitions(connection), _expected_on_sqlite(), None
        else:
            found = _postgres_definitions(connection, privileges.current_schema(connection))
            expected, reason = _expected_on_postgres(connection)
        transaction.rollback()
    if expected is not None:
        differences += _compared(found, expected)
    return SchemaCheck(tuple(sorted(set(differences), key=lambda each: (each.kind, each.name))), reason)


# Definitions with the same meaning in stores that earlier releases created.
_EARLIER: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("constraint", "unionize.ck_unionize_hemisphere_id"): (
        "hemisphere_id in (1, 2, 3)",
        "CHECK ((hemisphere_id = ANY ARRAY[1, 2, 3]))",
    )
}


def _compared(found: _Definitions, expected: _Definitions) -> Iterator[SchemaDifference]:
    missing = {name for kind, name in expected.keys() - found.keys() if kind in ("table", "view")}
    for (kind, name), definition in expected.items():
        if kind not in ("table", "view") and name.partition(".")[0] in missing:
            continue
        if (kind, name) not in found:
            yield SchemaDifference(kind, name, "is missing")
        elif found[kind, name] not in (definition, *_EARLIER.get((kind, name), ())):
            yield SchemaDifference(kind, name, f"is {found[kind, name]!r} instead of {definition!r}")
    for kind, name in found.keys() - expected.keys():
        # On tables of ours; indexes and views do no harm.
        if kind in ("column", "constraint", "trigger"):
            yield SchemaDifference(kind, name, "was added by another program")


# -- the models -------------------------------------------------------------------------------------------------------


def _from_models(connection: Connection) -> Iterator[SchemaDifference]:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    def is_ours(name: str | None, kind: str, _parents: Mapping[str, str | None]) -> bool:
        return kind != "table" or name in Base.metadata.tables

    def is_compared(_item: Any, _name: str | None, kind: str, is_reflected: bool, other: Any) -> bool:
        # Indexes that users added.
        return not (kind == "index" and is_reflected and other is None)

    options = {
        "compare_type": True,
        "include_name": is_ours,
        "include_object": is_compared,
        "target_metadata": Base.metadata,
        "version_table": schema.VERSION_TABLE,
    }
    for found in compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata):
        yield from _in_words(found)


def _in_words(found: Any) -> Iterator[SchemaDifference]:
    if isinstance(found, list):
        for each in found:
            yield from _in_words(each)
        return
    action = str(found[0])
    if action.startswith("modify_"):
        _, _, table, column, _, is_now, should_be = found
        what = action.removeprefix("modify_")
        yield SchemaDifference("column", f"{table}.{column}", f"{what} is {is_now!r} instead of {should_be!r}")
        return
    verb, _, kind = action.partition("_")
    item = found[-1]
    table = getattr(getattr(item, "table", None), "name", None)
    name = str(getattr(item, "name", item))
    kind = kind if kind in ("table", "column", "index") else "constraint"
    full = f"{table}.{name}" if kind in ("column", "constraint") and table else name
    problem = "is missing" if verb == "add" else "was added by another program"
    yield SchemaDifference(kind, full, problem)


# -- SQLite -----------------------------------------------------------------------------------------------------------


def _expected_on_sqlite() -> _Definitions:
    with TemporaryFolder() as folder:
        file = folder / "expected.db"
        file.touch()
        with closing(Database(file, pooled=False)) as fresh:
            schema.upgrade(fresh)
            with fresh.reading() as connection:
                return _sqlite_definitions(connection)


def _sqlite_definitions(connection: Connection) -> _Definitions:
    definitions: _Definitions = {}
    rows = connection.exec_driver_sql("SELECT type, name, tbl_name, sql FROM sqlite_master").all()
    ours = {schema.VERSION_TABLE, *Base.metadata.tables}
    for kind, name, table, sql in rows:
        if kind == "view" or (kind == "trigger" and table in ours):
            definitions[kind, name] = " ".join(str(sql).split())
    inspector = inspect(connection)
    for table in sorted(ours & {row[1] for row in rows if row[0] == "table"}):
        definitions["table", table] = "a table"
        for column in connection.exec_driver_sql(f"PRAGMA table_xinfo({table})").mappings():
            definitions["column", f"{table}.{column['name']}"] = (
                f"{column['type']}{' NOT NULL' if column['notnull'] else ''}"
                f"{'' if column['dflt_value'] is None else ' DEFAULT ' + column['dflt_value']}"
                f"{' PRIMARY KEY ' + str(column['pk']) if column['pk'] else ''}"
            )
        for check in inspector.get_check_constraints(table):
            definitions["constraint", f"{table}.{check['name']}"] = " ".join(check["sqltext"].split())
        for key in inspector.get_foreign_keys(table):
            definitions["constraint", f"{table}.{key['name']}"] = str(
                (key["constrained_columns"], key["referred_table"], key["referred_columns"], key["options"])
            )
        for unique in inspector.get_unique_constraints(table):
            definitions["constraint", f"{table}.{unique['name']}"] = str(unique["column_names"])
        for index in inspector.get_indexes(table):
            condition = index.get("dialect_options", {}).get("sqlite_where")
            where = "" if condition is None else str(condition)
            text = f"{'UNIQUE ' if index['unique'] else ''}{index['column_names']} {where}"
            definitions["index", str(index["name"])] = text.strip()
    return definitions


# -- Postgres ---------------------------------------------------------------------------------------------------------


def _expected_on_postgres(connection: Connection) -> tuple[_Definitions | None, str | None]:
    """The expected definitions; without the right to create a schema None, and the reason."""
    account, database, may = connection.exec_driver_sql(
        "SELECT current_user, current_database(), has_database_privilege(current_database(), 'CREATE')"
    ).one()
    if not may:
        return None, (
            f"views, triggers, functions and comments: the account {account} may not create a temporary schema. To "
            f"permit it: GRANT CREATE ON DATABASE {quoted(database)} TO {quoted(account)};"
        )
    scratch = f"bsv_store_check_{uuid.uuid4().hex[:12]}"
    connection.exec_driver_sql(f"CREATE SCHEMA {scratch}")
    connection.exec_driver_sql(f"SET LOCAL search_path = {scratch}")
    schema.create_in(connection)
    return _postgres_definitions(connection, scratch), None


_POSTGRES_OBJECTS = """
    SELECT CASE c.relkind WHEN 'v' THEN 'view' ELSE 'table' END, c.relname, c.relname,
        coalesce(pg_get_viewdef(CASE WHEN c.relkind = 'v' THEN c.oid END), 'a table')
    FROM pg_class AS c WHERE c.relnamespace = %(schema)s::regnamespace AND c.relkind IN ('r', 'p', 'v')
    UNION ALL
    SELECT 'comment', c.relname, c.relname, obj_description(c.oid, 'pg_class')
    FROM pg_class AS c WHERE c.relnamespace = %(schema)s::regnamespace AND c.relkind IN ('r', 'p', 'v')
    UNION ALL
    SELECT 'comment', c.relname || '.' || a.attname, c.relname, col_description(c.oid, a.attnum)
    FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relnamespace = %(schema)s::regnamespace AND c.relkind IN ('r', 'p', 'v')
    UNION ALL
    SELECT 'column', c.relname || '.' || a.attname, c.relname,
        format_type(a.atttypid, a.atttypmod) || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END
        || coalesce(' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid), '')
    FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef AS d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relnamespace = %(schema)s::regnamespace AND c.relkind IN ('r', 'p')
    UNION ALL
    SELECT 'constraint', c.relname || '.' || o.conname, c.relname, pg_get_constraintdef(o.oid)
    FROM pg_class AS c JOIN pg_constraint AS o ON o.conrelid = c.oid
    WHERE c.relnamespace = %(schema)s::regnamespace AND c.relkind IN ('r', 'p')
    UNION ALL
    SELECT 'index', i.relname, c.relname, pg_get_indexdef(i.oid)
    FROM pg_class AS c JOIN pg_index AS x ON x.indrelid = c.oid JOIN pg_class AS i ON i.oid = x.indexrelid
    WHERE c.relnamespace = %(schema)s::regnamespace AND c.relkind IN ('r', 'p')
    UNION ALL
    SELECT 'trigger', c.relname || '.' || t.tgname, c.relname, t.tgenabled::text || ' ' || pg_get_triggerdef(t.oid)
    FROM pg_class AS c JOIN pg_trigger AS t ON t.tgrelid = c.oid AND NOT t.tgisinternal
    WHERE c.relnamespace = %(schema)s::regnamespace AND c.relkind IN ('r', 'p')
    UNION ALL
    SELECT 'function', p.proname, NULL, p.prosrc
    FROM pg_proc AS p WHERE p.pronamespace = %(schema)s::regnamespace
"""


# In a restored dump of pg_dump, Postgres places the casts of lists of values differently, with the same meaning.
# The types of columns are compared separately.
_CASTS = re.compile(r"::(?:character varying|text)\b(?:\[\])?")
_NEEDLESS_PARENTHESES = re.compile(r"\(('(?:[^']|'')*'|ARRAY\[[^][]*\])\)")


def _without_casts(definition: str, kind: str) -> str:
    if kind not in ("constraint", "index", "view"):
        return definition
    definition = _CASTS.sub("", definition)
    while (shorter := _NEEDLESS_PARENTHESES.sub(r"\1", definition)) != definition:
        definition = shorter
    return definition


def _postgres_definitions(connection: Connection, name: str) -> _Definitions:
    ours = {schema.VERSION_TABLE, *Base.metadata.tables}
    # Some functions of Postgres qualify names although the schema is in the search path.
    qualifier = re.compile(rf"(?<!\w){re.escape(quoted(name))}\.")
    rows = connection.exec_driver_sql(_POSTGRES_OBJECTS, {"schema": quoted(name)}).all()
    return {
        (kind, found): _without_casts(" ".join(qualifier.sub("", text).split()), kind)
        for kind, found, relation, text in rows
        if text is not None and (kind in ("view", "comment", "function") or relation in ours)
    }

"""The roles of a store on Postgres: readers, writers, and the owner of the tables.

Readers and writers have a role each, with a name that contains the store id, because all databases of a server share
their roles. Accounts become members. The privileges are on the tables of the store and on no others. They are granted
on tables of later migrations too: by default privileges if the store has the schema to itself, and by the migration.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from bsv_store.catalog.activity import record_activity
from bsv_store.catalog.database import privileges, schema
from bsv_store.catalog.database.models import Base
from bsv_store.catalog.database.postgres import quoted
from bsv_store.catalog.database.reader import reader_role, writer_role
from bsv_store.errors import InputError, StoreError
from bsv_store.text import shown

if TYPE_CHECKING:
    from bsv_store.catalog.database.engine import Database

# insufficient_privilege
_NOT_ALLOWED = "42501"


@dataclass(frozen=True, slots=True)
class Grants:
    """Statements that grant access to a store.

    Attributes
    ----------
    statements : tuple of str
        Each with a semicolon at the end.
    reader_role, writer_role : str
        The roles of the store.
    applied : bool
        Whether the statements were run.
    """

    statements: tuple[str, ...]
    reader_role: str
    writer_role: str
    applied: bool


def grants(
    database: Database, *, readers: Sequence[str], writers: Sequence[str], admins: Sequence[str], apply: bool
) -> Grants:
    """See `bsv_store.store.schema_changes.grant_access`."""
    database.require_original()
    if database.is_sqlite:
        raise InputError(
            "the database of this store is SQLite, which has no accounts",
            hint="Give the account permission to read the store's folder instead.",
        )
    with database.writing() if apply else database.reading() as connection:
        if apply:
            schema.lock_schema(connection)
        for account in (*readers, *writers, *admins):
            if not _exists(connection, account):
                raise InputError(
                    f"the database server has no account {shown(account)}",
                    hint="Ask an administrator of the server to create it: CREATE ROLE name LOGIN;",
                )
        statements = tuple(_statements(connection, readers, writers, admins))
        names = reader_role(connection), writer_role(connection)
        if apply:
            user = str(connection.exec_driver_sql("SELECT current_user").scalar_one())
            try:
                for statement in statements:
                    connection.exec_driver_sql(statement.replace("%", "%%"))
            except DBAPIError as error:
                raise _refused(error, user, statements) from error
            details = {"readers": ", ".join(readers), "writers": ", ".join(writers), "admins": ", ".join(admins)}
            record_activity(connection, "granted", names[0], {name: text for name, text in details.items() if text})
    return Grants(statements, *names, applied=apply)


def _refused(error: DBAPIError, user: str, statements: Sequence[str]) -> Exception:
    if getattr(error.orig, "sqlstate", None) != _NOT_ALLOWED:
        return error
    text = "\n".join(f"  {each}" for each in statements)
    return StoreError(
        f"the account {user} cannot create and grant the roles of the store: {error.orig}".strip(),
        hint=f"Ask an administrator of the database server to run in the store's database\n{text}",
    )


def _statements(
    connection: Connection, readers: Sequence[str], writers: Sequence[str], admins: Sequence[str]
) -> Iterator[str]:
    owner = privileges.owner_of(connection, schema.VERSION_TABLE)
    assert owner is not None
    account = str(connection.exec_driver_sql("SELECT current_user").scalar_one())
    reader, writer = quoted(reader_role(connection)), quoted(writer_role(connection))
    alone = _has_schema_to_itself(connection)
    yield from _role(connection, reader_role(connection), reader, owner, "SELECT", alone=alone)
    yield from _memberships(connection, reader_role(connection), [account, *readers])
    if writers:
        rights = "SELECT, INSERT, UPDATE, DELETE"
        yield from _role(connection, writer_role(connection), writer, owner, rights, alone=alone)
        # For `Store.sql`, which runs as the reader.
        yield from _memberships(connection, reader_role(connection), [writer_role(connection)])
        yield from _memberships(connection, writer_role(connection), writers)
    if admins:
        if _is_superuser(connection, owner):
            raise InputError(
                f"the tables of the store belong to the superuser {owner}, whose members could change everything",
                hint="Let a role of its own have them: CREATE ROLE bsv_owner NOLOGIN; then, for each table and view, "
                "ALTER TABLE name OWNER TO bsv_owner;",
            )
        yield from _memberships(connection, owner, admins)
        yield from _memberships(connection, reader_role(connection), admins)


def _role(connection: Connection, name: str, role: str, owner: str, rights: str, *, alone: bool) -> Iterator[str]:
    from bsv_store.catalog.tables.views import VIEWS

    place = quoted(privileges.current_schema(connection))
    if not _exists(connection, name):
        yield f"CREATE ROLE {role} NOLOGIN;"
    writes = rights != "SELECT"
    tables = [name for name in Base.metadata.tables if name not in privileges.OWNERS_TABLES]
    read = [*VIEWS, *privileges.OWNERS_TABLES]
    yield f"GRANT USAGE ON SCHEMA {place} TO {role};"
    yield f"GRANT {rights} ON {_qualified(place, tables)} TO {role};"
    yield f"GRANT SELECT ON {_qualified(place, read)} TO {role};"
    if excess := _writable(connection, name, read):
        # Earlier releases did not revoke what default privileges grant on relations that an upgrade creates.
        yield f"REVOKE INSERT, UPDATE, DELETE ON {_qualified(place, excess)} FROM {role};"
    if writes:
        yield f"GRANT USAGE ON SEQUENCE {_qualified(place, _sequences(connection))} TO {role};"
        database = quoted(connection.exec_driver_sql("SELECT current_database()").scalar_one())
        yield f"GRANT TEMPORARY ON DATABASE {database} TO {role};"
    if alone:
        start = f"ALTER DEFAULT PRIVILEGES FOR ROLE {quoted(owner)} IN SCHEMA {place} GRANT"
        yield f"{start} {rights} ON TABLES TO {role};"
        if writes:
            yield f"{start} USAGE ON SEQUENCES TO {role};"


def _memberships(connection: Connection, role: str, accounts: Sequence[str]) -> Iterator[str]:
    """Make accounts members of a role, if they are not."""
    query = (
        "SELECT m.rolname FROM pg_auth_members AS a JOIN pg_roles AS r ON r.oid = a.roleid"
        " JOIN pg_roles AS m ON m.oid = a.member WHERE r.rolname = %(role)s"
    )
    members = set(connection.exec_driver_sql(query, {"role": role}).scalars())
    for account in dict.fromkeys(accounts):
        if account not in members and account != role:
            yield f"GRANT {quoted(role)} TO {quoted(account)};"


def _qualified(place: str, names: Sequence[str]) -> str:
    return ", ".join(f"{place}.{quoted(name)}" for name in sorted(names))


def _sequences(connection: Connection) -> list[str]:
    """The sequences of the tables' ids."""
    found = _relations(connection, "c.relkind = 'S'")
    return [name for name in found if name.removesuffix("_id_seq") in Base.metadata.tables]


def _has_schema_to_itself(connection: Connection) -> bool:
    """Whether there are no tables of other applications, to which default privileges would apply too."""
    return set(_relations(connection, "c.relkind IN ('r', 'p', 'v', 'm', 'f')")) <= schema.relation_names()


def _relations(connection: Connection, condition: str) -> list[str]:
    query = (
        "SELECT c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
        f" WHERE n.nspname = %(schema)s AND {condition} ORDER BY 1"
    )
    return list(connection.exec_driver_sql(query, {"schema": privileges.current_schema(connection)}).scalars())


def _writable(connection: Connection, role: str, names: Sequence[str]) -> list[str]:
    """The relations with these names that a role may write to, sorted."""
    query = (
        "SELECT c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace, pg_roles AS r"
        " WHERE n.nspname = %(schema)s AND r.rolname = %(role)s AND has_table_privilege(r.oid, c.oid, %(rights)s)"
    )
    values = {"schema": privileges.current_schema(connection), "role": role, "rights": "INSERT, UPDATE, DELETE"}
    return sorted(set(connection.exec_driver_sql(query, values).scalars()) & set(names))


def _exists(connection: Connection, role: str) -> bool:
    return bool(_of_role(connection, role, "true"))


def _is_superuser(connection: Connection, role: str) -> bool:
    return bool(_of_role(connection, role, "rolsuper"))


def _of_role(connection: Connection, role: str, what: str) -> Any:
    return connection.exec_driver_sql(f"SELECT {what} FROM pg_roles WHERE rolname = %(role)s", {"role": role}).scalar()

"""The reader role of a store on Postgres: it can read the catalog and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlalchemy import Connection, select

from bsv_store.catalog.database.models import Base, StoreInfo
from bsv_store.errors import InputError, StoreError

if TYPE_CHECKING:
    from bsv_store.catalog.database.engine import Database


def reader_role(connection: Connection) -> str:
    """The name of the reader role of this store. Includes the store id, because databases of a server share roles."""
    store_id = connection.execute(select(StoreInfo.store_id)).scalar_one()
    return f"bsv_store_reader_{store_id.replace('-', '')[:12]}"


def usable_reader_role(connection: Connection) -> str | None:
    """The reader role, if it exists, can read this database and may be used by this account."""
    role = reader_role(connection)
    version = connection.exec_driver_sql("SELECT current_setting('server_version_num')::int").scalar_one()
    may = "SET" if version >= 160_000 else "MEMBER"
    # A copy of the database has the same store id, but not always the privileges.
    query = (
        "SELECT pg_has_role(oid, %(may)s) AND has_table_privilege(oid, 'experiments', 'SELECT') "
        "FROM pg_roles WHERE rolname = %(role)s"
    )
    return role if connection.exec_driver_sql(query, {"may": may, "role": role}).scalar() else None


def is_superuser(connection: Connection) -> bool:
    """Whether this account is a superuser of the server."""
    return bool(connection.exec_driver_sql("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").scalar())


def grant_reading(database: Database, accounts: Sequence[str] = ()) -> str:
    """See `bsv_store.store.opening.grant_reading`."""
    if database.is_sqlite:
        raise InputError(
            "the database of this store is SQLite, which has no accounts",
            hint="Give the account permission to read the store's folder instead.",
        )
    with database.writing() as connection:
        role = reader_role(connection)
        user = connection.exec_driver_sql("SELECT current_user").scalar_one()
        for account in accounts:
            if not _exists(connection, account):
                raise InputError(
                    f"the database server has no account {account!r}",
                    hint="Ask an administrator of the server to create it: CREATE ROLE name LOGIN;",
                )
        try:
            _grant(connection, role, (user, *accounts))
        except Exception as error:
            if getattr(getattr(error, "orig", None), "sqlstate", None) != _NOT_ALLOWED:
                raise
            quoted = connection.dialect.identifier_preparer.quote
            raise StoreError(
                f"the account {user} cannot create and grant the role {role}: {getattr(error, 'orig', error)}".strip(),
                hint=f"Ask an administrator of the database server to run\n"
                f"  CREATE ROLE {quoted(role)} NOLOGIN;\n"
                f"  GRANT {quoted(role)} TO {quoted(user)} WITH ADMIN OPTION;\n"
                "then run `bsv-store db grant` again.",
            ) from error
    return role


# insufficient_privilege
_NOT_ALLOWED = "42501"


def _exists(connection: Connection, role: str) -> bool:
    query = "SELECT count(*) FROM pg_roles WHERE rolname = %(role)s"
    return bool(connection.exec_driver_sql(query, {"role": role}).scalar())


def _grant(connection: Connection, role: str, accounts: Sequence[str]) -> None:
    from bsv_store.catalog.database.schema import VERSION_TABLE
    from bsv_store.catalog.tables.views import VIEWS

    quoted = connection.dialect.identifier_preparer.quote
    name = quoted(role)
    schema = quoted(connection.exec_driver_sql("SELECT current_schema()").scalar_one())
    if not _exists(connection, role):
        connection.exec_driver_sql(f"CREATE ROLE {name} NOLOGIN")
    names = ", ".join(f"{schema}.{quoted(each)}" for each in (*Base.metadata.tables, *VIEWS, VERSION_TABLE))
    connection.exec_driver_sql(f"GRANT USAGE ON SCHEMA {schema} TO {name}")
    connection.exec_driver_sql(f"GRANT SELECT ON {names} TO {name}")
    # For tables and views that later migrations create.
    connection.exec_driver_sql(f"ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT SELECT ON TABLES TO {name}")
    for account in dict.fromkeys(accounts):
        connection.exec_driver_sql(f"GRANT {name} TO {quoted(account)}")

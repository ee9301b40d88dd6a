"""The reader role of a store on Postgres: it can read the catalog and nothing else."""

from __future__ import annotations

from sqlalchemy import Connection, select

from bsv_store.catalog.database.models import StoreInfo


def reader_role(connection: Connection) -> str:
    """The name of the reader role of this store. Includes the store id, because databases of a server share roles."""
    store_id = connection.execute(select(StoreInfo.store_id)).scalar_one()
    return f"bsv_store_reader_{store_id.replace('-', '')[:12]}"


def writer_role(connection: Connection) -> str:
    """The name of the writer role of this store."""
    return reader_role(connection).replace("_reader_", "_writer_")


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

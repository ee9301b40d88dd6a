"""What an account may do in a Postgres database: checks before tables are created or changed, and grants that survive.

The tables of a store belong to one role, the owner. Members of the owner change the schema as the owner, so that all
tables keep one owner.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from bsv_store.catalog.database.postgres import quoted
from bsv_store.errors import AccessDeniedError

# Tables that only the owner writes.
OWNERS_TABLES = ("bsv_store_version", "schema_history")

_TABLES_AND_VIEWS = ("r", "p", "v", "m")
_SEQUENCES = ("S",)


def current_schema(connection: Connection) -> str:
    """The schema of the store."""
    path: str = connection.exec_driver_sql("SHOW search_path").scalar_one()
    return path[1:-1].replace('""', '"') if path.startswith('"') else path


def require_creation(connection: Connection) -> None:
    """Check that this account may create the tables of a store in the schema.

    Raises
    ------
    AccessDeniedError
        If it may not, or there is no such schema. The hint contains the statement that an administrator must run.
    """
    schema = current_schema(connection)
    account, database = _one(connection, "SELECT current_user, current_database()")
    exists = _one(connection, "SELECT count(*) FROM pg_namespace WHERE nspname = %(schema)s", schema=schema)[0]
    if not exists:
        raise AccessDeniedError(
            f"the database {database} has no schema {schema}",
            hint="Create it, or ask an administrator of the database server to run in this database\n"
            f"  CREATE SCHEMA {quoted(schema)} AUTHORIZATION {quoted(account)};",
        )
    may = "SELECT has_schema_privilege(%(schema)s, 'CREATE') AND has_schema_privilege(%(schema)s, 'USAGE')"
    if not _one(connection, may, schema=schema)[0]:
        raise AccessDeniedError(
            f"the account {account} may not create tables in the schema {schema} of the database {database}: it does "
            "not have the privilege CREATE",
            hint="Ask the owner of the database, or an administrator of the server, to run in this database\n"
            f"  GRANT USAGE, CREATE ON SCHEMA {quoted(schema)} TO {quoted(account)};",
        )
    # For the functions of triggers.
    if not _one(connection, "SELECT has_language_privilege('plpgsql', 'USAGE')")[0]:
        raise AccessDeniedError(
            f"the account {account} may not create functions in the database {database}: it does not have the privilege"
            " USAGE on the language plpgsql",
            hint="Ask an administrator of the database server to run in this database\n"
            f"  GRANT USAGE ON LANGUAGE plpgsql TO {quoted(account)};",
        )


def become_owner(connection: Connection, marker: str) -> None:
    """Act as the owner of the tables until the end of the transaction.

    Parameters
    ----------
    connection : Connection
    marker : str
        A table of the store.

    Raises
    ------
    AccessDeniedError
        If this account is not the owner and not a member of it.
    """
    owner = owner_of(connection, marker)
    account = _one(connection, "SELECT current_user")[0]
    if owner is None or owner == account:
        return
    member = "SELECT pg_has_role(%(owner)s, 'MEMBER')"
    if not _one(connection, member, owner=owner)[0]:
        raise AccessDeniedError(
            f"the account {account} may not change the schema of the store: its tables belong to {owner}",
            hint=f"Run the command as {owner}, or let an administrator of the server run\n"
            f"  GRANT {quoted(owner)} TO {quoted(account)};",
        )
    connection.exec_driver_sql(f"SET LOCAL ROLE {quoted(owner)}".replace("%", "%%"))


def owner_of(connection: Connection, marker: str) -> str | None:
    """The owner of a table of the store; None if there is no such table."""
    query = (
        "SELECT pg_get_userbyid(c.relowner) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %(schema)s AND c.relname = %(marker)s"
    )
    found: str | None = connection.exec_driver_sql(
        query, {"schema": current_schema(connection), "marker": marker}
    ).scalar()
    return found


def require_usage(connection: Connection) -> None:
    """Check that this account may use the schema; without that, Postgres behaves as if there were no tables.

    Raises
    ------
    AccessDeniedError
    """
    schema = current_schema(connection)
    query = "SELECT current_user, has_schema_privilege(oid, 'USAGE') FROM pg_namespace WHERE nspname = %(schema)s"
    row = connection.exec_driver_sql(query, {"schema": schema}).first()
    if row is not None and not row[1]:
        raise AccessDeniedError(
            f"the account {row[0]} may not read the schema {schema} of the database",
            hint="Ask the store's maintainer to grant this account access: "
            f"bsv-store db grant --reader {row[0]} --apply",
        )


def taken_names(connection: Connection, names: Collection[str]) -> list[str]:
    """Those of the names that relations in the schema have already."""
    query = (
        "SELECT c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %(schema)s"
    )
    found = connection.exec_driver_sql(query, {"schema": current_schema(connection)}).scalars()
    return sorted(set(found) & set(names))


# -- grants that survive a change of the schema -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Access:
    """Privileges on the relations of a schema: for each relation, its kind and its (role, privilege) pairs."""

    relations: Mapping[str, tuple[str, frozenset[tuple[str, str]]]]


def access(connection: Connection) -> Access:
    """The privileges that roles other than the owner have on the relations of the schema."""
    query = """
        SELECT c.relname, c.relkind,
            CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END, a.privilege_type
        FROM pg_class AS c
        JOIN pg_namespace AS n ON n.oid = c.relnamespace
        LEFT JOIN LATERAL aclexplode(c.relacl) AS a ON a.grantee <> c.relowner
        WHERE n.nspname = %(schema)s AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
    """
    found: dict[str, tuple[str, set[tuple[str, str]]]] = {}
    for name, kind, grantee, privilege in connection.exec_driver_sql(query, {"schema": current_schema(connection)}):
        pairs = found.setdefault(name, (kind, set()))[1]
        if grantee is not None:
            pairs.add((grantee, privilege))
    return Access({name: (kind, frozenset(pairs)) for name, (kind, pairs) in found.items()})


def restore_access(connection: Connection, before: Access, ours: frozenset[str]) -> None:
    """Grant again what roles had before a change of the schema.

    A relation that was created again gets the privileges that it had; a new one those that a role had on every table of
    the store (or sequence, if it is one). So a reader of all tables remains a reader of all tables.

    Default privileges of a writer apply to every new relation, including views and `OWNERS_TABLES`, which only the
    owner may change. On these, the privileges to write are revoked.

    Parameters
    ----------
    connection : Connection
    before : Access
        Before the change.
    ours : frozenset of str
        The relations of the store; others are not touched, and do not count.
    """
    after = access(connection)
    everywhere = {kinds: _on_every_one(before, kinds, ours) for kinds in (_TABLES_AND_VIEWS, _SEQUENCES)}
    for name, (kind, present) in sorted(after.relations.items()):
        is_ours, is_read_only = _is_ours(name, kind, ours), kind in ("v", "m") or name in OWNERS_TABLES
        if name in before.relations:
            wanted = before.relations[name][1]
        elif is_ours:
            wanted = everywhere[_SEQUENCES if kind in _SEQUENCES else _TABLES_AND_VIEWS]
            if is_read_only:
                wanted = _reading(wanted)
        else:
            continue
        what = "SEQUENCE" if kind in _SEQUENCES else "TABLE"
        statements = [f"GRANT {right} ON {what} {quoted(name)} TO {role}" for role, right in sorted(wanted - present)]
        if is_ours and is_read_only:
            by_default = sorted(present - wanted - _reading(present))
            statements += [f"REVOKE {right} ON TABLE {quoted(name)} FROM {role}" for role, right in by_default]
        for statement in statements:
            connection.exec_driver_sql(statement.replace("%", "%%"))


def _reading(pairs: frozenset[tuple[str, str]]) -> frozenset[tuple[str, str]]:
    return frozenset(pair for pair in pairs if pair[1] == "SELECT")


def _on_every_one(before: Access, kinds: Collection[str], ours: frozenset[str]) -> frozenset[tuple[str, str]]:
    counted = [
        pairs
        for name, (kind, pairs) in before.relations.items()
        if kind in kinds
        and kind not in ("v", "m")
        and name not in OWNERS_TABLES
        and (name in ours or kind in _SEQUENCES)
    ]
    return frozenset.intersection(*counted) if counted else frozenset()


def _is_ours(name: str, kind: str, ours: frozenset[str]) -> bool:
    return (name.removesuffix("_id_seq") if kind in _SEQUENCES else name) in ours


def _one(connection: Connection, query: str, **values: str) -> tuple[Any, ...]:
    return tuple(connection.exec_driver_sql(query, values or None).one())

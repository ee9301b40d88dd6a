"""What a catalog holds, to be compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, text

from bsv_store.catalog.database.models import Base
from tests.sealing import sealed_changes

if TYPE_CHECKING:
    from bsv_store.catalog.database.engine import Database


def rows(database: Database, query: str) -> list[dict[str, Any]]:
    """The rows of a query; booleans of SQLite are turned into such."""
    with database.reading() as connection:
        found = [dict(row) for row in connection.execute(text(query)).mappings()]
    for row in found:
        for name in row.keys() & {"withdrawn", "is_injection"}:
            row[name] = bool(row[name])
    return found


def dump(
    database: Database, *tables: str, without: Mapping[str, str] | None = None
) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of these tables, without a column of some of them."""
    found = {}
    left_out = without or {}
    with database.reading() as connection:
        for name in tables:
            table = Base.metadata.tables[name]
            query = select(*(column for column in table.columns if column.name != left_out.get(name))).order_by(
                *table.primary_key.columns
            )
            found[name] = [tuple(row) for row in connection.execute(query)]
    return found


def current_experiments(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """All that is current of experiments; lines by name, since their row ids are given as they come."""
    found = dump(database, "experiment", "experiment_injection_structure")
    with database.reading() as connection:
        for label, query in (
            ("lines", "SELECT name, allen_id, type_name, description, stock_number FROM transgenic_line"),
            (
                "experiment_lines",
                "SELECT e.experiment_id, t.name FROM experiment_line e JOIN transgenic_line t"
                " ON t.id = e.transgenic_line_id",
            ),
        ):
            found[label] = sorted(tuple(row) for row in connection.execute(text(query)))
    return found


def forget_experiments(database: Database) -> None:
    """Take all experiments and their lists out again."""
    tables = (
        "snapshot_member",
        "experiment_revision",
        "experiment_line",
        "experiment_injection_structure",
        "transgenic_line",
        "experiment",
    )
    with sealed_changes(database) as connection:
        for table in tables:
            connection.exec_driver_sql(f"DELETE FROM {table}")
        connection.exec_driver_sql("DELETE FROM source_snapshot WHERE what = 'experiments'")

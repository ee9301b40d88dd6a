"""The exclusion list: experiments that selections leave out, with reasons and history."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, Select, insert, select, update

from bsv_store.catalog import seals
from bsv_store.catalog.activity import Details, record_activity
from bsv_store.catalog.database.bulk import table_of
from bsv_store.catalog.database.engine import Database
from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import Exclusion
from bsv_store.catalog.database.models.base import now
from bsv_store.catalog.edits import check_line_of_text, refusing_concurrent_change
from bsv_store.catalog.locks import lock_experiments
from bsv_store.catalog.selection.names import check_experiments
from bsv_store.catalog.selection.selection import Selection
from bsv_store.errors import InputError
from bsv_store.owner import current_user
from bsv_store.text import listed, listed_ids


@dataclass(frozen=True, slots=True)
class ExcludedExperiment:
    """An experiment that is on the exclusion list, or was until ``lifted_at``."""

    experiment_id: int
    reason: str
    excluded_by: str
    excluded_at: datetime
    lifted_by: str | None
    lifted_at: datetime | None


def excluded_ids() -> Select[int]:
    """A SELECT of the ids on the exclusion list; also serves as a subquery."""
    return _EXCLUDED


_EXCLUDED: Final = select(Exclusion.experiment_id).where(Exclusion.lifted_at.is_(None))


def excluded(connection: Connection, ids: Iterable[int]) -> dict[int, str]:
    """The experiments among ``ids`` that are on the exclusion list: reason by id, ascending."""
    query = select(Exclusion.experiment_id, Exclusion.reason).where(
        Exclusion.lifted_at.is_(None), id_in(connection, Exclusion.experiment_id, ids)
    )
    return {identifier: reason for identifier, reason in connection.execute(query.order_by(Exclusion.experiment_id))}


def exclusions(connection: Connection, *, history: bool) -> list[ExcludedExperiment]:
    """See :meth:`bsv_store.store.catalog.Catalog.exclusions`; with ``history`` in the order they were made."""
    table = table_of(Exclusion).c
    query = select(*(table[name] for name in ExcludedExperiment.__slots__))
    query = (
        query.order_by(table.id) if history else query.where(table.lifted_at.is_(None)).order_by(table.experiment_id)
    )
    return [ExcludedExperiment(*row) for row in connection.execute(query)]


def exclude(database: Database, ids: Collection[int], reason: str, *, replace: bool) -> tuple[int, ...]:
    """See :meth:`bsv_store.store.catalog.Catalog.exclude`."""
    check_line_of_text("reason", reason)
    with database.writing() as connection:
        wanted = _locked_ids(connection, ids)
        before = excluded(connection, wanted)
        other = [identifier for identifier, old in before.items() if old != reason]
        if other and not replace:
            raise InputError(
                f"experiment {other[0]} is on the exclusion list for another reason: {before[other[0]]}",
                hint="Replace the reason with replace=True.",
            )
        _lift(connection, other)
        new = [identifier for identifier in wanted if before.get(identifier) != reason]
        values = {"reason": reason, "excluded_by": current_user(), "excluded_at": now()}
        with refusing_concurrent_change("the exclusion list"):
            rows = [{"experiment_id": identifier, **values} for identifier in new]
            statement = insert(table_of(Exclusion)).returning(table_of(Exclusion).c.id)
            added = [connection.execute(statement.values(row)).scalar_one() for row in rows]
        seals.seal_rows(connection, Exclusion, added)
        if new:
            details: Details = {"experiments": len(new), "reason": reason}
            record_activity(connection, "excluded", f"experiments {listed_ids(new)}", details)
        return tuple(new)


def lift_exclusion(database: Database, ids: Collection[int]) -> tuple[int, ...]:
    """See :meth:`bsv_store.store.catalog.Catalog.lift_exclusion`."""
    with database.writing() as connection:
        wanted = _locked_ids(connection, ids)
        in_force = excluded(connection, wanted)
        others = [identifier for identifier in wanted if identifier not in in_force]
        if others:
            raise InputError(
                f"not on the exclusion list: {listed(others)}", hint="See it with `bsv-store exclude list`."
            )
        _lift(connection, wanted)
        details = {"experiments": len(wanted)}
        record_activity(connection, "included", f"experiments {listed_ids(wanted)}", details)
    return wanted


def _lift(connection: Connection, ids: Collection[int]) -> None:
    table = table_of(Exclusion)
    in_force = table.c.lifted_at.is_(None), id_in(connection, table.c.experiment_id, ids)
    rows = connection.scalars(select(table.c.id).where(*in_force).with_for_update()).all()
    seals.check_rows(connection, Exclusion, rows)
    changed = update(table).where(id_in(connection, table.c.id, rows))
    connection.execute(changed.values(lifted_by=current_user(), lifted_at=now()))
    seals.seal_rows(connection, Exclusion, rows)


def _locked_ids(connection: Connection, ids: Collection[int]) -> tuple[int, ...]:
    """The ids of experiments, ascending, whose exclusions no other process changes until the transaction ends."""
    (leaf,) = Selection(ids=ids).leaves()
    wanted = leaf.ids or ()
    check_experiments(connection, wanted)
    lock_experiments(connection, wanted)
    return wanted

"""Selections that the lab shares under a name, and experiments that it does not use.

Both keep their whole history: what a name meant, and which experiments were excluded, can be told for any moment.
"""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from bsv_store.catalog.database.bulk import table_of
from bsv_store.catalog.database.engine import Database
from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import Exclusion, NamedSelection
from bsv_store.catalog.database.models.base import now
from bsv_store.catalog.selection.names import check_experiments, looked_up
from bsv_store.catalog.selection.selection import Selection
from bsv_store.errors import BusyError, InputError
from bsv_store.text import listed, near_names, shown

# As datasets are named.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_NAME_RULE = "A name is letters, digits, '.', '_' and '-', at most 100, the first a letter or digit."
_MAX_TEXT = 1_000


@dataclass(frozen=True, slots=True)
class SavedSelection:
    """What a name meant from ``saved_at`` on."""

    name: str
    number: int
    """From 1; the highest of a name is what it means today."""
    selection: Selection
    note: str | None
    saved_by: str
    saved_at: datetime


@dataclass(frozen=True, slots=True)
class ExcludedExperiment:
    """An experiment that selections leave out, or left out until ``lifted_at``."""

    experiment_id: int
    reason: str
    excluded_by: str
    excluded_at: datetime
    lifted_by: str | None
    lifted_at: datetime | None


def current_user() -> str:
    """The name that this user goes by on this machine."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        # No such user in the password database, as in some containers.
        return str(os.getuid())


@contextmanager
def _alone(what: str) -> Iterator[None]:
    """Say who was in the way where the database's own constraint finds that two did the same at once."""
    try:
        yield
    except IntegrityError as error:
        raise BusyError(f"somebody else changed {what} at the same moment", hint="Look, and try again.") from error


# -- named selections -------------------------------------------------------------------------------------------------


def save_selection(
    database: Database, name: str, selection: Selection, *, note: str | None = None, replace: bool = False
) -> SavedSelection:
    """The selection as it now stands under a name; what the name meant before is kept as history.

    Saving what the name means already changes nothing.

    Raises
    ------
    InputError
        If it cannot be a name, or the name means something else and ``replace`` is not set.
    UnknownStructureError, UnknownExperimentError, SelectionError
        If the selection names what the catalog does not have.
    BusyError
        If somebody else saved under that name at the same moment.
    """
    _check_name(name)
    if note is not None:
        _check_text("note", note)
    with database.writing() as connection:
        looked_up(connection, selection)
        current = _current(connection, name)
        if current is not None and current.selection == selection and note in (None, current.note):
            return current
        if current is not None and not replace:
            raise InputError(
                f"the name {name!r} means {current.selection!r}, saved by {current.saved_by}",
                hint=f"Choose another name, or replace it (--replace): {name}@{current.number} goes on meaning this.",
            )
        values = {
            "name": name,
            "number": 1 if current is None else current.number + 1,
            "selection": selection.to_json(),
            "note": note,
            "saved_by": current_user(),
            "saved_at": now(),
        }
        with _alone(f"the named selection {name!r}"):
            connection.execute(insert(table_of(NamedSelection)).values(values))
        return find_selection(connection, name)


def find_selection(connection: Connection, name: str) -> SavedSelection:
    """What a name means today, or with ``name@number`` what it meant then.

    Raises
    ------
    InputError
        If no selection has that name or number; near names are in the hint.
    """
    base, at, number = name.partition("@")
    found = _current(connection, base) if not at else _numbered(connection, base, number)
    if found is not None:
        return found
    names = sorted(connection.scalars(select(NamedSelection.name).distinct()))
    if base in names:
        last = _current(connection, base)
        assert last is not None
        raise InputError(
            f"the named selection {base!r} has no number {shown(number)}", hint=f"They are 1 to {last.number}."
        )
    near = near_names(base, names) or names
    raise InputError(
        f"no selection is named {shown(base)}",
        hint=f"There are {listed(near)}." if near else "None is saved yet: `bsv-store selection save NAME ...`.",
    )


def named_selections(connection: Connection, *, history: str | None = None) -> list[SavedSelection]:
    """What every name means today, by name; or with ``history`` all that one name ever meant, the first first.

    Raises
    ------
    InputError
        If no selection has the name ``history``.
    """
    if history is not None:
        find_selection(connection, history)
        own = _saved().where(NamedSelection.name == history).order_by(NamedSelection.number)
        return [_value(row) for row in connection.execute(own)]
    last = select(NamedSelection.name, func.max(NamedSelection.number).label("number")).group_by(NamedSelection.name)
    newest = last.subquery()
    query = _saved().join(newest, (newest.c.name == NamedSelection.name) & (newest.c.number == NamedSelection.number))
    # In Python: the databases sort text by different rules.
    return sorted((_value(row) for row in connection.execute(query)), key=lambda saved: saved.name)


def _saved() -> Select[Any]:
    names = ("name", "number", "selection", "note", "saved_by", "saved_at")
    return select(*(table_of(NamedSelection).c[name] for name in names))


def _value(row: Row[Any]) -> SavedSelection:
    return SavedSelection(
        row.name, row.number, Selection.from_json(row.selection), row.note, row.saved_by, row.saved_at
    )


def _current(connection: Connection, name: str) -> SavedSelection | None:
    if not _NAME.fullmatch(name):
        return None
    query = _saved().where(NamedSelection.name == name).order_by(NamedSelection.number.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    return None if row is None else _value(row)


def _numbered(connection: Connection, name: str, number: str) -> SavedSelection | None:
    if not _NAME.fullmatch(name) or not re.fullmatch(r"[0-9]{1,9}", number):
        return None
    row = connection.execute(
        _saved().where(NamedSelection.name == name, NamedSelection.number == int(number))
    ).one_or_none()
    return None if row is None else _value(row)


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InputError(f"{shown(name)} cannot be the name of a selection", hint=_NAME_RULE)


def _check_text(what: str, text: object) -> None:
    if not isinstance(text, str) or not text.strip() or len(text) > _MAX_TEXT or not text.isprintable():
        raise InputError(
            f"{shown(text)} cannot be the {what}", hint=f"It is one line of 1 to {_MAX_TEXT:,} printable characters."
        )


# -- exclusions -------------------------------------------------------------------------------------------------------


def excluded_ids() -> Select[int]:
    """A SELECT of the ids of the experiments that are excluded now; also serves as a subquery."""
    return select(Exclusion.experiment_id).where(Exclusion.lifted_at.is_(None))


def excluded(connection: Connection, ids: Iterable[int]) -> dict[int, str]:
    """Those of the experiments that are excluded now, with the reason, ascending by id."""
    query = select(Exclusion.experiment_id, Exclusion.reason).where(
        Exclusion.lifted_at.is_(None), id_in(connection, Exclusion.experiment_id, ids)
    )
    return {identifier: reason for identifier, reason in connection.execute(query.order_by(Exclusion.experiment_id))}


def exclusions(connection: Connection, *, history: bool = False) -> list[ExcludedExperiment]:
    """The exclusions in force, by experiment; with ``history`` those that were lifted too, in the order they came."""
    table = table_of(Exclusion).c
    query = select(*(table[name] for name in ExcludedExperiment.__slots__))
    query = (
        query.order_by(table.id) if history else query.where(table.lifted_at.is_(None)).order_by(table.experiment_id)
    )
    return [ExcludedExperiment(*row) for row in connection.execute(query)]


def exclude(database: Database, ids: Collection[int], reason: str, *, replace: bool = False) -> tuple[int, ...]:
    """Ids, ascending, of the experiments that are excluded from now on, or for another reason than before.

    Raises
    ------
    InputError
        If no reason is given, or one is excluded for another reason and ``replace`` is not set.
    UnknownExperimentError
        If the catalog does not have one of them; nothing is changed then.
    """
    _check_text("reason", reason)
    with database.writing() as connection:
        wanted = _checked_ids(connection, ids)
        before = excluded(connection, wanted)
        other = [identifier for identifier, old in before.items() if old != reason]
        if other and not replace:
            raise InputError(
                f"excluded for another reason already: {other[0]} ({before[other[0]]})",
                hint="Replace the reason (--replace), or leave it.",
            )
        _lift(connection, other)
        new = [identifier for identifier in wanted if before.get(identifier) != reason]
        values = {"reason": reason, "excluded_by": current_user(), "excluded_at": now()}
        with _alone("the exclusion list"):
            for identifier in new:
                connection.execute(insert(table_of(Exclusion)).values(experiment_id=identifier, **values))
        return tuple(new)


def lift_exclusion(database: Database, ids: Collection[int]) -> tuple[int, ...]:
    """Ids, ascending, of the experiments that are used again from now on.

    Raises
    ------
    InputError
        If one of them is not excluded; nothing is changed then.
    UnknownExperimentError
        If the catalog does not have one of them.
    """
    with database.writing() as connection:
        wanted = _checked_ids(connection, ids)
        in_force = excluded(connection, wanted)
        others = [identifier for identifier in wanted if identifier not in in_force]
        if others:
            raise InputError(f"not excluded: {listed(others)}", hint="`bsv-store exclude list` shows what is.")
        _lift(connection, wanted)
    return wanted


def _lift(connection: Connection, ids: Collection[int]) -> None:
    table = table_of(Exclusion)
    connection.execute(
        update(table)
        .where(table.c.lifted_at.is_(None), id_in(connection, table.c.experiment_id, ids))
        .values(lifted_by=current_user(), lifted_at=now())
    )


def _checked_ids(connection: Connection, ids: Collection[int]) -> tuple[int, ...]:
    (leaf,) = Selection(ids=ids).leaves()
    wanted = leaf.ids or ()
    check_experiments(connection, wanted)
    return wanted

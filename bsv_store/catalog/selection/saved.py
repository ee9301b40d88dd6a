"""Selections saved under a name, with the history of each name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, func, insert, select

from bsv_store.catalog import seals
from bsv_store.catalog.activity import record_activity
from bsv_store.catalog.database.bulk import table_of
from bsv_store.catalog.database.engine import Database
from bsv_store.catalog.database.models import Dataset, NamedSelection
from bsv_store.catalog.database.models.base import now
from bsv_store.catalog.edits import check_line_of_text, refusing_concurrent_change
from bsv_store.catalog.selection.resolve import check_selection
from bsv_store.catalog.selection.selection import Selection
from bsv_store.errors import InputError
from bsv_store.html import card, preformatted
from bsv_store.owner import current_user
from bsv_store.text import listed, near_names, shown

# The rule for names of datasets.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_NAME_RULE = "A name has at most 100 letters, digits, '.', '_' and '-', and starts with a letter or digit."


@dataclass(frozen=True, slots=True)
class SavedSelection:
    """A selection that was saved under a name at ``saved_at``."""

    name: str
    number: int
    """From 1; the highest number of a name is the current one."""
    selection: Selection
    note: str | None
    saved_by: str
    saved_at: datetime

    def _repr_html_(self) -> str:
        facts = [("Note", self.note), ("Saved", f"{self.saved_at:%Y-%m-%d %H:%M} UTC by {self.saved_by}")]
        selection = preformatted(repr(self.selection))
        return card(f"{self.name}@{self.number}", selection, kind="saved selection", facts=facts)


def save_selection(
    database: Database, name: str, selection: Selection, *, note: str | None, replace: bool
) -> SavedSelection:
    """See :meth:`bsv_store.store.catalog.Catalog.save_selection`.

    Saving the same selection again changes nothing.
    """
    _check_name(name)
    if note is not None:
        check_line_of_text("note", note)
    # A writing transaction of Postgres sees what others commit between its statements: it could read the seals, and
    # then a row that was not there yet.
    with database.reading() as connection:
        seals.check_rows(connection, NamedSelection)
    with database.writing() as connection:
        check_selection(connection, selection)
        current = _current(connection, name)
        if current is not None and current.selection == selection and note in (None, current.note):
            return current
        if current is not None and not replace:
            raise InputError(
                f"the name {name!r} is in use for {current.selection!r}, saved by {current.saved_by}",
                hint="Choose another name, or replace it with replace=True;"
                f" the old one remains available as {name}@{current.number}.",
            )
        number = 1 if current is None else current.number + 1
        values = {
            "name": name,
            "number": number,
            "selection": selection.to_json(),
            "note": note,
            "saved_by": current_user(),
            "saved_at": now(),
        }
        with refusing_concurrent_change(f"the saved selection {name!r}"):
            statement = insert(table_of(NamedSelection)).returning(table_of(NamedSelection).c.id)
            identifier = connection.execute(statement.values(values)).scalar_one()
        saved = _value(connection.execute(_saved().where(NamedSelection.id == identifier)).one())
        seals.seal_rows(connection, NamedSelection, [identifier])
        details = {} if note is None else {"note": note}
        record_activity(connection, "saved", f"selection {name}@{number}", details)
        return saved


def find_selection(connection: Connection, name: str) -> SavedSelection:
    """The saved selection of that name, or with ``name@number`` an earlier one.

    Raises
    ------
    InputError
        If there is none; the hint suggests similar names.
    DamagedCatalogError
        If any saved selection differs from what was stored. The transaction must see a single state of the database.
    """
    # If the row of the current selection is lost, an earlier one must not be returned instead.
    seals.check_rows(connection, NamedSelection)
    base, at, number = name.partition("@")
    found = _current(connection, base) if not at else _numbered(connection, base, number)
    if found is not None:
        return found
    names = sorted(connection.scalars(select(NamedSelection.name).distinct()))
    if base in names:
        last = _current(connection, base)
        assert last is not None
        raise InputError(
            f"the saved selection {base!r} has no number {shown(number)}", hint=f"Numbers are 1 to {last.number}."
        )
    if connection.scalar(select(Dataset.name).where(Dataset.name == base)) is not None:
        hint = f"{base} is a dataset. To compare two of its groups: bsv-store compare {base} --groups A B"
    elif names:
        near = near_names(base, names)
        meant = f"Did you mean {listed(near)}? " if near else ""
        hint = f"{meant}Saved selections: {listed(names)}."
    else:
        hint = "None is saved yet. Save one: `bsv-store selection save NAME ...`."
    raise InputError(f"no selection is saved as {shown(base)}", hint=hint)


def saved_selections(connection: Connection, *, history: str | None) -> list[SavedSelection]:
    """See :meth:`bsv_store.store.catalog.Catalog.selections`: sorted by name, the history of one name by number."""
    if history is not None:
        find_selection(connection, history)
        own = _saved().where(NamedSelection.name == history).order_by(NamedSelection.number)
        return [_value(row) for row in connection.execute(own)]
    last = select(NamedSelection.name, func.max(NamedSelection.number).label("number")).group_by(NamedSelection.name)
    newest = last.subquery()
    query = _saved().join(newest, (newest.c.name == NamedSelection.name) & (newest.c.number == NamedSelection.number))
    # Sorted in Python: the databases sort text by different rules.
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
        raise InputError(f"{shown(name)} is not a valid name for a selection", hint=_NAME_RULE)

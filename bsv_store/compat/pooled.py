"""The pooled injection rows of a call, read from the store on first access.

Few scripts use them, and as Python values they take as long as the averaging: 66 rows of 19 fields per experiment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial, wraps
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import Unionize, UnionizeCoverage
from bsv_store.catalog.records import UNIONIZE_FIELDS
from bsv_store.errors import StoreError
from bsv_store.store.opening import open_store

FIELDS = (*(field for field, _, _ in UNIONIZE_FIELDS), "experimentID")
Columns = dict[str, list[Any]]


class InjectionRows(Columns):
    """A dictionary of lists that is filled on first access and pickled as a plain dict.

    Parameters
    ----------
    read : callable
        Returns the columns: all of `FIELDS`.
    """

    def __init__(self, read: Callable[[], Columns]) -> None:
        # All keys exist from the start, so that len() is correct before anything is read.
        super().__init__({field: [] for field in FIELDS})
        self._read: Callable[[], Columns] | None = read

    def _fill(self) -> None:
        if self._read is not None:
            columns = self._read()
            self._read = None
            dict.update(self, columns)

    def __reduce__(self) -> tuple[type[Columns], tuple[Columns]]:
        return dict, (dict(self),)


def _filling(name: str) -> Callable[..., Any]:
    method = getattr(dict, name)

    @wraps(method)
    def filled(self: InjectionRows, *arguments: Any, **options: Any) -> Any:
        self._fill()
        return method(self, *arguments, **options)

    return filled


# All methods of dict that read or replace values. They include __iter__ and keys, which dict(rows), {**rows} and C code
# that respects subclasses, such as json, use.
for _name in (
    *("__getitem__", "__setitem__", "__delitem__", "__iter__", "__reversed__", "__repr__", "__eq__", "__ne__"),
    *("__or__", "__ror__", "__ior__", "keys", "values", "items", "get", "pop", "popitem", "setdefault", "update"),
    *("copy", "clear"),
):
    setattr(InjectionRows, _name, _filling(_name))


def injection_rows(store: Path | str, ids: Sequence[int], tables: Mapping[int, str]) -> InjectionRows:
    """The injection rows of the experiments, pooled by column; a StoreError on access if they have been replaced.

    Columns have the names of the API; ``experimentID`` is the last. Experiments are in the order of the ids.

    Parameters
    ----------
    store : pathlib.Path or str
        Folder or address of the store, which is opened again on first access.
    ids : sequence of int
    tables : mapping of int to str
        Hash of each experiment's injection rows at the time of the call, see :func:`injection_tables`.
    """
    return InjectionRows(partial(_read, store, tuple(ids), dict(tables)))


def injection_tables(connection: Connection, ids: Sequence[int]) -> dict[int, str]:
    """Hash of the injection rows by experiment id, for the experiments whose injection rows are in the store."""
    query = select(UnionizeCoverage.experiment_id, UnionizeCoverage.content_sha256).where(
        id_in(connection, UnionizeCoverage.experiment_id, ids), UnionizeCoverage.part == "injection"
    )
    return {row[0]: row[1] for row in connection.execute(query).all()}


def _read(store: Path | str, ids: tuple[int, ...], tables: dict[int, str]) -> Columns:
    with open_store(store, read_only=True) as opened, opened.database.reading() as connection:
        # Rows that were added after the call are ignored.
        ids = tuple(experiment_id for experiment_id in ids if experiment_id in tables)
        if injection_tables(connection, ids) != tables:
            raise StoreError(
                "the injection rows of these experiments have been replaced since the call that averaged them",
                hint="Call fetch_connectivity_data again for averages and rows that match.",
            )
        columns = [Unionize.__table__.columns[column] for _, column, _ in UNIONIZE_FIELDS]
        query = select(*columns).where(id_in(connection, Unionize.experiment_id, ids), Unionize.is_injection)
        order = {experiment_id: place for place, experiment_id in enumerate(ids)}
        rows = sorted(connection.execute(query).all(), key=lambda row: (order[row[0]], row[1], row[2]))
    values = zip(*rows, strict=True) if rows else [()] * len(columns)
    pooled = {field: list(column) for (field, _, _), column in zip(UNIONIZE_FIELDS, values, strict=True)}
    pooled["experimentID"] = list(pooled["section_data_set_id"])
    return pooled

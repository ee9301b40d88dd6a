"""The pooled injection rows of a call, read from the store when somebody looks at them.

Few scripts do, and as Python values these rows cost as much as the averaging: 66 rows of 19 fields an experiment.
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
    """A dictionary of lists that is filled when it is first looked at, and pickled as a plain one.

    Parameters
    ----------
    read : callable
        Gives the columns: all of `FIELDS`.
    """

    def __init__(self, read: Callable[[], Columns]) -> None:
        # The keys are there from the start, so that what asks for the length alone is answered rightly.
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


# All of dict that reads or replaces values. With __iter__ and keys among them, dict(rows), {**rows} and C code that
# honors subclasses, such as json's, come through here as well.
for _name in (
    *("__getitem__", "__setitem__", "__delitem__", "__iter__", "__reversed__", "__repr__", "__eq__", "__ne__"),
    *("__or__", "__ror__", "__ior__", "keys", "values", "items", "get", "pop", "popitem", "setdefault", "update"),
    *("copy", "clear"),
):
    setattr(InjectionRows, _name, _filling(_name))


def injection_rows(store: Path, ids: Sequence[int], tables: Mapping[int, str]) -> InjectionRows:
    """The injection rows of some experiments, pooled column by column; a StoreError if they have changed meanwhile.

    Columns have the API's names; ``experimentID`` comes last. Experiments come in the order of the ids.

    Parameters
    ----------
    store : pathlib.Path
        The store's folder: it is opened again when the rows are looked at.
    ids : sequence of int
    tables : mapping of int to str
        Hash of each experiment's injection rows, as :func:`injection_tables` gave it to the call.
    """
    return InjectionRows(partial(_read, store, tuple(ids), dict(tables)))


def injection_tables(connection: Connection, ids: Sequence[int]) -> dict[int, str]:
    """Hash of the injection half of the unionize table of each experiment that has it in the store."""
    query = select(UnionizeCoverage.experiment_id, UnionizeCoverage.content_sha256).where(
        id_in(connection, UnionizeCoverage.experiment_id, ids), UnionizeCoverage.part == "injection"
    )
    return {row[0]: row[1] for row in connection.execute(query).all()}


def _read(store: Path, ids: tuple[int, ...], tables: dict[int, str]) -> Columns:
    with open_store(store, read_only=True) as opened, opened.database.reading() as connection:
        # Of those alone that had rows then: what came for others since is none of this call's.
        ids = tuple(experiment_id for experiment_id in ids if experiment_id in tables)
        if injection_tables(connection, ids) != tables:
            raise StoreError(
                "the injection rows of these experiments have been replaced since the call that averaged them",
                hint="Call fetch_connectivity_data again: averages and rows then belong together.",
            )
        columns = [Unionize.__table__.columns[column] for _, column, _ in UNIONIZE_FIELDS]
        query = select(*columns).where(id_in(connection, Unionize.experiment_id, ids), Unionize.is_injection)
        order = {experiment_id: place for place, experiment_id in enumerate(ids)}
        rows = sorted(connection.execute(query).all(), key=lambda row: (order[row[0]], row[1], row[2]))
    values = zip(*rows, strict=True) if rows else [()] * len(columns)
    pooled = {field: list(column) for (field, _, _), column in zip(UNIONIZE_FIELDS, values, strict=True)}
    pooled["experimentID"] = list(pooled["section_data_set_id"])
    return pooled

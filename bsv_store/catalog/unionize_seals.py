"""Seals of unionize tables: one hash per experiment, half of its table, and structure.

An average reads the rows of only a few structures: the root, for divisors and injected hemispheres, and the targets of
the selection. With one hash per structure, these rows are checked without reading millions of others.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Collection, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise, starmap
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import Connection, Select, select

from bsv_store.catalog.coverage import covered
from bsv_store.catalog.database.bulk import read_arrays, table_of, upsert_rows
from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import Unionize, UnionizeCoverage, UnionizeSeal
from bsv_store.catalog.records import UNIONIZE_COLUMNS, UNIONIZE_FIELDS
from bsv_store.catalog.seals import damaged_values, refuse
from bsv_store.catalog.unionize_arithmetic import contradictions
from bsv_store.vocabulary import UNIONIZE_PARTS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bsv_store.vocabulary import UnionizePart

# These layouts must never change, because the hashes are stored.
_ROWS = np.dtype([(column, f"<{code}" if code != "?" else code) for _, column, code in UNIONIZE_FIELDS])
_HASHES = np.dtype([("structure_id", "<i8"), ("hash", "<u8")])
# The formats of `struct` by kind of dtype.
_CODES = {"i": "q", "f": "d", "b": "?"}
# The columns in the index for target searches.
_INDEXED = (
    "experiment_id",
    "structure_id",
    "hemisphere_id",
    "projection_volume",
    "normalized_projection_volume",
    "projection_density",
    "projection_energy",
)

_SEAL_COLUMNS = ("experiment_id", "part", "hashes")

_Half = tuple[int, str]


def seal_unionizes(connection: Connection, columns: Mapping[str, NDArray[Any]], halves: Collection[_Half]) -> None:
    """Seal halves of unionize tables from the rows that were written.

    Parameters
    ----------
    columns : mapping of str to ndarray, shape (n_rows,)
        Rows sorted by experiment, structure and hemisphere; may contain other halves too.
    halves : collection of (int, UnionizePart)
    """
    rows = _packed(columns)
    sealed = []
    for experiment_id, part in sorted(halves):
        first, last = np.searchsorted(rows["experiment_id"], [experiment_id, experiment_id + 1])
        own = rows[first:last]
        sealed.append((experiment_id, part, _hashes(own[own["is_injection"] == UNIONIZE_PARTS[part].is_injection])))
    upsert_rows(connection, table_of(UnionizeSeal), _SEAL_COLUMNS, sealed)


def check_unionizes(
    connection: Connection,
    structure_ids: Iterable[int],
    part: UnionizePart,
    *,
    experiment_ids: Collection[int] | None = None,
) -> None:
    """Check the rows of some structures in one half of the tables of experiments.

    On SQLite, the table is also compared with the index for target searches, because queries read either of them.

    Parameters
    ----------
    experiment_ids : collection of int, optional
        All experiments by default.

    Raises
    ------
    DamagedCatalogError
    """
    wanted = np.array(sorted(set(structure_ids)), "<i8")
    with damaged_values("unionize"):
        sealed = _sealed(connection, part, experiment_ids)
        query = covered(part)
        if experiment_ids is not None:
            query = query.where(id_in(connection, query.selected_columns[0], experiment_ids))
        stored = set(connection.scalars(query))
        refuse("unionize", [str(key) for key in stored ^ sealed.keys()])
        rows = _read(connection, wanted.tolist(), part, experiment_ids)
        if connection.dialect.name == "sqlite":
            _compare_index(connection, rows, wanted.tolist(), part, experiment_ids)
        expected, found = _expected(sealed, wanted), _hash_of_each(rows)
        places = expected.keys() | found.keys()
        damaged = {str(place[0]) for place in places if expected.get(place) != found.get(place)}
    refuse("unionize", damaged)


def damaged_halves(connection: Connection, experiment_id: int) -> list[UnionizePart]:
    """The halves of the table of an experiment whose rows differ from what was stored.

    Raises
    ------
    DamagedCatalogError
        If a row has a value that its column cannot have.
    """
    return damaged_tables(connection, [experiment_id]).get(experiment_id, [])


def damaged_tables(connection: Connection, experiment_ids: Collection[int]) -> dict[int, list[UnionizePart]]:
    """The halves of tables whose rows differ from what was stored, by experiment; intact tables are absent.

    Raises
    ------
    DamagedCatalogError
        If a row has a value that its column cannot have.
    """
    return checked_tables(connection, experiment_ids).damaged


@dataclass(frozen=True, slots=True)
class TableChecks:
    """The result of checking unionize tables.

    Attributes
    ----------
    damaged : dict of int to list of UnionizePart
        By experiment, the halves whose rows differ from what was stored.
    contradictions : dict of int to tuple of str
        By experiment, the contradictions inside intact tables; see `unionize_arithmetic.contradictions`.
    """

    damaged: dict[int, list[UnionizePart]]
    contradictions: dict[int, tuple[str, ...]]


def checked_tables(
    connection: Connection, experiment_ids: Collection[int], *, parents: Mapping[int, int | None] | None = None
) -> TableChecks:
    """Check the tables of experiments.

    Parameters
    ----------
    connection : Connection
    experiment_ids : collection of int
    parents : mapping of int to int or None, optional
        The parent of each structure. If given, the columns and rows of intact tables are compared with each other.

    Raises
    ------
    DamagedCatalogError
        If a row has a value that its column cannot have.
    """
    ids = sorted(experiment_ids)
    with damaged_values("unionize"):
        rows = _rows_of(connection, ids)
        damaged = _damaged_tables(connection, rows, ids)
    if parents is None:
        return TableChecks(damaged, {})
    # Damaged rows can have hemispheres that do not exist, or be there twice.
    intact = rows[~np.isin(rows["experiment_id"], list(damaged))] if damaged else rows
    columns = {name: intact[name] for name in UNIONIZE_COLUMNS}
    return TableChecks(damaged, contradictions(columns, parents=parents))


def _damaged_tables(connection: Connection, rows: NDArray[Any], ids: list[int]) -> dict[int, list[UnionizePart]]:
    seal = select(UnionizeSeal.experiment_id, UnionizeSeal.part, UnionizeSeal.hashes)
    sealed: dict[_Half, bytes] = {
        (row[0], row[1]): row[2]
        for row in connection.execute(seal.where(id_in(connection, UnionizeSeal.experiment_id, ids)))
    }
    coverage = select(
        *(UnionizeCoverage.experiment_id, UnionizeCoverage.part),
        *(UnionizeCoverage.row_count, UnionizeCoverage.content_sha256),
    )
    recorded: dict[_Half, tuple[int, str | None]] = {
        (row[0], row[1]): (row[2], row[3])
        for row in connection.execute(coverage.where(id_in(connection, UnionizeCoverage.experiment_id, ids)))
    }
    damaged: dict[int, list[UnionizePart]] = {}
    for part, row in UNIONIZE_PARTS.items():
        found = _half_seals(rows[rows["is_injection"] == row.is_injection], ids)
        for experiment_id, half in found.items():
            key = experiment_id, part
            if key not in sealed and key not in recorded and not half.row_count:
                continue
            if sealed.get(key) != half.hashes or recorded.get(key) != (half.row_count, half.content_sha256):
                damaged.setdefault(experiment_id, []).append(row.name)
    return damaged


@dataclass(frozen=True, slots=True)
class HalfSeal:
    """The recorded size and hash of a half of a unionize table, and its seal.

    Attributes
    ----------
    row_count : int
    content_sha256 : str
    hashes : bytes
        The hash of each structure's rows.
    """

    row_count: int
    content_sha256: str
    hashes: bytes


def half_seals(columns: Mapping[str, NDArray[Any]], experiment_ids: Collection[int]) -> dict[_Half, HalfSeal]:
    """The seals of both halves of the tables of experiments, by experiment and part.

    Parameters
    ----------
    columns : mapping of str to ndarray, shape (n_rows,)
        The columns of the table, in any order of rows. Rows of other experiments are an error of the caller.
    experiment_ids : collection of int
        Those without rows have empty halves.
    """
    rows = _sorted(_packed(columns))
    return {
        (experiment_id, part): seal
        for part, row in UNIONIZE_PARTS.items()
        for experiment_id, seal in _half_seals(rows[rows["is_injection"] == row.is_injection], experiment_ids).items()
    }


def _half_seals(rows: NDArray[Any], experiment_ids: Collection[int]) -> dict[int, HalfSeal]:
    """The seals of one half of the tables of experiments.

    Parameters
    ----------
    rows : structured ndarray, shape (n_rows,)
        Sorted by experiment, structure and hemisphere; of this half only.
    """
    ids = sorted(experiment_ids)
    starts, digests = _digests(rows)
    hashes = np.empty(len(starts), _HASHES)
    hashes["structure_id"] = rows["structure_id"][starts]
    hashes["hash"] = digests
    content, sealed = memoryview(rows.tobytes()), memoryview(hashes.tobytes())
    bounds = np.array([(each, each + 1) for each in ids], "<i8").reshape(-1, 2)
    edges = np.searchsorted(rows["experiment_id"], bounds)
    places = np.searchsorted(starts, edges)
    found = {}
    for experiment_id, (first, last), (low, high) in zip(ids, edges.tolist(), places.tolist(), strict=True):
        own = content[first * rows.itemsize : last * rows.itemsize]
        found[experiment_id] = HalfSeal(
            last - first,
            hashlib.sha256(own).hexdigest(),
            sealed[low * hashes.itemsize : high * hashes.itemsize].tobytes(),
        )
    return found


def reseal_unionizes(connection: Connection) -> None:
    """Seal all unionize tables as they are stored."""
    connection.execute(table_of(UnionizeSeal).delete())
    halves: dict[int, list[str]] = {}
    for row in connection.execute(select(UnionizeCoverage.experiment_id, UnionizeCoverage.part)):
        halves.setdefault(row.experiment_id, []).append(row.part)
    for experiment_id, parts in sorted(halves.items()):
        rows = _rows_of(connection, [experiment_id])
        sealed = [
            (experiment_id, part, _hashes(rows[rows["is_injection"] == UNIONIZE_PARTS[part].is_injection]))
            for part in sorted(parts)
        ]
        upsert_rows(connection, table_of(UnionizeSeal), _SEAL_COLUMNS, sealed)


def _rows_of(connection: Connection, experiment_ids: Collection[int]) -> NDArray[Any]:
    """The rows of experiments, by experiment, structure, hemisphere and half."""
    with closing(read_arrays(connection, table_of(Unionize), keys=experiment_ids)) as blocks:
        packed = [_packed(block) for block in blocks]
    return _sorted(np.concatenate(packed)) if packed else np.empty(0, _ROWS)


def _sorted(rows: NDArray[Any]) -> NDArray[Any]:
    order = ("is_injection", "hemisphere_id", "structure_id", "experiment_id")
    return rows[np.lexsort([rows[name] for name in order])]


def _packed(columns: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    rows = np.empty(len(columns["experiment_id"]), _ROWS)
    for name in UNIONIZE_COLUMNS:
        values = columns[name]
        # -0.0 and 0.0 are equal, and SQLite stores both as 0.
        rows[name] = values + 0.0 if values.dtype.kind == "f" else values
    return rows


def _array(rows: Collection[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    if not rows:
        return np.empty(0, dtype)
    names = dtype.names or ()
    pack = struct.Struct("<" + "".join(_CODES[dtype[name].kind] for name in names)).pack
    try:
        # NumPy would convert values of other types, such as 1.5 for an integer.
        found = np.frombuffer(bytearray().join(starmap(pack, rows)), dtype)
    except struct.error as error:
        raise ValueError(f"it does not have the type of its column: {error}") from error
    for name in names:
        if dtype[name].kind == "f":
            found[name] += 0.0
    return found


def _hashes(rows: NDArray[Any]) -> bytes:
    """The hash of each structure's rows, which are one half of the table of one experiment."""
    starts, digests = _digests(rows)
    found = np.empty(len(starts), _HASHES)
    found["structure_id"] = rows["structure_id"][starts]
    found["hash"] = digests
    return found.tobytes()


def _hash_of_each(rows: NDArray[Any]) -> dict[tuple[int, int], int]:
    """The hash of the rows of each experiment and structure, by which they are sorted."""
    starts, digests = _digests(rows)
    keys = zip(rows["experiment_id"][starts].tolist(), rows["structure_id"][starts].tolist(), strict=True)
    return dict(zip(keys, digests, strict=True))


def _digests(rows: NDArray[Any]) -> tuple[NDArray[np.intp], list[int]]:
    """The first row of each experiment and structure, by which rows are sorted, and the hash of their rows."""
    from xxhash import xxh3_64_intdigest

    if not len(rows):
        return np.empty(0, np.intp), []
    ids, structures = rows["experiment_id"], rows["structure_id"]
    changes = np.flatnonzero((ids[1:] != ids[:-1]) | (structures[1:] != structures[:-1])) + 1
    starts = np.concatenate([[0], changes])
    content = memoryview(rows.tobytes())
    edges = [*(starts * rows.itemsize).tolist(), len(content)]
    return starts, [xxh3_64_intdigest(content[first:last]) for first, last in pairwise(edges)]


def _expected(sealed: Mapping[int, bytes], structure_ids: NDArray[Any]) -> dict[tuple[int, int], int]:
    """The sealed hashes of some structures by experiment and structure."""
    hashes = np.frombuffer(b"".join(sealed.values()), _HASHES)
    wanted = np.flatnonzero(np.isin(hashes["structure_id"], structure_ids))
    ends = np.cumsum([len(each) // _HASHES.itemsize for each in sealed.values()])
    experiments = np.fromiter(sealed, "<i8", len(sealed))[np.searchsorted(ends, wanted, side="right")]
    found = hashes[wanted]
    places = zip(experiments.tolist(), found["structure_id"].tolist(), strict=True)
    return dict(zip(places, found["hash"].tolist(), strict=True))


def _sealed(connection: Connection, part: UnionizePart, experiment_ids: Collection[int] | None) -> dict[int, bytes]:
    query = select(UnionizeSeal.experiment_id, UnionizeSeal.hashes).where(UnionizeSeal.part == part)
    if experiment_ids is not None:
        query = query.where(id_in(connection, UnionizeSeal.experiment_id, experiment_ids))
    # All rows at once, which takes a third of the time of fetching them one by one.
    return {experiment_id: hashes for experiment_id, hashes in connection.execute(query).all()}


def _by_table(query: Select[Any]) -> Select[Any]:
    return query.with_hint(table_of(Unionize), "INDEXED BY sqlite_autoindex_unionize_1", "sqlite")


def _by_index(query: Select[Any]) -> Select[Any]:
    return query.with_hint(table_of(Unionize), "INDEXED BY ix_unionize_target", "sqlite")


def _read(
    connection: Connection, structure_ids: list[int], part: UnionizePart, experiment_ids: Collection[int] | None
) -> NDArray[Any]:
    """The rows of some structures in one half of the tables of experiments, by default of all.

    Also of those that do not have this half, to which another program may have added rows. On SQLite, if all
    experiments are wanted, the comparison with the index finds such rows.
    """
    table = table_of(Unionize)
    ids = table.c.experiment_id
    query = select(*(table.c[name] for name in UNIONIZE_COLUMNS)).where(
        id_in(connection, table.c.structure_id, structure_ids),
        table.c.is_injection == UNIONIZE_PARTS[part].is_injection,
    )
    if experiment_ids is not None:
        query = query.where(id_in(connection, ids, experiment_ids))
    elif connection.dialect.name == "sqlite":
        # The table is sorted by experiment.
        query = query.where(ids.in_(covered(part)))
    rows = _array(connection.execute(_by_table(query)).all(), _ROWS)
    return rows[np.lexsort([rows[name] for name in ("hemisphere_id", "structure_id", "experiment_id")])]


def _compare_index(
    connection: Connection,
    rows: NDArray[Any],
    structure_ids: list[int],
    part: UnionizePart,
    experiment_ids: Collection[int] | None,
) -> None:
    table = table_of(Unionize)
    query = select(*(table.c[name] for name in _INDEXED)).where(
        id_in(connection, table.c.structure_id, structure_ids),
        table.c.is_injection == UNIONIZE_PARTS[part].is_injection,
    )
    if experiment_ids is not None:
        query = query.where(id_in(connection, table.c.experiment_id, experiment_ids))
    dtype = np.dtype([(name, _ROWS[name]) for name in _INDEXED])
    found = np.sort(_array(connection.execute(_by_index(query)).all(), dtype), order=list(_INDEXED[:3]))
    expected = np.empty(len(rows), dtype)
    for name in _INDEXED:
        expected[name] = rows[name]
    expected = np.sort(expected, order=list(_INDEXED[:3]))
    if not np.array_equal(found, expected):
        both = np.concatenate([found, expected])
        unique, counts = np.unique(both, return_counts=True)
        refuse("unionize", sorted({str(key) for key in unique[counts % 2 == 1]["experiment_id"].tolist()}) or ["?"])

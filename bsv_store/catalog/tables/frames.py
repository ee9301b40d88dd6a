"""Data of selected experiments, as tables and DataFrames for users and as plain values for the package."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar, assert_never

from sqlalchemy import Connection, Select, false, select, true

from bsv_store.catalog.coverage import covered
from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import Experiment, Structure, StructureAncestor, Unionize
from bsv_store.catalog.records import ROOT_STRUCTURE_ID, UNIONIZE_COLUMNS
from bsv_store.catalog.seals import damaged_values
from bsv_store.catalog.selection.commands import sync_command
from bsv_store.catalog.selection.resolve import compile_selection, compile_with_exclusions
from bsv_store.catalog.selection.selection import Selection
from bsv_store.catalog.structures import (
    StructureRef,
    StructureRow,
    descendant_ids,
    find_structures,
    measured_structures,
    not_measured,
)
from bsv_store.catalog.tables.table import Table
from bsv_store.catalog.tables.views import VIEWS, ColumnKind, view
from bsv_store.catalog.without_unionizes import report_left_out, report_undecided, report_without_rows
from bsv_store.check import boolean, choice
from bsv_store.errors import MissingDataError
from bsv_store.html import card, paragraph, table
from bsv_store.text import fact_lines, listed, number_of
from bsv_store.vocabulary import (
    EXPERIMENT_SOURCE_KINDS,
    GROUPING_FIELDS,
    MEASURED_HEMISPHERES,
    MISSING_POLICIES,
    UNIONIZE_PARTS,
    MeasuredHemisphere,
    MissingPolicy,
    UnionizePart,
)

if TYPE_CHECKING:
    import pandas as pd

R = TypeVar("R", bound=Sequence[Any])


def experiments_table(connection: Connection, selection: Selection, *, missing: MissingPolicy = "leave_out") -> Table:
    """The selected experiments, one row each, ascending by id, with all columns of the view ``experiments``.

    Unknown values are missing: None in text columns, NaN in float ones, NA in Int64 and boolean ones. ``withdrawn`` is
    plain bool. Experiments that may match by their targets, but have no unionize table in the store, are reported.

    Raises
    ------
    MissingDataError
        If there are such experiments and ``missing`` is 'error'.
    UnknownStructureError, UnknownExperimentError, SelectionError
        If the selection names what the catalog does not have.
    DamagedCatalogError
        If a value is not text or a number.
    """
    policy = choice("missing", missing, MISSING_POLICIES).name
    experiments = view("experiments")
    query = select(*experiments.c).where(experiments.c.experiment_id.in_(compile_selection(connection, selection)))
    described = {each.name: each.kind for each in VIEWS["experiments"].columns}
    rows = _with_valid_types(connection.execute(query.order_by(experiments.c.experiment_id)).all(), described)
    report_undecided(connection, selection, missing=policy)
    kinds = {name: _DTYPES[kind] for name, kind in described.items()}
    dtypes = {**kinds, "experiment_id": "int64", "primary_structure_id": "int64", "withdrawn": "bool"}
    return Table(tuple(dtypes), tuple(dtypes.values()), rows)


def _with_valid_types(rows: Sequence[R], kinds: Mapping[str, ColumnKind]) -> Sequence[R]:
    """Rows about experiments after a check of their types, because SQLite stores values of any type in any column.

    Parameters
    ----------
    rows : sequence of sequences
        The first value of each is the id of the experiment.
    kinds : mapping of str to ColumnKind
        The columns, in order.

    Raises
    ------
    DamagedCatalogError
        If a value does not have the type of its column.
    """
    with damaged_values("experiment"):
        for (name, kind), values in zip(kinds.items(), zip(*rows, strict=True), strict=bool(rows)):
            valid, words = _VALID_TYPES[kind]
            if not set(map(type, values)) <= valid:
                number = next(number for number, value in enumerate(values) if type(value) not in valid)
                raise TypeError(f"{name} of {rows[number][0]}: {values[number]!r} is not {words}")
    return rows


def experiments_frame(
    connection: Connection, selection: Selection, *, missing: MissingPolicy = "leave_out"
) -> pd.DataFrame:
    """`experiments_table` as a DataFrame.

    Raises
    ------
    DamagedCatalogError
        If a value does not have the type of its column.
    """
    table = experiments_table(connection, selection, missing=missing)
    with damaged_values("experiment"):
        return table.to_frame()


@dataclass(frozen=True, slots=True)
class SelectionSummary:
    """Counts of the selected experiments: pairs of value and number, the largest number first; None = unknown."""

    total: int
    lines: tuple[tuple[str, int], ...]
    """'wild-type' for experiments without a line."""
    primary_structures: tuple[tuple[str, int], ...]
    products: tuple[tuple[int | None, int], ...]
    sexes: tuple[tuple[str | None, int], ...]
    strains: tuple[tuple[str | None, int], ...]
    hemispheres: tuple[tuple[str | None, int], ...]
    excluded: Mapping[int, str]
    """Reason by id of the experiments that the exclusion list removes from the selection; they are not counted."""

    def __str__(self) -> str:
        left = [f"{identifier} ({reason})" for identifier, reason in sorted(self.excluded.items())]
        return fact_lines([*self._facts(), ("Excluded", listed(left))])

    def _facts(self) -> list[tuple[str, str]]:
        counts = {
            "Lines": self.lines,
            "Primary structures": self.primary_structures,
            "Products": self.products,
            "Sex": self.sexes,
            "Strains": self.strains,
            "Injected hemisphere": self.hemispheres,
        }
        return [
            ("Experiments", f"{self.total:,}"),
            *((name, listed(f"{_named(value)} ({n:,})" for value, n in pairs)) for name, pairs in counts.items()),
        ]

    def _repr_html_(self) -> str:
        excluded = [[str(identifier), reason] for identifier, reason in sorted(self.excluded.items())]
        left = [paragraph("On the exclusion list:"), table(["experiment", "reason"], excluded)] if excluded else []
        return card("Selected experiments", *left, kind="summary", facts=self._facts())

    def to_dict(self) -> dict[str, Any]:
        """The counts as plain lists, for JSON."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}


def _named(value: str | int | None) -> str:
    return "not known" if value is None else str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    return [list(pair) for pair in value] if isinstance(value, tuple) else value


_COUNTED = ("transgenic_line", "primary_structure", "product_id", "sex", "strain", "injected_hemisphere")


def summary(connection: Connection, selection: Selection) -> SelectionSummary:
    """Counts of the selected experiments by line, primary structure, product, sex, strain and injected hemisphere.

    Raises
    ------
    UnknownStructureError, UnknownExperimentError, SelectionError
        If the selection names what the catalog does not have.
    DamagedCatalogError
        If a value does not have the type of its column.
    """
    experiments = view("experiments").c
    names = ("experiment_id", *_COUNTED)
    kinds = {each.name: each.kind for each in VIEWS["experiments"].columns if each.name in names}
    wanted, excluded = compile_with_exclusions(connection, selection)
    report_undecided(connection, selection, missing="leave_out")
    selected = experiments.experiment_id.in_(wanted)
    query = select(*(experiments[name] for name in kinds)).where(selected)
    rows = _with_valid_types(connection.execute(query).all(), kinds)
    counts = {name: Counter(row[number] for row in rows) for number, name in enumerate(kinds)}
    counts["transgenic_line"] = Counter(
        {
            GROUPING_FIELDS["line"].null_label if each is None else each: n
            for each, n in counts["transgenic_line"].items()
        }
    )
    lines, structures, products, sexes, strains, hemispheres = (_descending(counts[name]) for name in _COUNTED)
    return SelectionSummary(len(rows), lines, structures, products, sexes, strains, hemispheres, excluded)


def _descending(counts: Counter[Any]) -> tuple[tuple[Any, int], ...]:
    """The counts, largest first; equal ones by value, unknown last."""
    return tuple(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0] is None, pair[0] or 0)))


def injection_volumes(connection: Connection, experiment_ids: Iterable[int]) -> dict[int, float]:
    """Injection volume in mm3 by experiment id, from the unionize rows; experiments without such rows are absent.

    It is the projection volume of the root inside the injection, in both hemispheres. Normalization divides by it.
    """
    query = select(Unionize.experiment_id, Unionize.projection_volume).where(
        id_in(connection, Unionize.experiment_id, experiment_ids),
        Unionize.structure_id == ROOT_STRUCTURE_ID,
        Unionize.hemisphere_id == MEASURED_HEMISPHERES["both"].unionize_id,
        Unionize.is_injection == true(),
    )
    return {experiment: float(volume) for experiment, volume in connection.execute(query).all()}


def list_injection_volumes(connection: Connection, experiment_ids: Iterable[int]) -> dict[int, float]:
    """Injection volume in mm3 by experiment id, from the current experiment list.

    In lists of the current registration it equals that of the unionize rows (see `injection_volumes`). Experiments
    without a volume, or from a list of an older registration only, are absent.
    """
    current = [name for name, row in EXPERIMENT_SOURCE_KINDS.items() if not row.is_historic]
    query = select(Experiment.id, Experiment.injection_volume).where(
        id_in(connection, Experiment.id, experiment_ids),
        Experiment.injection_volume.is_not(None),
        Experiment.source_kind.in_(current),
    )
    return {experiment: volume for experiment, volume in connection.execute(query) if volume is not None}


INJECTION_VOLUME_TOLERANCE = 1e-5
"""Relative difference below which two injection volumes of an experiment agree.

In 40 real experiments the unionize rows and the lists of 2019, 2020 and the CSV export agree to 2.2e-16. Six
significant digits round by up to 5e-6. The list of 2016, of an older registration, differs by 1.9e-5 to 2.8.
"""


def same_injection_volume(first: float, second: float) -> bool:
    """Whether two injection volumes agree within the tolerance."""
    return abs(first - second) <= INJECTION_VOLUME_TOLERANCE * max(abs(first), abs(second))


def differing_injection_volumes(
    connection: Connection, experiment_ids: Collection[int] | None = None
) -> tuple[int, ...]:
    """Ids, ascending, of the experiments whose injection volume differs between the list and the unionize rows.

    ``Selection(min_injection_volume=...)`` uses that of the list; normalization divides by that of the rows.

    Parameters
    ----------
    experiment_ids : collection of int, optional
        By default all experiments.

    Raises
    ------
    DamagedCatalogError
        If a volume is not a number.
    """
    query = select(
        Experiment.id,
        Experiment.injection_volume,
        Experiment.injection_volume_left + Experiment.injection_volume_right,
    ).where(Experiment.injection_volume.is_not(None), Experiment.injection_volume_left.is_not(None))
    if experiment_ids is not None:
        query = query.where(id_in(connection, Experiment.id, experiment_ids))
    kinds: Mapping[str, ColumnKind] = {"experiment_id": "integer", "injection_volume": "float", "measured": "float"}
    found: Sequence[Any] = connection.execute(query.order_by(Experiment.id)).all()
    rows = _with_valid_types(found, kinds)
    return tuple(key for key, listed_volume, measured in rows if not same_injection_volume(listed_volume, measured))


def unionizes_frame(
    connection: Connection,
    selection: Selection,
    *,
    structures: StructureRef | Sequence[StructureRef] | None = None,
    is_injection: bool | None = None,
    hemisphere: MeasuredHemisphere | None = None,
    include_descendants: bool = False,
    missing: MissingPolicy = "error",
) -> pd.DataFrame:
    """See :meth:`bsv_store.store.catalog.Catalog.unionizes`."""
    policy = choice("missing", missing, MISSING_POLICIES).name
    if is_injection is not None:
        boolean("is_injection", is_injection)
    boolean("include_descendants", include_descendants)
    wanted = compile_selection(connection, selection)
    report_undecided(connection, selection, missing=policy)
    without: set[int] = set()
    if policy == "error":
        require_unionizes(connection, selection, wanted, is_injection, can_leave_out=True)
    elif policy == "leave_out":
        absent = {part: set(_uncovered(connection, wanted, part)) for part in _parts(None)}
        whole = set.intersection(*absent.values())
        report_left_out(whole, missing=policy)
        for part in _parts(is_injection):
            report_without_rows(absent[part] - whole, part)
            without |= absent[part]
    else:
        assert_never(policy)
    table = Unionize.__table__.c
    columns = [table[name] for name in UNIONIZE_COLUMNS]
    keys = [table.experiment_id, Structure.graph_order, table.structure_id, table.hemisphere_id, table.is_injection]
    query = (
        select(*columns[:2], Structure.acronym.label("structure"), *columns[2:])
        .join(Structure, Structure.id == table.structure_id)
        .where(table.experiment_id.in_(wanted))
    )
    if structures is not None:
        named = find_structures(connection, structures)
        _refuse_unmeasured(connection, named, include_descendants=include_descendants)
        ids = {row.id for row in named}
        inside = select(StructureAncestor.descendant_id).where(id_in(connection, StructureAncestor.ancestor_id, ids))
        query = query.where(
            table.structure_id.in_(inside) if include_descendants else id_in(connection, table.structure_id, ids)
        )
    if is_injection is not None:
        query = query.where(table.is_injection == (true() if is_injection else false()))
    if hemisphere is not None:
        query = query.where(table.hemisphere_id == _hemisphere_id(hemisphere))
    frame = _frame_in_blocks(connection, query.order_by(*keys))
    frame.attrs["without_unionizes"] = sorted(without)
    return frame


def _refuse_unmeasured(connection: Connection, named: Sequence[StructureRow], *, include_descendants: bool) -> None:
    """Refuse structures in which Allen does not measure signal: having no rows would look like no overlap."""
    measured = measured_structures(connection)
    if measured is None:
        return
    for row in named:
        inside = descendant_ids(connection, [row.id]) if include_descendants else {row.id}
        if measured.isdisjoint(inside):
            raise not_measured([row])


def _parts(is_injection: bool | None) -> list[UnionizePart]:
    """The halves of a unionize table that have these rows."""
    return [row.name for row in UNIONIZE_PARTS.values() if is_injection in (None, row.is_injection)]


def _frame_in_blocks(connection: Connection, query: Select[Any]) -> pd.DataFrame:
    """The frame of a query for unionize rows, built in blocks: Python values take five times as much memory."""
    import pandas as pd

    names, dtypes = tuple(_UNIONIZE_DTYPES), tuple(_UNIONIZE_DTYPES.values())
    acronyms: dict[str, str] = {}
    blocks = []
    with connection.execute(query, execution_options={"yield_per": _BLOCK_ROWS}) as result:
        for rows in result.partitions():
            block = Table(names, dtypes, rows).to_frame()
            # One object for each structure, not for each row.
            shared = [acronyms.setdefault(each, each) for each in block["structure"]]
            block["structure"] = pd.Series(shared, dtype="object")
            blocks.append(block)
    return pd.concat(blocks, ignore_index=True) if blocks else Table(names, dtypes, ()).to_frame()


_BLOCK_ROWS = 20_000


def uncovered_among(connection: Connection, experiment_ids: Collection[int], part: UnionizePart) -> tuple[int, ...]:
    """Those of the experiments whose unionize rows of one part are not in the store, ascending."""
    return _uncovered(connection, select(Experiment.id).where(id_in(connection, Experiment.id, experiment_ids)), part)


def _uncovered(connection: Connection, wanted: Select[int], part: UnionizePart) -> tuple[int, ...]:
    query = select(Experiment.id).where(Experiment.id.in_(wanted), Experiment.id.not_in(covered(part)))
    return tuple(connection.scalars(query.order_by(Experiment.id)))


def require_unionizes(
    connection: Connection,
    selection: Selection,
    wanted: Select[int],
    is_injection: bool | None,
    *,
    can_leave_out: bool = False,
) -> None:
    """Check that the store has the unionize rows of experiments.

    Parameters
    ----------
    selection : Selection
        For the command that fetches them.
    wanted : Select
        Of the ids of the selected experiments.
    is_injection : bool or None
        True: the rows inside the injection site; False: those outside; None: both.
    can_leave_out : bool
        Whether the error suggests to leave out experiments without rows.

    Raises
    ------
    MissingDataError
        If rows are missing; the message names the experiments.
    """
    for part in _parts(is_injection):
        absent = _uncovered(connection, wanted, part)
        if absent:
            command = f"Fetch them: {sync_command(selection, absent)}"
            raise MissingDataError(
                f"the {part} rows of {number_of(len(absent), 'experiment')} are not in the store: {listed(absent)}",
                hint=f"{command}; or leave these out (missing='leave_out')." if can_leave_out else command,
            )


def _hemisphere_id(hemisphere: MeasuredHemisphere) -> int | None:
    absolute = {name: row for name, row in MEASURED_HEMISPHERES.items() if not row.is_relative}
    return choice("hemisphere", hemisphere, absolute).unionize_id


# -- frames -----------------------------------------------------------------------------------------------------------

# Text has the dtype object, which is the same in pandas 2 and 3, with None for missing values.
_DTYPES = {"integer": "Int64", "float": "float64", "text": "object", "boolean": "boolean", "time": "object"}

# The types that a database returns for a column, and what such a value is called.
_VALID_TYPES: Mapping[ColumnKind, tuple[frozenset[type], str]] = {
    "integer": (frozenset({int, type(None)}), "an integer"),
    "float": (frozenset({float, int, type(None)}), "a number"),
    "text": (frozenset({str, type(None)}), "text"),
    "boolean": (frozenset({bool, int, type(None)}), "true or false"),
    "time": (frozenset({datetime, type(None)}), "a time"),
}

_INTEGER_COLUMNS = {"experiment_id", "structure_id", "hemisphere_id", "id", "max_voxel_x", "max_voxel_y", "max_voxel_z"}


def _unionize_dtypes() -> dict[str, str]:
    names = (*UNIONIZE_COLUMNS[:2], "structure", *UNIONIZE_COLUMNS[2:])
    special = {"structure": "object", "is_injection": "bool"}
    return {name: special.get(name, "int64" if name in _INTEGER_COLUMNS else "float64") for name in names}


_UNIONIZE_DTYPES = _unionize_dtypes()

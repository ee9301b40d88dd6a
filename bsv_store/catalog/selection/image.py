"""The experiments of one state of the catalog as columns in memory, which answer selections without the database.

An image has what the rules of selections need, except for unionize rows. It answers as the database did when it was
read. To find out whether it is still current, compare the change marker of the catalog.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from sqlalchemy import Connection, select

from bsv_store.catalog.database.models import (
    ExperimentInjectionStructure,
    ExperimentLine,
    StoredVolume,
    StructureAncestor,
    TransgenicLine,
    UnionizeCoverage,
)
from bsv_store.catalog.seals import damaged_values
from bsv_store.catalog.selection.criteria import CRITERIA
from bsv_store.catalog.selection.exclusions import exclusions
from bsv_store.catalog.selection.resolve import condition_of, left_out_of
from bsv_store.catalog.structures import StructureRef, StructureRow, all_structures, unknown_structures
from bsv_store.catalog.tables.views import view
from bsv_store.vocabulary import INJECTION_COLUMNS

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sqlalchemy import Executable

    from bsv_store.catalog.selection.criteria import Criteria
    from bsv_store.catalog.selection.selection import Selection
    from bsv_store.vocabulary import UnionizePart, VolumeKind

    Mask = NDArray[np.bool_]
    """Shape (experiments,), by ascending id; False where the condition is unknown."""

# Columns that are compared with limits or used in arithmetic.
_NUMBERS = (
    *(
        each.column
        for each in CRITERIA.values()
        if each.column is not None and each.form == "number" and each.unionize_part is None
    ),
    *INJECTION_COLUMNS,
)
# Columns with few distinct values.
_VALUES = (
    *(each.column for each in CRITERIA.values() if each.column is not None and each.form != "number"),
    *("primary_structure_id", "transgenic_line", "withdrawn"),
)


class ExperimentImage:
    """What the catalog has on its experiments, for selections. It never changes; safe to share between threads.

    Parameters
    ----------
    connection : Connection
        Everything is read in its current transaction.

    Attributes
    ----------
    ids : ndarray of int64, shape (experiments,)
        All experiments, withdrawn and excluded ones included, ascending.
    structures : tuple of StructureRow
        All structures, in graph order.
    excluded : dict of int to str
        Reason by id of the experiments on the exclusion list, ascending.

    Raises
    ------
    DamagedCatalogError
        If a value does not have the type of its column.
    """

    def __init__(self, connection: Connection) -> None:
        names = list(dict.fromkeys((*_NUMBERS, *_VALUES)))
        experiments = view("experiments").c
        query = select(experiments.experiment_id, *(experiments[name] for name in names))
        rows = connection.execute(query.order_by(experiments.experiment_id)).all()
        ids, *columns = zip(*rows, strict=True) if rows else [()] * (1 + len(names))
        by_name = dict(zip(names, columns, strict=True))
        with damaged_values("experiment"):
            self.ids: NDArray[np.int64] = np.array(ids, np.int64)
            self.numbers = {name: np.array(by_name[name], np.float64) for name in _NUMBERS}
            self.values = {name: _places(enumerate(by_name[name])) for name in _VALUES}
        place = {identifier: number for number, identifier in enumerate(ids)}

        def of_experiments(query: Executable) -> Mapping[Any, NDArray[np.intp]]:
            rows = connection.execute(query)
            return _places(
                (place[identifier], key[0] if len(key) == 1 else tuple(key))
                for identifier, *key in rows
                if identifier in place
            )

        touched, line, volume = ExperimentInjectionStructure, ExperimentLine, StoredVolume
        self.touched = of_experiments(select(touched.experiment_id, touched.structure_id))
        self.lines = frozenset(connection.scalars(select(TransgenicLine.name)))
        self.of_lines = of_experiments(
            select(line.experiment_id, TransgenicLine.name).join(
                TransgenicLine, TransgenicLine.id == line.transgenic_line_id
            )
        )
        self.volumes = of_experiments(select(volume.experiment_id, volume.kind, volume.spacing_um))
        self.coverage = of_experiments(select(UnionizeCoverage.experiment_id, UnionizeCoverage.part))
        self.excluded = {each.experiment_id: each.reason for each in exclusions(connection, history=False)}
        self.is_excluded = np.isin(self.ids, list(self.excluded))
        self.structures = all_structures(connection)
        self.by_reference: dict[StructureRef, StructureRow] = {row.acronym: row for row in self.structures}
        self.by_reference.update({row.id: row for row in self.structures})
        self.descendants: dict[int, set[int]] = {}
        pairs = select(StructureAncestor.ancestor_id, StructureAncestor.descendant_id)
        for ancestor, descendant in connection.execute(pairs):
            self.descendants.setdefault(ancestor, set()).add(descendant)

    def selected(self, selection: Selection) -> NDArray[np.intp] | None:
        """The indices of the selected experiments in ``ids``, ascending; None if only the database has the answer.

        Raises
        ------
        UnknownStructureError, UnknownExperimentError, ExcludedExperimentError, SelectionError
            See `bsv_store.catalog.selection.resolve.compile_selection`.
        """
        try:
            return np.flatnonzero(condition_of(_ImageTerms(self), selection))
        except _NotInMemoryError:
            return None

    def excluded_from(self, selection: Selection) -> dict[int, str] | None:
        """The experiments that the exclusion list removes from a selection: reason by experiment id, ascending.

        None if only the database has the answer.

        Raises
        ------
        UnknownStructureError, UnknownExperimentError, ExcludedExperimentError, SelectionError
            See `bsv_store.catalog.selection.resolve.excluded_from`.
        """
        try:
            removed: list[int] = self.ids[left_out_of(_ImageTerms(self), selection)].tolist()
        except _NotInMemoryError:
            return None
        return {each: self.excluded[each] for each in removed}


def _places(pairs: Iterable[tuple[int, Any]]) -> dict[Any, NDArray[np.intp]]:
    """The indices of the experiments with each value."""
    found: dict[Hashable, list[int]] = {}
    for number, value in pairs:
        found.setdefault(value, []).append(number)
    return {key: np.array(places, np.intp) for key, places in found.items()}


class _NotInMemoryError(Exception):
    """The selection needs unionize rows, which an image does not have."""


class _ImageTerms:
    """See `bsv_store.catalog.selection.terms.Terms`."""

    def __init__(self, image: ExperimentImage) -> None:
        self._image = image

    # -- names -------------------------------------------------------------------------------------------------------

    def structures(self, refs: Sequence[StructureRef]) -> Sequence[StructureRow]:
        """See `Names.structures`."""
        known = self._image.by_reference
        if unknown := [ref for ref in refs if ref not in known]:
            raise unknown_structures(self._image.structures, unknown)
        return [known[ref] for ref in refs]

    def check_targets(self, targets: Collection[StructureRow]) -> NoReturn:
        """See `Names.check_targets`."""
        raise _NotInMemoryError

    def lines(self) -> Collection[str]:
        """See `Names.lines`."""
        return self._image.lines

    def values(self, column: str) -> Collection[Any]:
        """See `Names.values`."""
        return self._image.values[column].keys() - {None}

    def experiments(self, ids: Collection[int]) -> Collection[int]:
        """See `Names.experiments`."""
        found: list[int] = self._image.ids[self.identified(ids)].tolist()
        return found

    def excluded(self, ids: Collection[int]) -> Mapping[int, str]:
        """See `Names.excluded`."""
        return {each: reason for each, reason in self._image.excluded.items() if each in ids}

    # -- conditions --------------------------------------------------------------------------------------------------

    def _at(self, places: Iterable[NDArray[np.intp]]) -> Mask:
        found = np.zeros(len(self._image.ids), np.bool_)
        for each in places:
            found[each] = True
        return found

    def _with(self, places: Mapping[Any, NDArray[np.intp]], values: Collection[Any]) -> Mask:
        return self._at(places[value] for value in values if value in places)

    def every(self, conditions: Iterable[Mask]) -> Mask:
        """See `Terms.every`."""
        return reduce(np.logical_and, conditions, np.ones(len(self._image.ids), np.bool_))

    def some(self, conditions: Iterable[Mask]) -> Mask:
        """See `Terms.some`."""
        return reduce(np.logical_or, conditions, np.zeros(len(self._image.ids), np.bool_))

    def opposite(self, condition: Mask) -> Mask:
        """See `Terms.opposite`."""
        return ~condition

    def certain(self, condition: Mask) -> Mask:
        """See `Terms.certain`."""
        return condition

    def equals(self, column: str, value: str | bool) -> Mask:
        """See `Terms.equals`."""
        return self._with(self._image.values[column], [value])

    def among(self, column: str, values: Collection[Any]) -> Mask:
        """See `Terms.among`."""
        return self._with(self._image.values[column], values)

    def at_least(self, column: str, value: float) -> Mask:
        """See `Terms.at_least`."""
        return self._number(column) >= value

    def at_most(self, column: str, value: float) -> Mask:
        """See `Terms.at_most`."""
        return self._number(column) <= value

    def _number(self, column: str) -> NDArray[np.float64]:
        found = self._image.numbers.get(column)
        if found is None:
            raise _NotInMemoryError
        return found

    def is_missing(self, column: str) -> Mask:
        """See `Terms.is_missing`."""
        return self._with(self._image.values[column], [None])

    def coordinates(self) -> Sequence[NDArray[np.float64]]:
        """See `Terms.coordinates`."""
        return [self._image.numbers[name] for name in INJECTION_COLUMNS]

    def identified(self, ids: Collection[int]) -> Mask:
        """See `Terms.identified`."""
        return np.isin(self._image.ids, np.array(sorted(ids), np.int64))

    def on_exclusion_list(self) -> Mask:
        """See `Terms.on_exclusion_list`."""
        return self._image.is_excluded

    def _inside(self, places: Mapping[int, NDArray[np.intp]], structure_ids: Collection[int]) -> Mask:
        descendants = set[int]().union(*(self._image.descendants.get(each, ()) for each in structure_ids))
        return self._with(places, descendants & places.keys())

    def inside(self, structure_ids: Collection[int]) -> Mask:
        """See `Terms.inside`."""
        return self._inside(self._image.values["primary_structure_id"], structure_ids)

    def touching(self, structure_ids: Collection[int]) -> Mask:
        """See `Terms.touching`."""
        return self._inside(self._image.touched, structure_ids)

    def of_lines(self, names: Collection[str]) -> Mask:
        """See `Terms.of_lines`."""
        return self._with(self._image.of_lines, names)

    def with_volume(self, kind: VolumeKind, spacing_um: int) -> Mask:
        """See `Terms.with_volume`."""
        return self._with(self._image.volumes, [(kind, spacing_um)])

    def covered(self, part: UnionizePart) -> Mask:
        """See `Terms.covered`."""
        return self._with(self._image.coverage, [part])

    def overlapping(self, structure_ids: Collection[int], least: float) -> NoReturn:
        """See `Terms.overlapping`."""
        raise _NotInMemoryError

    def projecting(self, structure_ids: Collection[int], leaf: Criteria) -> NoReturn:
        """See `Terms.projecting`."""
        raise _NotInMemoryError

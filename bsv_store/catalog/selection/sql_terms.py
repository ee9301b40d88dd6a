"""The terms of selections as SQL, for SQLite and Postgres, with bound parameters only."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Connection, Double, Select, and_, case, cast, false, func, not_, or_, select, true

from bsv_store.catalog.coverage import covered
from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import (
    Experiment,
    ExperimentInjectionStructure,
    ExperimentLine,
    StoredVolume,
    Structure,
    StructureAncestor,
    TransgenicLine,
    Unionize,
)
from bsv_store.catalog.hemispheres import hemisphere_ids
from bsv_store.catalog.injection_overlap import injection_overlaps
from bsv_store.catalog.selection.exclusions import excluded, excluded_ids
from bsv_store.catalog.selection.names import known_experiments
from bsv_store.catalog.structures import StructureRef, StructureRow, find_structures, unmeasured_structures
from bsv_store.catalog.tables.views import view
from bsv_store.errors import SelectionError

if TYPE_CHECKING:
    from bsv_store.catalog.selection.criteria import Criteria
    from bsv_store.vocabulary import UnionizePart, VolumeKind

_Condition = ColumnElement[bool]


class SqlTerms:
    """See `bsv_store.catalog.selection.terms.Terms`. Conditions refer to the experiment's row; NULL is unknown.

    Parameters
    ----------
    connection : Connection
        Names are looked up through it, and the SQL is in its dialect.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    # -- names -------------------------------------------------------------------------------------------------------

    def structures(self, refs: Sequence[StructureRef]) -> Sequence[StructureRow]:
        """See `Names.structures`."""
        return find_structures(self._connection, refs)

    def check_targets(self, targets: Collection[StructureRow]) -> None:
        """See `Names.check_targets`."""
        for target in unmeasured_structures(self._connection, targets):
            measured = select(view("measured_structures").c.structure_id)
            nearest = self._connection.execute(
                select(Structure.acronym, Structure.name)
                .join(StructureAncestor, StructureAncestor.ancestor_id == Structure.id)
                .where(StructureAncestor.descendant_id == target.id, Structure.id.in_(measured))
                .order_by(StructureAncestor.distance)
                .limit(1)
            ).first()
            raise SelectionError(
                f"Allen does not measure the signal in {target.acronym} ({target.name})",
                hint=f"The nearest structure that is measured is {nearest.acronym} ({nearest.name})."
                if nearest
                else None,
            )

    def lines(self) -> Collection[str]:
        """See `Names.lines`."""
        return set(self._connection.scalars(select(TransgenicLine.name)))

    def values(self, column: str) -> Collection[Any]:
        """See `Names.values`."""
        found = view("experiments").c[column]
        return set(self._connection.scalars(select(found).where(found.is_not(None)).distinct()))

    def experiments(self, ids: Collection[int]) -> Collection[int]:
        """See `Names.experiments`."""
        return known_experiments(self._connection, ids)

    def excluded(self, ids: Collection[int]) -> Mapping[int, str]:
        """See `Names.excluded`."""
        return excluded(self._connection, ids)

    # -- conditions --------------------------------------------------------------------------------------------------

    def every(self, conditions: Iterable[_Condition]) -> _Condition:
        """See `Terms.every`."""
        return and_(true(), *conditions)

    def some(self, conditions: Iterable[_Condition]) -> _Condition:
        """See `Terms.some`."""
        return or_(false(), *conditions)

    def opposite(self, condition: _Condition) -> _Condition:
        """See `Terms.opposite`."""
        return not_(condition)

    def certain(self, condition: _Condition) -> _Condition:
        """See `Terms.certain`."""
        # The function call also keeps the parts of a combination nested: a flat chain of all terms would exceed
        # SQLite's limit for the depth of an expression.
        return func.coalesce(condition, false())

    def equals(self, column: str, value: str | bool) -> _Condition:
        """See `Terms.equals`."""
        if isinstance(value, bool):
            return _compared(column, lambda found: found.is_(value))
        return _compared(column, lambda found: and_(found == value))

    def among(self, column: str, values: Collection[Any]) -> _Condition:
        """See `Terms.among`."""
        return _compared(column, lambda found: found.in_(values))

    def at_least(self, column: str, value: float) -> _Condition:
        """See `Terms.at_least`."""
        return _compared(column, lambda found: and_(found >= value))

    def at_most(self, column: str, value: float) -> _Condition:
        """See `Terms.at_most`."""
        return _compared(column, lambda found: and_(found <= value))

    def is_missing(self, column: str) -> _Condition:
        """See `Terms.is_missing`."""
        return _compared(column, lambda found: found.is_(None))

    def coordinates(self) -> Sequence[ColumnElement[float]]:
        """See `Terms.coordinates`."""
        # Cast to double, because integers would be rounded or overflow.
        columns = (Experiment.injection_ap, Experiment.injection_dv, Experiment.injection_ml)
        return [cast(column, Double) for column in columns]

    def identified(self, ids: Collection[int]) -> _Condition:
        """See `Terms.identified`."""
        return id_in(self._connection, Experiment.id, ids)

    def on_exclusion_list(self) -> _Condition:
        """See `Terms.on_exclusion_list`."""
        return Experiment.id.in_(excluded_ids())

    def _with_descendants(self, structure_ids: Collection[int]) -> Select[int]:
        ancestor_id = StructureAncestor.ancestor_id
        return select(StructureAncestor.descendant_id).where(id_in(self._connection, ancestor_id, structure_ids))

    def inside(self, structure_ids: Collection[int]) -> _Condition:
        """See `Terms.inside`."""
        return Experiment.primary_structure_id.in_(self._with_descendants(structure_ids))

    def touching(self, structure_ids: Collection[int]) -> _Condition:
        """See `Terms.touching`."""
        touched = select(ExperimentInjectionStructure.experiment_id).where(
            ExperimentInjectionStructure.structure_id.in_(self._with_descendants(structure_ids))
        )
        return Experiment.id.in_(touched)

    def of_lines(self, names: Collection[str]) -> _Condition:
        """See `Terms.of_lines`."""
        of_line = (
            select(ExperimentLine.experiment_id)
            .join(TransgenicLine, TransgenicLine.id == ExperimentLine.transgenic_line_id)
            .where(TransgenicLine.name.in_(names))
        )
        return Experiment.id.in_(of_line)

    def with_volume(self, kind: VolumeKind, spacing_um: int) -> _Condition:
        """See `Terms.with_volume`."""
        stored = select(StoredVolume.experiment_id).where(
            StoredVolume.kind == kind, StoredVolume.spacing_um == spacing_um
        )
        return Experiment.id.in_(stored)

    def covered(self, part: UnionizePart) -> _Condition:
        """See `Terms.covered`."""
        return Experiment.id.in_(covered(part))

    def overlapping(self, structure_ids: Collection[int], least: float) -> _Condition:
        """See `Terms.overlapping`."""
        shares = injection_overlaps(self._connection, structure_ids).subquery()
        enough = select(shares.c.experiment_id).where(shares.c.injection_overlap >= least)
        return Experiment.id.in_(enough)

    def projecting(self, structure_ids: Collection[int], leaf: Criteria) -> _Condition:
        """See `Terms.projecting`."""
        measure = Unionize.__table__.c[leaf.target_measure]
        query = select(Unionize.experiment_id).where(
            id_in(self._connection, Unionize.structure_id, structure_ids),
            Unionize.is_injection == false(),
            measure > leaf.target_threshold,
        )
        on_left, on_right = hemisphere_ids(leaf.target_hemisphere)
        if on_left == on_right:
            return Experiment.id.in_(query.where(Unionize.hemisphere_id == on_left))
        injected = Experiment.__table__.alias("injected")
        hemisphere_id = case((injected.c.injected_hemisphere == "left", on_left), else_=on_right)
        relative = query.join(injected, injected.c.id == Unionize.experiment_id).where(
            injected.c.injected_hemisphere.is_not(None), Unionize.hemisphere_id == hemisphere_id
        )
        return Experiment.id.in_(relative)


def _compared(name: str, comparison: Callable[[ColumnElement[Any]], _Condition]) -> _Condition:
    """The condition that a comparison holds for a column of the view ``experiments``."""
    own = Experiment.__table__.c.get(name)
    if own is not None:
        return comparison(own)
    # A column that the view computes.
    experiments = view("experiments").c
    return Experiment.id.in_(select(experiments.experiment_id).where(comparison(experiments[name])))

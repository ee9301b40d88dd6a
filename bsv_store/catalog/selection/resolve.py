"""From a selection to experiment ids: one SELECT, the same on SQLite and Postgres, with bound parameters only.

Names are looked up first. Every condition is then about the experiment's row or its id, and what is unknown (NULL) does
not match.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace

from sqlalchemy import (
    ColumnElement,
    Connection,
    Double,
    Select,
    and_,
    case,
    cast,
    false,
    func,
    not_,
    or_,
    select,
    true,
)

from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import (
    Experiment,
    ExperimentInjectionStructure,
    ExperimentLine,
    StructureAncestor,
    TransgenicLine,
    Unionize,
    UnionizeCoverage,
)
from bsv_store.catalog.selection.criteria import ANY_CRE, HEMISPHERE_IDS, WILD_TYPE, Criteria
from bsv_store.catalog.selection.names import looked_up
from bsv_store.catalog.selection.selection import Node, Selection
from bsv_store.catalog.selection.shared import excluded, excluded_ids
from bsv_store.catalog.structures import StructureRef
from bsv_store.catalog.tables.views import view
from bsv_store.errors import EmptySelectionError
from bsv_store.text import listed

_SQUARE_UNDERFLOWS = 1e-150


def compile_selection(connection: Connection, selection: Selection) -> Select[int]:
    """One SELECT of the ids of the experiments selected, unordered; it also serves as a subquery.

    Raises
    ------
    UnknownStructureError, UnknownExperimentError
        If the catalog does not have a structure or an explicit id that the selection names.
    SelectionError
        If no experiment has a line, product, sex or strain of that name, or a target was never measured.
    """
    compiler = _Compiler(connection, looked_up(connection, selection))
    return select(Experiment.id).where(compiler.condition(selection.node))


def resolve(connection: Connection, selection: Selection) -> tuple[int, ...]:
    """The ids of the experiments selected, ascending; empty if there are none.

    Raises
    ------
    UnknownStructureError, UnknownExperimentError, SelectionError
        As ``compile_selection`` does.
    """
    query = compile_selection(connection, selection).order_by(Experiment.id)
    return tuple(connection.scalars(query))


def resolve_nonempty(connection: Connection, selection: Selection) -> tuple[int, ...]:
    """The ids of the experiments selected, ascending, at least one.

    Raises
    ------
    EmptySelectionError
        If there are none; the hint says which criterion it is that matches nothing.
    UnknownStructureError, UnknownExperimentError, SelectionError
        As ``compile_selection`` does.
    """
    ids = resolve(connection, selection)
    if not ids:
        raise EmptySelectionError(f"no experiment matches {selection!r}", hint=_why_empty(connection, selection))
    return ids


def unmeasured(connection: Connection, selection: Selection) -> tuple[int, ...]:
    """Ids, ascending, of experiments whose projections are not in the store and might change what is selected.

    ``projecting_to`` can only be judged where an experiment's unionize records are known. Those returned here may
    belong to the selection (or, under ``-``, may not) once their records are taken in.

    Raises
    ------
    UnknownStructureError, UnknownExperimentError, SelectionError
        As ``compile_selection`` does.
    """
    if all(leaf.projecting_to is None for leaf in selection.leaves()):
        return ()
    compiler = _Compiler(connection, looked_up(connection, selection))
    at_most = compiler.condition(selection.node, doubtful=True, flips=True)
    at_least = compiler.condition(selection.node, doubtful=False, flips=True)
    query = select(Experiment.id).where(at_most, not_(func.coalesce(at_least, false()))).order_by(Experiment.id)
    return tuple(connection.scalars(query))


def excluded_from(connection: Connection, selection: Selection) -> dict[int, str]:
    """What the exclusion list takes from a selection: the reason by experiment id, ascending.

    Raises
    ------
    UnknownStructureError, UnknownExperimentError, SelectionError
        As ``compile_selection`` does.
    """
    everything = Selection.of(_with_excluded(selection.node))
    without = Experiment.id.not_in(compile_selection(connection, selection))
    query = compile_selection(connection, everything).where(without).order_by(Experiment.id)
    return excluded(connection, connection.scalars(query).all())


def _with_excluded(node: Node) -> Node:
    if isinstance(node, Criteria):
        return replace(node, include_excluded=True)
    return replace(node, parts=tuple(_with_excluded(part) for part in node.parts))


# -- conditions -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Compiler:
    connection: Connection
    structure_ids: Mapping[StructureRef, int]

    def condition(self, node: Node, *, doubtful: bool = False, flips: bool = False) -> ColumnElement[bool]:
        """The condition on an experiment's row.

        With ``doubtful``, unknown projections count as a match, and with ``flips`` this turns around inside what is
        taken away: so the two settings of ``doubtful`` give the most and the least that can be selected.
        """
        if isinstance(node, Criteria):
            return and_(true(), *self._criteria(node, doubtful))

        def known(part: Node, in_doubt: bool) -> ColumnElement[bool]:
            # Unknown counts as false, also where it is negated. The function call keeps the parts nested too: a flat
            # chain of all their terms would exceed SQLite's depth of an expression.
            return func.coalesce(self.condition(part, doubtful=in_doubt, flips=flips), false())

        if node.operator == "minus":
            taken = (known(part, doubtful ^ flips) for part in node.parts[1:])
            return and_(known(node.parts[0], doubtful), not_(or_(false(), *taken)))
        combine = and_ if node.operator == "and" else or_
        return combine(*(known(part, doubtful) for part in node.parts))

    def _criteria(self, leaf: Criteria, doubtful: bool) -> Iterator[ColumnElement[bool]]:
        if not leaf.include_withdrawn and leaf.ids is None:
            yield Experiment.withdrawn == false()
        if not leaf.include_excluded:
            yield Experiment.id.not_in(excluded_ids())
        if leaf.injected_in is not None:
            yield self._injected(leaf.injected_in, primary_only=leaf.injection == "primary")
        if leaf.line is not None:
            yield _line(leaf.line)
        for column, values in (
            (Experiment.product_id, leaf.product),
            (Experiment.sex, leaf.sex),
            (Experiment.strain, leaf.strain),
        ):
            if values is not None:
                yield column.in_(values)
        if leaf.injected_hemisphere is not None:
            yield Experiment.injected_hemisphere == leaf.injected_hemisphere
        if leaf.bilateral is not None:
            # What bilateral means is said in one place, the view.
            experiments = view("experiments")
            sided = select(experiments.c.id).where(experiments.c.bilateral.is_(leaf.bilateral))
            yield Experiment.id.in_(sided)
        yield from _numbers(leaf)
        if leaf.projecting_to is not None:
            projecting = Experiment.id.in_(self._projecting(leaf))
            yield or_(projecting, Experiment.id.not_in(_covered())) if doubtful else projecting
        if leaf.ids is not None:
            yield id_in(self.connection, Experiment.id, leaf.ids)
        if leaf.exclude_ids is not None:
            yield not_(id_in(self.connection, Experiment.id, leaf.exclude_ids))

    def _ids(self, structures: Sequence[StructureRef]) -> list[int]:
        return sorted({self.structure_ids[structure] for structure in structures})

    def _injected(self, structures: Sequence[StructureRef], *, primary_only: bool) -> ColumnElement[bool]:
        inside = select(StructureAncestor.descendant_id).where(
            id_in(self.connection, StructureAncestor.ancestor_id, self._ids(structures))
        )
        primary = Experiment.primary_structure_id.in_(inside)
        if primary_only:
            return primary
        touched = select(ExperimentInjectionStructure.experiment_id).where(
            ExperimentInjectionStructure.structure_id.in_(inside)
        )
        return or_(primary, Experiment.id.in_(touched))

    def _projecting(self, leaf: Criteria) -> Select[int]:
        measure = Unionize.__table__.c[leaf.measure]
        query = select(Unionize.experiment_id).where(
            id_in(self.connection, Unionize.structure_id, self._ids(leaf.projecting_to or ())),
            Unionize.is_injection == false(),
            measure > leaf.threshold,
        )
        side = leaf.target_hemisphere
        if side in HEMISPHERE_IDS:
            return query.where(Unionize.hemisphere_id == HEMISPHERE_IDS[side])
        left, right = (1, 2) if side == "ipsilateral" else (2, 1)
        injected = Experiment.__table__.alias("injected")
        hemisphere_id = case((injected.c.injected_hemisphere == "left", left), else_=right)
        return query.join(injected, injected.c.id == Unionize.experiment_id).where(
            injected.c.injected_hemisphere.is_not(None), Unionize.hemisphere_id == hemisphere_id
        )


def _covered() -> Select[int]:
    return select(UnionizeCoverage.experiment_id).where(UnionizeCoverage.part == "projection")


def _line(names: Sequence[str]) -> ColumnElement[bool]:
    options: list[ColumnElement[bool]] = []
    if WILD_TYPE in names:
        options.append(Experiment.transgenic_line.is_(None))
    if ANY_CRE in names:
        options.append(Experiment.transgenic_line.is_not(None))
    exact = [name for name in names if name not in (WILD_TYPE, ANY_CRE)]
    if exact:
        of_line = (
            select(ExperimentLine.experiment_id)
            .join(TransgenicLine, TransgenicLine.id == ExperimentLine.transgenic_line_id)
            .where(TransgenicLine.name.in_(exact))
        )
        options.append(Experiment.id.in_(of_line))
    return or_(false(), *options)


def _numbers(leaf: Criteria) -> Iterator[ColumnElement[bool]]:
    if leaf.min_injection_volume is not None:
        yield Experiment.injection_volume >= leaf.min_injection_volume
    if leaf.max_injection_volume is not None:
        yield Experiment.injection_volume <= leaf.max_injection_volume
    # As double, so that neither whole-number overflow nor rounding to whole numbers can happen on either database.
    axes = [
        cast(column, Double) for column in (Experiment.injection_ap, Experiment.injection_dv, Experiment.injection_ml)
    ]
    for axis, interval in zip(axes, leaf.box or (), strict=False):
        if interval is not None:
            yield axis.between(*interval)
    if leaf.near is not None and leaf.radius is not None:
        # Postgres refuses a product that underflows; SQLite and Python make it 0.
        centers = [0.0 if abs(center) < _SQUARE_UNDERFLOWS else center for center in leaf.near]
        ap, dv, ml = ((axis - center) * (axis - center) for axis, center in zip(axes, centers, strict=True))
        yield ap + dv + ml <= leaf.radius * leaf.radius


# -- why nothing matches ----------------------------------------------------------------------------------------------


def _why_empty(connection: Connection, selection: Selection) -> str:
    if connection.scalar(select(Experiment.id).limit(1)) is None:
        return "The catalog holds no experiments yet: `bsv-store sync experiments`."
    node = selection.node
    if isinstance(node, Criteria):
        return _why_leaf_empty(connection, node)
    counts = [f"{_count(connection, part)} match {Selection.of(part)!r}" for part in node.parts]
    return f"Of its parts, {listed(counts, limit=10)}."


def _why_leaf_empty(connection: Connection, leaf: Criteria) -> str:
    missing = unmeasured(connection, Selection.of(leaf))
    if missing:
        return (
            f"The projections of {len(missing):,} experiments that match otherwise are not in the store: "
            "`bsv-store sync unionizes` with the same selection, but for what it projects to."
        )
    excluded_ones = excluded_from(connection, Selection.of(leaf))
    if excluded_ones:
        reasons = listed(f"{identifier} ({reason})" for identifier, reason in excluded_ones.items())
        return f"On the exclusion list: {reasons}. include_excluded=True (--include-excluded) takes them in."
    with_withdrawn = replace(leaf, include_withdrawn=True)
    withdrawn = _count(connection, with_withdrawn)
    if withdrawn:
        return f"{withdrawn:,} withdrawn experiments match: include_withdrawn=True (--include-withdrawn) takes them in."
    alone = [text for text, single in _single_criteria(leaf) if not _count(connection, single)]
    if alone:
        return f"Nothing matches {listed(alone)} alone."
    return "Each criterion matches some experiments; none matches all criteria."


# Criteria that mean something only together.
_COMPANIONS = {
    "injected_in": ("injection",),
    "near": ("radius",),
    "projecting_to": ("measure", "threshold", "target_hemisphere"),
}


def _single_criteria(leaf: Criteria) -> Iterator[tuple[str, Criteria]]:
    companions = {name for names in _COMPANIONS.values() for name in names}
    given = leaf.to_dict()
    for field in fields(leaf):
        if field.name not in given or field.name in companions or field.name.startswith("include_"):
            continue
        names = [name for name in (field.name, *_COMPANIONS.get(field.name, ())) if name in given]
        values = {name: getattr(leaf, name) for name in names}
        text = ", ".join(f"{name}={given[name]!r}" for name in names)
        yield text, Criteria(**values, include_withdrawn=True, include_excluded=True)


def _count(connection: Connection, node: Node) -> int:
    matching = compile_selection(connection, Selection.of(node)).subquery()
    return connection.scalar(select(func.count()).select_from(matching)) or 0

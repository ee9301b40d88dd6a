"""Compile a selection to one SELECT of experiment ids, for SQLite and Postgres, with bound parameters only.

Names are looked up first. Each condition then refers to the experiment's row or id, and NULL does not match.

The policy for withdrawn and excluded experiments is here and nowhere else. A part of a selection leaves out withdrawn
experiments unless it has ``include_withdrawn`` or names them in ``ids``, and leaves out experiments on the exclusion
list unless it has ``include_excluded``. An experiment on the exclusion list that is named in ``ids`` is an error,
except in parts that are subtracted with ``-``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple, assert_never

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    case,
    false,
    func,
    not_,
    or_,
    select,
    true,
)

from bsv_store.catalog.coverage import covered
from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import (
    Experiment,
    ExperimentInjectionStructure,
    ExperimentLine,
    StructureAncestor,
    TransgenicLine,
    Unionize,
)
from bsv_store.catalog.hemispheres import hemisphere_ids
from bsv_store.catalog.injection_overlap import injection_overlaps
from bsv_store.catalog.selection.criteria import (
    ANY_CRE,
    CRITERIA,
    WILD_TYPE,
    Criteria,
    companions,
)
from bsv_store.catalog.selection.criterion import Criterion
from bsv_store.catalog.selection.exclusions import excluded, excluded_ids
from bsv_store.catalog.selection.in_store import UNIONIZE_PART_OF, needs_side, with_unionizes, with_volume
from bsv_store.catalog.selection.names import looked_up
from bsv_store.catalog.selection.narrowing import including
from bsv_store.catalog.selection.positions import in_box, near_point
from bsv_store.catalog.selection.selection import Node, Selection
from bsv_store.catalog.structures import StructureRef
from bsv_store.catalog.tables.views import view
from bsv_store.errors import EmptySelectionError, ExcludedExperimentError
from bsv_store.text import listed, number_of


def compile_selection(connection: Connection, selection: Selection) -> Select[int]:
    """One SELECT of the ids of the selected experiments, unordered; it also serves as a subquery.

    Raises
    ------
    UnknownStructureError, UnknownExperimentError
        If the catalog does not have a structure or experiment that the selection names.
    ExcludedExperimentError
        If the selection names an experiment by id that is on the exclusion list.
    SelectionError
        If no experiment has a line, product, sex or strain of that name, or Allen does not measure a target.
    """
    return _compiled(selection.node, check_selection(connection, selection))


def check_selection(connection: Connection, selection: Selection) -> _Compiler:
    """Check a selection, and return its compiler.

    Raises
    ------
    UnknownStructureError, UnknownExperimentError, ExcludedExperimentError, SelectionError
        See `compile_selection`.
    """
    compiler = _Compiler(connection, looked_up(connection, selection))
    _refuse_excluded(connection, selection.node)
    return compiler


def resolve(connection: Connection, selection: Selection) -> tuple[int, ...]:
    """The ids of the selected experiments, ascending; empty if there are none.

    Raises
    ------
    UnknownStructureError, UnknownExperimentError, ExcludedExperimentError, SelectionError
        See `compile_selection`.
    """
    query = compile_selection(connection, selection).order_by(Experiment.id)
    return tuple(connection.scalars(query).all())


def resolve_nonempty(connection: Connection, selection: Selection) -> tuple[int, ...]:
    """The ids of the selected experiments, ascending, at least one.

    Raises
    ------
    EmptySelectionError
        If there are none; the hint names the criterion that matches nothing.
    UnknownStructureError, UnknownExperimentError, ExcludedExperimentError, SelectionError
        See `compile_selection`.
    """
    ids = resolve(connection, selection)
    if not ids:
        raise _empty(connection, selection)
    return ids


def resolve_with_exclusions(connection: Connection, selection: Selection) -> tuple[tuple[int, ...], dict[int, str]]:
    """Combine `resolve_nonempty` and `excluded_from`, looking up the names in the selection only once.

    Raises
    ------
    EmptySelectionError, UnknownStructureError, UnknownExperimentError, ExcludedExperimentError, SelectionError
        See `resolve_nonempty`.
    """
    compiler = check_selection(connection, selection)
    ids = tuple(connection.scalars(_compiled(selection.node, compiler).order_by(Experiment.id)).all())
    if not ids:
        raise _empty(connection, selection)
    return ids, _excluded_from(connection, selection, compiler)


def compile_with_exclusions(connection: Connection, selection: Selection) -> tuple[Select[int], dict[int, str]]:
    """Combine `compile_selection` and `excluded_from`, looking up the names in the selection only once.

    Raises
    ------
    UnknownStructureError, UnknownExperimentError, ExcludedExperimentError, SelectionError
        See `compile_selection`.
    """
    compiler = check_selection(connection, selection)
    return _compiled(selection.node, compiler), _excluded_from(connection, selection, compiler)


def _empty(connection: Connection, selection: Selection) -> EmptySelectionError:
    return EmptySelectionError(f"no experiment matches {selection!r}", hint=_why_empty(connection, selection))


class Undecided(NamedTuple):
    """The ids, ascending, of experiments that may belong to a selection.

    Attributes
    ----------
    unmeasured : tuple of int
        Their unionize records are not in the store.
    without_side : tuple of int
        Their records are there; their injected hemisphere is not known, and the target is relative to it.
    """

    unmeasured: tuple[int, ...]
    without_side: tuple[int, ...]


def undecided(connection: Connection, selection: Selection) -> Undecided:
    """The experiments for which a criterion that needs unionize rows cannot be judged, and that may change the result.

    If more were known of them, they may belong to the selection, or (under ``-``) no longer belong to it.

    Raises
    ------
    UnknownStructureError, UnknownExperimentError, ExcludedExperimentError, SelectionError
        See `compile_selection`.
    """
    parts = {
        part
        for leaf in selection.leaves()
        for name in leaf.to_dict()
        if (part := UNIONIZE_PART_OF.get(name)) is not None
    }
    if not parts:
        return Undecided((), ())
    compiler = check_selection(connection, selection)
    at_most = compiler.condition(selection.node, match_unknown=True, invert_subtracted=True)
    at_least = compiler.condition(selection.node, match_unknown=False, invert_subtracted=True)
    is_measured = and_(true(), *(Experiment.id.in_(covered(part)) for part in sorted(parts)))
    query = select(Experiment.id, is_measured).where(at_most, not_(func.coalesce(at_least, false())))
    rows = connection.execute(query.order_by(Experiment.id)).all()
    unmeasured = tuple(key for key, measured in rows if not measured)
    return Undecided(unmeasured, tuple(key for key, measured in rows if measured))


def excluded_from(connection: Connection, selection: Selection) -> dict[int, str]:
    """The experiments that the exclusion list removes from a selection: reason by experiment id, ascending.

    Raises
    ------
    UnknownStructureError, UnknownExperimentError, ExcludedExperimentError, SelectionError
        See `compile_selection`.
    """
    return _excluded_from(connection, selection, check_selection(connection, selection))


def _excluded_from(connection: Connection, selection: Selection, compiler: _Compiler) -> dict[int, str]:
    if all(leaf.include_excluded or leaf.ids is not None for leaf in selection.leaves()):
        return {}
    selected = _compiled(selection.node, compiler)
    with_excluded = _compiled(including(selection, excluded=True).node, compiler)
    query = with_excluded.where(Experiment.id.not_in(selected)).order_by(Experiment.id)
    return excluded(connection, connection.scalars(query).all())


# -- the exclusion list -----------------------------------------------------------------------------------------------


def _refuse_excluded(connection: Connection, node: Node) -> None:
    named = set(_named(node))
    found = excluded(connection, named) if named else {}
    if not found:
        return
    if len(found) == 1:
        ((identifier, reason),) = found.items()
        message = f"experiment {identifier} is on the exclusion list: {reason}"
    else:
        reasons = listed(f"{identifier} ({reason})" for identifier, reason in found.items())
        message = f"{len(found):,} experiments are on the exclusion list: {reasons}"
    raise ExcludedExperimentError(
        message,
        hint="Include them with include_excluded=True in the selection that names them,"
        f" or take them off the list: bsv-store exclude remove {' '.join(map(str, found))}",
    )


def _named(node: Node) -> Iterator[int]:
    """The ids that a selection names, except in subtracted parts."""
    if isinstance(node, Criteria):
        if not node.include_excluded:
            yield from set(node.ids or ()).difference(node.exclude_ids or ())
        return
    for part in node.parts[:1] if node.operator == "minus" else node.parts:
        yield from _named(part)


# -- conditions -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Compiler:
    connection: Connection
    structure_ids: Mapping[StructureRef, int]

    def condition(
        self, node: Node, *, match_unknown: bool = False, invert_subtracted: bool = False
    ) -> ColumnElement[bool]:
        """The condition on an experiment's row.

        With ``match_unknown``, unknown projections count as a match; with ``invert_subtracted`` this is reversed in
        subtracted parts, so that the two values of ``match_unknown`` give the largest and the smallest possible
        selection.
        """
        if isinstance(node, Criteria):
            return and_(true(), *self._criteria(node, match_unknown))

        def not_null(part: Node, match_unknown: bool) -> ColumnElement[bool]:
            # NULL counts as false, also under NOT. The function call also keeps the parts nested: a flat chain of all
            # terms would exceed SQLite's limit for the depth of an expression.
            return func.coalesce(
                self.condition(part, match_unknown=match_unknown, invert_subtracted=invert_subtracted), false()
            )

        if node.operator == "minus":
            subtracted = (not_null(part, match_unknown ^ invert_subtracted) for part in node.parts[1:])
            return and_(not_null(node.parts[0], match_unknown), not_(or_(false(), *subtracted)))
        combine = and_ if node.operator == "and" else or_
        return combine(*(not_null(part, match_unknown) for part in node.parts))

    def _criteria(self, leaf: Criteria, match_unknown: bool) -> Iterator[ColumnElement[bool]]:
        if not leaf.include_withdrawn and leaf.ids is None:
            yield Experiment.withdrawn == false()
        # Experiments that are named on the exclusion list are an error, except in parts that are taken away.
        if not leaf.include_excluded and leaf.ids is None:
            yield Experiment.id.not_in(excluded_ids())
        for name, criterion in CRITERIA.items():
            value = getattr(leaf, name)
            if value is None or (name in QUALIFIERS and name not in CONDITIONS):
                continue
            if criterion.column is None:
                condition = CONDITIONS[name](self, leaf)
            else:
                condition = _compared(criterion, criterion.column, value)
            if match_unknown and name in UNIONIZE_PART_OF:
                condition = or_(condition, Experiment.id.not_in(covered(UNIONIZE_PART_OF[name])))
                if needs_side(name, leaf):
                    condition = or_(condition, Experiment.injected_hemisphere.is_(None))
            yield condition

    def _ids(self, structures: Sequence[StructureRef]) -> list[int]:
        return sorted({self.structure_ids[structure] for structure in structures})

    def injected_in(self, leaf: Criteria) -> ColumnElement[bool]:
        inside = select(StructureAncestor.descendant_id).where(
            id_in(self.connection, StructureAncestor.ancestor_id, self._ids(leaf.injected_in or ()))
        )
        condition: ColumnElement[bool] = Experiment.primary_structure_id.in_(inside)
        if leaf.injection == "any":
            touched = select(ExperimentInjectionStructure.experiment_id).where(
                ExperimentInjectionStructure.structure_id.in_(inside)
            )
            condition = or_(condition, Experiment.id.in_(touched))
        elif leaf.injection != "primary":
            assert_never(leaf.injection)
        return condition

    def injection_overlap(self, leaf: Criteria) -> ColumnElement[bool]:
        shares = injection_overlaps(self.connection, self._ids(leaf.injected_in or ())).subquery()
        enough = select(shares.c.experiment_id).where(shares.c.injection_overlap >= leaf.min_injection_overlap)
        return Experiment.id.in_(enough)

    def projecting_to(self, leaf: Criteria) -> ColumnElement[bool]:
        measure = Unionize.__table__.c[leaf.target_measure]
        query = select(Unionize.experiment_id).where(
            id_in(self.connection, Unionize.structure_id, self._ids(leaf.projecting_to or ())),
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

    def ids(self, leaf: Criteria) -> ColumnElement[bool]:
        return id_in(self.connection, Experiment.id, leaf.ids or ())

    def exclude_ids(self, leaf: Criteria) -> ColumnElement[bool]:
        return not_(id_in(self.connection, Experiment.id, leaf.exclude_ids or ()))


def _compiled(node: Node, compiler: _Compiler) -> Select[int]:
    return select(Experiment.id).where(compiler.condition(node))


def _compared(criterion: Criterion, name: str, value: Any) -> ColumnElement[bool]:
    """The condition that a column of the view ``experiments`` has a value."""
    own = Experiment.__table__.c.get(name)
    if own is None:
        # A column that the view computes.
        experiments = view("experiments").c
        matching = select(experiments.experiment_id).where(_comparison(criterion, experiments[name], value))
        return Experiment.id.in_(matching)
    return _comparison(criterion, own, value)


def _comparison(criterion: Criterion, column: ColumnElement[Any], value: Any) -> ColumnElement[bool]:
    form = criterion.form
    if form == "names" or form == "ids":
        return column.in_(value)
    if form == "choice":
        return and_(column == value)
    if form == "flag":
        return column.is_(value)
    if form == "number":
        return and_(column <= value if criterion.bound == "highest" else column >= value)
    if form == "structures" or form == "spacing" or form == "point" or form == "box":
        raise TypeError(f"criteria of the form {form} need a condition of their own")
    assert_never(form)


def _line(_: _Compiler, leaf: Criteria) -> ColumnElement[bool]:
    names = leaf.line or ()
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


CONDITIONS: Mapping[str, Callable[[_Compiler, Criteria], ColumnElement[bool]]] = MappingProxyType(
    {
        "injected_in": _Compiler.injected_in,
        "min_injection_overlap": _Compiler.injection_overlap,
        "line": _line,
        "box": lambda _, leaf: in_box(leaf),
        "near": lambda _, leaf: near_point(leaf),
        "projecting_to": _Compiler.projecting_to,
        "with_volume": lambda _, leaf: with_volume(leaf),
        "with_unionizes": lambda _, leaf: with_unionizes(leaf),
        "ids": _Compiler.ids,
        "exclude_ids": _Compiler.exclude_ids,
    }
)
"""The criteria that are more than a comparison with a column."""

QUALIFIERS = frozenset(
    {"include_withdrawn", "include_excluded", *(name for name, each in CRITERIA.items() if each.belongs_to is not None)}
)
"""The criteria that qualify another one, or the whole part."""


# -- why nothing matches ----------------------------------------------------------------------------------------------


def _why_empty(connection: Connection, selection: Selection) -> str:
    if connection.scalar(select(Experiment.id).limit(1)) is None:
        return "The catalog has no experiments yet: `bsv-store sync experiments`."
    node = selection.node
    unknown = undecided(connection, selection)
    if unknown.unmeasured:
        return (
            f"The unionize tables of {number_of(len(unknown.unmeasured), 'experiment')} that may match are not in the "
            "store: `bsv-store sync unionizes` with the same selection, without the criteria that need these tables."
        )
    if unknown.without_side:
        return (
            f"The injected hemisphere of {number_of(len(unknown.without_side), 'experiment')} that may match is not "
            "known: choose 'both', 'left' or 'right' as the target hemisphere; they have no laterality index."
        )
    # Each part of a combination leaves them out separately.
    where = "" if isinstance(node, Criteria) else " in every part"
    removed = excluded_from(connection, selection)
    if removed:
        reasons = listed(f"{identifier} ({reason})" for identifier, reason in removed.items())
        return f"On the exclusion list: {reasons}. include_excluded=True{where} includes them."
    withdrawn = _count(connection, including(selection, withdrawn=True).node)
    if withdrawn:
        return (
            f"{number_of(withdrawn, 'withdrawn experiment')} would match: include_withdrawn=True{where} includes them."
        )
    if isinstance(node, Criteria):
        return _why_leaf_empty(connection, node)
    counts = [f"{_count(connection, part)} match {Selection.of(part)!r}" for part in node.parts]
    return f"Of its parts, {listed(counts, limit=10)}."


def _why_leaf_empty(connection: Connection, leaf: Criteria) -> str:
    alone = [text for text, single in _single_criteria(leaf) if not _count(connection, single)]
    if alone:
        return f"Nothing matches {listed(alone)} alone."
    return "Each criterion matches some experiments; none matches all criteria."


def _single_criteria(leaf: Criteria) -> Iterator[tuple[str, Criteria]]:
    """Each criterion of a part as a selection, together with the criteria that qualify it."""
    given = leaf.to_dict()
    for name in given:
        if name in QUALIFIERS:
            continue
        names = [each for each in (name, *companions(name)) if each in given]
        values = {each: getattr(leaf, each) for each in names}
        text = ", ".join(f"{each}={given[each]!r}" for each in names)
        yield text, Criteria(**values, include_withdrawn=True, include_excluded=True)


def _count(connection: Connection, node: Node) -> int:
    # Not through compile_selection, because a subtracted part may name experiments on the exclusion list.
    compiler = _Compiler(connection, looked_up(connection, Selection.of(node)))
    matching = _compiled(node, compiler).subquery()
    return connection.scalar(select(func.count()).select_from(matching)) or 0

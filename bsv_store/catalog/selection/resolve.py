"""Compile a selection to a condition on experiments, in SQL or on columns in memory.

Names are looked up first. The rules here combine the terms of `bsv_store.catalog.selection.terms`.

The policy for withdrawn and excluded experiments is here and nowhere else. A part of a selection leaves out withdrawn
experiments unless it has ``include_withdrawn`` or names them in ``ids``, and leaves out experiments on the exclusion
list unless it has ``include_excluded``. An experiment on the exclusion list that is named in ``ids`` is an error,
except in parts that are subtracted with ``-``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, assert_never

from sqlalchemy import ColumnElement, Connection, Select, and_, false, func, not_, select, true

from bsv_store.catalog.coverage import covered
from bsv_store.catalog.database.models import Experiment
from bsv_store.catalog.selection.criteria import (
    ANY_CRE,
    CRITERIA,
    WILD_TYPE,
    Criteria,
    companions,
)
from bsv_store.catalog.selection.criterion import Criterion
from bsv_store.catalog.selection.exclusions import excluded
from bsv_store.catalog.selection.in_store import needs_side, with_unionizes
from bsv_store.catalog.selection.names import looked_up
from bsv_store.catalog.selection.narrowing import including
from bsv_store.catalog.selection.positions import in_box, near_point
from bsv_store.catalog.selection.selection import Node, Selection
from bsv_store.catalog.selection.sql_terms import SqlTerms
from bsv_store.catalog.selection.terms import C, Names, Terms
from bsv_store.catalog.structures import StructureRef
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


def check_selection(connection: Connection, selection: Selection) -> _Compiler[ColumnElement[bool]]:
    """Check a selection, and return its compiler.

    Raises
    ------
    UnknownStructureError, UnknownExperimentError, ExcludedExperimentError, SelectionError
        See `compile_selection`.
    """
    return _checked(SqlTerms(connection), selection)


def condition_of(terms: Terms[C], selection: Selection) -> C:
    """The condition that an experiment is selected, after checking the selection.

    Raises
    ------
    UnknownStructureError, UnknownExperimentError, ExcludedExperimentError, SelectionError
        See `compile_selection`.
    """
    return _checked(terms, selection).condition(selection.node)


def _checked(terms: Terms[C], selection: Selection) -> _Compiler[C]:
    compiler = _Compiler(terms, looked_up(terms, selection))
    _refuse_excluded(terms, selection.node)
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
        if (part := CRITERIA[name].unionize_part) is not None
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


def _excluded_from(
    connection: Connection, selection: Selection, compiler: _Compiler[ColumnElement[bool]]
) -> dict[int, str]:
    if not _leaves_out_excluded(selection):
        return {}
    query = select(Experiment.id).where(compiler.left_out(selection)).order_by(Experiment.id)
    return excluded(connection, connection.scalars(query).all())


def left_out_of(terms: Terms[C], selection: Selection) -> C:
    """The condition that only the exclusion list removes an experiment from a selection, after checking the selection.

    Raises
    ------
    UnknownStructureError, UnknownExperimentError, ExcludedExperimentError, SelectionError
        See `compile_selection`.
    """
    compiler = _checked(terms, selection)
    return compiler.left_out(selection) if _leaves_out_excluded(selection) else terms.some([])


def _leaves_out_excluded(selection: Selection) -> bool:
    return not all(leaf.include_excluded or leaf.ids is not None for leaf in selection.leaves())


# -- the exclusion list -----------------------------------------------------------------------------------------------


def _refuse_excluded(names: Names, node: Node) -> None:
    named = set(_named(node))
    found = names.excluded(named) if named else {}
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
class _Compiler(Generic[C]):
    terms: Terms[C]
    structure_ids: Mapping[StructureRef, int]

    def condition(self, node: Node, *, match_unknown: bool = False, invert_subtracted: bool = False) -> C:
        """The condition on an experiment.

        With ``match_unknown``, unknown projections count as a match; with ``invert_subtracted`` this is reversed in
        subtracted parts, so that the two values of ``match_unknown`` give the largest and the smallest possible
        selection.
        """
        terms = self.terms
        if isinstance(node, Criteria):
            return terms.every(self._criteria(node, match_unknown))

        def certain(part: Node, match_unknown: bool) -> C:
            # Unknown counts as false, even under NOT.
            return terms.certain(self.condition(part, match_unknown=match_unknown, invert_subtracted=invert_subtracted))

        if node.operator == "minus":
            subtracted = (certain(part, match_unknown ^ invert_subtracted) for part in node.parts[1:])
            return terms.every([certain(node.parts[0], match_unknown), terms.opposite(terms.some(subtracted))])
        combine = terms.every if node.operator == "and" else terms.some
        return combine(certain(part, match_unknown) for part in node.parts)

    def left_out(self, selection: Selection) -> C:
        """The condition that only the exclusion list removes an experiment from the selection that was checked."""
        selected = self.terms.certain(self.condition(selection.node))
        with_excluded = self.condition(including(selection, excluded=True).node)
        return self.terms.every([with_excluded, self.terms.opposite(selected)])

    def _criteria(self, leaf: Criteria, match_unknown: bool) -> Iterator[C]:
        terms = self.terms
        if not leaf.include_withdrawn and leaf.ids is None:
            yield terms.equals("withdrawn", False)
        # Experiments that are named on the exclusion list are an error, except in parts that are taken away.
        if not leaf.include_excluded and leaf.ids is None:
            yield terms.opposite(terms.on_exclusion_list())
        for name, criterion in CRITERIA.items():
            value = getattr(leaf, name)
            if value is None or (name in QUALIFIERS and name not in CONDITIONS):
                continue
            if criterion.column is None:
                condition: C = CONDITIONS[name](self, leaf)
            else:
                condition = _compared(terms, criterion, criterion.column, value)
            if match_unknown and criterion.unionize_part is not None:
                condition = terms.some([condition, terms.opposite(terms.covered(criterion.unionize_part))])
                if needs_side(name, leaf):
                    condition = terms.some([condition, terms.is_missing("injected_hemisphere")])
            yield condition

    def _ids(self, structures: Sequence[StructureRef] | None) -> list[int]:
        return sorted({self.structure_ids[structure] for structure in structures or ()})

    def injected_in(self, leaf: Criteria) -> C:
        ids = self._ids(leaf.injected_in)
        if leaf.injection == "primary":
            return self.terms.inside(ids)
        if leaf.injection == "any":
            return self.terms.some([self.terms.inside(ids), self.terms.touching(ids)])
        assert_never(leaf.injection)

    def injection_overlap(self, leaf: Criteria) -> C:
        assert leaf.min_injection_overlap is not None
        return self.terms.overlapping(self._ids(leaf.injected_in), leaf.min_injection_overlap)

    def line(self, leaf: Criteria) -> C:
        names = leaf.line or ()
        is_wild_type = self.terms.is_missing("transgenic_line")
        options: list[C] = []
        if WILD_TYPE in names:
            options.append(is_wild_type)
        if ANY_CRE in names:
            options.append(self.terms.opposite(is_wild_type))
        exact = [name for name in names if name not in (WILD_TYPE, ANY_CRE)]
        if exact:
            options.append(self.terms.of_lines(exact))
        return self.terms.some(options)

    def projecting_to(self, leaf: Criteria) -> C:
        return self.terms.projecting(self._ids(leaf.projecting_to), leaf)

    def with_volume(self, leaf: Criteria) -> C:
        assert leaf.with_volume is not None
        return self.terms.with_volume(leaf.with_volume, leaf.with_volume_spacing_um)

    def ids(self, leaf: Criteria) -> C:
        return self.terms.identified(leaf.ids or ())

    def exclude_ids(self, leaf: Criteria) -> C:
        return self.terms.opposite(self.terms.identified(leaf.exclude_ids or ()))


def _compiled(node: Node, compiler: _Compiler[ColumnElement[bool]]) -> Select[int]:
    return select(Experiment.id).where(compiler.condition(node))


def _compared(terms: Terms[C], criterion: Criterion, column: str, value: Any) -> C:
    """The condition that a column of the view ``experiments`` has a value."""
    form = criterion.form
    if form == "names" or form == "ids":
        return terms.among(column, value)
    if form == "choice" or form == "flag":
        return terms.equals(column, value)
    if form == "number":
        return terms.at_most(column, value) if criterion.bound == "highest" else terms.at_least(column, value)
    if form == "structures" or form == "spacing" or form == "point" or form == "box":
        raise TypeError(f"criteria of the form {form} need a condition of their own")
    assert_never(form)


CONDITIONS: Mapping[str, Callable[[_Compiler[Any], Criteria], Any]] = MappingProxyType(
    {
        "injected_in": _Compiler.injected_in,
        "min_injection_overlap": _Compiler.injection_overlap,
        "line": _Compiler.line,
        "box": lambda compiler, leaf: in_box(compiler.terms, leaf),
        "near": lambda compiler, leaf: near_point(compiler.terms, leaf),
        "projecting_to": _Compiler.projecting_to,
        "with_volume": _Compiler.with_volume,
        "with_unionizes": lambda compiler, leaf: with_unionizes(compiler.terms, leaf),
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
    terms = SqlTerms(connection)
    compiler = _Compiler(terms, looked_up(terms, Selection.of(node)))
    matching = _compiled(node, compiler).subquery()
    return connection.scalar(select(func.count()).select_from(matching)) or 0

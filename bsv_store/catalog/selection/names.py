"""What a selection names, looked up in the catalog, so that a misspelling is an error and never an empty answer."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, SQLColumnExpression, exists, or_, select

from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import (
    Experiment,
    Structure,
    StructureAncestor,
    StructureSetMember,
    TransgenicLine,
    Unionize,
    UnionizeCoverage,
)
from bsv_store.catalog.selection.criteria import ANY_CRE, WILD_TYPE, Criteria
from bsv_store.catalog.selection.selection import Selection
from bsv_store.catalog.structures import UNIONIZE_STRUCTURE_SET_ID, StructureRef, StructureRow, find_structures
from bsv_store.check import looks_like_mm
from bsv_store.errors import SelectionError, UnknownExperimentError
from bsv_store.text import listed, near_names, shown
from bsv_store.volumes.grid import EXTENT_UM


def looked_up(connection: Connection, selection: Selection) -> Mapping[StructureRef, int]:
    """Ids of all structures that the selection names, after checking everything else that it names.

    Raises
    ------
    UnknownStructureError, UnknownExperimentError
        If the catalog does not have a structure or an explicit id.
    SelectionError
        If no experiment has a line, product, sex or strain of that name, a target was never measured, or coordinates
        are plainly in mm.
    """
    leaves = tuple(selection.leaves())
    refs = {ref for leaf in leaves for ref in (*(leaf.injected_in or ()), *(leaf.projecting_to or ()))}
    ordered = sorted(refs, key=str)
    rows = dict(zip(ordered, find_structures(connection, ordered), strict=True)) if refs else {}
    _check_targets(connection, [rows[ref] for leaf in leaves for ref in leaf.projecting_to or ()])
    _check_lines(connection, {name for leaf in leaves for name in leaf.line or ()} - {WILD_TYPE, ANY_CRE})
    for criterion, column in (
        ("product", Experiment.product_id),
        ("sex", Experiment.sex),
        ("strain", Experiment.strain),
    ):
        wanted = {value for leaf in leaves for value in getattr(leaf, criterion) or ()}
        _check_values(connection, criterion, column, wanted)
    for leaf in leaves:
        _refuse_millimeters(leaf)
    check_experiments(connection, {id_ for leaf in leaves for id_ in (*(leaf.ids or ()), *(leaf.exclude_ids or ()))})
    return {ref: row.id for ref, row in rows.items()}


def _refuse_millimeters(leaf: Criteria) -> None:
    """Refuse points and boxes of millimeters: nothing is there, and nobody is told why."""
    if leaf.near is not None and leaf.radius is not None and looks_like_mm(*leaf.near) and leaf.radius < min(EXTENT_UM):
        raise SelectionError(
            f"near: ({', '.join(f'{each:g}' for each in leaf.near)}) seems to be in mm",
            hint="Coordinates and radius are in um: (8000, 1500, 8500), not (8, 1.5, 8.5).",
        )
    if leaf.box is not None and looks_like_mm(*(sides[1] for sides in leaf.box if sides is not None)):
        raise SelectionError("box: its sides seem to be in mm", hint="They are in um: (7000, 8000), not (7, 8).")


def check_experiments(connection: Connection, ids: Collection[int]) -> None:
    """Accept the ids if the catalog has all of them, withdrawn or not.

    Raises
    ------
    UnknownExperimentError
        With the first few that it does not have.
    """
    if not ids:
        return
    known = set(connection.scalars(select(Experiment.id).where(id_in(connection, Experiment.id, ids))))
    unknown = sorted(set(ids) - known)
    if unknown:
        noun = "experiment" if len(unknown) == 1 else "experiments"
        raise UnknownExperimentError(
            f"the catalog has no {noun} {listed(unknown)}",
            hint="Check the ids, or bring the catalog up to date: `bsv-store sync experiments`.",
        )


def _check_lines(connection: Connection, names: Collection[str]) -> None:
    if not names:
        return
    known = set(connection.scalars(select(TransgenicLine.name)))
    unknown = sorted(set(names) - known)
    if unknown:
        near = near_names(unknown[0], [*known, WILD_TYPE, ANY_CRE])
        if _plain(unknown[0]) in _MISTAKEN_FOR_WILD_TYPE:
            near = [WILD_TYPE]
        raise SelectionError(
            f"the catalog has no transgenic line {listed(shown(name) for name in unknown)}",
            hint=f"Did you mean {listed(near)}?"
            if near
            else f"Give a line's exact name, {WILD_TYPE!r} or {ANY_CRE!r}.",
        )


# What people write who mean mice without a transgenic line.
_MISTAKEN_FOR_WILD_TYPE = ("wt", "wild", "wildtypes", "none", "no", "control", "c57bl6j", "c57bl6", "black6")


def _plain(name: str) -> str:
    return re.sub("[-_/ ]", "", name).casefold()


def mistaken_lines(selection: Selection) -> tuple[str, ...]:
    """Names of lines in a selection that are an allele's, but that whoever writes them takes for wild type.

    Allen's list has a line ``wt`` of the type "wild type", on mice that carry a Cre line besides.
    """
    names = {name for leaf in selection.leaves() for name in leaf.line or ()}
    return tuple(sorted(name for name in names if _plain(name) == "wt"))


def _check_values(
    connection: Connection, criterion: str, column: SQLColumnExpression[Any], wanted: Collection[Any]
) -> None:
    if not wanted:
        return
    known = set(connection.scalars(select(column).where(column.is_not(None)).distinct()))
    unknown = sorted(set(wanted) - known)
    if unknown:
        values = listed((shown(value) for value in sorted(known)), limit=20) or "none at all"
        near = near_names(str(unknown[0]), map(str, known), limit=3)
        meant = f"Did you mean {listed(near)}? " if near and criterion != "product" else ""
        raise SelectionError(
            f"no experiment of the catalog has the {criterion} {listed(shown(value) for value in unknown)}",
            hint=f"{meant}The catalog has {values}.",
        )


def _check_targets(connection: Connection, targets: Sequence[StructureRow]) -> None:
    """Refuse a target that unionize records are never made for: "nothing projects there" would be a wrong answer."""
    member = select(StructureSetMember.structure_id).where(
        StructureSetMember.structure_set_id == UNIONIZE_STRUCTURE_SET_ID
    )
    # Eight structures outside the set have records too (the root, ventricles): only their rows tell.
    can_tell = select(exists(member), exists(select(UnionizeCoverage.experiment_id)))
    if not targets or not all(connection.execute(can_tell).one()):
        return
    for target in {target.id: target for target in targets}.values():
        is_measured = select(
            or_(
                exists(member.where(StructureSetMember.structure_id == target.id)),
                exists(select(Unionize.structure_id).where(Unionize.structure_id == target.id)),
            )
        )
        if connection.scalar(is_measured):
            continue
        nearest = connection.execute(
            select(Structure.acronym, Structure.name)
            .join(StructureAncestor, StructureAncestor.ancestor_id == Structure.id)
            .where(StructureAncestor.descendant_id == target.id, Structure.id.in_(member))
            .order_by(StructureAncestor.distance)
            .limit(1)
        ).first()
        raise SelectionError(
            f"projecting_to: Allen does not measure the signal in {target.acronym} ({target.name})",
            hint=f"The nearest structure that is measured is {nearest.acronym} ({nearest.name})." if nearest else None,
        )

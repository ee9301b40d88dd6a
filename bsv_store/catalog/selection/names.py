"""Looks up the names and ids in a selection, so that a misspelling is an error instead of an empty result."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, select

from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import Experiment
from bsv_store.catalog.selection.criteria import ANY_CRE, CRITERIA, WILD_TYPE, Criteria
from bsv_store.catalog.selection.criterion import Criterion
from bsv_store.catalog.selection.selection import Selection
from bsv_store.check import looks_like_mm
from bsv_store.errors import SelectionError, UnknownExperimentError
from bsv_store.text import listed, near_names, shown
from bsv_store.volumes.grid import EXTENT_UM

if TYPE_CHECKING:
    from bsv_store.catalog.selection.terms import Names
    from bsv_store.catalog.structures import StructureRef


def looked_up(names: Names, selection: Selection) -> Mapping[StructureRef, int]:
    """The ids of all structures in a selection, after checking everything else that it names.

    Parameters
    ----------
    names : Names
        What the catalog knows.
    selection : Selection

    Raises
    ------
    UnknownStructureError, UnknownExperimentError
        If the catalog does not have a structure or experiment.
    SelectionError
        If no experiment has a line, product, sex or strain of that name, Allen does not measure a target, or
        coordinates seem to be in mm.
    """
    leaves = tuple(selection.leaves())
    refs = {ref for name, each in CRITERIA.items() if each.form == "structures" for ref in _all(leaves, name)}
    ordered = sorted(refs, key=str)
    rows = dict(zip(ordered, names.structures(ordered), strict=True)) if refs else {}
    if targets := [rows[ref] for ref in _all(leaves, "projecting_to")]:
        names.check_targets(list(dict.fromkeys(targets)))
    _check_lines(names, _all(leaves, "line") - {WILD_TYPE, ANY_CRE})
    for name, criterion in CRITERIA.items():
        if criterion.column is not None and criterion.form in ("names", "ids"):
            _check_values(names, name, criterion, _all(leaves, name))
    for leaf in leaves:
        _refuse_millimeters(leaf)
    if ids := _all(leaves, "ids") | _all(leaves, "exclude_ids"):
        _refuse_unknown(ids, names.experiments(ids))
    return {ref: row.id for ref, row in rows.items()}


def _all(leaves: Sequence[Criteria], name: str) -> set[Any]:
    """All values of a criterion in the parts of a selection."""
    return {value for leaf in leaves for value in getattr(leaf, name) or ()}


def _refuse_millimeters(leaf: Criteria) -> None:
    """Refuse coordinates in mm, which would silently match nothing."""
    near, radius = leaf.near, leaf.radius_um
    # With a radius that may well be in um, the sphere can reach the brain.
    if near is not None and radius is not None and looks_like_mm(*near) and radius < min(EXTENT_UM):
        raise SelectionError(
            f"near: ({', '.join(f'{each:g}' for each in near)}) seems to be in mm",
            hint="Coordinates and radius are in um: (8000, 1500, 8500), not (8, 1.5, 8.5).",
        )
    if leaf.box is not None and looks_like_mm(*(ends[1] for ends in leaf.box if ends is not None)):
        raise SelectionError("box: its sides seem to be in mm", hint="They are in um: (7000, 8000), not (7, 8).")


def check_experiments(connection: Connection, ids: Collection[int]) -> None:
    """Check that the catalog has these experiments, withdrawn or not.

    Raises
    ------
    UnknownExperimentError
        If it does not have all of them.
    """
    if ids:
        _refuse_unknown(ids, known_experiments(connection, ids))


def known_experiments(connection: Connection, ids: Collection[int]) -> set[int]:
    """Those of the ids that are experiments of the catalog, withdrawn or not."""
    return set(connection.scalars(select(Experiment.id).where(id_in(connection, Experiment.id, ids))))


def _refuse_unknown(ids: Collection[int], known: Collection[int]) -> None:
    unknown = sorted(set(ids).difference(known))
    if unknown:
        raise unknown_experiments(unknown)


def unknown_experiments(ids: Collection[int]) -> UnknownExperimentError:
    """The error for experiments that the catalog does not have."""
    noun, its_id = ("experiment", "id") if len(ids) == 1 else ("experiments", "ids")
    return UnknownExperimentError(
        f"the catalog has no {noun} {listed(ids)}",
        hint=f"Check the {its_id}, or update the experiment list: `bsv-store sync experiments`.",
    )


def _check_lines(names: Names, wanted: Collection[str]) -> None:
    if not wanted:
        return
    known = names.lines()
    unknown = sorted(set(wanted).difference(known))
    if unknown:
        near = near_names(unknown[0], [*known, WILD_TYPE, ANY_CRE])
        if _plain(unknown[0]) in _MISTAKEN_FOR_WILD_TYPE:
            near = [WILD_TYPE]
        raise SelectionError(
            f"the catalog has no transgenic line {listed(shown(name) for name in unknown)}",
            hint=f"Did you mean {listed(near)}?"
            if near
            else f"Use the exact name of a line, {WILD_TYPE!r} or {ANY_CRE!r}.",
        )


# Common names for mice without a transgenic line that do not resemble wild-type. 0 is the code of Brain Street View.
_MISTAKEN_FOR_WILD_TYPE = ("0", "wt", "none", "no", "control", "c57bl6j", "c57bl6", "black6")


def _plain(name: str) -> str:
    return re.sub("[-_/ ]", "", name).casefold()


def mistaken_lines(selection: Selection) -> tuple[str, ...]:
    """Names of lines in a selection that name an allele but are easily mistaken for wild type.

    Allen's list has a line ``wt`` of the type "wild type", of mice that also carry a Cre line.
    """
    names = {name for leaf in selection.leaves() for name in leaf.line or ()}
    return tuple(sorted(name for name in names if _plain(name) == "wt"))


def _check_values(names: Names, name: str, criterion: Criterion, wanted: Collection[Any]) -> None:
    if not wanted:
        return
    assert criterion.column is not None
    known = names.values(criterion.column)
    unknown = sorted(set(wanted).difference(known))
    if unknown:
        values = listed((shown(value) for value in sorted(known)), limit=20) or "none at all"
        near = near_names(str(unknown[0]), known) if criterion.form == "names" else []
        meant = f"Did you mean {listed(near)}? " if near else ""
        raise SelectionError(
            f"no experiment of the catalog has the {name} {listed(shown(value) for value in unknown)}",
            hint=f"{meant}The catalog has {values}.",
        )

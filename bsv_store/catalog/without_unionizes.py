"""Warnings and errors about experiments for which the unionize tables do not give an answer."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from sqlalchemy import select

from bsv_store.catalog.coverage import covered
from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import Experiment
from bsv_store.catalog.selection.resolve import resolve_nonempty, undecided
from bsv_store.errors import LeftOutWarning, MissingDataError, MissingUnionizesWarning, UnknownHemisphereWarning
from bsv_store.text import listed_ids, number_of
from bsv_store.vocabulary import MEASURED_HEMISPHERES

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from bsv_store.catalog.selection.selection import Selection
    from bsv_store.vocabulary import MeasuredHemisphere, MissingPolicy, UnionizePart

DOWNLOAD_TABLES = "Download the tables: bsv-store sync unionizes, with the same selection or --all."
_RANK_BOTH = (
    "A ranking uses the same experiments in all columns. The matrix includes those without a known side: "
    "bsv-store matrix --hemisphere both (hemisphere='both')."
)

_PACKAGE = str(Path(__file__).resolve().parents[1])


def left_out_because(count: int) -> str:
    """The start of a message about experiments of a selection that are left out; the reason follows."""
    return f"{count:,} of the selected experiments {'is' if count == 1 else 'are'} left out, because"


def _their(count: int) -> str:
    return "its" if count == 1 else "their"


def _their_tables_are(count: int) -> str:
    return "its unionize table is" if count == 1 else "their unionize tables are"


def report_left_out(experiment_ids: Collection[int], *, missing: MissingPolicy) -> None:
    """Warn that these selected experiments are left out of a result, because they have no unionize tables.

    Raises
    ------
    MissingDataError
        If there are such experiments and the policy is 'error'.
    """
    count = len(experiment_ids)
    if count:
        _report(
            MissingUnionizesWarning,
            experiment_ids,
            f"{left_out_because(count)} {_their_tables_are(count)} not in the store",
            DOWNLOAD_TABLES,
            missing=missing,
        )


def report_without_rows(experiment_ids: Collection[int], part: UnionizePart) -> None:
    """Warn that one half of the unionize tables of these experiments is not in the store."""
    if experiment_ids:
        _report(
            MissingUnionizesWarning,
            experiment_ids,
            f"the {part} rows of {len(experiment_ids):,} of the selected experiments are left out, because "
            "they are not in the store",
            DOWNLOAD_TABLES,
            missing="leave_out",
        )


def report_without_side(
    connection: Connection,
    experiment_ids: Collection[int],
    hemispheres: Iterable[MeasuredHemisphere],
    *,
    missing: MissingPolicy,
) -> list[int]:
    """Warn about experiments with a unionize table for which ipsilateral and contralateral are not known.

    Returns
    -------
    list of int
        Those of the experiments, ascending, that have a unionize table in the store and no known injected hemisphere;
        empty if no hemisphere is relative.

    Raises
    ------
    MissingDataError
        If there are any and the policy is 'error'.
    """
    names = _relative(hemispheres)
    if not names:
        return []
    found = with_unknown_side(connection, experiment_ids)
    report_unknown_sides(found, names, missing=missing)
    return found


def report_not_ranked(without_side: Collection[int], *, missing: MissingPolicy) -> None:
    """Warn that a ranking leaves out these experiments, because their injected hemisphere is not known.

    This applies to every measured hemisphere, even to 'both'.

    Raises
    ------
    MissingDataError
        If there are any and the policy is 'error'.
    """
    if count := len(without_side):
        _report(
            UnknownHemisphereWarning,
            without_side,
            f"{left_out_because(count)} {_their(count)} injected hemisphere is not known",
            _RANK_BOTH,
            missing=missing,
        )


def nothing_to_rank(selected: int, without_unionizes: int) -> MissingDataError:
    """The error of a ranking in which no experiment is left.

    Parameters
    ----------
    selected : int
        Number of selected experiments.
    without_unionizes : int
        Number of selected experiments without a unionize table in the store. The injected hemisphere of the others is
        not known.
    """
    start = f"none of the selected experiments ({selected:,}) has a"
    if not without_unionizes:
        return MissingDataError(f"{start} known injected hemisphere", hint=_RANK_BOTH)
    more = " and a known injected hemisphere" if without_unionizes < selected else ""
    return MissingDataError(f"{start} unionize table in the store{more}", hint=DOWNLOAD_TABLES)


def with_unknown_side(connection: Connection, experiment_ids: Collection[int]) -> list[int]:
    """The ids, ascending, of those with projection rows in the store whose injected hemisphere is not known."""
    query = select(Experiment.id).where(
        id_in(connection, Experiment.id, experiment_ids),
        Experiment.injected_hemisphere.is_(None),
        Experiment.id.in_(covered("projection")),
    )
    return list(connection.scalars(query.order_by(Experiment.id)))


def report_without_covariate(experiment_ids: Collection[int], words: str, *, missing: MissingPolicy) -> None:
    """Warn that these experiments are left out of a result, because the value of a covariate is not known.

    Raises
    ------
    MissingDataError
        If there are any and the policy is 'error'.
    """
    count = len(experiment_ids)
    if count:
        _report(
            LeftOutWarning,
            experiment_ids,
            f"{left_out_because(count)} {_their(count)} {words} is not known",
            "Leave out the covariate to include them.",
            missing=missing,
        )


def report_unknown_sides(
    experiment_ids: Collection[int], hemispheres: Iterable[MeasuredHemisphere], *, missing: MissingPolicy
) -> None:
    """Warn that these experiments, whose injected hemisphere is not known, have no ipsilateral or contralateral values.

    Raises
    ------
    MissingDataError
        If there are any, one of the hemispheres is relative and the policy is 'error'.
    """
    names = _relative(hemispheres)
    count = len(experiment_ids)
    if names and count:
        have = "has" if count == 1 else "have"
        _report(
            UnknownHemisphereWarning,
            experiment_ids,
            f"{count:,} of the selected experiments {have} no {' and '.join(names)} values, because "
            f"{_their(count)} injected hemisphere is not known",
            "Choose the hemisphere both, left or right to include them.",
            missing=missing,
        )


def _relative(hemispheres: Iterable[MeasuredHemisphere]) -> list[MeasuredHemisphere]:
    return [name for name in hemispheres if MEASURED_HEMISPHERES[name].is_relative]


def selected_ids(connection: Connection, selection: Selection) -> tuple[int, ...]:
    """The ids of the selected experiments, ascending, at least one, with a warning about others that may match.

    Raises
    ------
    EmptySelectionError, UnknownStructureError, UnknownExperimentError, ExcludedExperimentError, SelectionError
        See `resolve_nonempty`.
    """
    ids = resolve_nonempty(connection, selection)
    report_undecided(connection, selection, missing="leave_out")
    return ids


def report_undecided(connection: Connection, selection: Selection, *, missing: MissingPolicy) -> None:
    """Warn about experiments that may belong to a selection by their unionize tables, which are not in the store.

    Raises
    ------
    MissingDataError
        If there are such experiments and the policy is 'error'.
    SelectionError
        If the selection is not valid.
    """
    unknown = undecided(connection, selection)
    if count := len(unknown.unmeasured):
        _report(
            MissingUnionizesWarning,
            unknown.unmeasured,
            f"{number_of(count, 'more experiment')} may match, but {_their_tables_are(count)} not in the store",
            "Download the tables: bsv-store sync unionizes, with the same options except those that need them,\n"
            "such as --projecting-to (with --all if there are no other options).",
            missing=missing,
        )
    if count := len(unknown.without_side):
        _report(
            UnknownHemisphereWarning,
            unknown.without_side,
            f"{number_of(count, 'more experiment')} may match, but {_their(count)} injected hemisphere is not known",
            "Choose the target hemisphere both, left or right to include them; they have no laterality index.",
            missing=missing,
        )


def _report(
    kind: type[LeftOutWarning], experiment_ids: Collection[int], message: str, hint: str, *, missing: MissingPolicy
) -> None:
    named = f"{message}: {listed_ids(experiment_ids)}"
    if missing == "error":
        raise MissingDataError(named, hint=f"{hint}\nOr leave such experiments out (missing='leave_out').")
    if missing == "leave_out":
        warning = kind(named, hint=hint, experiment_ids=experiment_ids)
        warnings.warn(warning, stacklevel=caller_level())
        return
    assert_never(missing)


def caller_level() -> int:
    """The ``stacklevel`` of the first caller outside the package, for the calling function's `warnings.warn`."""
    level = 1
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
        level += 1
    return level

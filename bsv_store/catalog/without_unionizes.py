"""Warnings and errors about experiments whose unionize tables are not in the store."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from bsv_store.catalog.selection.resolve import unmeasured
from bsv_store.errors import MissingDataError, MissingUnionizesWarning
from bsv_store.text import listed_ids

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from bsv_store.catalog.selection.selection import Selection
    from bsv_store.vocabulary import MissingPolicy

_PACKAGE = str(Path(__file__).resolve().parents[1])


def report_left_out(experiment_ids: Collection[int], *, missing: MissingPolicy) -> None:
    """Warn that these selected experiments are left out of a result, because they have no unionize tables.

    Raises
    ------
    MissingDataError
        If there are such experiments and the policy is 'error'.
    """
    if experiment_ids:
        _report(
            experiment_ids,
            f"{len(experiment_ids):,} of the selected experiments are left out: "
            "their unionize tables are not in the store",
            "Download them: bsv-store sync unionizes, with the same selection or --all.",
            missing=missing,
        )


def report_unmeasured(connection: Connection, selection: Selection, *, missing: MissingPolicy) -> None:
    """Warn about experiments that may match a selection by their targets, but have no unionize tables.

    Raises
    ------
    MissingDataError
        If there are such experiments and the policy is 'error'.
    SelectionError
        If the selection is not valid.
    """
    unknown = unmeasured(connection, selection)
    if unknown:
        _report(
            unknown,
            f"{len(unknown):,} more experiments may match: their unionize tables are not in the store",
            "Download them: bsv-store sync unionizes, with the same options but without --projecting-to\n"
            "(with --all if there are no other options).",
            missing=missing,
        )


def _report(experiment_ids: Collection[int], message: str, hint: str, *, missing: MissingPolicy) -> None:
    if missing == "error":
        raise MissingDataError(
            f"{message}: {listed_ids(experiment_ids)}",
            hint=f"{hint}\nOr leave these experiments out: missing='leave_out'.",
        )
    if missing == "leave_out":
        warning = MissingUnionizesWarning(message, hint=hint, experiment_ids=experiment_ids)
        warnings.warn(warning, stacklevel=_caller_level())
        return
    assert_never(missing)


def _caller_level() -> int:
    """The ``stacklevel`` of the first caller outside the package, for the calling function's `warnings.warn`."""
    level = 1
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
        level += 1
    return level

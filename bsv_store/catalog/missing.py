"""The reasons why experiments are left out of a computation, and the policy for missing data."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, assert_never

from bsv_store.catalog.selection.commands import fetch_command, sync_command
from bsv_store.catalog.without_unionizes import caller_level, left_out_because
from bsv_store.errors import LeftOutWarning, MissingDataError
from bsv_store.text import listed_ids, number_of

if TYPE_CHECKING:
    from bsv_store.catalog.selection.selection import Selection
    from bsv_store.vocabulary import MissingPolicy, VolumeKind

# Not for damaged files: a damaged volume is not a missing one, and a result without it would hide the damage.
LEAVE_OUT_HINT = "Or leave such experiments out: missing='leave_out'."


NO_ROWS = "(no unionize rows)"
"""The end of reasons why experiments without unionize tables are left out of results that read volumes."""


def excluded_reasons(excluded: Mapping[int, str]) -> dict[int, str]:
    """The reason for leaving out each experiment, given its reason on the exclusion list."""
    return {each: f"excluded: {reason}" for each, reason in excluded.items()}


def leave_out(ids: Collection[int], reason: str, *, missing: MissingPolicy, hint: str) -> dict[int, str]:
    """The reason for each of these experiments with missing data.

    Raises
    ------
    MissingDataError
        If there are any and the policy is 'error'.
    """
    if missing == "leave_out":
        return dict.fromkeys(ids, reason)
    if missing == "error":
        if ids:
            raise MissingDataError(
                f"{reason}: {number_of(len(ids), 'experiment')}, {listed_ids(ids)}", hint=f"{hint}\n{LEAVE_OUT_HINT}"
            )
        return {}
    assert_never(missing)


def without_volume(
    selection: Selection,
    ids: Collection[int],
    *,
    kind: VolumeKind,
    spacing_um: int,
    missing: MissingPolicy,
    other_way: str = "",
) -> dict[int, str]:
    """The reason for each of these experiments, whose volume is not in the store.

    Parameters
    ----------
    other_way : str
        A sentence for the hint: another way to fetch them.

    Raises
    ------
    MissingDataError
        If there are any and the policy is 'error'; the hint is the command that fetches the volumes.
    """
    return leave_out(
        ids,
        _absent(kind, spacing_um),
        missing=missing,
        hint=_to_fetch("Fetch them", selection, ids, kind=kind, spacing_um=spacing_um, other_way=other_way),
    )


def _to_fetch(
    start: str, selection: Selection, ids: Collection[int], *, kind: VolumeKind, spacing_um: int, other_way: str
) -> str:
    command = fetch_command(selection, ids, kind=kind, spacing_um=spacing_um)
    return "\n".join([f"{start}: {command}", *([other_way] if other_way else [])])


def report_without_volume(
    selection: Selection, experiment_ids: Collection[int], *, kind: VolumeKind, spacing_um: int
) -> None:
    """Warn that experiments of a selection whose volume is not in the store are left out of a result."""
    if experiment_ids:
        message = f"{left_out_because(len(experiment_ids))} {_absent(kind, spacing_um)}: {listed_ids(experiment_ids)}"
        hint = f"Fetch them: {fetch_command(selection, experiment_ids, kind=kind, spacing_um=spacing_um)}"
        warnings.warn(LeftOutWarning(message, hint=hint, experiment_ids=experiment_ids), stacklevel=caller_level())


def _absent(kind: VolumeKind, spacing_um: int) -> str:
    return f"the {kind} at {spacing_um} um is not in the store"


def nothing_left(
    selection: Selection,
    reasons: Mapping[int, str],
    *,
    absent: VolumeKind | None,
    spacing_um: int,
    without_rows: Collection[int] = (),
    other_way: str = "",
) -> MissingDataError:
    """The error if all selected experiments are left out. The hint is the command that fetches what is missing.

    Parameters
    ----------
    absent : VolumeKind or None
        The kind of volumes that some of them do not have.
    spacing_um : int
    without_rows : collection of int
        Those without unionize rows that are needed.
    other_way : str
        As for `without_volume`.
    """
    first = min(reasons)
    whole = "the selected experiment is" if len(reasons) == 1 else f"all {len(reasons):,} selected experiments are"
    message = f"{whole} left out; {first}: {reasons[first]}"
    if absent is not None:
        hint = _to_fetch(
            "Fetch what is missing",
            selection,
            list(reasons),
            kind=absent,
            spacing_um=spacing_um,
            other_way=other_way,
        )
        return MissingDataError(message, hint=hint)
    if without_rows:
        return MissingDataError(message, hint=f"Sync the unionize tables: {sync_command(selection, without_rows)}")
    return MissingDataError(message, hint="Nothing is missing that can be fetched. Select other experiments.")

"""The divisors of normalizations. Their names and texts are in `bsv_store.vocabulary.NORMALIZATIONS`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, NamedTuple, assert_never

from bsv_store.catalog.missing import NO_ROWS, leave_out
from bsv_store.catalog.selection.commands import sync_command
from bsv_store.catalog.tables.frames import injection_volumes, list_injection_volumes
from bsv_store.vocabulary import NORMALIZATIONS

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from bsv_store.catalog.selection.selection import Selection
    from bsv_store.vocabulary import DivisorSource, MissingPolicy, Normalization


class Divisor(NamedTuple):
    """The divisor of a volume.

    Attributes
    ----------
    value : float
    source : DivisorSource or None
        None for the unionize rows.
    """

    value: float
    source: DivisorSource | None = None


def divisors(
    connection: Connection, normalize: Normalization, experiment_ids: Collection[int]
) -> dict[int, Divisor] | None:
    """The divisor of each experiment's volume; None if volumes are not normalized.

    The injection volume is taken from the unionize rows, or from the experiment list if the store does not have these
    rows; the two are equal in all lists of the current registration. Experiments without a known divisor are absent.
    """
    if normalize == "none":
        return None
    if normalize == "injection_volume":
        measured = injection_volumes(connection, experiment_ids)
        absent = [each for each in experiment_ids if each not in measured]
        listed = list_injection_volumes(connection, absent) if absent else {}
        return {
            **{each: Divisor(volume, "list") for each, volume in listed.items()},
            **{each: Divisor(volume) for each, volume in measured.items()},
        }
    assert_never(normalize)


class KnownDivisors(NamedTuple):
    """The divisors of volumes, and the experiments that are left out because they have none.

    Attributes
    ----------
    values : dict of int to float
        By experiment id; empty if volumes are not normalized.
    left_out : dict of int to str
        The reason by experiment id.
    without_rows : tuple of int
        Those left out without unionize rows.
    """

    values: dict[int, float]
    left_out: dict[int, str]
    without_rows: tuple[int, ...]


def known_divisors(
    connection: Connection,
    selection: Selection,
    experiment_ids: Collection[int],
    *,
    normalize: Normalization,
    missing: MissingPolicy,
) -> KnownDivisors:
    """The divisors of experiments of a selection that are positive.

    Raises
    ------
    MissingDataError
        If a divisor is not known, or 0, and the policy is 'error'.
    """
    found = divisors(connection, normalize, experiment_ids)
    if found is None:
        return KnownDivisors({}, {}, ())
    left_out = without_divisor(found, selection, experiment_ids, normalize=normalize, missing=missing)
    values = {each: found[each].value for each in found if each not in left_out}
    return KnownDivisors(values, left_out, tuple(each for each in left_out if each not in found))


def without_divisor(
    found: Mapping[int, Divisor],
    selection: Selection,
    experiment_ids: Collection[int],
    *,
    normalize: Normalization,
    missing: MissingPolicy,
) -> dict[int, str]:
    """The experiments that cannot be normalized, with the reason: the divisor is not known, or 0.

    Raises
    ------
    MissingDataError
        If there are any and the policy is 'error'.
    """
    name = NORMALIZATIONS[normalize].divisor
    absent = [each for each in experiment_ids if each not in found]
    hint = f"Sync the unionize tables: {sync_command(selection, absent)}"
    left_out = leave_out(absent, f"the {name} is not known {NO_ROWS}", missing=missing, hint=hint)
    zero = [each for each in experiment_ids if each in found and not found[each].value > 0]
    return left_out | leave_out(
        zero, f"the {name} is 0, so it cannot be divided by", missing=missing, hint="Do not normalize."
    )

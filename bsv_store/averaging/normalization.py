"""The divisors of normalizations. Their names and texts are in `bsv_store.vocabulary.NORMALIZATIONS`."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, NamedTuple, assert_never

from bsv_store.catalog.tables.frames import injection_volumes, list_injection_volumes

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from bsv_store.vocabulary import DivisorSource, Normalization


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

"""The divisors of normalizations. Their names and texts are in `bsv_store.vocabulary.NORMALIZATIONS`."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, assert_never

from bsv_store.catalog.tables.frames import injection_volumes

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from bsv_store.vocabulary import Normalization


def divisors(
    connection: Connection, normalize: Normalization, experiment_ids: Collection[int]
) -> dict[int, float] | None:
    """The divisor of each experiment's volume; None if volumes are not normalized.

    Experiments whose divisor is not known are absent.
    """
    if normalize == "none":
        return None
    if normalize == "injection_volume":
        return injection_volumes(connection, experiment_ids)
    assert_never(normalize)

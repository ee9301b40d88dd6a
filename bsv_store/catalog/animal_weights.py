"""The weights of animals in means over animals. Their names and texts are in `bsv_store.vocabulary.ANIMAL_WEIGHTS`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, assert_never

from bsv_store.catalog.injection_overlap import exact_overlaps
from bsv_store.catalog.tables.frames import uncovered_among

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from bsv_store.vocabulary import AnimalWeight


def animal_weights(
    connection: Connection, weight_by: AnimalWeight, source_of: Mapping[int, Collection[int]]
) -> dict[int, float] | None:
    """The weight of each experiment, 0 to 1; None if every animal counts the same.

    Experiments whose unionize rows inside the injection site are not in the store are absent.

    Parameters
    ----------
    source_of : mapping of int to collection of int
        For each experiment id, the ids of the structures that are its source.
    """
    if weight_by == "none":
        return None
    if weight_by == "injection_overlap":
        members: dict[tuple[int, ...], list[int]] = {}
        for each, source in source_of.items():
            members.setdefault(tuple(sorted(source)), []).append(each)
        shares: dict[int, float] = {}
        for source, ids in sorted(members.items()):
            shares |= exact_overlaps(connection, source, ids)
        unknown = set(uncovered_among(connection, source_of.keys(), "injection"))
        return {each: shares.get(each, 0.0) for each in source_of if each not in unknown}
    assert_never(weight_by)

"""The order of snapshots of one kind, from oldest to newest."""

from __future__ import annotations

from datetime import date

Rank = tuple[int, int]
"""Orders the lists of one kind: by upstream date (an unknown date is the oldest), then in the order of storing."""


def rank_of(upstream_date: date | None, snapshot_id: int) -> Rank:
    """The rank of a snapshot among those of its kind."""
    return (0 if upstream_date is None else upstream_date.toordinal(), snapshot_id)


def snapshot_rank(what: str, upstream_date: date | None, snapshot_id: int) -> Rank:
    """The rank of a snapshot of any content; the upstream date counts for experiment lists only."""
    return rank_of(upstream_date if what == "experiments" else None, snapshot_id)

"""The unionize tables that were replaced."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Connection, select

from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import SourceSnapshot, UnionizeRevision
from bsv_store.vocabulary import UnionizePart


@dataclass(frozen=True, slots=True)
class ReplacedUnionizes:
    """A replaced half of an experiment's unionize table, without its rows.

    Attributes
    ----------
    experiment_id : int
    part : {'injection', 'projection'}
    row_count : int
    content_sha256 : str
        Hash of the rows, independent of their file format.
    injection_volume : float or None
        Injection volume of the root in mm3; None for rows outside the injection site.
    remark : str or None
        What was overridden when the rows were stored.
    source : str
        URL, file or folder name.
    upstream_date : datetime.date or None
    stored_at, replaced_at : datetime.datetime
        UTC.
    replaced_by : int
        Id of the snapshot that replaced the rows.
    """

    experiment_id: int
    part: UnionizePart
    row_count: int
    content_sha256: str
    injection_volume: float | None
    remark: str | None
    source: str
    upstream_date: date | None
    stored_at: datetime
    replaced_at: datetime
    replaced_by: int


def unionize_history(connection: Connection, experiment_ids: Collection[int]) -> list[ReplacedUnionizes]:
    """See `Catalog.unionize_history`."""
    old = SourceSnapshot.__table__.alias("old")
    new = SourceSnapshot.__table__.alias("new")
    revision = UnionizeRevision.__table__.c
    query = (
        select(
            revision.experiment_id,
            revision.part,
            revision.row_count,
            revision.content_sha256,
            revision.injection_volume,
            revision.remark,
            old.c.source,
            old.c.upstream_date,
            old.c.taken_at,
            new.c.taken_at,
            revision.replaced_by_id,
        )
        .join_from(UnionizeRevision.__table__, old, old.c.id == revision.snapshot_id)
        .join(new, new.c.id == revision.replaced_by_id)
        .where(id_in(connection, revision.experiment_id, experiment_ids))
        .order_by(revision.experiment_id, revision.id)
    )
    return [ReplacedUnionizes(*row) for row in connection.execute(query)]

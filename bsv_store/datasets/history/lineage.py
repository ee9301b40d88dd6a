"""The lineage of a version: its volumes, unionize tables and lists, and its tags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from sqlalchemy import Connection, select

from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import SourceSnapshot, UnionizeCoverage
from bsv_store.catalog.volumes import find_volumes
from bsv_store.datasets.provenance import SnapshotSource, lists_of
from bsv_store.html import text_card
from bsv_store.text import fact_lines, number_of

if TYPE_CHECKING:
    import pandas as pd

    from bsv_store.averaging.members import Member
    from bsv_store.catalog.database.engine import Database
    from bsv_store.datasets.version import DatasetVersion
    from bsv_store.volumes.library import VolumeFile

# Maximum number of volumes listed in a summary.
_LISTED = 10

VolumeState = Literal["in the store", "replaced", "not in the store"]


@dataclass(frozen=True, slots=True)
class MemberSource:
    """The sources of the data of a member.

    Attributes
    ----------
    state : str
        Whether the store still has the volume: 'in the store', 'replaced' or 'not in the store'.
    source : str or None
        URL or file name of the volume, as long as the store has it.
    fetched_at : datetime.datetime or None
    injection_rows : str or None
        URL or file name of the unionize rows of the injection; None if there are none.
    """

    experiment_id: int
    group: str
    array_sha256: str
    state: VolumeState
    source: str | None
    fetched_at: datetime | None
    injection_rows: str | None


@dataclass(frozen=True, slots=True, repr=False)
class Lineage:
    """The lineage of a version. ``print()`` shows a short summary.

    Attributes
    ----------
    ref, fingerprint, software, created_by : str
    created_at : datetime.datetime
        Aware UTC.
    members : tuple of MemberSource
    snapshots : tuple of SnapshotSource
        The newest structures and experiments of each kind that were stored by then.
    tags : tuple of str
        Of the version.
    """

    ref: str
    fingerprint: str
    software: str
    created_by: str
    created_at: datetime
    members: tuple[MemberSource, ...]
    snapshots: tuple[SnapshotSource, ...]
    tags: tuple[str, ...]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.ref}: {number_of(len(self.members), 'volume')}>"

    def _repr_html_(self) -> str:
        return text_card("Lineage", str(self))

    def __str__(self) -> str:
        changed = [member for member in self.members if member.state != "in the store"]
        return fact_lines(
            [
                ("Dataset", self.ref),
                ("Tags", ", ".join(self.tags)),
                ("Created", f"{self.created_at:%Y-%m-%d %H:%M:%S}Z by {self.created_by}"),
                ("Software", self.software),
                ("Fingerprint", self.fingerprint),
                *(
                    (f"List of {each.what}", f"{each.kind}, of {each.upstream_date or each.taken_at.date()}")
                    for each in self.snapshots
                ),
                ("Volumes", f"{len(self.members):,}, see to_frame()"),
                *(("", f"experiment {member.experiment_id}: {member.state}") for member in changed[:_LISTED]),
                ("", f"and {len(changed) - _LISTED:,} more" if len(changed) > _LISTED else None),
            ]
        )

    def to_frame(self) -> pd.DataFrame:
        """The members, one row each."""
        import pandas as pd

        columns = list(MemberSource.__slots__)
        return pd.DataFrame([[getattr(row, name) for name in columns] for row in self.members], columns=columns)


def lineage_of(database: Database, version: DatasetVersion) -> Lineage:
    """The lineage of a version; see `Datasets.lineage`."""
    members = [member for member in version.experiments if member.group is not None]
    ids = [member.experiment_id for member in members]
    recipe = version.recipe
    with database.reading() as connection:
        volumes = find_volumes(connection, ids, kind=recipe.kind, spacing_um=recipe.spacing_um)
        injection_rows = _injection_rows(connection, ids)
        snapshots = lists_of(connection, version.created_at)
    labels = {group.number: group.label for group in version.groups}
    return Lineage(
        version.ref,
        version.fingerprint,
        version.software,
        version.created_by,
        version.created_at,
        tuple(
            _source(member, labels, volumes.get(member.experiment_id), injection_rows.get(member.experiment_id))
            for member in members
        ),
        snapshots,
        version.tags,
    )


def _source(member: Member, labels: dict[int, str], volume: VolumeFile | None, rows: str | None) -> MemberSource:
    assert member.group is not None
    assert member.array_sha256 is not None
    state: VolumeState = "not in the store"
    if volume is not None:
        state = "in the store" if volume.layout.array_sha256 == member.array_sha256 else "replaced"
    known = volume if state == "in the store" else None
    return MemberSource(
        member.experiment_id,
        labels[member.group],
        member.array_sha256,
        state,
        None if known is None else known.source,
        None if known is None else known.fetched_at,
        rows,
    )


def _injection_rows(connection: Connection, ids: Sequence[int]) -> dict[int, str]:
    query = (
        select(UnionizeCoverage.experiment_id, SourceSnapshot.source)
        .join(SourceSnapshot, SourceSnapshot.id == UnionizeCoverage.snapshot_id)
        .where(UnionizeCoverage.part == "injection", id_in(connection, UnionizeCoverage.experiment_id, ids))
    )
    return dict(connection.execute(query).all())

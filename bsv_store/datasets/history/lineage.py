"""The lineage of a version: its volumes, unionize tables and lists, and its tags."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from sqlalchemy import Connection, select

from bsv_store.averaging.comparison.structure_values import compared_structures, read_values, structures_from_json
from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import SourceSnapshot, UnionizeCoverage
from bsv_store.catalog.volumes import find_volumes
from bsv_store.datasets.original_inputs import content_of_file
from bsv_store.datasets.provenance import SnapshotSource, lists_of
from bsv_store.errors import UnknownStructureError
from bsv_store.html import text_card
from bsv_store.text import fact_lines, number_of

if TYPE_CHECKING:
    import pandas as pd

    from bsv_store.averaging.members import Member
    from bsv_store.catalog.database.engine import Database
    from bsv_store.datasets.version import DatasetVersion
    from bsv_store.vocabulary import UnionizePart
    from bsv_store.volumes.library import VolumeFile

# Maximum number of volumes listed in a summary.
_LISTED = 10

VolumeState = Literal["in the store", "replaced", "not in the store"]


@dataclass(frozen=True, slots=True)
class MemberSource:
    """The sources of the data of a member.

    Attributes
    ----------
    array_sha256 : str
        Of the volume; for a comparison by structure, of the values from the unionize table.
    state : str
        Whether the store still has the volume or table: 'in the store', 'replaced' or 'not in the store'.
    source : str or None
        URL or file name of the volume or table, as long as the store has it.
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
    what : str
        What the members are: 'Volumes', or 'Unionize tables' for a comparison by structure.
    """

    ref: str
    fingerprint: str
    software: str
    created_by: str
    created_at: datetime
    members: tuple[MemberSource, ...]
    snapshots: tuple[SnapshotSource, ...]
    tags: tuple[str, ...]
    what: str = "Volumes"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.ref}: {number_of(len(self.members), self.what.lower()[:-1])}>"

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
                (self.what, f"{len(self.members):,}, see to_frame()"),
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
    if not recipe.has_voxels:
        return _lineage_of_tables(database, version, members)
    with database.reading() as connection:
        volumes = find_volumes(connection, ids, kind=recipe.kind, spacing_um=recipe.spacing_um)
        injection_rows = _injection_rows(connection, ids)
        snapshots = lists_of(connection, version.created_at)
    labels = {group.number: group.label for group in version.groups}
    sources = tuple(
        _source(member, labels, volumes.get(member.experiment_id), injection_rows.get(member.experiment_id))
        for member in members
    )
    return _lineage(version, sources, snapshots)


def _lineage(
    version: DatasetVersion, members: tuple[MemberSource, ...], snapshots: tuple[SnapshotSource, ...]
) -> Lineage:
    return Lineage(
        version.ref,
        version.fingerprint,
        version.software,
        version.created_by,
        version.created_at,
        members,
        snapshots,
        version.tags,
        "Volumes" if version.recipe.has_voxels else "Unionize tables",
    )


def _lineage_of_tables(database: Database, version: DatasetVersion, members: Sequence[Member]) -> Lineage:
    """The lineage of a comparison by structure."""
    comparison, content = version.recipe.structure_comparison, content_of_file(version)
    assert comparison is not None
    group_of = {member.experiment_id: member.group or 0 for member in members}
    ids = sorted(group_of)
    with database.reading() as connection:
        tables = _tables(connection, ids, "projection")
        injection_rows = _injection_rows(connection, ids)
        snapshots = lists_of(connection, version.created_at)
        hashes: dict[int, str | None] = {}
        # Without one of the structures, the store does not have the values.
        with contextlib.suppress(UnknownStructureError):
            # Only the file names the structures; those of the recipe are the same unless the ontology has changed.
            structures = (
                compared_structures(connection, comparison, ids)
                if content is None
                else structures_from_json(content["structures"], comparison)
            )
            values = read_values(connection, comparison, structures, {each: group_of[each] for each in tables})
            hashes = {each.experiment_id: each.array_sha256 for each in values.members}
    labels = {group.number: group.label for group in version.groups}
    sources = []
    for member in members:
        assert member.group is not None
        assert member.array_sha256 is not None
        table = tables.get(member.experiment_id)
        state: VolumeState = "not in the store"
        if table is not None:
            state = "in the store" if hashes.get(member.experiment_id) == member.array_sha256 else "replaced"
        source, fetched_at = table if table is not None and state == "in the store" else (None, None)
        sources.append(
            MemberSource(
                member.experiment_id,
                labels[member.group],
                member.array_sha256,
                state,
                source,
                fetched_at,
                injection_rows.get(member.experiment_id),
            )
        )
    return _lineage(version, tuple(sources), snapshots)


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
    return {each: source for each, (source, _) in _tables(connection, ids, "injection").items()}


def _tables(connection: Connection, ids: Sequence[int], part: UnionizePart) -> dict[int, tuple[str, datetime]]:
    """Source and time of the unionize rows of experiments, by experiment id."""
    query = (
        select(UnionizeCoverage.experiment_id, SourceSnapshot.source, SourceSnapshot.taken_at)
        .join(SourceSnapshot, SourceSnapshot.id == UnionizeCoverage.snapshot_id)
        .where(UnionizeCoverage.part == part, id_in(connection, UnionizeCoverage.experiment_id, ids))
    )
    return {identifier: (source, taken_at) for identifier, source, taken_at in connection.execute(query)}

"""The content of a store in numbers."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import date, datetime

from sqlalchemy import Connection, func, select

from bsv_store.catalog.database.models import (
    Dataset,
    DatasetVersion,
    Experiment,
    SourceSnapshot,
    StoredAnnotation,
    StoredTemplate,
    StoredVolume,
    Structure,
    UnionizeCoverage,
)
from bsv_store.catalog.ranks import snapshot_rank
from bsv_store.catalog.tables.frames import differing_injection_volumes
from bsv_store.catalog.tables.views import view
from bsv_store.html import text_card
from bsv_store.text import fact_lines, number_of, size_text
from bsv_store.vocabulary import DATASET_STANDINGS, SNAPSHOT_CONTENTS


def content_counts(connection: Connection) -> list[tuple[str, str]]:
    """The numbers of experiments, volumes and dataset versions, with their names."""
    counted = (("Experiments", Experiment), ("Volumes", StoredVolume), ("Dataset versions", DatasetVersion))
    return [(name, f"{connection.scalar(select(func.count()).select_from(model)):,}") for name, model in counted]


@dataclass(frozen=True, slots=True)
class VolumeCount:
    """Number and size of the volumes of one kind and spacing."""

    kind: str
    spacing_um: int
    volumes: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class AnnotationInfo:
    """The annotation at one spacing."""

    spacing_um: int
    structures: int
    annotated_voxels: int
    size_bytes: int
    source: str
    fetched_at: datetime
    origin: str
    derived_from_um: int | None
    """Spacing of the finer annotation from which it was derived; None if it was read from a file."""


@dataclass(frozen=True, slots=True)
class TemplateInfo:
    """The average template at one spacing."""

    spacing_um: int
    size_bytes: int
    source: str
    fetched_at: datetime


@dataclass(frozen=True, slots=True)
class SnapshotInfo:
    """One list or table that was stored."""

    id: int
    what: str
    kind: str
    source: str
    upstream_date: date | None
    taken_at: datetime
    rows: int
    added: int
    changed: int
    withdrawn: int


@dataclass(frozen=True, slots=True, repr=False)
class CatalogCounts:
    """Counts of the content of a store, which need no values of experiments, since these may be damaged.

    Attributes
    ----------
    structures, experiments, withdrawn_experiments : int
    unionize_rows : int
    experiments_with_unionizes : int
        Experiments with at least one half of their unionize table.
    volumes : tuple of VolumeCount
    annotations : tuple of AnnotationInfo
    templates : tuple of TemplateInfo
        Finest first.
    datasets, dataset_versions : int
    unchecked_versions : int
        Number of imported versions that were not recomputed in this store with the same result.
    latest_snapshots : tuple of SnapshotInfo
        The current snapshot of each kind of content, most recently stored first.
    """

    structures: int
    experiments: int
    withdrawn_experiments: int
    unionize_rows: int
    experiments_with_unionizes: int
    volumes: tuple[VolumeCount, ...]
    annotations: tuple[AnnotationInfo, ...]
    templates: tuple[TemplateInfo, ...]
    datasets: int
    dataset_versions: int
    unchecked_versions: int
    latest_snapshots: tuple[SnapshotInfo, ...]

    @property
    def current_experiments(self) -> int:
        """Experiments that are not withdrawn."""
        return self.experiments - self.withdrawn_experiments

    @property
    def latest_lists(self) -> tuple[SnapshotInfo, ...]:
        """The newest lists and ontologies; unionize tables are omitted, because each experiment has its own."""
        return tuple(each for each in self.latest_snapshots if SNAPSHOT_CONTENTS[each.what].is_complete)

    def __repr__(self) -> str:
        volumes = sum(each.volumes for each in self.volumes)
        return (
            f"<{type(self).__name__}: {number_of(self.experiments, 'experiment')}, {number_of(volumes, 'volume')}, "
            f"{number_of(self.dataset_versions, 'dataset version')}>"
        )

    def _repr_html_(self) -> str:
        return text_card("Content of the store", str(self))

    def __str__(self) -> str:
        withdrawn = f", {self.withdrawn_experiments:,} of them withdrawn" if self.withdrawn_experiments else ""
        measured = number_of(self.experiments_with_unionizes, "experiment")
        return fact_lines(
            [
                ("Structures", f"{self.structures:,}"),
                ("Experiments", f"{self.experiments:,}{withdrawn}"),
                ("Unionizes", f"{number_of(self.unionize_rows, 'row')} of {measured}"),
                *(
                    ("Volumes", f"{each.volumes:,} {each.kind} at {each.spacing_um} um, {size_text(each.size_bytes)}")
                    for each in self.volumes
                ),
                *(("Annotation", f"{each.spacing_um} um, {size_text(each.size_bytes)}") for each in self.annotations),
                *(("Template", f"{each.spacing_um} um, {size_text(each.size_bytes)}") for each in self.templates),
                ("Datasets", f"{self.datasets:,} with {number_of(self.dataset_versions, 'version')}"),
                *(
                    (f"List of {each.what}", f"{number_of(each.rows, 'row')}, stored {each.taken_at:%Y-%m-%d}")
                    for each in self.latest_lists
                ),
            ]
        )


@dataclass(frozen=True, slots=True, repr=False)
class CatalogStatus(CatalogCounts):
    """The content of a store. ``print()`` shows a short summary.

    Attributes
    ----------
    different_injection_volumes : tuple of int
        Experiments whose injection volume differs between the experiment list (used by selections) and the unionize
        rows (used to normalize averages).
    """

    different_injection_volumes: tuple[int, ...]


def catalog_status(connection: Connection) -> CatalogStatus:
    """Count the content of the catalog, and compare the injection volumes.

    Raises
    ------
    DamagedCatalogError
        If an injection volume is not a number.
    """
    counts = catalog_counts(connection)
    values = {each.name: getattr(counts, each.name) for each in fields(counts)}
    return CatalogStatus(**values, different_injection_volumes=differing_injection_volumes(connection))


def catalog_counts(connection: Connection) -> CatalogCounts:
    """Count the content of the catalog."""
    by_kind = (StoredVolume.kind, StoredVolume.spacing_um)
    query = select(*by_kind, func.count(), func.sum(StoredVolume.size_bytes)).group_by(*by_kind)
    # Sorted in Python: the databases sort text by different rules.
    volumes = sorted(connection.execute(query).all(), key=lambda row: (row[0], row[1]))
    return CatalogCounts(
        structures=_count(connection, Structure),
        experiments=_count(connection, Experiment),
        withdrawn_experiments=connection.scalar(
            select(func.count()).select_from(Experiment).where(Experiment.withdrawn)
        )
        or 0,
        # From the coverage rows, because counting millions of unionize rows would take seconds.
        unionize_rows=int(connection.scalar(select(func.sum(UnionizeCoverage.row_count))) or 0),
        experiments_with_unionizes=connection.scalar(select(func.count(UnionizeCoverage.experiment_id.distinct())))
        or 0,
        volumes=tuple(VolumeCount(kind, spacing, count, int(size)) for kind, spacing, count, size in volumes),
        annotations=_annotations(connection),
        templates=_templates(connection),
        datasets=_count(connection, Dataset),
        dataset_versions=_count(connection, DatasetVersion),
        unchecked_versions=connection.scalar(
            select(func.count()).where(view("dataset_versions").c.standing.in_(_DOUBTFUL))
        )
        or 0,
        latest_snapshots=_latest_snapshots(connection),
    )


_DOUBTFUL = [row.name for row in DATASET_STANDINGS.values() if not row.can_answer]


def _count(connection: Connection, table: type[Structure | Experiment | Dataset | DatasetVersion]) -> int:
    return connection.scalar(select(func.count()).select_from(table)) or 0


def _annotations(connection: Connection) -> tuple[AnnotationInfo, ...]:
    # In the order of the fields of AnnotationInfo.
    query = select(
        StoredAnnotation.spacing_um,
        StoredAnnotation.structure_count,
        StoredAnnotation.annotated_voxels,
        StoredAnnotation.size_bytes,
        StoredAnnotation.source,
        StoredAnnotation.fetched_at,
        StoredAnnotation.origin,
        StoredAnnotation.derived_from_um,
    )
    return tuple(AnnotationInfo(*row) for row in connection.execute(query.order_by(StoredAnnotation.spacing_um)))


def _templates(connection: Connection) -> tuple[TemplateInfo, ...]:
    # In the order of the fields of TemplateInfo.
    query = select(
        StoredTemplate.spacing_um, StoredTemplate.size_bytes, StoredTemplate.source, StoredTemplate.fetched_at
    )
    return tuple(TemplateInfo(*row) for row in connection.execute(query.order_by(StoredTemplate.spacing_um)))


def _latest_snapshots(connection: Connection) -> tuple[SnapshotInfo, ...]:
    found = connection.execute(select(SourceSnapshot.__table__)).all()
    ranked = sorted(found, key=lambda row: snapshot_rank(row.what, row.upstream_date, row.id))
    in_force = {(row.what, row.kind): row for row in ranked}
    rows = sorted(in_force.values(), key=lambda row: -row.id)
    return tuple(
        SnapshotInfo(
            row.id,
            row.what,
            row.kind,
            row.source,
            row.upstream_date,
            row.taken_at,
            row.row_count,
            row.added,
            row.changed,
            row.withdrawn,
        )
        for row in rows
    )

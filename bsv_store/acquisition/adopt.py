"""Caches that a lab already has, taken into the store: every file is checked, bad ones are reported and skipped.

The store's own encoding differs from that of the caches, so that files are read and written anew; a link to the old
file would be of no use. The cache itself is only read.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from sqlalchemy import select

from bsv_store.acquisition.annotation import ingest_annotation_file
from bsv_store.acquisition.ingest_files import file_bytes
from bsv_store.acquisition.presence import check_known, has_its_size
from bsv_store.acquisition.work.outcome import size_text
from bsv_store.catalog.database.bulk import refresh_statistics_after
from bsv_store.catalog.database.engine import Database
from bsv_store.catalog.database.models import SourceSnapshot, UnionizeCoverage
from bsv_store.catalog.ingest import IngestReport, ingest_experiments, ingest_structures, ingest_unionizes
from bsv_store.catalog.ingest.hemisphere import lock_experiments
from bsv_store.catalog.volumes import find_volumes, record_volume
from bsv_store.checkpoints import checkpoint
from bsv_store.errors import FormatError, InputError
from bsv_store.formats.density_zip import read_density_raw
from bsv_store.formats.experiments import read_experiments
from bsv_store.formats.nrrd import read_nrrd, spool_nrrd
from bsv_store.formats.structures import read_structures
from bsv_store.formats.unionizes import read_unionizes
from bsv_store.progress import SILENCE, Progress
from bsv_store.sources.caches import AnnotationFile, CacheFile, CacheLayout, CacheScan, scan_cache
from bsv_store.text import number_of
from bsv_store.volumes.files import StoreFiles
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.large import slabs_sha256
from bsv_store.volumes.library import VolumeFile, publish_volume
from bsv_store.volumes.spool import SpooledVolume, VolumeSpool
from bsv_store.volumes.volume import Volume

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Refused:
    """A file that was not taken in, and why."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class AdoptReport:
    """What became of the files of a cache.

    Attributes
    ----------
    folder : pathlib.Path
    layout : {'bsv', 'allensdk'}
    structures, experiments : IngestReport or None
        What the lists in the cache changed; None where it has none, or a bad one.
    unionizes, volumes, annotations : int
        Tables, volumes and annotations taken in.
    present : int
        Those of them that the store had.
    refused : tuple of Refused
        Bad files, and files of experiments that the catalog does not have.
    ignored : tuple of Refused
        Files that are none of the store's business.
    size_bytes : int
        Of the cache's volumes and annotations that were taken in.
    """

    folder: Path
    layout: CacheLayout
    structures: IngestReport | None
    experiments: IngestReport | None
    unionizes: int
    volumes: int
    annotations: int
    present: int
    refused: tuple[Refused, ...]
    ignored: tuple[Refused, ...]
    size_bytes: int

    def summary(self) -> str:
        """One sentence for people."""
        lists = [
            f"{report.what}: {report.added} new, {report.changed} changed, {report.withdrawn} withdrawn; "
            for report in (self.structures, self.experiments)
            if report is not None
        ]
        annotations = f", {number_of(self.annotations, 'annotation')}" if self.annotations else ""
        return (
            f"{self.folder}: {''.join(lists)}{number_of(self.unionizes, 'unionize table')}{annotations} and "
            f"{number_of(self.volumes, 'volume')} taken in "
            f"({size_text(self.size_bytes)}), {self.present} already there, {len(self.refused)} refused, "
            f"{len(self.ignored)} ignored."
        )


def adopt_cache(
    database: Database,
    files: StoreFiles,
    folder: Path,
    *,
    experiment_ids: Collection[int] | None = None,
    progress: Progress | None = None,
) -> AdoptReport:
    """What came of taking in a cache folder of Brain Street View or AllenSDK.

    Lists first, then annotations, unionize tables and volumes, one file at a time. What the store has from the API
    itself is kept: a cache may be years old.

    Parameters
    ----------
    folder : pathlib.Path
    experiment_ids : collection of int, optional
        Take in only the lists and what belongs to these experiments; all by default.
    progress : Progress, optional

    Raises
    ------
    NotACacheError
        If the folder is neither kind of cache.
    NoSpaceError, ReadOnlyStoreError, StoreError, BusyError
        If the store fails. What has been taken in stays.
    """
    scan = scan_cache(folder)
    if experiment_ids is not None:
        scan = replace(
            scan,
            annotations=(),
            unionizes=tuple(file for file in scan.unionizes if file.experiment_id in experiment_ids),
            volumes=tuple(file for file in scan.volumes if file.experiment_id in experiment_ids),
        )
    return _Adoption(database, files, scan, progress or SILENCE).run()


@dataclass(slots=True)
class _Adoption:
    """A cache being taken in."""

    database: Database
    files: StoreFiles
    scan: CacheScan
    progress: Progress
    refused: list[Refused] = field(default_factory=list)
    unionizes: int = 0
    volumes: int = 0
    annotations: int = 0
    present: int = 0
    size_bytes: int = 0
    written: int = 0

    def run(self) -> AdoptReport:
        """What became of the files of the cache, taken in one after the other."""
        scan = self.scan
        lists = [path for path in (scan.structures, scan.experiments) if path is not None]
        files = len(lists) + len(scan.annotations) + len(scan.unionizes) + len(scan.volumes)
        self.progress.start(files, f"adopting {scan.folder.name}")
        try:
            structures = self._list(scan.structures, self._structures)
            experiments = self._list(scan.experiments, self._experiments)
            for annotation in scan.annotations:
                self._each(annotation.path, partial(self._annotation, annotation))
            for file in scan.unionizes:
                self._each(file.path, partial(self._unionize, file))
            for file in scan.volumes:
                self._each(file.path, partial(self._volume, file))
        finally:
            self.progress.finish()
        lists_written = sum(report.written for report in (structures, experiments) if report is not None)
        refresh_statistics_after(self.database, self.written + lists_written)
        return AdoptReport(
            folder=scan.folder,
            layout=scan.layout,
            structures=structures,
            experiments=experiments,
            unionizes=self.unionizes,
            volumes=self.volumes,
            annotations=self.annotations,
            present=self.present,
            refused=tuple(self.refused),
            ignored=tuple(Refused(path, reason) for path, reason in scan.ignored),
            size_bytes=self.size_bytes,
        )

    def _list(self, path: Path | None, take_in: Callable[[Path], IngestReport]) -> IngestReport | None:
        return None if path is None else self._each(path, partial(take_in, path))

    def _each(self, path: Path, take_in: Callable[[], T]) -> T | None:
        """What taking a file in returns; None if it is refused."""
        try:
            return take_in()
        except InputError as error:
            sentences = (error.message, error.hint or "")
            self.refused.append(Refused(path, ". ".join(text.rstrip(".") for text in sentences if text) + "."))
            return None
        finally:
            self.progress.advance()

    def _structures(self, path: Path) -> IngestReport:
        ontology = read_structures(file_bytes(path), what=str(path))
        return ingest_structures(self.database, ontology, source=self._source(path), kind="file")

    def _experiments(self, path: Path) -> IngestReport:
        # Copying a cache changes the times of its files, so that nothing tells how old the list is.
        experiments = read_experiments(file_bytes(path), what=str(path))
        return ingest_experiments(self.database, experiments, source=self._source(path))

    def _unionize(self, file: CacheFile) -> None:
        check_known(self.database, [file.experiment_id])
        table = read_unionizes(file_bytes(file.path), what=str(file.path))
        if table.experiment_ids != (file.experiment_id,):
            raise FormatError(
                f"{file.path} holds rows of the experiments {table.experiment_ids}, not of {file.experiment_id}",
                hint="Its folder is named for another experiment, or it is empty.",
            )
        # Half by half: that the store has the rows inside the injection from the API is no reason to lack the others.
        from_api = self._parts_from_api(file.experiment_id)
        table = table.of_parts([part for part in table.parts if part not in from_api])
        if not len(table):
            self.present += 1
            return
        report = ingest_unionizes(self.database, table, source=self._source(file.path), kind="file")
        self.present += report.unchanged
        self.unionizes += report.added + report.changed
        self.written += report.written

    def _parts_from_api(self, experiment_id: int) -> set[str]:
        with self.database.reading() as connection:
            rows = connection.execute(
                select(UnionizeCoverage.part)
                .join_from(UnionizeCoverage, SourceSnapshot, SourceSnapshot.id == UnionizeCoverage.snapshot_id)
                .where(UnionizeCoverage.experiment_id == experiment_id, SourceSnapshot.kind == "api")
            )
            return set(rows.scalars())

    def _volume(self, file: CacheFile) -> None:
        check_known(self.database, [file.experiment_id])
        with ExitStack() as stack:
            new = self._published(file, self._read(file, stack))
        if new is None:
            self.present += 1
            return
        checkpoint("adopt:published")
        with self.database.writing() as connection:
            lock_experiments(connection, [file.experiment_id])
            replaced = record_volume(connection, new)
        checkpoint("adopt:committed")
        if replaced is not None:
            self.files.trash(replaced)
        self.volumes += 1
        self._count_bytes(file.path)

    def _annotation(self, file: AnnotationFile) -> None:
        report = ingest_annotation_file(
            self.database, self.files, file.path, source=self._source(file.path), spacing_um=file.spacing_um
        )
        if report.outcome == "present":
            self.present += 1
            return
        self.annotations += 1
        self._count_bytes(file.path)

    def _count_bytes(self, path: Path) -> None:
        size = path.stat().st_size
        self.size_bytes += size
        self.progress.advance(0, size_bytes=size)

    def _published(self, file: CacheFile, volume: Volume | SpooledVolume) -> VolumeFile | None:
        """The published file of a volume; None if the store has the same volume, whole."""
        stored = self._stored(file, volume)
        if stored is not None and stored.layout.array_sha256 != slabs_sha256(volume):
            raise InputError(
                f"{file.path} differs from the {volume.kind} at {volume.grid.spacing_um} um of experiment "
                f"{file.experiment_id} that the store has from {stored.source}, which is kept",
                hint="`bsv-store fetch --refresh` brings what the Allen API has today.",
            )
        if stored is not None and has_its_size(self.files, stored):
            return None
        return publish_volume(self.files, volume, experiment_id=file.experiment_id, source=self._source(file.path))

    def _read(self, file: CacheFile, stack: ExitStack) -> Volume | SpooledVolume:
        """The volume of a file, at 25 and 10 um in a spool that lives as long as the stack."""
        what = str(file.path)
        if self.scan.layout == "bsv":
            return read_density_raw(file_bytes(file.path), what=what)
        assert file.kind is not None
        assert file.spacing_um is not None
        if Grid(file.spacing_um).is_large:
            spool = stack.enter_context(VolumeSpool(stack.enter_context(self.files.temporary())))
            return spool_nrrd(file.path, file.kind, spool, what=what, spacing_um=file.spacing_um)
        return read_nrrd(file.path, file.kind, what=what, spacing_um=file.spacing_um)

    def _stored(self, file: CacheFile, volume: Volume | SpooledVolume) -> VolumeFile | None:
        with self.database.reading() as connection:
            found = find_volumes(connection, [file.experiment_id], kind=volume.kind, spacing_um=volume.grid.spacing_um)
        return found.get(file.experiment_id)

    def _source(self, path: Path) -> str:
        """The file's name from the cache's folder on: where that folder lies is this machine's affair."""
        folder = self.scan.folder.resolve()
        return f"{folder.name}/{path.relative_to(self.scan.folder).as_posix()}"

"""Adopt the caches of other programs: every file is checked; invalid ones are reported and skipped.

The store's encoding differs from that of the caches, so files are read and written again; links would not work. The
cache itself is only read.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeVar, assert_never

from sqlalchemy import select

from bsv_store.acquisition.adopt_report import AdoptReport, SkippedFile
from bsv_store.acquisition.annotation import AnnotationReport, ingest_annotation_file
from bsv_store.acquisition.ingest_files import file_bytes, storable
from bsv_store.acquisition.presence import check_known, has_complete_file, has_intact_file
from bsv_store.acquisition.template import TemplateReport, ingest_template_file
from bsv_store.acquisition.work.activity import recorded_run
from bsv_store.catalog.activity import Details
from bsv_store.catalog.database.bulk import refresh_statistics_after
from bsv_store.catalog.database.engine import Database
from bsv_store.catalog.database.models import SourceSnapshot, UnionizeCoverage
from bsv_store.catalog.database.sqlite import long_run
from bsv_store.catalog.ingest import IngestReport, ingest_experiments, ingest_structures, ingest_unionizes
from bsv_store.catalog.locks import lock_experiments
from bsv_store.catalog.unused_files import keep_files, trash_unused
from bsv_store.catalog.volumes import find_volumes, record_volume
from bsv_store.check import boolean, identifier, several
from bsv_store.checkpoints import checkpoint
from bsv_store.errors import DamagedFileError, FormatError, ImplausibleVolumeError, InputError
from bsv_store.formats.density_zip import read_density_raw
from bsv_store.formats.experiments import read_experiments, refuse_old_cache
from bsv_store.formats.matlab import read_injection_info
from bsv_store.formats.nrrd import read_nrrd, spool_nrrd
from bsv_store.formats.structures import read_structures
from bsv_store.formats.unionizes import read_unionizes
from bsv_store.plausibility.facts import facts_of
from bsv_store.plausibility.judge import Plausibility, Verdict
from bsv_store.progress import Progress, shown_progress
from bsv_store.sources.caches import CachedAtlasFile, CacheFile, CacheScan, scan_cache
from bsv_store.text import listed_ids, number_of
from bsv_store.vocabulary import VOLUME_KINDS
from bsv_store.volumes.files import StoreFiles, refresh_command
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.large import slabs_sha256
from bsv_store.volumes.library import VolumeFile, publish_volume
from bsv_store.volumes.spool import SpooledVolume, VolumeSpool
from bsv_store.volumes.volume import Volume

T = TypeVar("T")


@long_run()
def adopt_cache(
    database: Database,
    files: StoreFiles,
    folder: Path,
    *,
    experiment_ids: Collection[int] | None = None,
    allow_shrinking: bool = False,
    progress: Progress | None = None,
) -> AdoptReport:
    """Adopt a cache folder of Brain Street View or AllenSDK.

    Lists come first, then annotations, templates, unionize tables and volumes, one file at a time. Data that the store
    has from the API are not replaced: a cache may be years old.

    Parameters
    ----------
    folder : pathlib.Path
    experiment_ids : collection of int, optional
        Adopt only the lists and the files of these experiments. By default all files.
    allow_shrinking : bool
        Accept lists from which many current structures or experiments are missing.
    progress : Progress, optional

    Raises
    ------
    NotACacheError
        If the folder is not a cache of either program.
    NoSpaceError, ReadOnlyStoreError, StoreError, BusyError
        If the store fails. Files stored before that remain.
    """
    wanted = None if experiment_ids is None else _checked_ids(experiment_ids)
    shrinking = boolean("allow_shrinking", allow_shrinking)
    scan = scan_cache(folder)
    remarks: list[str] = []
    if wanted is not None:
        scan = replace(
            scan,
            annotations=(),
            templates=(),
            unionizes=tuple(file for file in scan.unionizes if file.experiment_id in wanted),
            volumes=tuple(file for file in scan.volumes if file.experiment_id in wanted),
        )
        absent = wanted - {file.experiment_id for file in (*scan.unionizes, *scan.volumes)}
        if absent:
            remarks.append(f"The cache has no files of {number_of(len(absent), 'experiment')}: {listed_ids(absent)}.")
    return _Adoption(database, files, scan, shown_progress(progress), shrinking, remarks=remarks).run()


def _checked_ids(experiment_ids: Collection[int]) -> frozenset[int]:
    named = several("experiment_ids", experiment_ids, such_as="[100141219]")
    return frozenset(identifier("experiment_ids", each) for each in named)


def _by_evidence(file: CacheFile) -> tuple[int, bool, Path]:
    """Sort key: within an experiment, the volumes that can be compared with the catalog come first."""
    return file.experiment_id, file.kind is not None and VOLUME_KINDS[file.kind].site == "tissue", file.path


@dataclass(slots=True)
class _Adoption:
    """The adoption of one cache folder."""

    database: Database
    files: StoreFiles
    scan: CacheScan
    progress: Progress
    allow_shrinking: bool
    refused: list[SkippedFile] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    unionizes: int = 0
    volumes: int = 0
    annotations: int = 0
    templates: int = 0
    present: int = 0
    size_bytes: int = 0
    written: int = 0
    lists: int = 0
    derived: int = 0
    replaced: list[SkippedFile] = field(default_factory=list)
    # For each experiment, a file that was refused as not plausible.
    doubted: dict[int, Path] = field(default_factory=dict)
    judge: Plausibility = field(init=False)

    def __post_init__(self) -> None:
        self.judge = Plausibility(self.database, self.files)

    def run(self) -> AdoptReport:
        """Adopt all files, one after the other."""
        scan = self.scan
        lists = [path for path in (scan.structures, scan.experiments) if path is not None]
        files = [*lists, *scan.annotations, *scan.templates, *scan.unionizes, *scan.volumes]
        self.progress.start(len(files), f"adopting {scan.folder.name}")
        with recorded_run(self.database, "adopted", storable(scan.folder.name), self._counts):
            structures, experiments = self._adopt_all()
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
            templates=self.templates,
            present=self.present,
            replaced=tuple(self.replaced),
            refused=tuple(self.refused),
            ignored=tuple(SkippedFile(path, reason) for path, reason in scan.ignored),
            size_bytes=self.size_bytes,
            remarks=tuple(self.remarks),
        )

    def _adopt_all(self) -> tuple[IngestReport | None, IngestReport | None]:
        scan = self.scan
        try:
            structures = self._try_list(scan.structures, self._adopt_structures)
            experiments = self._try_list(scan.experiments, self._adopt_experiments)
            for annotation in scan.annotations:
                self._try(annotation.path, partial(self._adopt_annotation, annotation))
            # After the annotations, with which they are compared.
            for template in scan.templates:
                self._try(template.path, partial(self._adopt_template, template))
            for file in scan.unionizes:
                self._try(file.path, partial(self._adopt_unionizes, file))
            for file in sorted(scan.volumes, key=_by_evidence):
                self._try(file.path, partial(self._adopt_volume, file))
        finally:
            self.progress.finish()
        return structures, experiments

    def _counts(self) -> Details | None:
        """What was adopted, for the record of the activity; None if nothing was."""
        counts = {
            "lists": self.lists,
            "unionize tables": self.unionizes,
            "volumes": self.volumes,
            "annotations": self.annotations,
            "derived annotations": self.derived,
            "templates": self.templates,
        }
        if not any(counts.values()):
            return None
        counts["refused"] = len(self.refused)
        return {name: count for name, count in counts.items() if count}

    def _try_list(self, path: Path | None, adopt: Callable[[Path], IngestReport]) -> IngestReport | None:
        return None if path is None else self._try(path, partial(adopt, path))

    def _try(self, path: Path, adopt: Callable[[], T]) -> T | None:
        """Adopt one file; if it is refused, note the reason and return None."""
        try:
            return adopt()
        except InputError as error:
            # A hint may end with a command, which must not end with a full stop.
            hint = f" {error.hint}" if error.hint else ""
            self.refused.append(SkippedFile(path, f"{error.message.rstrip('.')}.{hint}"))
            return None
        finally:
            self.progress.advance()

    def _adopt_structures(self, path: Path) -> IngestReport:
        ontology = read_structures(file_bytes(path), what=str(path))
        report = ingest_structures(
            self.database,
            ontology,
            source=self._source(path),
            kind="file",
            allow_shrinking=self.allow_shrinking,
        )
        self.lists += report.snapshot_id is not None
        return report

    def _adopt_experiments(self, path: Path) -> IngestReport:
        # The date of the list is unknown, because copying a cache changes the times of its files.
        for manifest in sorted(path.parent.glob("*manifest.json")):
            refuse_old_cache(file_bytes(manifest), what=str(manifest))
        experiments = read_experiments(file_bytes(path), what=str(path))
        report = ingest_experiments(
            self.database, experiments, source=self._source(path), allow_shrinking=self.allow_shrinking
        )
        self.lists += report.snapshot_id is not None
        return report

    def _adopt_unionizes(self, file: CacheFile) -> None:
        check_known(self.database, [file.experiment_id])
        is_matlab = file.path.suffix == ".mat"
        read = read_injection_info if is_matlab else read_unionizes
        table = read(file_bytes(file.path), what=str(file.path))
        if table.experiment_ids != (file.experiment_id,):
            raise FormatError(
                f"{file.path} has rows of the experiments {table.experiment_ids}, not of {file.experiment_id}",
                hint="The file is empty, or its folder is named for another experiment.",
            )
        # Part by part: the store may have only one of the two parts from the API.
        from_api = self._parts_from_api(file.experiment_id)
        table = table.of_parts([part for part in table.parts if part not in from_api])
        if not len(table):
            self.present += 1
            return
        report = ingest_unionizes(self.database, table, source=self._source(file.path), kind="file")
        self.present += report.unchanged
        self.unionizes += report.added + report.changed
        self.remarks += report.notes
        self.written += report.written

    def _parts_from_api(self, experiment_id: int) -> set[str]:
        with self.database.reading() as connection:
            rows = connection.execute(
                select(UnionizeCoverage.part)
                .join_from(UnionizeCoverage, SourceSnapshot, SourceSnapshot.id == UnionizeCoverage.snapshot_id)
                .where(UnionizeCoverage.experiment_id == experiment_id, SourceSnapshot.kind == "api")
            )
            return set(rows.scalars())

    def _adopt_volume(self, file: CacheFile) -> None:
        check_known(self.database, [file.experiment_id])
        while not self._adopted(file):
            pass

    def _adopted(self, file: CacheFile) -> bool:
        """Adopt a volume; False if its file was removed before its row was written, so that it must be read again."""
        self.judge.learn([file.experiment_id])
        with ExitStack() as stack:
            volume = self._read(file, stack)
            stored = self._stored(file, volume)
            new, reason = self._published(file, volume, stored)
        if new is None:
            self.present += 1
            return True
        checkpoint("adopt:published")
        with self.database.writing() as connection:
            lock_experiments(connection, [file.experiment_id])
            keep_files(connection)
            if not has_complete_file(self.files, new):
                return False
            current = find_volumes(
                connection, [file.experiment_id], kind=new.kind, spacing_um=new.layout.grid.spacing_um
            ).get(file.experiment_id)
            if current is not None and (stored is None or current.path != stored.path):
                meanwhile, replaced = current, None
            else:
                meanwhile, replaced = None, record_volume(connection, new)
        checkpoint("adopt:committed")
        if meanwhile is not None:
            # Another process has stored one with which this one was not compared.
            trash_unused(self.database, self.files, [new.path], "duplicate")
            if meanwhile.layout.array_sha256 == new.layout.array_sha256:
                self.present += 1
                return True
            raise InputError(
                f"{file.path} was not adopted: another process has stored the {new.kind} at "
                f"{new.layout.grid.spacing_um} um of experiment {file.experiment_id} meanwhile",
                hint="Run the command again to compare the two.",
            )
        if replaced is not None:
            trash_unused(self.database, self.files, [replaced], "replaced")
        if reason is not None:
            self.replaced.append(SkippedFile(file.path, reason))
        self.judge.record(new)
        self.volumes += 1
        self._count_bytes(file.path)
        return True

    def _adopt_annotation(self, file: CachedAtlasFile) -> None:
        report = ingest_annotation_file(
            self.database,
            self.files,
            file.path,
            source=self._source(file.path),
            spacing_um=file.spacing_um,
            action=None,
        )
        self.derived += len(report.derived_um)
        self.annotations += self._is_new(file, report)

    def _adopt_template(self, file: CachedAtlasFile) -> None:
        report = ingest_template_file(
            self.database,
            self.files,
            file.path,
            source=self._source(file.path),
            spacing_um=file.spacing_um,
            action=None,
        )
        self.templates += self._is_new(file, report)

    def _is_new(self, file: CachedAtlasFile, report: AnnotationReport | TemplateReport) -> bool:
        """Count a file of the atlas; whether it was not in the store yet."""
        if report.outcome == "present":
            self.present += 1
            return False
        self.remarks.append(report.summary())
        self._count_bytes(file.path)
        return True

    def _count_bytes(self, path: Path) -> None:
        size = path.stat().st_size
        self.size_bytes += size
        self.progress.advance(0, size_bytes=size)

    def _published(
        self, file: CacheFile, volume: Volume | SpooledVolume, stored: VolumeFile | None
    ) -> tuple[VolumeFile | None, str | None]:
        """The published file of a volume, and why it replaces the stored one, if it does.

        The file is None if the store has the same volume with an intact file.

        Raises
        ------
        ImplausibleVolumeError
            If the volume contradicts the catalog or other volumes of its experiment.
        InputError
            If the store has a different volume, and the catalog does not support this one better.
        """
        why = None
        is_same = stored is not None and stored.layout.array_sha256 == slabs_sha256(volume)
        if is_same and stored is not None and has_intact_file(self.files, stored):
            return None, None
        verdict = self._checked(file, volume)
        if stored is not None and not is_same:
            reason = self._reason_to_replace(verdict, stored)
            if reason is None:
                command = refresh_command([file.experiment_id], kind=volume.kind, spacing_um=volume.grid.spacing_um)
                raise InputError(
                    f"{file.path} differs from the {volume.kind} at {volume.grid.spacing_um} um of experiment "
                    f"{file.experiment_id} in the store, which is from {stored.source} and was not changed: both agree "
                    f"with {verdict.summary()}",
                    hint=f"Download the current volume: {command}",
                )
            why = f"replaces the {volume.kind} from {stored.source}, of which {reason}"
        source = self._source(file.path)
        return publish_volume(self.files, volume, experiment_id=file.experiment_id, source=source), why

    def _checked(self, file: CacheFile, volume: Volume | SpooledVolume) -> Verdict:
        verdict = self.judge.judge(file.experiment_id, facts_of(volume))
        try:
            verdict.raise_if_implausible(str(file.path))
        except ImplausibleVolumeError:
            self.doubted.setdefault(file.experiment_id, file.path)
            raise
        if not verdict.independent and (other := self.doubted.get(file.experiment_id)) is not None:
            raise ImplausibleVolumeError(
                f"{file.path} cannot be compared with the catalog, and {other.name} of the same experiment is not "
                "plausible",
                hint="Copy both again from their source.",
            )
        return verdict

    def _reason_to_replace(self, verdict: Verdict, stored: VolumeFile) -> str | None:
        try:
            return verdict.better_than(self.judge.judge_stored(stored))
        except DamagedFileError as error:
            return error.message

    def _read(self, file: CacheFile, stack: ExitStack) -> Volume | SpooledVolume:
        """Read the volume of a file; at 25 and 10 um into a spool that is closed with the stack."""
        what = str(file.path)
        if self.scan.layout == "bsv":
            return read_density_raw(file.path, what=what, header=file.header)
        if self.scan.layout != "allensdk":
            assert_never(self.scan.layout)
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
        """The file's path relative to the parent of the cache's folder, which differs between machines."""
        folder = self.scan.folder.resolve()
        return storable(f"{folder.name}/{path.relative_to(self.scan.folder).as_posix()}")

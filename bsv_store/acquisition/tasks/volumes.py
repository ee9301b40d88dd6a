"""Volumes of one kind and spacing, downloaded one by one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from contextlib import ExitStack

from bsv_store.acquisition.presence import has_complete_file
from bsv_store.acquisition.tasks.orphans import OrphanVolumes
from bsv_store.acquisition.work.claims import Claims
from bsv_store.acquisition.work.task import CommitResult, RunControl, Task
from bsv_store.catalog.database.engine import Database
from bsv_store.catalog.locks import lock_experiments
from bsv_store.catalog.unused_files import keep_files, trash_unused
from bsv_store.catalog.volumes import find_volumes, record_volumes, volume_key
from bsv_store.checkpoints import checkpoint
from bsv_store.errors import DamagedFileError, ImplausibleVolumeError
from bsv_store.plausibility.facts import GridFacts, facts_of
from bsv_store.plausibility.judge import Plausibility
from bsv_store.sources.allen import AllenClient
from bsv_store.vocabulary import VolumeKind
from bsv_store.volumes.encoding import array_sha256
from bsv_store.volumes.files import StoreFiles
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.library import VolumeFile, publish_volume
from bsv_store.volumes.spool import SpooledVolume, VolumeSpool
from bsv_store.volumes.volume import Volume

_EXTRA_THREADS = 2


class VolumeTask(Task[VolumeFile]):
    """Downloads the volume of one kind and spacing of an experiment.

    Parameters
    ----------
    database : Database
    files : StoreFiles
    client : AllenClient
    kind : VolumeKind
    spacing_um : int
    refresh : bool
        Also download volumes that the store has.
    damaged : iterable of VolumeFile
        Recorded volumes whose file was found to be damaged. They count as missing until the row changes.
    """

    commit_batch = 64

    def __init__(
        self,
        database: Database,
        files: StoreFiles,
        client: AllenClient,
        kind: VolumeKind,
        spacing_um: int,
        *,
        refresh: bool,
        damaged: Iterable[VolumeFile] = (),
    ) -> None:
        self.what = self.subject = f"{kind} at {spacing_um} um"
        self.action = "fetched"
        self.host = client.host
        self.connections = client.connections
        self.max_connections = client.max_connections
        # A thread needs 100 MB of memory for a large volume.
        self.extra_threads = 0 if Grid(spacing_um).is_large else _EXTRA_THREADS
        self.recovered: set[int] = set()
        self._database = database
        self._files = files
        self._client = client
        self._kind: VolumeKind = kind
        self._spacing_um = spacing_um
        self._refresh = refresh
        # Otherwise, after Allen has changed two kinds, each new one would be refused because of the other.
        self._plausibility = Plausibility(database, files, others="none" if refresh else "sparse")
        self._orphans = OrphanVolumes(files, kind, spacing_um, self._plausibility)
        self._damaged = {file.experiment_id: file for file in damaged}
        # Hashes of recorded volumes whose file is missing, incomplete or changed.
        self._lost: dict[int, str] = {}
        # Why the annotation, with which new volumes are compared, cannot be read.
        self._unreadable: DamagedFileError | None = None

    @property
    def lost(self) -> Collection[int]:
        """The experiments whose recorded volume has a damaged file."""
        return self._lost.keys()

    def key(self, experiment_id: int) -> str:
        """The key under which the volume is claimed."""
        return volume_key(experiment_id, kind=self._kind, spacing_um=self._spacing_um)

    def present(self, ids: Collection[int]) -> set[int]:
        """The experiments whose volume is recorded and has a file of the recorded size; none if all are refreshed."""
        if self._refresh:
            self._plausibility.learn(ids)
            return set()
        with self._database.reading() as connection:
            found = find_volumes(connection, sorted(ids), kind=self._kind, spacing_um=self._spacing_um)
        lost = {
            i: file.layout.array_sha256
            for i, file in found.items()
            if file == self._damaged.get(i) or not has_complete_file(self._files, file)
        }
        self._lost.update(lost)
        present = found.keys() - lost.keys()
        # Read here, because worker threads do not access the database.
        missing = set(ids) - present
        try:
            self._plausibility.learn(missing)
        except DamagedFileError as error:
            if missing - lost.keys():
                raise
            # Volumes with the recorded content are not compared.
            self._unreadable = error
        return present

    def download(self, ids: Sequence[int], control: RunControl) -> VolumeFile:
        """Recover the volume from an interrupted run, otherwise download, check and publish it.

        Raises
        ------
        UpstreamError
            If the download fails.
        ImplausibleVolumeError
            If the volume contradicts the catalog or other volumes of the experiment.
        DamagedFileError
            If the annotation, with which the volume must be compared, is damaged.
        """
        (experiment_id,) = ids
        recorded = self._lost.get(experiment_id)
        if not self._refresh:
            orphan = self._orphans.recover(experiment_id, array_sha256=recorded, on_slab=control.raise_if_stopped)
            if orphan is not None:
                self.recovered.add(experiment_id)
                return orphan
        with ExitStack() as stack:
            scratch = spool = None
            if Grid(self._spacing_um).is_large:
                scratch = stack.enter_context(self._files.temporary())
                spool_file = stack.enter_context(self._files.temporary())
                spool = stack.enter_context(VolumeSpool(spool_file, on_block=control.raise_if_stopped))
            reply = self._client.volume(
                experiment_id,
                kind=self._kind,
                spacing_um=self._spacing_um,
                scratch=scratch,
                spool=spool,
                on_bytes=control.on_bytes,
            )
            checkpoint("fetch:downloaded")
            # Recorded content was judged when it was stored. What that needs, such as the annotation, may be lost too.
            if not _has_content(reply.value, recorded):
                facts = facts_of(reply.value, on_slab=control.raise_if_stopped)
                self._raise_if_implausible(experiment_id, facts, reply.source)
            file = publish_volume(self._files, reply.value, experiment_id=experiment_id, source=reply.source)
        checkpoint("fetch:published")
        return file

    def _raise_if_implausible(self, experiment_id: int, facts: GridFacts, source: str) -> None:
        if self._unreadable is not None:
            raise DamagedFileError(self._unreadable.message, hint=self._unreadable.hint) from self._unreadable
        try:
            self._plausibility.judge(experiment_id, facts).raise_if_implausible(source)
        except ImplausibleVolumeError as error:
            # A `Failure` has the message only, not the hint.
            raise ImplausibleVolumeError(f"{error.message}. {error.hint}", hint=error.hint) from error

    def commit(self, downloads: Sequence[VolumeFile], ids: Sequence[int], claims: Claims) -> CommitResult:
        """Record the files in one transaction; files that they replace are moved to the trash.

        Volumes whose file was removed before are lost, as if another process had claimed them.
        """
        keys = {self.key(i): i for i in ids}
        with self._database.writing() as connection:
            ours = {keys[key] for key in claims.confirmed(connection, keys)}
            # `adopt` takes no claims, so the rows themselves must be locked too.
            lock_experiments(connection, ours)
            # A recovered file has no row yet and may have been removed since.
            keep_files(connection)
            recorded = [
                file for file in downloads if file.experiment_id in ours and has_complete_file(self._files, file)
            ]
            replaced = record_volumes(connection, recorded)
            claims.release(connection, keys)
            checkpoint("fetch:recorded")
        checkpoint("fetch:committed")
        trash_unused(self._database, self._files, replaced, "replaced")
        lost = frozenset(ids) - {file.experiment_id for file in recorded}
        self.recovered -= lost
        return CommitResult(lost=lost)

    def abort(self) -> None:
        """Abort all downloads."""
        self._client.abort()


def _has_content(volume: Volume | SpooledVolume, recorded: str | None) -> bool:
    """Whether a volume has the content with a recorded hash; False for spooled volumes, which are not hashed here."""
    return recorded is not None and isinstance(volume, Volume) and array_sha256(volume.array) == recorded

"""Volumes from the Allen API into the store: once for everybody, checked, bytes before rows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from bsv_store.acquisition.orphans import OrphanFiles
from bsv_store.acquisition.presence import check_known, has_its_size, present_volumes, refuse_missing
from bsv_store.acquisition.work.claims import Claims
from bsv_store.acquisition.work.outcome import Failure, size_text
from bsv_store.acquisition.work.sharing import Kept, SharedWork, Task, Watch
from bsv_store.catalog.database.engine import Database
from bsv_store.catalog.ingest.hemisphere import lock_experiments
from bsv_store.catalog.volumes import find_volumes, record_volumes
from bsv_store.checkpoints import checkpoint
from bsv_store.progress import Progress
from bsv_store.sources.allen import AllenClient
from bsv_store.vocabulary import VolumeKind
from bsv_store.volumes.files import StoreFiles
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.library import VolumeFile, publish_volume
from bsv_store.volumes.spool import VolumeSpool

_UNPACKING = 2


@dataclass(frozen=True, slots=True)
class FetchReport:
    """What a fetch did.

    Attributes
    ----------
    kind : VolumeKind
    spacing_um : int
    fetched : tuple of int
        Experiments whose volume this run downloaded.
    recovered : tuple of int
        Experiments whose file an earlier run had published, but not recorded: it was checked and recorded.
    present : tuple of int
        Experiments whose volume was there, or was brought by somebody else meanwhile.
    failed : tuple of Failure
    downloaded_bytes : int
    """

    kind: VolumeKind
    spacing_um: int
    fetched: tuple[int, ...]
    recovered: tuple[int, ...]
    present: tuple[int, ...]
    failed: tuple[Failure, ...]
    downloaded_bytes: int

    @property
    def what(self) -> str:
        """What was asked for."""
        return f"{self.kind} at {self.spacing_um} um"

    def summary(self) -> str:
        """One sentence for people."""
        recovered = f", {len(self.recovered)} recovered from an interrupted run" if self.recovered else ""
        return (
            f"{self.what}: {len(self.fetched)} fetched ({size_text(self.downloaded_bytes)}), "
            f"{len(self.present)} already there{recovered}, {len(self.failed)} failed."
        )


def fetch_volumes(
    database: Database,
    files: StoreFiles,
    client: AllenClient | None,
    experiment_ids: Iterable[int],
    *,
    kind: VolumeKind = "projection_density",
    spacing_um: int = 100,
    refresh: bool = False,
    workers: int = 4,
    progress: Progress | None = None,
) -> FetchReport:
    """What came of bringing the volumes of some experiments into the store.

    One that is there, with a file of the recorded size, is not asked for again. What cannot be had is in the report,
    and does no harm to the others. Any number of processes may do this at once for the same experiments: each volume
    is downloaded once.

    Parameters
    ----------
    client : AllenClient or None
        None works offline: nothing may be missing.
    experiment_ids : iterable of int
        Each counts once.
    kind : VolumeKind
    spacing_um : int
    refresh : bool
        Download again what is there, and replace what differs or is damaged.
    workers : int
        Downloads at the same time, at most as many as the client makes connections, and fewer where other runs on the
        store have left fewer. At 25 and 10 um each takes some 100 MB of memory, and room for the download and for a
        number of four bytes per voxel under the store's ``tmp/``.
    progress : Progress, optional

    Raises
    ------
    UnknownExperimentError
        If the catalog lacks one of the experiments; nothing is asked for then.
    MissingDataError
        If something is missing, and there is no client.
    NoSpaceError, ReadOnlyStoreError, StoreError, BusyError
        If the store fails. What has been brought stays.
    """
    ids = list(dict.fromkeys(experiment_ids))
    Grid(spacing_um)
    check_known(database, ids)
    if client is None:
        there = present_volumes(database, files, ids, kind=kind, spacing_um=spacing_um)
        refuse_missing(f"{kind} at {spacing_um} um", [i for i in ids if i not in there])
        return FetchReport(kind, spacing_um, (), (), tuple(ids), (), 0)
    task = VolumeTask(database, files, client, kind, spacing_um, refresh=refresh)
    work = SharedWork(database, task, workers=workers, progress=progress)
    outcome = work.run(ids)
    recovered = tuple(i for i in outcome.brought if i in task.recovered)
    fetched = tuple(i for i in outcome.brought if i not in task.recovered)
    return FetchReport(kind, spacing_um, fetched, recovered, outcome.present, outcome.failed, work.watch.size_bytes)


class VolumeTask(Task[VolumeFile]):
    """Brings the volume of one kind and spacing of an experiment."""

    kept_at_once = 64

    def __init__(
        self,
        database: Database,
        files: StoreFiles,
        client: AllenClient,
        kind: VolumeKind,
        spacing_um: int,
        *,
        refresh: bool,
    ) -> None:
        self.what = f"{kind} at {spacing_um} um"
        self.host = client.host
        self.connections = client.connections
        # Each of the large takes 100 MB of memory.
        self.unpacking = 0 if Grid(spacing_um).is_large else _UNPACKING
        self.recovered: set[int] = set()
        self._database = database
        self._files = files
        self._client = client
        self._kind: VolumeKind = kind
        self._spacing_um = spacing_um
        self._refresh = refresh
        self._orphans = OrphanFiles(files, kind, spacing_um)
        # Hashes of what is recorded and has no file, or a cut one.
        self._lost: dict[int, str] = {}

    def key(self, experiment_id: int) -> str:
        """The name under which the volume is claimed."""
        return f"volume/{self._kind}/{self._spacing_um}/{experiment_id}"

    def present(self, ids: Collection[int]) -> set[int]:
        """Those whose volume is recorded and has a file of the recorded size; none where all are to be refreshed."""
        if self._refresh:
            return set()
        with self._database.reading() as connection:
            found = find_volumes(connection, sorted(ids), kind=self._kind, spacing_um=self._spacing_um)
        lost = {i: file.layout.array_sha256 for i, file in found.items() if not has_its_size(self._files, file)}
        self._lost.update(lost)
        return found.keys() - lost.keys()

    def bring(self, ids: Sequence[int], watch: Watch) -> VolumeFile:
        """Recover the volume from an interrupted run, or download, check and publish it."""
        (experiment_id,) = ids
        recorded = self._lost.get(experiment_id)
        if not self._refresh:
            orphan = self._orphans.recover(experiment_id, array_sha256=recorded, on_slab=watch.go_on)
            if orphan is not None:
                self.recovered.add(experiment_id)
                return orphan
        with ExitStack() as stack:
            scratch = spool = None
            if Grid(self._spacing_um).is_large:
                scratch = stack.enter_context(self._files.temporary())
                room = stack.enter_context(self._files.temporary())
                spool = stack.enter_context(VolumeSpool(room, on_block=watch.go_on))
            reply = self._client.volume(
                experiment_id,
                kind=self._kind,
                spacing_um=self._spacing_um,
                scratch=scratch,
                spool=spool,
                on_bytes=watch.on_bytes,
            )
            checkpoint("fetch:downloaded")
            file = publish_volume(self._files, reply.value, experiment_id=experiment_id, source=reply.source)
        checkpoint("fetch:published")
        return file

    def keep(self, brought: Sequence[VolumeFile], ids: Sequence[int], claims: Claims) -> Kept:
        """Record the files in one transaction; a predecessor, if it is another file, goes to the trash."""
        keys = {self.key(i): i for i in ids}
        with self._database.writing() as connection:
            ours = {keys[key] for key in claims.confirmed(connection, keys)}
            # Adopting takes no claim, so that the rows themselves must be locked as well.
            lock_experiments(connection, ours)
            replaced = record_volumes(connection, [file for file in brought if file.experiment_id in ours])
            claims.release(connection, keys)
            checkpoint("fetch:recorded")
        checkpoint("fetch:committed")
        for path in replaced:
            self._files.trash(path)
        return Kept(lost=frozenset(ids) - ours)

    def cut(self) -> None:
        """End the downloads under way."""
        self._client.cut()

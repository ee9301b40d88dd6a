"""Download volumes from the Allen API."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from bsv_store.acquisition.presence import check_complete, check_known, damaged_volumes, present_volumes
from bsv_store.acquisition.tasks.volumes import VolumeTask
from bsv_store.acquisition.work.connections import checked_workers
from bsv_store.acquisition.work.outcome import Failure, failures_text, reasons, report_card
from bsv_store.acquisition.work.sharing import SharedWork
from bsv_store.catalog.database.engine import Database
from bsv_store.catalog.database.sqlite import long_run
from bsv_store.errors import DamagedFileError
from bsv_store.progress import Progress
from bsv_store.sources.allen import AllenClient
from bsv_store.text import listed_ids, number_of, size_text
from bsv_store.vocabulary import VolumeKind
from bsv_store.volumes.files import StoreFiles
from bsv_store.volumes.grid import checked_spacing
from bsv_store.volumes.library import VolumeFile


@dataclass(frozen=True, slots=True)
class FetchReport:
    """Result of fetching volumes.

    Attributes
    ----------
    kind : VolumeKind
    spacing_um : int
    fetched : tuple of int
        Experiments whose volume this run downloaded.
    recovered : tuple of int
        Experiments whose file an interrupted run had published without recording it. It was checked and recorded.
    present : tuple of int
        Experiments whose volume was in the store already, or was stored by another process meanwhile.
    failed : tuple of Failure
    not_attempted : tuple of int
        Experiments for which no request was sent, because the run stopped early.
    stopped : str or None
        Reason why the run stopped early, such as an unreachable server; None if it did not.
    replaced : tuple of int
        Experiments, included in those fetched or recovered, whose stored file was missing, truncated or changed.
    downloaded_bytes : int
    hint : str or None
        What the user can do about the reason in ``stopped``; None if nothing.
    """

    kind: VolumeKind
    spacing_um: int
    fetched: tuple[int, ...]
    recovered: tuple[int, ...]
    present: tuple[int, ...]
    failed: tuple[Failure, ...]
    downloaded_bytes: int
    not_attempted: tuple[int, ...] = ()
    stopped: str | None = None
    replaced: tuple[int, ...] = ()
    hint: str | None = None

    @property
    def what(self) -> str:
        """The objects that were requested."""
        return f"{self.kind} at {self.spacing_um} um"

    @property
    def reasons(self) -> dict[int, str]:
        """Reason by experiment id, for the experiments whose data are still missing."""
        return reasons(self.failed, self.not_attempted, self.stopped)

    def _repr_html_(self) -> str:
        return report_card(self.what, self.summary(), self.reasons)

    def summary(self) -> str:
        """The result in one sentence."""
        recovered = f", {len(self.recovered)} recovered from an interrupted run" if self.recovered else ""
        return (
            f"{self.what}: {len(self.fetched)} fetched ({size_text(self.downloaded_bytes)}), "
            f"{len(self.present)} already present{recovered}, "
            f"{failures_text(self.failed, self.not_attempted, self.stopped)}."
            f"{f' {replaced_text(self.replaced)}.' if self.replaced else ''}"
        )


def replaced_text(experiment_ids: Collection[int]) -> str:
    """A sentence about damaged volumes that were fetched again, without the period."""
    verb = "was" if len(experiment_ids) == 1 else "were"
    return f"{number_of(len(experiment_ids), 'damaged volume')} {verb} fetched again: {listed_ids(experiment_ids)}"


@long_run()
def fetch_volumes(
    database: Database,
    files: StoreFiles,
    client: AllenClient | None,
    experiment_ids: Iterable[int],
    *,
    kind: VolumeKind = "projection_density",
    spacing_um: int = 100,
    refresh: bool = False,
    workers: int | None = None,
    damaged: Iterable[VolumeFile] | None = None,
    stop_at_failure: bool = False,
    progress: Progress | None = None,
) -> FetchReport:
    """Download the missing volumes of experiments.

    A volume counts as present if it is recorded and has a file of the recorded size; whether it still agrees with what
    is known of its experiment is not checked again (see `check_volumes`). Downloads that fail are listed in
    the report; the others are stored. If the server cannot be reached, the run stops after a few failures, and the
    report counts what was not attempted. If several processes fetch the same experiments at once, each volume is
    downloaded once.

    Parameters
    ----------
    client : AllenClient or None
        None means offline: missing volumes are an error.
    experiment_ids : iterable of int
        Duplicates are ignored.
    kind : VolumeKind
    spacing_um : int
    refresh : bool
        Also download volumes that the store has, and replace those that differ or are damaged.
    workers : int, optional
        Number of simultaneous downloads, by default the setting ``fetch_workers``. At most as many as the client opens
        connections, and fewer if other runs on the store use them. At 25 and 10 um each needs some 100 MB of memory,
        and disk space under the store's ``tmp/`` for the download and four bytes per voxel.
    damaged : iterable of VolumeFile, optional
        Recorded volumes whose file is known to be damaged; they are fetched again. By default those that
        `damaged_volumes` finds without ``verify``.
    stop_at_failure : bool
        Start no further downloads after the first failure.
    progress : Progress, optional

    Raises
    ------
    UnknownExperimentError
        If the catalog does not have one of the experiments. Nothing is downloaded then.
    MissingDataError
        If volumes are missing and ``client`` is None.
    DamagedFileError
        If stored volumes are damaged and ``client`` is None.
    NoSpaceError, ReadOnlyStoreError, StoreError, BusyError
        If the store fails. Volumes stored before that remain.
    """
    workers = checked_workers(workers, files.root)
    ids = list(dict.fromkeys(experiment_ids))
    spacing_um = checked_spacing(spacing_um)
    check_known(database, ids)
    if damaged is None:
        damaged = () if refresh else damaged_volumes(database, files, ids, kind=kind, spacing_um=spacing_um)
    if client is None:
        present = present_volumes(database, files, ids, kind=kind, spacing_um=spacing_um)
        if unusable := sorted(file.experiment_id for file in damaged if file.experiment_id in present):
            raise DamagedFileError(
                f"{number_of(len(unusable), 'damaged volume')} ({kind} at {spacing_um} um) cannot be fetched again"
                f" offline: {listed_ids(unusable)}",
                hint="Run the command again without offline mode.",
            )
        check_complete(f"{kind} at {spacing_um} um", [i for i in ids if i not in present])
        return FetchReport(kind, spacing_um, (), (), tuple(ids), (), 0)
    task = VolumeTask(database, files, client, kind, spacing_um, refresh=refresh, damaged=damaged)
    work = SharedWork(database, task, workers=workers, stop_at_failure=stop_at_failure, progress=progress)
    outcome = work.run(ids)
    recovered = tuple(i for i in outcome.stored if i in task.recovered)
    fetched = tuple(i for i in outcome.stored if i not in task.recovered)
    return FetchReport(
        kind,
        spacing_um,
        fetched,
        recovered,
        outcome.present,
        outcome.failed,
        work.control.size_bytes,
        outcome.not_attempted,
        outcome.stopped,
        tuple(i for i in outcome.stored if i in task.lost),
        hint=outcome.hint,
    )

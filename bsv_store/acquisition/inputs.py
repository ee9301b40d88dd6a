"""Everything that an average needs from the Allen API, downloaded for one selection."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bsv_store.acquisition.fetch import FetchReport, fetch_volumes
from bsv_store.acquisition.plan import FillPlan, plan_unionizes, plan_volumes
from bsv_store.acquisition.sync import UnionizeSyncReport, sync_unionizes

if TYPE_CHECKING:
    from bsv_store.acquisition.work.outcome import Failure
    from bsv_store.catalog.database.engine import Database
    from bsv_store.progress import Progress
    from bsv_store.sources.allen import AllenClient
    from bsv_store.vocabulary import VolumeKind
    from bsv_store.volumes.files import StoreFiles


@dataclass(frozen=True, slots=True)
class InputsReport:
    """Result of fetching the inputs of an average.

    Attributes
    ----------
    tables : UnionizeSyncReport
    volumes : tuple of FetchReport
        One for each kind of volume.
    """

    tables: UnionizeSyncReport
    volumes: tuple[FetchReport, ...]

    @property
    def failed(self) -> tuple[Failure, ...]:
        """Tables and volumes that could not be fetched."""
        return (*self.tables.failed, *(failure for report in self.volumes for failure in report.failed))

    def summary(self) -> str:
        """A line for each report."""
        return "\n".join([self.tables.summary(), *(report.summary() for report in self.volumes)])


def fetch_inputs(
    database: Database,
    files: StoreFiles,
    client: AllenClient | None,
    experiment_ids: Collection[int],
    *,
    kinds: Sequence[VolumeKind],
    spacing_um: int = 100,
    workers: int = 4,
    progress: Progress | None = None,
) -> InputsReport:
    """Download the missing unionize tables and volumes of some experiments; see `Store.fetch_inputs`.

    Parameters
    ----------
    client : AllenClient or None
        None = offline: nothing may be missing.

    Raises
    ------
    NoSpaceError
        If the disk does not have enough space for everything. Nothing is downloaded then.
    UnknownExperimentError
        If the catalog does not have an experiment.
    MissingDataError
        If something is missing and there is no client.
    """
    plans = [
        plan_volumes(database, files, experiment_ids, kind=kind, spacing_um=spacing_um, workers=workers)
        for kind in kinds
    ]
    FillPlan((plan_unionizes(database, files, experiment_ids), *plans)).require_room()
    tables = sync_unionizes(database, client, experiment_ids, progress=progress)
    volumes = [
        fetch_volumes(
            database,
            files,
            client,
            experiment_ids,
            kind=kind,
            spacing_um=spacing_um,
            workers=workers,
            progress=progress,
        )
        for kind in kinds
    ]
    return InputsReport(tables, tuple(volumes))

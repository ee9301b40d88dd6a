"""Several downloads for the same experiments: planned together, then carried out one after the other."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from bsv_store.acquisition.clients import CONNECTIONS, client_unless
from bsv_store.acquisition.fetch import FetchReport, fetch_volumes
from bsv_store.acquisition.plan import FillPlan, Plan, plan_unionizes, plan_volumes
from bsv_store.acquisition.sync import UnionizeSyncReport, sync_unionizes
from bsv_store.catalog.database.engine import Database
from bsv_store.progress import Progress
from bsv_store.text import number_of
from bsv_store.vocabulary import VolumeKind
from bsv_store.volumes.files import StoreFiles


def plan_fill(
    database: Database,
    files: StoreFiles,
    experiment_ids: Collection[int],
    *,
    unionizes: bool = False,
    volumes: Iterable[tuple[VolumeKind, int]] = (),
    refresh: bool = False,
    workers: int = 4,
    limit: int | None = None,
) -> FillPlan:
    """Plan the download of unionize tables and volumes. Nothing is written, and no connection is opened.

    Parameters
    ----------
    experiment_ids : collection of int
        Resolve a selection once and pass its experiments here: `fill` downloads for exactly these.
    unionizes : bool
        Whether to download unionize tables, before the volumes.
    volumes : iterable of (VolumeKind, int)
        Kind and spacing in um of the volumes to download.
    refresh : bool
        Also download what the store has.
    workers : int
        Number of simultaneous downloads.
    limit : int, optional
        Maximum number of missing experiments of each part; the others are left for a later run.

    Raises
    ------
    UnknownExperimentError
        If the catalog does not have one of the experiments.
    InputError
        If the spacing is not valid.
    """
    parts = [plan_unionizes(database, files, experiment_ids, refresh=refresh)] if unionizes else []
    for kind, spacing_um in volumes:
        parts.append(
            plan_volumes(
                database, files, experiment_ids, kind=kind, spacing_um=spacing_um, refresh=refresh, workers=workers
            )
        )
    return FillPlan(tuple(part if limit is None else part.first(limit) for part in parts))


def fill(
    database: Database,
    files: StoreFiles,
    plan: FillPlan,
    *,
    offline: bool = False,
    stop_at_failure: bool = False,
    api_url: str | None = None,
    progress: Progress | None = None,
) -> tuple[UnionizeSyncReport | FetchReport, ...]:
    """Carry out a plan, and return one report for each of its parts.

    Parameters
    ----------
    plan : FillPlan
        From `plan_fill`.
    offline : bool
        Open no connection; missing data are then an error.
    stop_at_failure : bool
        Start no further downloads after the first failure, because all data are required.
    api_url : str, optional
        By default the setting ``api_url``.
    progress : Progress, optional

    Raises
    ------
    MissingDataError
        If data are missing and ``offline`` is True.
    NoSpaceError, ReadOnlyStoreError, StoreError, BusyError
        If the store fails. Data stored before that remain.
    """
    reports: list[UnionizeSyncReport | FetchReport] = []
    # One client for all parts, because it remembers that a server cannot be reached.
    connections = max((part.workers for part in plan.parts if part.kind is not None), default=CONNECTIONS)
    with client_unless(offline, api_url, store=files.root, connections=connections) as client:
        for part in plan.parts:
            if stop_at_failure and reports and (missed := reports[-1].reasons):
                reports.append(_not_attempted(part, f"{number_of(len(missed), 'earlier download')} failed"))
            elif part.kind is None or part.spacing_um is None:
                report = sync_unionizes(
                    database,
                    client,
                    part.experiment_ids,
                    refresh=part.refresh,
                    stop_at_failure=stop_at_failure,
                    progress=progress,
                )
                reports.append(report)
            else:
                fetched = fetch_volumes(
                    database,
                    files,
                    client,
                    part.experiment_ids,
                    kind=part.kind,
                    spacing_um=part.spacing_um,
                    refresh=part.refresh,
                    workers=part.workers,
                    stop_at_failure=stop_at_failure,
                    progress=progress,
                )
                reports.append(fetched)
    return tuple(reports)


def _not_attempted(part: Plan, reason: str) -> UnionizeSyncReport | FetchReport:
    if part.kind is None or part.spacing_um is None:
        return UnionizeSyncReport((), part.present, (), 0, 0, part.missing, reason)
    return FetchReport(part.kind, part.spacing_um, (), (), part.present, (), 0, part.missing, reason)

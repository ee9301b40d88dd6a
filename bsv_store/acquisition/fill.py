"""Several downloads for the same experiments: planned together, then carried out one after the other."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from bsv_store.acquisition.clients import client_unless
from bsv_store.acquisition.fetch import FetchReport, fetch_volumes
from bsv_store.acquisition.plan import FillPlan, plan_unionizes, plan_volumes
from bsv_store.acquisition.sync import UnionizeSyncReport, sync_unionizes
from bsv_store.catalog.database.engine import Database
from bsv_store.progress import Progress
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
    api_url : str, optional
        By default the variable ``BSV_STORE_API_URL``, else Allen's address.
    progress : Progress, optional

    Raises
    ------
    MissingDataError
        If data are missing and ``offline`` is True.
    NoSpaceError, ReadOnlyStoreError, StoreError, BusyError
        If the store fails. Data stored before that remain.
    """
    reports: list[UnionizeSyncReport | FetchReport] = []
    for part in plan.parts:
        ids = part.experiment_ids
        if part.kind is None or part.spacing_um is None:
            with client_unless(offline, api_url) as client:
                reports.append(sync_unionizes(database, client, ids, refresh=part.refresh, progress=progress))
            continue
        with client_unless(offline, api_url, connections=part.workers) as client:
            report = fetch_volumes(
                database,
                files,
                client,
                ids,
                kind=part.kind,
                spacing_um=part.spacing_um,
                refresh=part.refresh,
                workers=part.workers,
                progress=progress,
            )
        reports.append(report)
    return tuple(reports)

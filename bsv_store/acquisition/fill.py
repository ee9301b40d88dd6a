"""Several downloads for the same experiments: planned together, then carried out one after the other."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable

from bsv_store.acquisition.clients import CONNECTIONS, client_unless
from bsv_store.acquisition.fetch import FetchReport, fetch_volumes, replaced_text
from bsv_store.acquisition.plan import FillPlan, Plan, plan_unionizes, plan_volumes
from bsv_store.acquisition.sync import UnionizeSyncReport, sync_unionizes
from bsv_store.catalog.database.engine import Database
from bsv_store.errors import DamagedVolumeWarning
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
    verify: bool = False,
    workers: int | None = None,
    limit: int | None = None,
    progress: Progress | None = None,
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
    verify : bool
        Also download volumes whose stored file has changed; all stored files are read and hashed.
    workers : int, optional
        Number of simultaneous downloads, by default the setting ``fetch_workers``.
    limit : int, optional
        Maximum number of missing experiments of each part; the others are left for a later run.
    progress : Progress, optional
        Of the hashing.

    Raises
    ------
    UnknownExperimentError
        If the catalog does not have one of the experiments.
    InputError
        If the spacing is not valid, or ``verify`` is combined with ``refresh``.
    """
    parts = [plan_unionizes(database, files, experiment_ids, refresh=refresh)] if unionizes else []
    for kind, spacing_um in volumes:
        parts.append(
            plan_volumes(
                database,
                files,
                experiment_ids,
                kind=kind,
                spacing_um=spacing_um,
                refresh=refresh,
                verify=verify,
                workers=workers,
                progress=progress,
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
                    damaged=part.damaged,
                    stop_at_failure=stop_at_failure,
                    progress=progress,
                )
                reports.append(fetched)
    return tuple(reports)


def fetch_damaged(
    database: Database,
    files: StoreFiles,
    experiment_ids: Collection[int],
    *,
    kinds: Iterable[VolumeKind],
    spacing_um: int,
    api_url: str | None = None,
    progress: Progress | None = None,
) -> dict[int, str]:
    """Verify the volumes of some experiments, and fetch those with a damaged file again.

    Those fetched are named in a `DamagedVolumeWarning`.

    Parameters
    ----------
    kinds : iterable of VolumeKind
    api_url : str, optional
        By default the variable ``BSV_STORE_API_URL``, else Allen's address.
    progress : Progress, optional

    Returns
    -------
    dict of int to str
        Experiments whose volume is still damaged, with the reasons.

    Raises
    ------
    NoSpaceError, ReadOnlyStoreError, StoreError, BusyError
        If the store fails. Volumes stored before that remain.
    """
    volumes = [(kind, spacing_um) for kind in kinds]
    plan = plan_fill(database, files, experiment_ids, volumes=volumes, verify=True, progress=progress)
    reasons: dict[int, str] = {}
    replaced: set[int] = set()
    for report in fill(database, files, plan, api_url=api_url, progress=progress):
        reasons |= report.reasons
        replaced.update(report.replaced if isinstance(report, FetchReport) else ())
    if replaced:
        warnings.warn(DamagedVolumeWarning(replaced_text(replaced), experiment_ids=replaced), stacklevel=2)
    return reasons


def _not_attempted(part: Plan, reason: str) -> UnionizeSyncReport | FetchReport:
    if part.kind is None or part.spacing_um is None:
        return UnionizeSyncReport((), part.present, (), 0, 0, part.missing, reason)
    return FetchReport(part.kind, part.spacing_um, (), (), part.present, (), 0, part.missing, reason)

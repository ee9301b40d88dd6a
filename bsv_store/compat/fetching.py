"""Fetch the missing data of a call."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from bsv_store.acquisition.presence import present_volumes
from bsv_store.catalog.selection.selection import Selection
from bsv_store.compat.pooled import injection_tables
from bsv_store.errors import NotACacheError, NothingDownloadedError

if TYPE_CHECKING:
    from bsv_store.acquisition.fetch import FetchReport
    from bsv_store.acquisition.sync import UnionizeSyncReport
    from bsv_store.compat.request import Request
    from bsv_store.store.store import Store


def fetch_missing(
    store: Store,
    request: Request,
    *,
    folder: Path | None,
    offline: bool,
    reload: bool,
    api_url: str | None,
) -> dict[int, str]:
    """Adopt data from the folder, then download what is still missing; returns the reason of failures by experiment id.

    Parameters
    ----------
    folder : pathlib.Path or None
        A Brain Street View cache, or any other folder.
    offline : bool
        Open no connection.
    reload : bool
        Also download what the store has.
    """
    failures: dict[int, str] = {}
    if folder is not None and folder.is_dir() and not reload:
        without_tables, without_volumes = _missing(store, request)
        if without_tables or without_volumes:
            failures |= _adopt(store, folder, without_tables | without_volumes)
    if offline:
        return failures
    ids = set(request.experiment_ids)
    without_tables, without_volumes = (ids, ids) if reload else _missing(store, request)
    if without_tables:
        failures |= _failures(
            lambda: store.sync_unionizes(_only(without_tables, request), refresh=reload, api_url=api_url)
        )
    if without_volumes:
        failures |= _failures(
            lambda: store.fetch(
                _only(without_volumes, request),
                kind=request.recipe.kind,
                spacing_um=request.recipe.spacing_um,
                refresh=reload,
                api_url=api_url,
            )
        )
    return failures


def _failures(run: Callable[[], FetchReport | UnionizeSyncReport]) -> Mapping[int, str]:
    """The reason of each failed download. The caller decides what they mean, even if all failed."""
    try:
        return run().reasons
    except NothingDownloadedError as error:
        return {identifier: reason for report in error.reports for identifier, reason in report.reasons.items()}


def _missing(store: Store, request: Request) -> tuple[set[int], set[int]]:
    """Experiments whose injection rows are missing from the store, and those whose volume is."""
    ids, recipe = request.experiment_ids, request.recipe
    with store.database.reading() as connection:
        covered = set(injection_tables(connection, ids))
    volumes = present_volumes(store.database, store.files, ids, kind=recipe.kind, spacing_um=recipe.spacing_um)
    return set(ids) - covered, set(ids) - volumes


def _adopt(store: Store, folder: Path, wanted: Collection[int]) -> dict[int, str]:
    try:
        report = store.adopt(folder, experiment_ids=wanted)
    except NotACacheError:
        # Any folder may be given: Brain Street View caches wherever it is told to save.
        return {}
    return {int(item.path.parent.name): item.reason for item in report.refused if item.path.parent.name.isdecimal()}


def _only(ids: Collection[int], request: Request) -> Selection:
    return Selection(ids=sorted(ids), include_excluded=request.include_excluded)

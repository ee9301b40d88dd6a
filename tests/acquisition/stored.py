"""What a store holds after the work, for tests to compare."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Connection, select

from bsv_store.catalog.database.models import StoredVolume
from bsv_store.catalog.volumes import find_volumes
from bsv_store.errors import NothingDownloadedError
from bsv_store.vocabulary import VOLUME_KINDS
from bsv_store.volumes.library import VolumeFile

if TYPE_CHECKING:
    from bsv_store import Store


def count(store: Store, table: str) -> int:
    """Number of rows of a table or view."""
    return int(store.sql(f"SELECT count(*) AS n FROM {table}")["n"].item())


def reports_of_failure(run: Callable[[], object]) -> tuple[Any, ...]:
    """The reports of a run in which everything fails, which raises."""
    with pytest.raises(NothingDownloadedError, match="nothing was downloaded") as caught:
        run()
    return caught.value.reports


def reason_of_failure(run: Callable[[], object]) -> str:
    """The reason why the only download of a run failed."""
    (report,) = reports_of_failure(run)
    (reason,) = report.reasons.values()
    return str(reason)


def all_volumes(connection: Connection) -> list[VolumeFile]:
    """Every volume of the store, by kind, spacing and experiment."""
    rows = connection.execute(select(StoredVolume.kind, StoredVolume.spacing_um, StoredVolume.experiment_id))
    found = []
    for kind, spacing_um, experiment_id in sorted((row.kind, row.spacing_um, row.experiment_id) for row in rows):
        (file,) = find_volumes(
            connection, [experiment_id], kind=VOLUME_KINDS[kind].name, spacing_um=spacing_um
        ).values()
        found.append(file)
    return found

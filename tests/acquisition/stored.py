"""What a store holds after the work, for tests to compare."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from bsv_store.catalog.database.models import StoredVolume
from bsv_store.catalog.volumes import find_volumes
from bsv_store.errors import NothingDownloadedError
from bsv_store.vocabulary import VOLUME_KINDS
from bsv_store.volumes.library import VolumeFile
from bsv_store_synthetic import SyntheticAtlas, wire_volumes

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


def fainter(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """A volume that nothing in the catalog contradicts, but that differs from the true one."""
    return array * np.float32(0.999)


def fainter_zip(atlas: SyntheticAtlas, experiment_id: int) -> bytes:
    """The reply with the fainter projection density of an experiment at 100 um."""
    true, changed = io.BytesIO(wire_volumes.grid_zip(atlas, experiment_id)), io.BytesIO()
    with zipfile.ZipFile(true) as source, zipfile.ZipFile(changed, "w") as target:
        for name in source.namelist():
            body = source.read(name)
            if name.endswith(".raw"):
                body = fainter(np.frombuffer(body, "<f4")).tobytes()
            target.writestr(name, body)
    return changed.getvalue()

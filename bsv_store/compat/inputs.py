"""What the store knows of the experiments of a call, after bringing in what it lacked."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, select

from bsv_store.acquisition.presence import present_volumes
from bsv_store.averaging.grouping.facts import ExperimentFacts, experiment_facts
from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import Unionize
from bsv_store.catalog.records import ROOT_STRUCTURE_ID
from bsv_store.catalog.selection.selection import Selection
from bsv_store.catalog.volumes import find_volumes
from bsv_store.compat.pooled import injection_tables
from bsv_store.errors import NotACacheError

if TYPE_CHECKING:
    from bsv_store.store.store import Store
    from bsv_store.volumes.library import VolumeFile
    from bsv_store.volumes.volume import VolumeKind

KIND: VolumeKind = "projection_density"
SPACING_UM = 100
_BOTH_HEMISPHERES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts(ExperimentFacts):
    """One experiment of a call: what grouping needs to know, and what goes into the average and the CSV.

    Attributes
    ----------
    injection_volume, injection_intensity : float or None
        mm3 and summed pixel intensity of the root's injection rows; None where no unionize rows are known.
    has_summary : bool
        Whether the injection half of its unionize table is in the store.
    """

    injection_volume: float | None
    injection_intensity: float | None
    has_summary: bool
    volume: VolumeFile | None


def bring_missing(
    store: Store,
    ids: Sequence[int],
    *,
    folder: Path | None,
    offline: bool,
    reload: bool,
    api_url: str | None,
) -> dict[int, str]:
    """Adopt what the folder holds, then fetch what is still missing; why the rest is missing, by experiment.

    Parameters
    ----------
    folder : pathlib.Path or None
        A Brain Street View cache, or a folder that is none.
    offline : bool
        Open no connection.
    reload : bool
        Fetch again what is there.
    """
    reasons: dict[int, str] = {}
    if folder is not None and folder.is_dir() and not reload:
        without_tables, without_volumes = missing(store, ids)
        if without_tables or without_volumes:
            reasons |= _adopted(store, folder, without_tables | without_volumes)
    without_tables, without_volumes = (set(ids), set(ids)) if reload else missing(store, ids)
    if offline:
        return reasons
    if without_tables:
        tables = store.sync_unionizes(_only(without_tables), refresh=reload, api_url=api_url)
        reasons |= {failure.experiment_id: failure.reason for failure in tables.failed}
    if without_volumes:
        volumes = store.fetch(_only(without_volumes), refresh=reload, api_url=api_url)
        reasons |= {failure.experiment_id: failure.reason for failure in volumes.failed}
    return reasons


def missing(store: Store, ids: Sequence[int]) -> tuple[set[int], set[int]]:
    """Experiments whose injection rows, and those whose volume, the store lacks."""
    with store.database.reading() as connection:
        covered = set(injection_tables(connection, ids))
    volumes = present_volumes(store.database, store.files, ids, kind=KIND, spacing_um=SPACING_UM)
    return set(ids) - covered, set(ids) - volumes


def read_facts(connection: Connection, ids: Sequence[int], covered: Collection[int]) -> list[Facts]:
    """What the catalog knows of each experiment, in the order of the ids, all of which it has.

    Parameters
    ----------
    covered : collection of int
        Those whose injection rows are in the store.
    """
    known = {each.experiment_id: each for each in experiment_facts(connection, ids)}
    root = _root_rows(connection, ids)
    volumes = find_volumes(connection, ids, kind=KIND, spacing_um=SPACING_UM)
    facts = []
    for i in ids:
        volume, intensity = root.get(i, (None, None))
        facts.append(
            Facts(
                **{each.name: getattr(known[i], each.name) for each in fields(ExperimentFacts)},
                injection_volume=volume,
                injection_intensity=intensity,
                has_summary=i in covered,
                volume=volumes.get(i),
            )
        )
    return facts


def _adopted(store: Store, folder: Path, wanted: Collection[int]) -> dict[int, str]:
    try:
        report = store.adopt(folder, experiment_ids=wanted)
    except NotACacheError:
        # The folder may be any: Brain Street View makes its cache wherever it is told to save.
        return {}
    return {int(item.path.parent.name): item.reason for item in report.refused if item.path.parent.name.isdecimal()}


def _only(ids: Collection[int]) -> Selection:
    # Whoever lists ids in a script means these, as with Brain Street View.
    return Selection(ids=sorted(ids), include_withdrawn=True, include_excluded=True)


def _root_rows(connection: Connection, ids: Sequence[int]) -> dict[int, tuple[float, float]]:
    query = select(Unionize.experiment_id, Unionize.projection_volume, Unionize.sum_pixel_intensity).where(
        id_in(connection, Unionize.experiment_id, ids),
        Unionize.structure_id == ROOT_STRUCTURE_ID,
        Unionize.hemisphere_id == _BOTH_HEMISPHERES,
        Unionize.is_injection,
    )
    return {row[0]: (float(row[1]), float(row[2])) for row in connection.execute(query).all()}

"""Look up one volume; if it is missing, the error names the command that fetches it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from bsv_store.catalog.database.models import Experiment
from bsv_store.catalog.selection.commands import fetch_command
from bsv_store.catalog.selection.exclusions import excluded
from bsv_store.catalog.selection.names import unknown_experiments
from bsv_store.catalog.selection.selection import Selection
from bsv_store.catalog.volumes import find_volumes, volumes_of
from bsv_store.check import identifier
from bsv_store.errors import MissingDataError
from bsv_store.volumes.grid import checked_spacing

if TYPE_CHECKING:
    from bsv_store.catalog.database.engine import Database
    from bsv_store.vocabulary import VolumeKind
    from bsv_store.volumes.library import VolumeFile


def stored_volume(database: Database, experiment_id: int, *, kind: VolumeKind, spacing_um: int) -> VolumeFile:
    """The file of a volume.

    Raises
    ------
    InputError
        If the id is not valid.
    UnknownExperimentError
        If the experiment is not in the catalog.
    MissingDataError
        If the store does not have the volume; the hint is the command that fetches it.
    """
    experiment_id = identifier("experiment_id", experiment_id)
    spacing_um = checked_spacing(spacing_um)
    with database.reading() as connection:
        found = find_volumes(connection, [experiment_id], kind=kind, spacing_um=spacing_um)
        others = [] if experiment_id in found else volumes_of(connection, experiment_id)
        is_excluded = experiment_id not in found and bool(excluded(connection, [experiment_id]))
        is_listed = connection.execute(select(Experiment.id).where(Experiment.id == experiment_id)).first() is not None
    if not is_listed:
        raise unknown_experiments([experiment_id])
    if experiment_id not in found:
        own = Selection(ids=[experiment_id], include_excluded=is_excluded)
        there = ", ".join(f"{other} at {spacing} um" for other, spacing in others) or "none"
        raise MissingDataError(
            f"the store has no {kind} at {spacing_um} um of experiment {experiment_id}; volumes of it: {there}",
            hint=f"Fetch it: {fetch_command(own, [experiment_id], kind=kind, spacing_um=spacing_um)}",
        )
    return found[experiment_id]

"""The signal of single experiments in structures, from their voxels: no average, no unionize table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from bsv_store.atlas.annotation import annotation_of, named_structures, references
from bsv_store.atlas.masks import StructureVoxels
from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import Experiment
from bsv_store.catalog.search.signal import checked_hemisphere
from bsv_store.catalog.selection.commands import fetch_command
from bsv_store.catalog.selection.criteria import TargetHemisphere
from bsv_store.catalog.selection.resolve import resolve_nonempty
from bsv_store.catalog.selection.selection import Selection, as_selection
from bsv_store.catalog.structures import StructureRef, StructureRow, find_structures, subtree
from bsv_store.catalog.volumes import find_volumes
from bsv_store.check import several, text
from bsv_store.errors import InputError, MissingDataError
from bsv_store.progress import SILENCE, Progress
from bsv_store.text import listed_ids
from bsv_store.volumes.library import read_slab
from bsv_store.volumes.volume import volume_kind

if TYPE_CHECKING:
    import pandas as pd

    from bsv_store.catalog.database.engine import Database
    from bsv_store.volumes.files import StoreFiles

_LEFT, _RIGHT = 0, 1


def structure_signal(
    database: Database,
    files: StoreFiles,
    selection: Selection,
    structures: StructureRef | Sequence[StructureRef],
    *,
    kind: str = "projection_density",
    spacing_um: int = 100,
    hemisphere: str | Sequence[str] = "both",
    missing: str = "error",
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Mean and sum of each selected experiment's volume over the voxels of structures.

    Projection density includes the injection site, as Allen's grids do. Voxels outside the annotation, 3.7 % of the
    signal in a real volume, belong to no structure. ``sum`` x voxel volume is a volume in CCF mm3; those of unionize
    tables are 1.1025 times as large, since Allen books a pixel so: do not mix the two.

    Parameters
    ----------
    selection : Selection
    structures : str, int or sequence of them
        Acronyms (case matters) or ids; descendants belong to them.
    kind, spacing_um
        Of the volumes; the annotation is that of the same spacing.
    hemisphere : {'both', 'left', 'right', 'ipsilateral', 'contralateral'}, or a sequence of them
        Of the structure; the last two as seen from the injected hemisphere.
    missing : {'error', 'leave_out'}
        What to do about experiments whose volume is not in the store; ``frame.attrs["without_volume"]`` lists those
        that were left out.
    progress : Progress, optional

    Returns
    -------
    pandas.DataFrame
        Rows by experiment id, then by structure in ontology order, then by hemisphere. Columns experiment_id,
        structure_id, acronym, hemisphere, voxels (of the structure, with data), mean (NaN without any) and sum; NaN
        where the hemisphere depends on an injected one that is not known.

    Raises
    ------
    MissingDataError
        If volumes are missing (all of them, with 'leave_out'), or the annotation; the hint is the command.
    UnknownStructureError, UnknownExperimentError, SelectionError, EmptySelectionError
        If the catalog lacks what is named, or nothing matches.
    InputError
        If there is no such kind, grid, hemisphere or policy, or no structure is named.
    DamagedFileError
        If a file is not what was stored.
    """
    if missing not in ("error", "leave_out"):
        raise InputError(
            f"there is no policy {missing!r} for missing volumes",
            hint="It is error or leave_out (--missing leave-out).",
        )
    such_as = "'both' or ['ipsilateral', 'contralateral']"
    sides = tuple(map(checked_hemisphere, several("hemisphere", hemisphere, such_as=such_as)))
    if not sides:
        raise InputError("no hemisphere is named", hint="Name one or more, such as both.")
    known_kind = volume_kind(text("kind", kind, such_as="projection_density"))
    as_selection(selection)
    with database.reading() as connection:
        rows = named_structures(find_structures(connection, references(structures)))
        members = {row.id: [below.id for below in subtree(connection, row.id)] for row in rows}
        ids = resolve_nonempty(connection, selection)
        found = find_volumes(connection, ids, kind=known_kind, spacing_um=spacing_um)
        query = select(Experiment.id, Experiment.injected_hemisphere).where(id_in(connection, Experiment.id, ids))
        injected = {row.id: row.injected_hemisphere for row in connection.execute(query)}
    absent = [identifier for identifier in ids if identifier not in found]
    if absent and (missing == "error" or not found):
        command = fetch_command(selection, absent, kind=known_kind, spacing_um=spacing_um)
        raise MissingDataError(
            f"the store has no {known_kind} at {spacing_um} um of {len(absent)} of the experiments: "
            f"{listed_ids(absent)}",
            hint=f"Bring them: {command}, or leave them out (--missing leave-out).",
        )
    with annotation_of(database, files, spacing_um) as annotation:
        voxels = StructureVoxels(annotation, members)
    table = _Table(rows, sides)
    watch = progress or SILENCE
    watch.start(len(found), "volumes")
    try:
        for identifier in sorted(found):
            table.add(
                identifier, *voxels.sums(read_slab(files, found[identifier], *voxels.planes)), injected[identifier]
            )
            watch.advance()
    finally:
        watch.finish()
    frame = table.frame()
    frame.attrs["without_volume"] = absent
    return frame


class _Table:
    """Rows by experiment, structure and hemisphere."""

    def __init__(self, structures: Sequence[StructureRow], sides: Sequence[TargetHemisphere]) -> None:
        self._structures = structures
        self._sides = sides
        self._experiments: list[int] = []
        self._sums: list[NDArray[np.float64]] = []
        self._voxels: list[NDArray[np.int64]] = []

    def add(
        self, experiment_id: int, sums: NDArray[np.float64], voxels: NDArray[np.int64], injected: str | None
    ) -> None:
        """Take in what one experiment has on the left and on the right of each structure."""
        self._experiments.append(experiment_id)
        columns = [_columns(side, injected) for side in self._sides]
        unknown = np.array([column is None for column in columns])
        chosen = [column or [] for column in columns]
        self._sums.append(np.where(unknown, np.nan, np.stack([sums[:, each].sum(axis=1) for each in chosen], axis=1)))
        self._voxels.append(np.stack([voxels[:, each].sum(axis=1) for each in chosen], axis=1))

    def frame(self) -> pd.DataFrame:
        """All that was taken in."""
        import pandas as pd

        shape = (len(self._structures), len(self._sides))
        number, structure, side = (each.reshape(-1) for each in np.indices((len(self._experiments), *shape)))
        total, voxels = np.stack(self._sums).reshape(-1), np.stack(self._voxels).reshape(-1)
        columns: Mapping[str, Any] = {
            "experiment_id": np.array(self._experiments, np.int64)[number],
            "structure_id": np.array([row.id for row in self._structures], np.int64)[structure],
            "structure": np.array([row.acronym for row in self._structures], object)[structure],
            "hemisphere": np.array(self._sides, object)[side],
            "voxels": voxels,
            "mean": total / np.where(voxels > 0, voxels, np.nan),
            "sum": total,
        }
        return pd.DataFrame(columns)


def _columns(side: TargetHemisphere, injected: str | None) -> list[int] | None:
    """Which of left and right make up a hemisphere; None where that is not known."""
    if side == "both":
        return [_LEFT, _RIGHT]
    if side in ("left", "right"):
        return [_LEFT if side == "left" else _RIGHT]
    if injected is None:
        return None
    return [_LEFT if (side == "ipsilateral") == (injected == "left") else _RIGHT]

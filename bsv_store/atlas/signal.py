"""The signal of single experiments in structures, computed from voxels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bsv_store.atlas.annotation import annotation_facts, named_structures, references, stored_annotation
from bsv_store.atlas.masks import StructureVoxels, hemisphere_columns
from bsv_store.catalog.current_volume import CurrentVolume
from bsv_store.catalog.hemispheres import checked_hemispheres
from bsv_store.catalog.injected_hemispheres import injected_hemispheres
from bsv_store.catalog.missing import nothing_left
from bsv_store.catalog.normalization import known_divisors
from bsv_store.catalog.selected_volumes import selected_volumes
from bsv_store.catalog.structures import StructureRef, find_structures, subtree
from bsv_store.catalog.volume_use import record_use
from bsv_store.catalog.without_unionizes import report_unknown_sides
from bsv_store.check import choice
from bsv_store.progress import Progress, shown_progress
from bsv_store.vocabulary import (
    MEASURED_HEMISPHERES,
    MISSING_POLICIES,
    NORMALIZATIONS,
    VOLUME_KINDS,
    MeasuredHemisphere,
)
from bsv_store.volumes.annotation import opened_annotation
from bsv_store.volumes.grid import checked_spacing
from bsv_store.volumes.library import prefetch, read_slab

if TYPE_CHECKING:
    import pandas as pd

    from bsv_store.catalog.database.engine import Database
    from bsv_store.catalog.selection.selection import Selection
    from bsv_store.vocabulary import MeasuredHemisphere, MissingPolicy, Normalization, VolumeKind
    from bsv_store.volumes.files import StoreFiles
    from bsv_store.volumes.library import VolumeFile
    from bsv_store.volumes.volume import SparseArray


def structure_signal(
    database: Database,
    files: StoreFiles,
    selection: Selection,
    structures: StructureRef | Sequence[StructureRef],
    *,
    kind: VolumeKind = "projection_density",
    spacing_um: int = 100,
    hemisphere: MeasuredHemisphere | Sequence[MeasuredHemisphere] = "both",
    normalize: Normalization = "none",
    missing: MissingPolicy = "error",
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Mean and sum of each selected experiment's volume over the voxels of structures; see `Atlas.signal`."""
    with database.reading() as connection:
        rows = named_structures(find_structures(connection, references(structures)))
        members = {row.id: [below.id for below in subtree(connection, row.id)] for row in rows}

    def regions() -> Regions:
        file = stored_annotation(database, spacing_um)
        keys = {
            "structure_id": np.array([row.id for row in rows], np.int64),
            "structure": np.array([row.acronym for row in rows], object),
        }
        with opened_annotation(files, file) as annotation:
            return Regions(keys, StructureVoxels(annotation, members), annotation_facts(file))

    return signal_in(
        database,
        files,
        selection,
        regions,
        kind=kind,
        spacing_um=spacing_um,
        hemisphere=hemisphere,
        normalize=normalize,
        missing=missing,
        progress=progress,
    )


class Regions(NamedTuple):
    """Parts of the grid in which signal is measured.

    Attributes
    ----------
    keys : dict of str to ndarray, each of shape (regions,)
        The columns that name them.
    voxels : StructureVoxels
    facts : dict of str to str
        For the ``attrs`` of the table.
    """

    keys: Mapping[str, NDArray[Any]]
    voxels: StructureVoxels
    facts: Mapping[str, str]


def signal_in(
    database: Database,
    files: StoreFiles,
    selection: Selection,
    regions: Callable[[], Regions],
    *,
    kind: VolumeKind,
    spacing_um: int,
    hemisphere: MeasuredHemisphere | Sequence[MeasuredHemisphere],
    normalize: Normalization,
    missing: MissingPolicy,
    progress: Progress | None,
) -> pd.DataFrame:
    """Mean and sum of each selected experiment's volume in regions; see `Atlas.signal`.

    Parameters
    ----------
    regions : callable
        Called after the selection was checked, because it reads the annotation.
    """
    policy = choice("missing", missing, MISSING_POLICIES).name
    spacing_um = checked_spacing(spacing_um)
    sides = checked_hemispheres(hemisphere)
    wanted = choice("kind", kind, VOLUME_KINDS).name
    normalization = choice("normalize", normalize, NORMALIZATIONS)
    is_relative = any(MEASURED_HEMISPHERES[side].is_relative for side in sides)
    with database.reading() as connection:
        found, left_out, absent = selected_volumes(
            connection,
            selection,
            kind=wanted,
            spacing_um=spacing_um,
            missing=policy,
            reads_sides=is_relative,
            reads_divisors=normalization.name != "none",
        )
        divisors, without_divisor, without_rows = known_divisors(
            connection, selection, sorted(found), normalize=normalization.name, missing=policy
        )
        left_out |= without_divisor
        found = {each: file for each, file in found.items() if each not in left_out}
        if not found:
            raise nothing_left(selection, left_out, absent=absent, spacing_um=spacing_um, without_rows=without_rows)
        injected = injected_hemispheres(connection, found)
    keys, voxels, facts = regions()
    record_use(database, found.values())
    table = _Table(keys, sides)
    for identifier, volume in _volumes(database, files, found, voxels.planes, shown_progress(progress)):
        sums, counts = voxels.sums(volume)
        table.add(identifier, sums / divisors.get(identifier, 1.0), counts, injected[identifier])
    frame = table.frame()
    frame.attrs["without_volume"] = sorted(left_out)
    frame.attrs["left_out"] = dict(sorted(left_out.items()))
    without_side = sorted(each for each in found if is_relative and injected[each] is None and each not in left_out)
    report_unknown_sides(without_side, sides, missing="leave_out")
    frame.attrs["without_hemisphere"] = without_side
    frame.attrs["unit"] = f"{VOLUME_KINDS[wanted].unit}{normalization.unit_suffix}"
    frame.attrs.update(facts)
    return frame


def _volumes(
    database: Database,
    files: StoreFiles,
    found: Mapping[int, VolumeFile],
    planes: tuple[int, int],
    progress: Progress,
) -> Iterator[tuple[int, SparseArray | NDArray[np.floating[Any]]]]:
    """The volumes by experiment id, ascending. A damaged one raises DamagedFileError."""
    prefetch(files, found.values())
    progress.start(len(found), "volumes")
    try:
        for identifier in sorted(found):
            volume = CurrentVolume(database, found[identifier])
            yield identifier, volume.read(lambda file: read_slab(files, file, *planes))
            progress.advance()
    finally:
        progress.finish()


class _Table:
    """Rows by experiment, region and hemisphere."""

    def __init__(self, keys: Mapping[str, NDArray[Any]], sides: Sequence[MeasuredHemisphere]) -> None:
        self._keys = keys
        self._sides = sides
        self._experiments: list[int] = []
        self._sums: list[NDArray[np.float64]] = []
        self._voxels: list[NDArray[np.int64]] = []

    def add(
        self, experiment_id: int, sums: NDArray[np.float64], voxels: NDArray[np.int64], injected: str | None
    ) -> None:
        """Add the sums of an experiment on the left and on the right of each region."""
        self._experiments.append(experiment_id)
        columns = [hemisphere_columns(side, injected) for side in self._sides]
        unknown = np.array([column is None for column in columns])
        chosen = [column or [] for column in columns]
        total = np.stack([sums[:, each].sum(axis=1) for each in chosen], axis=1)
        counts = np.stack([voxels[:, each].sum(axis=1) for each in chosen], axis=1)
        # Nothing is known of a region without a voxel at this spacing, or without data.
        self._sums.append(np.where(unknown | (counts == 0), np.nan, total))
        self._voxels.append(counts)

    def frame(self) -> pd.DataFrame:
        """All rows."""
        import pandas as pd

        shape = self._sums[0].shape
        number, region, side = (each.reshape(-1) for each in np.indices((len(self._experiments), *shape)))
        total, voxels = np.stack(self._sums).reshape(-1), np.stack(self._voxels).reshape(-1)
        columns: Mapping[str, Any] = {
            "experiment_id": np.array(self._experiments, np.int64)[number],
            **{name: own[region] for name, own in self._keys.items()},
            "hemisphere": np.array(self._sides, object)[side],
            "voxels": voxels,
            "mean": total / np.where(voxels > 0, voxels, np.nan),
            "sum": total,
        }
        return pd.DataFrame(columns)

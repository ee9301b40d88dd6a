"""Measurements of a volume in one pass: its signal on the 100 um grid, and the distribution of its values.

All compared quantities are sums over voxels, so means over 100 um voxels are sufficient. The measurements of a volume
at 10 um are therefore as small as those of one at 100 um, and volumes at different spacings can be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bsv_store.progress import do_nothing
from bsv_store.vocabulary import Hemisphere, VolumeKind
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.large import SlabSource
from bsv_store.volumes.layout import slab_ranges
from bsv_store.volumes.library import dense_slabs, read_voxels
from bsv_store.volumes.volume import SparseArray

if TYPE_CHECKING:
    from bsv_store.volumes.files import StoreFiles
    from bsv_store.volumes.library import VolumeFile

COARSE = Grid(100)
PIXELS_PER_VOXEL_VOLUME = 1.1025
"""Ratio of a voxel's volume in the unionize tables to its volume on the CCF grid."""
_ALMOST_ONE = 1 - 1e-6
# Bisection is faster than a dense array if at most one voxel in this many is looked up.
_FEW = 20


@dataclass(frozen=True)
class GridFacts:
    """Measurements of one volume.

    Attributes
    ----------
    kind : VolumeKind
    spacing_um : int
    index : ndarray of int, shape (n,)
        Voxels of the 100 um grid with signal: linear C-order index over [ap, dv, ml], ascending.
    amounts : ndarray of float64, shape (n,)
        Mean value in each of these voxels; voxels without data count as 0.
    non_zero, ones, no_data : int
        Numbers of voxels at the volume's own spacing: above 0; 1 or more; without data.
    peak : float
        Highest value.
    """

    kind: VolumeKind
    spacing_um: int
    index: NDArray[np.integer]
    amounts: NDArray[np.float64]
    non_zero: int
    ones: int
    no_data: int
    peak: float

    @property
    def mean(self) -> float:
        """Mean over the grid."""
        return self.total / COARSE.size

    @property
    def ones_share(self) -> float:
        """Fraction of the voxels above 0 that are 1 or more."""
        return self.ones / self.non_zero if self.non_zero else 0.0

    @cached_property
    def total(self) -> float:
        """Sum over the 100 um grid."""
        return float(self.amounts.sum())

    @cached_property
    def is_right(self) -> NDArray[np.bool_]:
        """Whether each voxel with signal is in the right hemisphere."""
        return self.index % COARSE.shape[2] >= COARSE.midline

    @cached_property
    def sides(self) -> tuple[float, float]:
        """Sums over the 100 um grid, left and right."""
        right = float(self.amounts[self.is_right].sum())
        return self.total - right, right

    def mirrored(self) -> GridFacts:
        """The measurements of this volume with left and right exchanged."""
        size = COARSE.shape[2]
        across = self.index % size
        index = self.index - across + (size - 1 - across)
        order = np.argsort(index)
        return replace(self, index=index[order], amounts=self.amounts[order])

    def at(self, index: NDArray[np.integer]) -> NDArray[np.float64]:
        """The mean values in voxels of the 100 um grid, given their linear index."""
        if index.size * _FEW < self.index.size:
            place = np.minimum(np.searchsorted(self.index, index.astype(self.index.dtype)), self.index.size - 1)
            found: NDArray[np.float64] = np.where(self.index[place] == index, self.amounts[place], 0.0)
            return found
        dense = np.zeros(COARSE.size)
        dense[self.index] = self.amounts
        return np.take(dense, index)

    def volume_mm3(self, amount: float) -> float:
        """Convert a sum over the 100 um grid to a volume in mm3, comparable with the unionize tables."""
        return amount * (COARSE.spacing_um / 1000) ** 3 * PIXELS_PER_VOXEL_VOLUME

    def share(self, hemisphere: Hemisphere) -> float:
        """Fraction of the signal in a hemisphere."""
        left, right = self.sides
        part = left if hemisphere == "left" else right
        return part / self.total if self.total else 0.0

    def distance_um(self, point: tuple[int, int, int]) -> float:
        """Distance of a point in um from the nearest voxel with signal; infinite without signal."""
        if not self.index.size:
            return np.inf
        squares = np.zeros(self.index.size)
        for axis, at in enumerate(np.unravel_index(self.index, COARSE.shape)):
            low = at * COARSE.spacing_um
            outside = np.maximum(np.maximum(low - point[axis], point[axis] - (low + COARSE.spacing_um)), 0)
            squares += outside.astype(np.float64) ** 2
        return float(np.sqrt(squares.min()))


def facts_of(volume: SlabSource, *, on_slab: Callable[[], None] = do_nothing) -> GridFacts:
    """Measure a volume that was read from its source.

    Parameters
    ----------
    volume : SlabSource
    on_slab : callable
        Called before each slab; may raise to stop the work.
    """

    def slabs() -> Iterator[tuple[int, NDArray[np.float32]]]:
        for (start, _), slab in zip(slab_ranges(volume.grid), volume.slabs(), strict=True):
            on_slab()
            yield start, slab

    return _measured(volume.kind, volume.grid, slabs())


def stored_facts(files: StoreFiles, file: VolumeFile) -> GridFacts:
    """Measure a published volume, with every byte verified.

    Raises
    ------
    DamagedFileError
        If the file is missing or differs in any bit from what was published.
    """
    grid = file.layout.grid
    if grid == COARSE:
        voxels = read_voxels(files, file)
        if isinstance(voxels, SparseArray):
            return _sparse(file.kind, voxels.index, voxels.values)
        return _measured(file.kind, grid, [(0, voxels)])
    return _measured(file.kind, grid, dense_slabs(files, file))


def _measured(kind: VolumeKind, grid: Grid, slabs: Iterable[tuple[int, NDArray[np.float32]]]) -> GridFacts:
    if grid == COARSE:
        array = np.concatenate([slab for _, slab in slabs])
        index = np.flatnonzero(array.reshape(-1) != 0)
        return _sparse(kind, index, array.reshape(-1)[index])
    edge = COARSE.spacing_um // grid.spacing_um
    coarse = np.zeros(COARSE.shape)
    non_zero = ones = no_data = 0
    peak = 0.0
    for start, slab in slabs:
        stored = slab != 0
        count = int(np.count_nonzero(stored))
        if not count:
            continue
        if count <= slab.size // 8:
            flat = np.flatnonzero(stored.reshape(-1))
            values = slab.reshape(-1)[flat]
        else:
            flat, values = None, slab.reshape(-1)
        unknown = int(np.isnan(values).sum())
        if unknown:
            values = np.nan_to_num(values, nan=0.0)
        no_data += unknown
        non_zero += count - unknown
        ones += int(np.count_nonzero(values >= _ALMOST_ONE))
        peak = max(peak, float(values.max()))
        _add(coarse, start, edge, slab.shape, flat, values)
    coarse /= edge**3
    listed = np.flatnonzero(coarse.reshape(-1))
    return GridFacts(kind, grid.spacing_um, listed, coarse.reshape(-1)[listed], non_zero, ones, no_data, peak)


def _add(
    coarse: NDArray[np.float64],
    start: int,
    edge: int,
    shape: tuple[int, ...],
    flat: NDArray[np.intp] | None,
    values: NDArray[np.float32],
) -> None:
    """Add the voxels of a slab to the voxels of the 100 um grid that contain them."""
    first, last = start // edge, (start + shape[0] - 1) // edge + 1
    part = coarse[first:last]
    if flat is not None:
        ap, rest = np.divmod(flat, shape[1] * shape[2])
        dv, ml = np.divmod(rest, shape[2])
        place = (
            ((start + ap) // edge - first) * (part.shape[1] * part.shape[2]) + dv // edge * part.shape[2] + ml // edge
        )
        part += np.bincount(place, values, part.size).reshape(part.shape)
        return
    # float32 is exact enough for the sum over one 100 um voxel, which has at most 1,000 terms.
    planes = values.reshape(shape[0], part.shape[1], edge, part.shape[2] * edge).sum(axis=2)
    columns = planes.reshape(*planes.shape[:2], part.shape[2], edge).sum(axis=3)
    at = (start + np.arange(shape[0])) // edge - first
    np.add.at(part, at, columns.astype(np.float64))


def _sparse(kind: VolumeKind, index: NDArray[np.integer], values: NDArray[np.float32]) -> GridFacts:
    """Measure the non-zero voxels of a volume at 100 um."""
    known = ~np.isnan(values)
    no_data = values.size - int(np.count_nonzero(known))
    if no_data:
        index, values = index[known], values[known]
    return GridFacts(
        kind,
        COARSE.spacing_um,
        index,
        values.astype(np.float64),
        values.size,
        int(np.count_nonzero(values >= _ALMOST_ONE)),
        no_data,
        float(values.max(initial=0.0)),
    )

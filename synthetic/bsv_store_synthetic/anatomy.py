"""The brains of synthetic atlases: which structure is at each voxel of the CCFv3 grids.

The invented brain is sampled from smooth shapes; `bsv_store_synthetic.stored` provides that of a store, such as
Allen's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import cached_property, lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bsv_store.catalog.records import StructureRecord
from bsv_store.server.allen.files import FileDtype, Voxels
from bsv_store.volumes.grid import MIDLINE_UM, Grid
from bsv_store_synthetic import ontology
from bsv_store_synthetic.noise import draw
from bsv_store_synthetic.ontology import Tree
from bsv_store_synthetic.shapes import Brain

GRID: Final = Grid(100)
"""The grid on which experiments are computed; at finer spacings their voxels are repeated."""

ANNOTATION_SPACINGS_UM: Final = (10, 25, 50, 100)

# The right side is slightly larger, so that some voxels differ from their mirror image, as in the real annotation.
_RIGHT_STRETCH: Final = 0.985
_SLAB: Final = 8


class Anatomy(ABC):
    """A brain in which synthetic experiments are placed. Immutable, and equal only to itself."""

    @property
    @abstractmethod
    def identity(self) -> str:
        """A text that identifies the structures and voxels."""

    @property
    @abstractmethod
    def tree(self) -> Tree:
        """The structures."""

    @property
    @abstractmethod
    def labels(self) -> tuple[StructureRecord, ...]:
        """The structures of the annotation at 100 um, in graph order."""

    @property
    @abstractmethod
    def codes(self) -> NDArray[Any]:
        """Unsigned array, shape (132, 80, 114): 0 outside the brain, else 1 + position in `labels`; read-only."""

    @property
    def drawn_um(self) -> int:
        """The spacing of the annotation that the demo downloads for its figures."""
        return GRID.spacing_um

    @abstractmethod
    def annotation_voxels(self, spacing_um: int) -> Voxels | None:
        """The annotation at a spacing; None if there is none."""

    @abstractmethod
    def template_voxels(self, spacing_um: int) -> Voxels | None:
        """The average template at a spacing; None if there is none."""

    @cached_property
    def ids(self) -> NDArray[np.uint32]:
        """uint32 array: the structure id for each code, 0 for code 0."""
        return np.array([0, *(record.id for record in self.labels)], np.uint32)

    @cached_property
    def annotation(self) -> NDArray[np.uint32]:
        """uint32 array, shape (132, 80, 114), axes [ap, dv, ml]: structure id, 0 outside the brain; read-only."""
        found: NDArray[np.uint32] = self.ids[self.codes]
        found.flags.writeable = False
        return found


class InventedAnatomy(Anatomy):
    """The brain of smooth shapes, with the structures of `ontology.invented`."""

    @property
    def identity(self) -> str:
        """See `Anatomy.identity`."""
        return "synthetic"

    @property
    def tree(self) -> Tree:
        """See `Anatomy.tree`."""
        return ontology.invented()

    @cached_property
    def labels(self) -> tuple[StructureRecord, ...]:
        """See `Anatomy.labels`."""
        return self.tree.leaves()

    @cached_property
    def codes(self) -> NDArray[np.uint8]:
        """See `Anatomy.codes`."""
        left = self._sampled(GRID, np.arange(GRID.midline))
        codes = np.concatenate((left, left[..., _mirrored_planes(GRID)]), axis=2)
        codes.flags.writeable = False
        return codes

    def annotation_voxels(self, spacing_um: int) -> Voxels | None:
        """See `Anatomy.annotation_voxels`. At 10 um it has the voxels of 50 um, repeated."""
        return self._voxels("annotation", spacing_um, self.planes)

    def template_voxels(self, spacing_um: int) -> Voxels | None:
        """See `Anatomy.template_voxels`. At 10 um it has the voxels of 50 um, repeated."""
        return self._voxels("template", spacing_um, self.template_planes, "u2")

    def _voxels(
        self,
        what: str,
        spacing_um: int,
        planes: Callable[[int], Iterator[NDArray[Any]]],
        dtype: FileDtype | None = None,
    ) -> Voxels | None:
        if spacing_um not in ANNOTATION_SPACINGS_UM:
            return None
        sampled = 50 if spacing_um == 10 else spacing_um
        return Voxels(
            f"synthetic {what} {spacing_um}",
            spacing_um,
            lambda: repeated_planes(planes(sampled), sampled // spacing_um),
            dtype,
        )

    def planes(self, spacing_um: int) -> Iterator[NDArray[np.uint32]]:
        """The annotation at 100, 50 or 25 um by sagittal plane, from left to right: uint32 arrays, shape (ap, dv).

        The shapes are sampled at the centers of the voxels.
        """
        if spacing_um == GRID.spacing_um:
            yield from np.moveaxis(self.annotation, 2, 0)
            return
        grid = Grid(spacing_um)
        slabs = range(0, grid.midline, _SLAB)
        parts = [self._sampled(grid, np.arange(grid.midline)[first : first + _SLAB]) for first in slabs]
        left = np.concatenate(parts, axis=2)
        for plane in (*range(grid.midline), *_mirrored_planes(grid).tolist()):
            yield self.ids[left[..., plane]]

    def template_planes(self, spacing_um: int) -> Iterator[NDArray[np.uint16]]:
        """The template at 100, 50 or 25 um by sagittal plane, from left to right: uint16 arrays, shape (ap, dv).

        Each structure has one intensity; fiber tracts are darker than gray matter, and 0 is outside the brain.
        """
        tracts = self.tree.descendants(self.tree.structure("fiber tracts").id)
        order = np.argsort(self.ids)
        intensities = np.array([_intensity(int(each), tracts) for each in self.ids[order]], np.uint16)
        for plane in self.planes(spacing_um):
            yield intensities[np.searchsorted(self.ids, plane, sorter=order)]

    def _sampled(self, grid: Grid, planes: NDArray[np.intp]) -> NDArray[np.uint8]:
        """Codes of these ML planes of the left hemisphere: uint8 array, shape (ap, dv, planes)."""
        side = MIDLINE_UM - (planes + 0.5) * grid.spacing_um
        brain = Brain(grid.centers_um("AP"), grid.centers_um("DV"), side)
        order = {record.acronym: position + 1 for position, record in enumerate(self.labels)}
        codes = np.zeros((*grid.shape[:2], len(planes)), np.uint8)
        # The first mask that contains a voxel is written last.
        for acronym, mask in reversed(brain.structures()):
            codes[mask] = order[acronym]
        return codes


INVENTED: Final = InventedAnatomy()


@lru_cache(maxsize=128)
def voxels_of(anatomy: Anatomy, structure_id: int) -> NDArray[np.intp]:
    """Linear C-order indices of the voxels of a structure and its descendants, ascending."""
    below = anatomy.tree.descendants(structure_id)
    wanted = [position + 1 for position, record in enumerate(anatomy.labels) if record.id in below]
    return np.flatnonzero(np.isin(anatomy.codes, wanted))


@lru_cache(maxsize=128)
def interior_of(anatomy: Anatomy, structure_id: int, *, depth: int = 1) -> NDArray[np.intp]:
    """Linear C-order indices of the voxels that stay after removing this many layers from a structure, ascending.

    AP is the slowest axis, so the indices go from anterior to posterior.
    """
    inside = np.zeros(GRID.size, np.bool_)
    inside[voxels_of(anatomy, structure_id)] = True
    inside = inside.reshape(GRID.shape)
    for _ in range(depth):
        core = inside.copy()
        for axis in range(3):
            # The brain touches no face of the box, so wrapping around the edge adds nothing.
            core &= np.roll(inside, 1, axis) & np.roll(inside, -1, axis)
        inside = core
    return np.flatnonzero(inside)


@lru_cache(maxsize=128)
def center_um(anatomy: Anatomy, structure_id: int, *, right: bool) -> tuple[float, float, float]:
    """Center of gravity (ap, dv, ml) in um of a structure's part in one hemisphere."""
    ap, dv, ml = np.unravel_index(voxels_of(anatomy, structure_id), GRID.shape)
    side = (ml >= GRID.midline) == right
    # Integer sums are exact in any order of addition.
    count = int(side.sum())
    mean = [(int(axis[side].sum()) / count + 0.5) * GRID.spacing_um for axis in (ap, dv, ml)]
    return mean[0], mean[1], mean[2]


def repeated_planes(planes: Iterator[NDArray[Any]] | NDArray[Any], repeat: int) -> Iterator[NDArray[Any]]:
    """Blocks of equal ML planes, from planes of shape (ap, dv)."""
    for plane in planes:
        fine = np.repeat(np.repeat(plane, repeat, 0), repeat, 1)
        yield np.broadcast_to(fine[..., np.newaxis], (*fine.shape, repeat))


def _intensity(structure_id: int, tracts: frozenset[int]) -> int:
    if structure_id == 0:
        return 0
    low = 90 if structure_id in tracts else 180
    return low + int(120 * draw("template", structure_id))


def _mirrored_planes(grid: Grid) -> NDArray[np.intp]:
    """The left plane that each plane of the right hemisphere repeats."""
    side = (np.arange(grid.midline) + 0.5) * _RIGHT_STRETCH
    sources: NDArray[np.intp] = grid.midline - 1 - np.floor(side).astype(np.intp)
    return sources

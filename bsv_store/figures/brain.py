"""The annotation of a store for drawing: planes, silhouettes, the surface, structures with their colors."""

from __future__ import annotations

import colorsys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from bsv_store.catalog.annotations import all_annotations
from bsv_store.catalog.database.models import Structure
from bsv_store.catalog.structures import StructureRef, StructureRow, find_structures, structure_set
from bsv_store.catalog.templates import all_templates
from bsv_store.check import scalar, several
from bsv_store.errors import InputError, MissingDataError
from bsv_store.text import shown
from bsv_store.vocabulary import PLANES, Axis, PlaneRow
from bsv_store.volumes.annotation import AnnotationFile, opened_annotation
from bsv_store.volumes.grid import ARRAY_AXES, EXTENT_UM, Grid
from bsv_store.volumes.layout import slab_ranges
from bsv_store.volumes.template import TemplateFile, opened_template

if TYPE_CHECKING:
    from bsv_store.catalog.database.engine import Database
    from bsv_store.vocabulary import Theme
    from bsv_store.volumes.files import StoreFiles

# Whole numbers up to this one are levels of the ontology, larger ones are structure sets.
MAX_LEVEL = 30
DEFAULT_LEVEL = 5

Outlines = StructureRef | Sequence[StructureRef] | None
"""A level of the ontology, a structure set, one structure or several; None for the default."""

EXTENT_MM: Mapping[Axis, float] = {axis: um / 1000 for axis, um in zip(ARRAY_AXES, EXTENT_UM, strict=True)}

# Preferred spacing of the annotation for planes: fine enough for print, and read within a second.
_PREFERRED_UM = (25, 10, 50, 100)
# For what needs the whole annotation: silhouettes and surfaces.
_PREFERRED_WHOLE_UM = (50, 100, 25, 10)
_MAX_LIGHTNESS, _MIN_LIGHTNESS = 0.42, 0.55


@dataclass(frozen=True, slots=True, eq=False)
class AnnotatedPlane:
    """A plane of the annotation.

    Attributes
    ----------
    ids : ndarray of uint32, shape (down, right)
        Structure ids; 0 = outside the brain.
    spacing_um : int
    """

    ids: NDArray[np.uint32]
    spacing_um: int


@dataclass(frozen=True, slots=True, eq=False)
class AnnotatedVolume:
    """The annotation.

    Attributes
    ----------
    ids : ndarray of uint32, shape (ap, dv, ml)
        Structure ids; 0 = outside the brain.
    spacing_um : int
    """

    ids: NDArray[np.uint32]
    spacing_um: int


class Brain:
    """The annotation and the structures of a store.

    Parameters
    ----------
    database : Database or None
        None for a version that was read without a catalog.
    files : StoreFiles
    """

    def __init__(self, database: Database | None, files: StoreFiles) -> None:
        self._catalog = database
        self._files = files

    @property
    def _database(self) -> Database:
        if self._catalog is None:
            raise InputError("the version was read without a catalog, which has the structures")
        return self._catalog

    # -- annotation -----------------------------------------------------------------------------------------------

    @cached_property
    def _annotations(self) -> Mapping[int, AnnotationFile]:
        if self._catalog is None:
            return {}
        with self._database.reading() as connection:
            return {file.grid.spacing_um: file for file in all_annotations(connection)}

    @property
    def file(self) -> AnnotationFile | None:
        """The annotation that is drawn, at 25 um if possible; None if the store has none."""
        return next((self._annotations[um] for um in _PREFERRED_UM if um in self._annotations), None)

    @property
    def has_annotation(self) -> bool:
        """Whether the store has an annotation."""
        return bool(self._annotations)

    def require(self, what: str) -> AnnotationFile:
        """The annotation that is drawn.

        Raises
        ------
        MissingDataError
            If the store has none.
        """
        if self.file is None:
            raise MissingDataError(
                f"{what} needs the annotation, which the store does not have",
                hint="Download it: bsv-store sync annotation --spacing 25",
            )
        return self.file

    @contextmanager
    def _opened(self, file: AnnotationFile) -> Iterator[Any]:
        with opened_annotation(self._files, file) as ids:
            yield ids

    def planes(self, plane: PlaneRow, at_um: Sequence[float], *, is_fine: bool = True) -> list[AnnotatedPlane]:
        """The planes of the annotation at these positions along the axis across them; only what is needed is read.

        Without ``is_fine`` they come from the coarser annotation, which is faster.

        Raises
        ------
        MissingDataError, DamagedFileError
            If the store has no annotation, or its file is damaged.
        """
        file = self.require("drawing structures")
        if not is_fine:
            file = self._coarse or file
        with self._opened(file) as ids:
            found = _planes_at(ids, file.grid, plane, at_um)
        return [AnnotatedPlane(ids, file.grid.spacing_um) for ids in found]

    def require_template(self, what: str) -> TemplateFile:
        """The template that is drawn, at 25 um if possible.

        Raises
        ------
        MissingDataError
            If the store has none.
        """
        stored: Mapping[int, TemplateFile] = {}
        if self._catalog is not None:
            with self._database.reading() as connection:
                stored = {file.grid.spacing_um: file for file in all_templates(connection)}
        file = next((stored[um] for um in _PREFERRED_UM if um in stored), None)
        if file is None:
            raise MissingDataError(
                f"{what} needs the average template, which the store does not have",
                hint="Download it: bsv-store sync template --spacing 25",
            )
        return file

    def template_planes(self, file: TemplateFile, plane: PlaneRow, at_um: Sequence[float]) -> list[NDArray[Any]]:
        """The planes of a template at these positions along the axis across them, upright.

        Raises
        ------
        DamagedFileError
            If its file is damaged.
        """
        with opened_template(self._files, file) as values:
            return _planes_at(values, file.grid, plane, at_um)

    @property
    def _coarse(self) -> AnnotationFile | None:
        return next((self._annotations[um] for um in _PREFERRED_WHOLE_UM if um in self._annotations), None)

    def silhouettes(
        self, planes: Sequence[PlaneRow], structures: Sequence[NDArray[np.uint32]] = ()
    ) -> list[list[AnnotatedPlane]] | None:
        """For each view the brain, then structures given by their ids; None if the store has no annotation.

        Ids are 1 inside, seen along the axis across the planes.
        """
        file = self._coarse
        if file is None:
            return None
        axes = [ARRAY_AXES.index(plane.across) for plane in planes]
        seen: list[list[list[NDArray[np.bool_]]]] = [[[] for _ in range(len(structures) + 1)] for _ in planes]
        with self._opened(file) as ids:
            for first, last in slab_ranges(file.grid):
                slab = ids[first:last]
                for number, inside in enumerate((slab != 0, *(np.isin(slab, each) for each in structures))):
                    for axis, found in zip(axes, seen, strict=True):
                        found[number].append(inside.any(axis=axis))
        return [
            [
                AnnotatedPlane(
                    upright(np.any(parts, axis=0) if axis == 0 else np.concatenate(parts), plane).astype(np.uint32),
                    file.grid.spacing_um,
                )
                for parts in found
            ]
            for plane, axis, found in zip(planes, axes, seen, strict=True)
        ]

    def surface_from_above(self) -> AnnotatedPlane | None:
        """The structures at the dorsal surface, as a horizontal plane; None if the store has no annotation."""
        file = self._coarse
        if file is None:
            return None
        parts = []
        with self._opened(file) as ids:
            for first, last in slab_ranges(file.grid):
                slab = ids[first:last]
                top = (slab != 0).argmax(axis=1)
                parts.append(np.take_along_axis(slab, top[:, None, :], axis=1)[:, 0, :])
        return AnnotatedPlane(upright(np.concatenate(parts), PLANES["horizontal"]), file.grid.spacing_um)

    def voxels(self) -> AnnotatedVolume | None:
        """The whole annotation, at 50 um if possible; None if the store has none."""
        file = self._coarse
        if file is None:
            return None
        with self._opened(file) as ids:
            return AnnotatedVolume(np.asarray(ids[:], np.uint32), file.grid.spacing_um)

    def profile(self, weights: Mapping[int, float], axis: Axis) -> tuple[NDArray[np.float64], int]:
        """The sum of the weights of all voxels in each plane along an axis, and the spacing.

        Parameters
        ----------
        weights : mapping of int to float
            By structure id as in the annotation.

        Raises
        ------
        MissingDataError
            If the store has no annotation.
        InputError
            If no voxel has a weight.
        """
        self.require("choosing planes by structure")
        file = self._annotations[max(self._annotations)]
        number = ARRAY_AXES.index(axis)
        others = tuple(other for other in range(3) if other != number)
        total = np.zeros(file.grid.shape[number])
        with self._opened(file) as ids:
            for first, last in slab_ranges(file.grid):
                part = relabelled(ids[first:last], weights, np.float64).sum(axis=others)
                total[slice(first, last) if number == 0 else slice(None)] += part
        if not total.any():
            raise InputError(
                f"the annotation at {file.grid.spacing_um} um has no voxel in the structures",
                hint="Small structures may have voxels at a finer spacing.",
            )
        return total, file.grid.spacing_um

    # -- structures -----------------------------------------------------------------------------------------------

    @cached_property
    def _rows(self) -> Mapping[int, StructureRow]:
        columns = [Structure.__table__.c[name] for name in StructureRow.__slots__]
        with self._database.reading() as connection:
            return {row.id: StructureRow(*row) for row in connection.execute(select(*columns))}

    def named(self, structures: StructureRef | Sequence[StructureRef]) -> tuple[StructureRow, ...]:
        """The structures with these acronyms or ids, in the order given, without duplicates.

        Raises
        ------
        UnknownStructureError, InputError
            If there is no such structure, or the value is not valid.
        """
        wanted = several("structures", structures, such_as="'CP' or ['CP', 'TH']")
        with self._database.reading() as connection:
            return tuple(dict.fromkeys(find_structures(connection, wanted)))

    def each_named(self, structures: Sequence[StructureRef]) -> tuple[StructureRow, ...]:
        """The structure of each acronym or id.

        Raises
        ------
        UnknownStructureError, InputError
            If there is no such structure, or the value is not valid.
        """
        with self._database.reading() as connection:
            return find_structures(connection, structures)

    def ancestors(self, structure_id: int) -> list[int]:
        """The ids from a structure up to the root, itself first."""
        found: list[int] = []
        current: int | None = structure_id
        while current is not None and current in self._rows and current not in found:
            found.append(current)
            current = self._rows[current].parent_structure_id
        return found

    def leaves(self, structures: StructureRef | Sequence[StructureRef]) -> NDArray[np.uint32]:
        """The ids of structures and all their descendants."""
        wanted = {row.id for row in self.named(structures)}
        return np.array([each for each in self._rows if wanted.intersection(self.ancestors(each))], np.uint32)

    def outlined(self, outlines: Outlines) -> tuple[Mapping[int, int], str]:
        """For each structure the one as part of which it is outlined (0 = none), and what is outlined in words.

        Parameters
        ----------
        outlines : int, str or sequence of them, or None
            A level of the ontology up to 30, the id of a structure set, or structures.

        Raises
        ------
        InputError, UnknownStructureError
            If there is no such structure set or structure.
        """
        outlines = DEFAULT_LEVEL if outlines is None else scalar(outlines)
        if isinstance(outlines, bool):
            raise InputError(
                f"outlines must be a level, a structure set or structures, got {shown(outlines)}",
                hint="For example: 5, 167587189 or ['CP', 'TH'].",
            )
        if isinstance(outlines, int) and 0 <= outlines <= MAX_LEVEL:
            level = {}
            for each in self._rows:
                path = self.ancestors(each)
                level[each] = path[max(0, len(path) - 1 - outlines)]
            return level, "the brain" if outlines == 0 else f"structures at level {outlines} of the ontology"
        if isinstance(outlines, int):
            with self._database.reading() as connection:
                members = {row.id for row in structure_set(connection, outlines)}
            words = f"structure set {outlines}"
        elif not isinstance(outlines, str) and len(outlines) == 0:
            return dict.fromkeys(self._rows, self._root), "the brain"
        else:
            rows = self.named(outlines)
            members, words = {row.id for row in rows}, ", ".join(row.acronym for row in rows)
        nearest = {each: next((up for up in self.ancestors(each) if up in members), 0) for each in self._rows}
        return nearest, words

    @property
    def _root(self) -> int:
        return next((row.id for row in self._rows.values() if row.parent_structure_id is None), 0)


def relabelled(ids: NDArray[np.uint32], labels: Mapping[int, float], dtype: Any = np.int64) -> NDArray[Any]:
    """The label of every voxel; 0 where there is none."""
    unique, inverse = np.unique(ids, return_inverse=True)
    return np.array([labels.get(each, 0) for each in unique.tolist()], dtype)[inverse].reshape(ids.shape)


def upright(values: NDArray[Any], plane: PlaneRow) -> NDArray[Any]:
    """A plane as rows (down) and columns (right); the axes left after taking the plane are in the order AP, DV, ML."""
    return values if ARRAY_AXES.index(plane.down) < ARRAY_AXES.index(plane.right) else values.T


def _planes_at(values: Any, grid: Grid, plane: PlaneRow, at_um: Sequence[float]) -> list[NDArray[Any]]:
    """The planes of a file at these positions along the axis across them, upright."""
    axis = ARRAY_AXES.index(plane.across)
    indices = [min(int(um // grid.spacing_um), grid.shape[axis] - 1) for um in at_um]
    return [upright(each, plane) for each in _planes_of(values, grid, axis, indices)]


def _planes_of(values: Any, grid: Grid, axis: int, indices: Sequence[int]) -> list[NDArray[Any]]:
    if axis == 0:
        return [np.asarray(values[index]) for index in indices]
    # Files are compressed by AP planes: one pass for all planes along another axis.
    unique = sorted(set(indices))
    parts = [np.take(values[first:last], unique, axis=axis) for first, last in slab_ranges(grid)]
    together = np.concatenate(parts)
    return [np.take(together, unique.index(index), axis=axis) for index in indices]


def edge_color(color_hex: str, theme: Theme) -> tuple[float, float, float]:
    """Allen's color of a structure, darker on a light background and lighter on a dark one if it would be faint."""
    red, green, blue = (int(color_hex[at : at + 2], 16) / 255 for at in (0, 2, 4))
    hue, lightness, saturation = colorsys.rgb_to_hls(red, green, blue)
    lightness = min(lightness, _MAX_LIGHTNESS) if theme == "light" else max(lightness, _MIN_LIGHTNESS)
    return colorsys.hls_to_rgb(hue, lightness, saturation)

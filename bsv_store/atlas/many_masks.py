"""Masks of many structures from one reading of the annotation."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bsv_store.atlas.annotation import annotation_facts, mask_title, references, stored_annotation
from bsv_store.atlas.labels import positions
from bsv_store.atlas.masks import absolute_hemisphere
from bsv_store.catalog.structures import StructureRef, StructureRow, descendant_ids, find_structures
from bsv_store.check import boolean
from bsv_store.errors import InputError
from bsv_store.formats.image import Image, array_slabs
from bsv_store.formats.output_file import check_target
from bsv_store.formats.table import IMAGE_FORMATS, checked_format, write_file
from bsv_store.text import listed
from bsv_store.volumes.annotation import opened_annotation
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.layout import slab_ranges

if TYPE_CHECKING:
    from pathlib import Path

    from bsv_store.catalog.database.engine import Database
    from bsv_store.volumes.annotation import AnnotationFile
    from bsv_store.volumes.files import StoreFiles

_UNSAFE = re.compile(r"[^A-Za-z0-9-]+")


class StructureMasks:
    """The masks of some structures, computed one at a time.

    Parameters
    ----------
    database : Database
    files : StoreFiles
    structures : str, int or sequence of them
    spacing_um, hemisphere, descendants
        See `Atlas.masks`.

    Attributes
    ----------
    structures : tuple of StructureRow
        Without repetitions, in the order given.
    annotation : AnnotationFile

    Raises
    ------
    UnknownStructureError, MissingDataError, DamagedFileError
        If a structure is not in the ontology, or the annotation is missing or damaged.
    InputError
        If there are no structures, or one of them has no voxel.
    """

    def __init__(
        self,
        database: Database,
        files: StoreFiles,
        structures: StructureRef | Sequence[StructureRef],
        *,
        spacing_um: int,
        hemisphere: str,
        descendants: bool,
    ) -> None:
        self._side = absolute_hemisphere(hemisphere)
        boolean("include_descendants", descendants)
        with database.reading() as connection:
            self.structures = tuple(dict.fromkeys(find_structures(connection, references(structures))))
            if not self.structures:
                raise InputError("structures must not be empty", hint="Name one or more, by acronym or id.")
            members = {
                row.id: descendant_ids(connection, [row.id]) if descendants else frozenset([row.id])
                for row in self.structures
            }
        self.annotation: AnnotationFile = stored_annotation(database, spacing_um)
        self._ids = np.array(sorted(set().union(*members.values())), np.int64)
        self._labels = self._read(files)
        # The last one is for all other structures, whose label is that of position -1.
        self._tables: Mapping[int, NDArray[np.bool_]] = {
            each: np.append(np.isin(self._ids, list(ids)), False) for each, ids in members.items()
        }
        self._require_voxels(descendants)

    def _read(self, files: StoreFiles) -> NDArray[np.unsignedinteger]:
        """The position of each voxel's id among the ids, and after the last one for others."""
        grid = Grid(self.annotation.grid.spacing_um)
        labels = np.empty(grid.shape, np.min_scalar_type(self._ids.size))
        with opened_annotation(files, self.annotation) as ids:
            for first, last in slab_ranges(grid):
                found = positions(ids[first:last], self._ids)
                labels[first:last] = np.where(found < 0, self._ids.size, found)
        if self._side != "both":
            other = slice(grid.midline, None) if self._side == "left" else slice(None, grid.midline)
            labels[..., other] = self._ids.size
        return labels

    def _require_voxels(self, descendants: bool) -> None:
        present = np.zeros(self._ids.size + 1, np.bool_)
        for plane in self._labels:
            present[plane] = True
        empty = [row.acronym for row in self.structures if not (present & self._tables[row.id]).any()]
        if empty:
            where = "" if self._side == "both" else f" on the {self._side}"
            without = "" if descendants else " without their descendants"
            raise InputError(
                f"the annotation at {self.annotation.grid.spacing_um} um has no voxel{where} in "
                f"{listed(empty, limit=20)}{without}",
                hint="Leave them out. `bsv-store structures voxels` shows which structures have voxels.",
            )

    def __iter__(self) -> Iterator[tuple[StructureRow, NDArray[np.bool_]]]:
        return ((row, self.mask(row)) for row in self.structures)

    def mask(self, row: StructureRow) -> NDArray[np.bool_]:
        """The voxels of one of the structures: shape (ap, dv, ml)."""
        result: NDArray[np.bool_] = self._tables[row.id][self._labels]
        return result


def export_masks(
    database: Database,
    files: StoreFiles,
    structures: StructureRef | Sequence[StructureRef],
    folder: Path,
    *,
    ending: str = ".nrrd",
    spacing_um: int = 100,
    hemisphere: str = "both",
    descendants: bool = True,
    like_allen: bool = False,
    overwrite: bool = False,
) -> tuple[Path, ...]:
    """See :meth:`bsv_store.store.atlas.Atlas.export_masks`.

    Raises
    ------
    UnknownStructureError, MissingDataError, DamagedFileError
        As `StructureMasks` does.
    InputError
        Also if the ending is not valid, the folder does not exist, or a target exists and ``overwrite`` is False.
    """
    chosen = checked_format(folder / f"mask{ending}", IMAGE_FORMATS, options={"like_allen": like_allen})
    masks = StructureMasks(
        database, files, structures, spacing_um=spacing_um, hemisphere=hemisphere, descendants=descendants
    )
    # With the id, because CM and cm are one name for file systems that ignore case.
    targets = {row.id: folder / f"{row.id}_{_UNSAFE.sub('_', row.acronym)}{ending}" for row in masks.structures}
    for target in targets.values():
        check_target(target, overwrite=overwrite, marker=chosen.marker)
    for row, mask in masks:
        title = mask_title(row.acronym, hemisphere)
        image = Image(
            grid=Grid(spacing_um),
            dtype="bool",
            slabs=array_slabs(mask),
            title=title,
            name=title,
            content="mask",
            like_allen=like_allen,
            facts=annotation_facts(masks.annotation),
        )
        write_file(image, targets[row.id], IMAGE_FORMATS, overwrite=overwrite)
    return tuple(targets.values())

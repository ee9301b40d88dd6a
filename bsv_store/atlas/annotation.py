"""Reading the annotation: structure ids, masks of structures, and export of masks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bsv_store.atlas.masks import absolute_hemisphere, mask_of
from bsv_store.catalog.annotations import all_annotations, derivation_source, find_annotation
from bsv_store.catalog.structures import StructureRef, StructureRow, descendant_ids, find_structures
from bsv_store.check import several
from bsv_store.errors import InputError, MissingDataError
from bsv_store.formats.image import Image, array_slabs
from bsv_store.formats.output_file import check_target
from bsv_store.formats.table import IMAGE_FORMATS, checked_format, write_file
from bsv_store.text import listed
from bsv_store.vocabulary import SPACINGS_UM
from bsv_store.volumes.annotation import opened_annotation
from bsv_store.volumes.dense_file import ap_planes
from bsv_store.volumes.grid import Grid, checked_spacing

if TYPE_CHECKING:
    from pathlib import Path

    from bsv_store.catalog.database.engine import Database
    from bsv_store.volumes.annotation import AnnotationFile
    from bsv_store.volumes.files import StoreFiles

# NIfTI headers have space for 79 bytes.
_NAMES_LENGTH = 40


def stored_annotation(database: Database, spacing_um: int) -> AnnotationFile:
    """The file of the annotation of a spacing, as recorded in the catalog.

    Raises
    ------
    MissingDataError
        If the store does not have it; the hint is the command that downloads it.
    InputError
        If the spacing is not valid.
    """
    spacing_um = checked_spacing(spacing_um)
    with database.reading() as connection:
        found = find_annotation(connection, spacing_um)
        finer = None if found is not None else derivation_source(all_annotations(connection), spacing_um)
    if found is not None:
        return found
    hint = f"Download it: bsv-store sync annotation --spacing {spacing_um}"
    if finer is not None:
        finer_um = finer.grid.spacing_um
        hint = f"Derive it from the annotation at {finer_um} um: bsv-store sync annotation --spacing {finer_um}"
    raise MissingDataError(f"the store has no annotation at {spacing_um} um", hint=hint)


def annotation_facts(file: AnnotationFile) -> dict[str, str]:
    """The facts about the annotation in the ``attrs`` of tables by structure."""
    return {"annotation": file.name, "annotation_sha256": file.array_sha256}


@contextmanager
def annotation_of(database: Database, files: StoreFiles, spacing_um: int) -> Iterator[Any]:
    """An HDF5 dataset of the structure ids at a spacing, uint32, shape (ap, dv, ml), decompressed on access.

    Raises
    ------
    MissingDataError
        If the store does not have it; the hint is the command that downloads it.
    DamagedFileError
        If its file differs from what was published.
    """
    with opened_annotation(files, stored_annotation(database, spacing_um)) as ids:
        yield ids


def read_annotation(
    database: Database, files: StoreFiles, *, spacing_um: int = 100, ap: slice = slice(None)
) -> NDArray[np.uint32]:
    """See :meth:`bsv_store.store.atlas.Atlas.annotation`.

    Raises
    ------
    MissingDataError, DamagedFileError, InputError
        As `annotation_of`; or if ``ap`` is not a slice.
    """
    check_planes(ap)
    with annotation_of(database, files, spacing_um) as ids:
        return ap_planes(ids, ap)


def check_planes(ap: object) -> None:
    """Check the AP planes to read.

    Raises
    ------
    InputError
        If they are not a slice.
    """
    if not isinstance(ap, slice):
        raise InputError(f"ap must be a slice, got {ap!r}", hint="For example: slice(40, 60).")


def structure_mask(
    database: Database,
    files: StoreFiles,
    structures: StructureRef | Sequence[StructureRef],
    *,
    spacing_um: int = 100,
    hemisphere: str = "both",
    descendants: bool = True,
) -> NDArray[np.bool_]:
    """See :meth:`bsv_store.store.atlas.Atlas.mask`.

    Raises
    ------
    UnknownStructureError, MissingDataError, DamagedFileError
        If a structure is not in the ontology, or the annotation is missing or damaged.
    InputError
        If structures is empty, no voxel belongs to them, or the hemisphere or spacing is not valid.
    """
    mask, _ = _mask_with_annotation(
        database, files, structures, spacing_um=spacing_um, hemisphere=hemisphere, descendants=descendants
    )
    return mask


def _mask_with_annotation(
    database: Database,
    files: StoreFiles,
    structures: StructureRef | Sequence[StructureRef],
    *,
    spacing_um: int,
    hemisphere: str,
    descendants: bool,
) -> tuple[NDArray[np.bool_], AnnotationFile]:
    """The mask of structures, and the annotation from which it was made."""
    side = absolute_hemisphere(hemisphere)
    with database.reading() as connection:
        rows = named_structures(find_structures(connection, references(structures)))
        ids = {row.id for row in rows}
        below = descendant_ids(connection, ids)
        parents = [row.parent_structure_id for row in rows if row.parent_structure_id is not None]
        above = [row.acronym for row in find_structures(connection, sorted(set(parents)))]
        ids |= below if descendants else set()
    file = stored_annotation(database, spacing_um)
    with opened_annotation(files, file) as annotation:
        mask = mask_of(annotation, ids, hemisphere=side)
        if mask.any():
            return mask, file
        where = "" if side == "both" else f" on the {side}"
        if not descendants and mask_of(annotation, below, hemisphere=side).any():
            hint = "Voxels are assigned to the finest structures; include the descendants."
        elif side != "both" and mask_of(annotation, ids).any():
            hint = "There are voxels in the other hemisphere; use 'both'."
        else:
            hint = "A small structure may have voxels at a finer spacing. " if spacing_um > min(SPACINGS_UM) else ""
            hint += f"It is part of {listed(above)}." if above else ""
    raise InputError(
        f"the annotation at {spacing_um} um has no voxel{where} in {listed(row.acronym for row in rows)}"
        f"{'' if descendants else ' without its descendants'}",
        hint=hint.strip() or None,
    )


def export_mask(
    database: Database,
    files: StoreFiles,
    structures: StructureRef | Sequence[StructureRef],
    target: Path,
    *,
    spacing_um: int = 100,
    hemisphere: str = "both",
    descendants: bool = True,
    like_allen: bool = False,
    overwrite: bool = False,
) -> None:
    """See :meth:`bsv_store.store.atlas.Atlas.export_mask`.

    Raises
    ------
    UnknownStructureError, MissingDataError, DamagedFileError
        As `structure_mask` does.
    InputError
        As `structure_mask` does; or if the ending is not one of `IMAGE_FORMATS`, the parent folder does not exist, or
        the target exists and ``overwrite`` is False.
    NoSpaceError
        If the disk is full.
    """
    # Checked before the mask is computed.
    chosen = checked_format(target, IMAGE_FORMATS, options={"like_allen": like_allen})
    check_target(target, overwrite=overwrite, marker=chosen.marker)
    mask, annotation = _mask_with_annotation(
        database, files, structures, spacing_um=spacing_um, hemisphere=hemisphere, descendants=descendants
    )
    title = mask_title(structures, hemisphere)
    image = Image(
        grid=Grid(spacing_um),
        dtype="bool",
        slabs=array_slabs(mask),
        title=title,
        name=title,
        content="mask",
        like_allen=like_allen,
        facts=annotation_facts(annotation),
    )
    write_file(image, target, IMAGE_FORMATS, overwrite=overwrite)


def mask_title(structures: StructureRef | Sequence[StructureRef], hemisphere: str) -> str:
    """The title of a mask for file headers: one short line of ASCII characters."""
    names = ", ".join(map(str, references(structures))).encode("ascii", "replace").decode()
    side = "" if hemisphere == "both" else f", {hemisphere} hemisphere"
    return f"mask of {names if len(names) <= _NAMES_LENGTH else f'{names[:_NAMES_LENGTH]}...'}{side}"


def references(structures: StructureRef | Sequence[StructureRef]) -> list[StructureRef]:
    """One or more structures as a list.

    Raises
    ------
    InputError
        If the value is neither a structure nor a list.
    """
    return several("structures", structures, such_as="'CP', 672 or ['CP', 'TH']")


def named_structures(rows: Sequence[StructureRow]) -> tuple[StructureRow, ...]:
    """The structures without duplicates, in ontology order.

    Raises
    ------
    InputError
        If there are none.
    """
    if not rows:
        raise InputError("structures must not be empty", hint="Name one or more, by acronym or id.")
    return tuple(sorted(set(rows), key=lambda row: (row.graph_order, row.id)))

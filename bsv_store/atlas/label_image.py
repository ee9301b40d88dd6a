"""Export of the annotation as a label image with consecutive numbers, for ITK-SNAP and 3D Slicer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from bsv_store.atlas.annotation import annotation_facts, named_structures, references, stored_annotation
from bsv_store.atlas.labels import positions
from bsv_store.atlas.voxel_counts import count_ids
from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import StructureAncestor
from bsv_store.catalog.structure_lookup import rgb
from bsv_store.catalog.structures import (
    StructureRef,
    StructureRow,
    all_structures,
    find_structures,
)
from bsv_store.catalog.structures import structure_set as members_of_set
from bsv_store.check import without
from bsv_store.errors import InputError
from bsv_store.formats.image import Image
from bsv_store.formats.label_files import LABEL_FORMATS, MAX_LABEL, Label
from bsv_store.formats.output_file import check_target
from bsv_store.formats.table import IMAGE_FORMATS, checked_format, write_file
from bsv_store.html import card
from bsv_store.text import number_of
from bsv_store.volumes.annotation import opened_annotation
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.layout import slab_ranges

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection

    from bsv_store.catalog.database.engine import Database
    from bsv_store.volumes.files import StoreFiles

_UNKNOWN_COLOR = (128, 128, 128)


@dataclass(frozen=True, slots=True)
class LabelFiles:
    """The files of a label image.

    Attributes
    ----------
    image : pathlib.Path
    label_description : pathlib.Path
        For ITK-SNAP: Segmentation, Import Label Descriptions.
    color_table : pathlib.Path
        For 3D Slicer: add it as a color node, and choose it for the label map.
    labels : tuple of Label
        The number, name and color of each label.
    structure_ids : tuple of int
        Allen's id of each label.
    """

    image: Path
    label_description: Path
    color_table: Path
    labels: tuple[Label, ...]
    structure_ids: tuple[int, ...]

    def _repr_html_(self) -> str:
        facts = [
            ("Labels", f"{len(self.labels):,}"),
            ("For ITK-SNAP", self.label_description),
            ("For 3D Slicer", self.color_table),
        ]
        return card(str(self.image), kind="label image", facts=facts)


def export_labels(
    database: Database,
    files: StoreFiles,
    target: Path,
    *,
    structures: StructureRef | Sequence[StructureRef] | None = None,
    structure_set: int | None = None,
    spacing_um: int = 100,
    like_allen: bool = False,
    overwrite: bool = False,
) -> LabelFiles:
    """See :meth:`bsv_store.store.atlas.Atlas.export_labels`.

    Raises
    ------
    UnknownStructureError, MissingDataError, DamagedFileError
        If a structure is not in the ontology, or the annotation is missing or damaged.
    InputError
        If there are more structures than ITK-SNAP has labels, or a target cannot be written.
    """
    chosen = checked_format(target, IMAGE_FORMATS, options={"like_allen": like_allen})
    stem = target.name[: -len(chosen.ending)]
    description, colors = (target.with_name(stem + each.ending) for each in LABEL_FORMATS)
    for path, marker in ((target, chosen.marker), (description, None), (colors, None)):
        check_target(path, overwrite=overwrite, marker=marker)
    with database.reading() as connection:
        rows = _chosen(connection, structures, structure_set)
        finest = None if rows is None else _finest(connection, rows)
        known = {row.id: row for row in all_structures(connection)}
    file = stored_annotation(database, spacing_um)
    with opened_annotation(files, file) as annotation:
        if finest is None:
            present = count_ids(annotation).ids.tolist()
            ordered = sorted(present, key=lambda each: (known[each].graph_order if each in known else len(known), each))
            finest = {each: each for each in ordered}
        else:
            ordered = [row.id for row in rows or ()]
        if len(ordered) > MAX_LABEL:
            raise InputError(f"a label image can have {MAX_LABEL:,} labels, got {number_of(len(ordered), 'structure')}")
        labels = tuple(_label(number, each, known) for number, each in enumerate(ordered, start=1))
        title = f"labels of {number_of(len(labels), 'structure')}"
        image = Image(
            grid=Grid(spacing_um),
            dtype="uint16",
            slabs=lambda _: _slabs(annotation, finest, ordered),
            title=title,
            name=title,
            content="labels",
            like_allen=like_allen,
            facts=annotation_facts(file),
        )
        write_file(image, target, IMAGE_FORMATS, overwrite=overwrite)
    for path in (description, colors):
        write_file(labels, path, LABEL_FORMATS, overwrite=overwrite)
    return LabelFiles(target, description, colors, labels, tuple(ordered))


def _chosen(
    connection: Connection, structures: StructureRef | Sequence[StructureRef] | None, set_id: int | None
) -> tuple[StructureRow, ...] | None:
    """The structures that get a label; None for all that have voxels of their own."""
    without("structures", "structure_set", structures is not None and set_id is not None)
    if set_id is not None:
        return members_of_set(connection, set_id)
    return None if structures is None else named_structures(find_structures(connection, references(structures)))


def _finest(connection: Connection, rows: Sequence[StructureRow]) -> dict[int, int]:
    """The finest of the structures that contains each structure, by id."""
    query = select(StructureAncestor.descendant_id, StructureAncestor.ancestor_id).where(
        id_in(connection, StructureAncestor.ancestor_id, [row.id for row in rows])
    )
    # The nearest ancestor comes last.
    return {below: above for below, above in connection.execute(query.order_by(StructureAncestor.distance.desc()))}


def _label(number: int, structure_id: int, known: Mapping[int, StructureRow]) -> Label:
    row = known.get(structure_id)
    if row is None:
        # In an annotation that is not Allen's.
        return Label(number, f"structure {structure_id}", _UNKNOWN_COLOR)
    return Label(number, f"{row.acronym} ({row.name})", rgb(row))


def _slabs(annotation: Any, finest: Mapping[int, int], ordered: Sequence[int]) -> Iterator[tuple[int, NDArray[Any]]]:
    numbers = {each: number for number, each in enumerate(ordered, start=1)}
    ids = np.array(sorted(finest), np.int64)
    # The last one is for all other structures, whose position is -1.
    table = np.array([*(numbers[finest[each]] for each in ids.tolist()), 0], np.uint16)
    for first, last in slab_ranges(Grid.from_shape(tuple(annotation.shape))):
        yield first, table[positions(annotation[first:last], ids)]

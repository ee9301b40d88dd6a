"""Numbers of voxels of structures according to the annotation, direct and including descendants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from bsv_store.atlas.annotation import annotation_facts, named_structures, references, stored_annotation
from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import StructureAncestor
from bsv_store.catalog.structures import StructureRef, all_structures, find_structures
from bsv_store.catalog.structures import structure_set as members_of_set
from bsv_store.check import without
from bsv_store.volumes.annotation import opened_annotation, runs
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.layout import slab_ranges

if TYPE_CHECKING:
    import pandas as pd

    from bsv_store.catalog.database.engine import Database
    from bsv_store.volumes.files import StoreFiles

_UM3_PER_MM3 = 1e9


class IdCounts(NamedTuple):
    """The ids in an annotation, without 0, and their numbers of voxels.

    Attributes
    ----------
    ids : ndarray of int64, shape (n,)
        Ascending.
    voxels : ndarray of int64, shape (n, 2)
        On the left and on the right.
    """

    ids: NDArray[np.int64]
    voxels: NDArray[np.int64]


def count_ids(annotation: Any) -> IdCounts:
    """Count the voxels of each id in each hemisphere.

    Parameters
    ----------
    annotation : ndarray of int, or an open HDF5 dataset of them, shape (ap, dv, ml)
        Read in blocks.
    """
    grid = Grid.from_shape(tuple(annotation.shape), what="the annotation")
    counts: dict[int, NDArray[np.int64]] = {}
    for first, last in slab_ranges(grid):
        planes = annotation[first:last]
        for side, half in enumerate((planes[..., : grid.midline], planes[..., grid.midline :])):
            block = np.ascontiguousarray(half)
            starts, lengths = runs(block)
            ids, place = np.unique(block.reshape(-1)[starts], return_inverse=True)
            found = np.bincount(place.reshape(-1), weights=lengths).astype(np.int64)
            for identifier, number in zip(ids.tolist(), found.tolist(), strict=True):
                counts.setdefault(identifier, np.zeros(2, np.int64))[side] += number
    counts.pop(0, None)
    ids = np.array(sorted(counts), np.int64)
    return IdCounts(ids, np.array([counts[each] for each in ids.tolist()], np.int64).reshape(-1, 2))


def voxel_counts(
    database: Database,
    files: StoreFiles,
    structures: StructureRef | Sequence[StructureRef] | None = None,
    *,
    structure_set: int | None = None,
    spacing_um: int = 100,
) -> pd.DataFrame:
    """See :meth:`bsv_store.store.atlas.Atlas.voxel_counts`.

    Raises
    ------
    UnknownStructureError, MissingDataError, DamagedFileError, InputError
        See there.
    """
    import pandas as pd

    without("structures", "structure_set", structures is not None and structure_set is not None)
    with database.reading() as connection:
        if structure_set is not None:
            rows = members_of_set(connection, structure_set)
        elif structures is not None:
            rows = named_structures(find_structures(connection, references(structures)))
        else:
            rows = all_structures(connection)
        query = select(StructureAncestor.ancestor_id, StructureAncestor.descendant_id).where(
            id_in(connection, StructureAncestor.ancestor_id, [row.id for row in rows])
        )
        pairs = np.array([tuple(row) for row in connection.execute(query)], np.int64).reshape(-1, 2)
    file = stored_annotation(database, spacing_um)
    with opened_annotation(files, file) as annotation:
        counts = count_ids(annotation)
    wanted = np.array([row.id for row in rows], np.int64)
    direct = np.zeros((wanted.size, 2), np.int64)
    total = direct.copy()
    if counts.ids.size:
        _add(direct, wanted, np.stack([wanted, wanted], axis=1), counts)
        _add(total, wanted, pairs, counts)
    frame = pd.DataFrame(
        {
            "structure_id": wanted,
            "structure": pd.Series([row.acronym for row in rows], dtype=object),
            "name": pd.Series([row.name for row in rows], dtype=object),
            "direct_voxels": direct.sum(axis=1),
            "voxels": total.sum(axis=1),
            "left_voxels": total[:, 0],
            "right_voxels": total[:, 1],
            "volume": total.sum(axis=1) * (spacing_um**3 / _UM3_PER_MM3),
        }
    )
    frame.attrs.update(annotation_facts(file), volume_unit="mm3")
    return frame


def _add(target: NDArray[np.int64], wanted: NDArray[np.int64], pairs: NDArray[np.int64], counts: IdCounts) -> None:
    """Add the voxels of the second id of each pair to the row of the first one."""
    order = np.argsort(wanted, kind="stable")
    row = order[np.searchsorted(wanted[order], pairs[:, 0])]
    place = np.minimum(np.searchsorted(counts.ids, pairs[:, 1]), counts.ids.size - 1)
    has_voxels = counts.ids[place] == pairs[:, 1]
    np.add.at(target, row[has_voxels], counts.voxels[place[has_voxels]])

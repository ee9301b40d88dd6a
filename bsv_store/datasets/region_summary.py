"""What a version says of each brain structure, as a table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bsv_store.aggregation.regions import region_means
from bsv_store.catalog.structures import StructureRef, StructureRow, find_structures, subtree

if TYPE_CHECKING:
    import pandas as pd

    from bsv_store.catalog.engine import Database
    from bsv_store.datasets.version import DatasetVersion


def region_summary(
    database: Database,
    version: DatasetVersion,
    annotation: NDArray[np.integer[Any]],
    *,
    structures: Iterable[StructureRef] | None = None,
) -> pd.DataFrame:
    """Mean of each group over each structure and hemisphere.

    Parameters
    ----------
    database : Database
        Of the ontology.
    version : DatasetVersion
    annotation : ndarray of int, shape (ap, dv, ml)
        Structure id of each voxel on the version's grid; 0 is outside the brain.
    structures : iterable of str or int, optional
        Acronyms or ids; descendants belong to them. By default all that the annotation names, without descendants'
        ancestors.

    Returns
    -------
    pandas.DataFrame
        Columns group (number), group_label, structure_id, acronym, name, hemisphere ('left', 'right', 'both'; for a
        folded result 'contralateral', 'ipsilateral', 'both'), voxels (with a value) and mean (NaN without any).

    Raises
    ------
    UnknownStructureError
        If the ontology lacks one of the structures.
    FrameError
        If the annotation does not lie on the version's grid.
    DamagedFileError
        If the result file is not what was published.
    """
    import pandas as pd

    wanted = _named_in(annotation) if structures is None else structures
    with database.reading() as connection:
        rows = find_structures(connection, wanted)
        members = {row.id: [below.id for below in subtree(connection, row.id)] for row in rows}
    with version.open() as file:
        table = region_means(file["mean"], annotation, members, hemisphere=version.recipe.hemisphere)
    frame = pd.DataFrame(table.columns())
    by_id: dict[int, StructureRow] = {row.id: row for row in rows}
    frame.insert(1, "group_label", [version.groups[number].label for number in table.group])
    frame.insert(3, "acronym", [by_id[identifier].acronym for identifier in table.structure_id.tolist()])
    frame.insert(4, "name", [by_id[identifier].name for identifier in table.structure_id.tolist()])
    return frame


def _named_in(annotation: NDArray[np.integer[Any]]) -> list[int]:
    found: set[int] = set()
    for plane in annotation:
        found.update(np.unique(plane).tolist())
    return sorted(found - {0})

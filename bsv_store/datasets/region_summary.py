"""What a version says of each brain structure, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bsv_store.aggregation.regions import region_means
from bsv_store.catalog.signal import SUMMARY_STRUCTURE_SET_ID
from bsv_store.catalog.structures import StructureRef, StructureRow, find_structures, structure_set, subtree
from bsv_store.datasets.annotation import annotation_of, named_structures, references
from bsv_store.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from sqlalchemy import Connection

    from bsv_store.catalog.engine import Database
    from bsv_store.datasets.version import DatasetVersion
    from bsv_store.volumes.files import StoreFiles


def region_summary(
    database: Database,
    files: StoreFiles,
    version: DatasetVersion,
    *,
    structures: StructureRef | Sequence[StructureRef] | None = None,
    structure_set: int | None = None,
) -> pd.DataFrame:
    """Mean of each group over each structure and hemisphere, by the annotation of the store.

    Parameters
    ----------
    version : DatasetVersion
    structures : str, int or sequence of them, optional
        Acronyms (case matters) or ids; descendants belong to them.
    structure_set : int, optional
        Allen's id of a set of structures. Without either, the summary structures (167587189).

    Returns
    -------
    pandas.DataFrame
        Rows by group, then by structure in ontology order, then by hemisphere. Columns group (number), group_label,
        structure_id, acronym, name, hemisphere ('left', 'right', 'both'; for a folded result 'contralateral',
        'ipsilateral', 'both'), voxels (with a value) and mean (NaN without any).

    Raises
    ------
    MissingDataError
        If the store has no annotation at the version's spacing; the hint is the command that brings it.
    UnknownStructureError
        If the ontology lacks one of the structures.
    InputError
        If both structures and a set are given, or there is no such set.
    DamagedFileError
        If the result file or the annotation is not what was published.
    """
    import pandas as pd

    with database.reading() as connection:
        rows = _wanted(connection, structures, structure_set)
        members = {row.id: [below.id for below in subtree(connection, row.id)] for row in rows}
    with annotation_of(database, files, version.recipe.spacing_um) as annotation, version.open() as file:
        table = region_means(file["mean"], annotation, members, hemisphere=version.recipe.hemisphere)
    frame = pd.DataFrame(table.columns())
    by_id: dict[int, StructureRow] = {row.id: row for row in rows}
    frame.insert(1, "group_label", [version.groups[number].label for number in table.group])
    frame.insert(3, "acronym", [by_id[identifier].acronym for identifier in table.structure_id.tolist()])
    frame.insert(4, "name", [by_id[identifier].name for identifier in table.structure_id.tolist()])
    return frame


def _wanted(
    connection: Connection, structures: StructureRef | Sequence[StructureRef] | None, set_id: int | None
) -> tuple[StructureRow, ...]:
    if structures is None:
        return structure_set(connection, SUMMARY_STRUCTURE_SET_ID if set_id is None else set_id)
    if set_id is not None:
        raise InputError("both structures and a structure set are given", hint="Give one of them.")
    return named_structures(find_structures(connection, references(structures)))

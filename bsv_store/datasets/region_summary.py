"""What a version says of each brain structure, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bsv_store.atlas.annotation import annotation_of, named_structures, references
from bsv_store.catalog.search.signal import SUMMARY_STRUCTURE_SET_ID
from bsv_store.catalog.structures import StructureRef, StructureRow, find_structures, structure_set, subtree
from bsv_store.check import several, whole_number
from bsv_store.datasets.region_means import region_means
from bsv_store.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from sqlalchemy import Connection

    from bsv_store.catalog.database.engine import Database
    from bsv_store.datasets.version import DatasetVersion
    from bsv_store.volumes.files import StoreFiles


def region_summary(
    database: Database,
    files: StoreFiles,
    version: DatasetVersion,
    *,
    structures: StructureRef | Sequence[StructureRef] | None = None,
    structure_set: int | None = None,
    groups: int | Sequence[int] | None = None,
    hemisphere: str | Sequence[str] | None = None,
    limit: int | None = None,
) -> pd.DataFrame:
    """Mean of each group over each structure and hemisphere, by the annotation of the store.

    Parameters
    ----------
    version : DatasetVersion
    structures : str, int or sequence of them, optional
        Acronyms (case matters) or ids; descendants belong to them.
    structure_set : int, optional
        Allen's id of a set of structures. Without either, the summary structures (167587189).
    groups : int or sequence of int, optional
        Numbers of the groups; only they are read. All by default.
    hemisphere : str or sequence of str, optional
        Of those that the column names; all by default.
    limit : int, optional
        Of each group and hemisphere so many structures, those with the largest mean first.

    Returns
    -------
    pandas.DataFrame
        Rows by group, then by structure in ontology order, then by hemisphere; with `limit` by group, hemisphere and
        mean. Columns group (number), group_label, structure_id, acronym, name, hemisphere ('left', 'right', 'both';
        for a folded result 'contralateral', 'ipsilateral', 'both'), voxels (with a value) and mean (NaN without any).
        A group without experiments has no voxel with a value.

    Raises
    ------
    MissingDataError
        If the store has no annotation at the version's spacing; the hint is the command that brings it.
    UnknownStructureError
        If the ontology lacks one of the structures.
    InputError
        If both structures and a set are given, or there is no such set, group or hemisphere.
    DamagedFileError
        If the result file or the annotation is not what was published.
    """
    import pandas as pd

    numbers = _groups(version, groups)
    sides = _hemispheres(version, hemisphere)
    if limit is not None:
        whole_number("limit", limit, least=1)
    if structure_set is not None:
        whole_number("structure_set", structure_set, least=1)
    with database.reading() as connection:
        rows = _wanted(connection, structures, structure_set)
        members = {row.id: [below.id for below in subtree(connection, row.id)] for row in rows}
    with annotation_of(database, files, version.recipe.spacing_um) as annotation, version.open() as file:
        chosen: Any = _Chosen(file["mean"], numbers)
        table = region_means(chosen, annotation, members, hemisphere=version.recipe.hemisphere_rule)
    frame = pd.DataFrame(table.columns())
    frame["group"] = np.array(numbers, np.int64)[table.group]
    by_id: dict[int, StructureRow] = {row.id: row for row in rows}
    frame.insert(1, "group_label", [version.groups[number].label for number in frame["group"]])
    frame.insert(3, "structure", [by_id[identifier].acronym for identifier in table.structure_id.tolist()])
    frame.insert(4, "name", [by_id[identifier].name for identifier in table.structure_id.tolist()])
    # Stored as 0, as Brain Street View does; in a table nobody could tell that from "projects nowhere".
    nobody = frame["group"].isin([group.number for group in version.empty_groups])
    frame.loc[nobody, "voxels"], frame.loc[nobody, "mean"] = 0, np.nan
    frame = frame[frame["hemisphere"].isin(sides)].reset_index(drop=True)
    return frame if limit is None else _strongest(frame, sides, limit)


class _Chosen:
    """Some groups of a mean that is still in its file, numbered anew, as `region_means` reads it."""

    def __init__(self, mean: Any, numbers: Sequence[int]) -> None:
        self._mean = mean
        self._numbers = numbers
        self.shape = (len(numbers), *mean.shape[1:])

    def __getitem__(self, where: tuple[int, slice]) -> NDArray[np.floating[Any]]:
        group, planes = where
        values: NDArray[np.floating[Any]] = self._mean[self._numbers[group], planes]
        return values


def _strongest(frame: pd.DataFrame, sides: Sequence[str], limit: int) -> pd.DataFrame:
    """The first structures of each group and hemisphere by their mean; equal ones in ontology order."""
    order = frame["hemisphere"].map({side: number for number, side in enumerate(sides)})
    ordered = frame.assign(_side=order).sort_values(
        ["group", "_side", "mean"], ascending=[True, True, False], kind="stable"
    )
    return ordered.groupby(["group", "_side"], sort=False).head(limit).drop(columns="_side").reset_index(drop=True)


def _groups(version: DatasetVersion, groups: int | Sequence[int] | None) -> list[int]:
    known = range(len(version.groups))
    if groups is None:
        return list(known)
    numbers = several("groups", groups, such_as="groups=[0, 2]")
    unknown = [number for number in numbers if isinstance(number, bool) or number not in known]
    if unknown or not numbers:
        what = f"has no group {unknown[0]!r}" if unknown else "was asked about no group"
        raise InputError(f"{version.ref} {what}", hint=f"Its groups are 0 to {len(known) - 1}.")
    return sorted(set(numbers))


def _hemispheres(version: DatasetVersion, hemisphere: str | Sequence[str] | None) -> list[str]:
    is_folded = version.recipe.hemisphere_rule == "fold_ipsilateral"
    known = ["contralateral", "ipsilateral", "both"] if is_folded else ["left", "right", "both"]
    if hemisphere is None:
        return known
    wanted = several("hemisphere", hemisphere, such_as="hemisphere='both'")
    unknown = [each for each in wanted if each not in known]
    if unknown or not wanted:
        what = f"has no hemisphere {unknown[0]!r}" if unknown else "was asked about no hemisphere"
        why = "It was folded: they" if is_folded else "Without folding they"
        raise InputError(f"{version.ref} {what}", hint=f"{why} are {', '.join(known)}.")
    return [side for side in known if side in wanted]


def _wanted(
    connection: Connection, structures: StructureRef | Sequence[StructureRef] | None, set_id: int | None
) -> tuple[StructureRow, ...]:
    if structures is None:
        return structure_set(connection, SUMMARY_STRUCTURE_SET_ID if set_id is None else set_id)
    if set_id is not None:
        raise InputError("both structures and a structure set are given", hint="Give one of them.")
    return named_structures(find_structures(connection, references(structures)))

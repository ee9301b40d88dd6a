"""Means of a version over structures, as tables: of its groups, over the animals of its groups, of its animals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bsv_store.atlas.annotation import annotation_facts, named_structures, references, stored_annotation
from bsv_store.averaging.hemisphere import half_names
from bsv_store.catalog.structures import StructureRef, StructureRow, find_structures, structure_set, subtree
from bsv_store.check import boolean, checked_group, choice, several, whole_number
from bsv_store.datasets.animal_regions import ANIMAL_COLUMNS, animal_means, statistics_of
from bsv_store.datasets.arrays import require_voxels
from bsv_store.datasets.region_means import region_means
from bsv_store.errors import InputError
from bsv_store.vocabulary import HEMISPHERE_RULES, MEASURED_HEMISPHERES, SUMMARY_STRUCTURE_SET_ID, MeasuredHemisphere
from bsv_store.volumes.annotation import opened_annotation

if TYPE_CHECKING:
    import pandas as pd
    from sqlalchemy import Connection

    from bsv_store.catalog.database.engine import Database
    from bsv_store.datasets.share.source import VersionSource
    from bsv_store.progress import Progress
    from bsv_store.volumes.files import StoreFiles


def region_summary(
    database: Database,
    files: StoreFiles,
    version: VersionSource,
    *,
    structures: StructureRef | Sequence[StructureRef] | None = None,
    structure_set: int | None = None,
    groups: int | Sequence[int] | None = None,
    hemisphere: str | Sequence[str] | None = None,
    over_animals: bool = False,
    limit: int | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Mean of each group over structures; see `Datasets.regions`."""
    import pandas as pd

    require_voxels(version)
    numbers = chosen_groups(version, groups)
    sides = chosen_hemispheres(version, hemisphere, over_animals=boolean("over_animals", over_animals))
    if limit is not None:
        whole_number("limit", limit, least=1)
    if structure_set is not None:
        whole_number("structure_set", structure_set, least=1)
    with database.reading() as connection:
        rows = _structures(connection, structures, structure_set)
        members = {row.id: [below.id for below in subtree(connection, row.id)] for row in rows}
    if over_animals:
        means = animal_means(database, files, version, members, sides, progress=progress)
        found = statistics_of(means, numbers)
        columns = {name: getattr(found, name).reshape(-1) for name in ANIMAL_COLUMNS}
        frame = pd.DataFrame({**_keys(version, rows, numbers, sides), **columns})
        frame.attrs.update({**means.facts, "weight_by": version.recipe.weight_by})
        return frame if limit is None else _strongest(frame, sides, limit)
    annotation_file = stored_annotation(database, version.recipe.spacing_um)
    with opened_annotation(files, annotation_file) as annotation, version.open() as file:
        chosen: Any = ChosenGroups(file["mean"], numbers)
        table = region_means(chosen, annotation, members, hemisphere_rule=version.recipe.hemisphere_rule)
    frame = pd.DataFrame(table.columns())
    frame.attrs.update({**annotation_facts(annotation_file), "weight_by": version.recipe.weight_by})
    frame["group"] = np.array(numbers, np.int64)[table.group]
    by_id: dict[int, StructureRow] = {row.id: row for row in rows}
    frame.insert(1, "group_label", [version.groups[number].label for number in frame["group"]])
    frame.insert(3, "structure", [by_id[identifier].acronym for identifier in table.structure_id.tolist()])
    frame.insert(4, "name", [by_id[identifier].name for identifier in table.structure_id.tolist()])
    frame = without_empty_groups(frame, version)
    frame = frame[frame["hemisphere"].isin(sides)].reset_index(drop=True)
    return frame if limit is None else _strongest(frame, sides, limit)


def animal_region_table(
    database: Database,
    files: StoreFiles,
    version: VersionSource,
    *,
    structures: StructureRef | Sequence[StructureRef] | None = None,
    structure_set: int | None = None,
    groups: int | Sequence[int] | None = None,
    hemisphere: str | Sequence[str] | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Mean of each animal over structures; see `Datasets.animal_regions`."""
    import pandas as pd

    require_voxels(version)
    numbers = chosen_groups(version, groups)
    sides = chosen_hemispheres(version, hemisphere, over_animals=True)
    with database.reading() as connection:
        rows = _structures(connection, structures, structure_set)
        members = {row.id: [below.id for below in subtree(connection, row.id)] for row in rows}
    means = animal_means(database, files, version, members, sides, progress=progress)
    chosen = np.isin(means.group, numbers)
    ids, own = means.experiment_ids[chosen], means.group[chosen]
    per_animal = len(rows) * len(sides)
    keys = _keys(version, rows, own.tolist(), sides)
    frame = pd.DataFrame(
        {
            "experiment_id": np.repeat(ids, per_animal),
            **keys,
            "voxels": means.voxels[chosen].reshape(-1),
            "mean": means.mean[chosen].reshape(-1),
        }
    )
    frame.attrs.update(means.facts)
    return frame


def _keys(
    version: VersionSource, rows: Sequence[StructureRow], groups: Sequence[int], sides: Sequence[str]
) -> dict[str, Any]:
    """The first columns, of all combinations of group, structure and hemisphere."""
    group, structure, side = (
        each.reshape(-1) for each in np.indices((len(groups), len(rows), len(sides)), dtype=np.int64)
    )
    labels = {number: version.groups[number].label for number in groups}
    return {
        "group": np.array(groups, np.int64)[group],
        "group_label": np.array([labels[number] for number in groups], object)[group],
        "structure_id": np.array([row.id for row in rows], np.int64)[structure],
        "structure": np.array([row.acronym for row in rows], object)[structure],
        "name": np.array([row.name for row in rows], object)[structure],
        "hemisphere": np.array(sides, object)[side],
    }


def without_empty_groups(frame: pd.DataFrame, version: VersionSource) -> pd.DataFrame:
    """The table, in which groups without experiments have no voxel and no mean.

    Their mean is stored as 0, as in Brain Street View, but a 0 here would mean "no projection".
    """
    is_empty = frame["group"].isin([group.number for group in version.empty_groups])
    frame.loc[is_empty, "voxels"], frame.loc[is_empty, "mean"] = 0, np.nan
    return frame


class ChosenGroups:
    """Some groups of the mean in an open file, numbered from 0, for `region_means`."""

    def __init__(self, mean: Any, numbers: Sequence[int]) -> None:
        self._mean = mean
        self._numbers = numbers
        self.shape = (len(numbers), *mean.shape[1:])

    def __getitem__(self, where: tuple[int, slice]) -> NDArray[np.floating[Any]]:
        group, planes = where
        values: NDArray[np.floating[Any]] = self._mean[self._numbers[group], planes]
        return values


def _strongest(frame: pd.DataFrame, sides: Sequence[str], limit: int) -> pd.DataFrame:
    """The structures with the largest mean of each group and hemisphere; equal ones in ontology order."""
    order = frame["hemisphere"].map({side: number for number, side in enumerate(sides)})
    ordered = frame.assign(_side=order).sort_values(
        ["group", "_side", "mean"], ascending=[True, True, False], kind="stable"
    )
    return ordered.groupby(["group", "_side"], sort=False).head(limit).drop(columns="_side").reset_index(drop=True)


def chosen_groups(version: VersionSource, groups: int | Sequence[int] | None) -> list[int]:
    """The numbers of groups of a version, ascending, by default all.

    Raises
    ------
    InputError
        If one does not exist.
    """
    known = range(len(version.groups))
    if groups is None:
        return list(known)
    numbers = several("groups", groups, such_as="groups=[0, 2]")
    if not numbers:
        raise InputError("groups must not be empty", hint=f"Its groups are 0 to {len(known) - 1}.")
    return sorted({checked_group(number, len(known), what=version.ref) for number in numbers})


def chosen_hemispheres(
    version: VersionSource, hemisphere: str | Sequence[str] | None, *, over_animals: bool
) -> list[MeasuredHemisphere]:
    """Hemispheres of a version, in a fixed order, by default all.

    Raises
    ------
    InputError
        If the version does not have one of them.
    """
    rule = version.recipe.hemisphere_rule
    names: list[MeasuredHemisphere] = [*half_names(rule), "both"]
    # The mean of a group does not have them, unless all injections are on one side.
    if over_animals and not HEMISPHERE_RULES[rule].is_folded:
        names += ["ipsilateral", "contralateral"]
    if hemisphere is None:
        return names
    wanted = [
        choice("hemisphere", each, MEASURED_HEMISPHERES).name
        for each in several("hemisphere", hemisphere, such_as="'both'")
    ]
    state = "folded" if HEMISPHERE_RULES[rule].is_folded else "not folded"
    hint = f"It is {state}: its hemispheres are {', '.join(names)}."
    if not over_animals and not HEMISPHERE_RULES[rule].is_folded:
        hint += " Use over_animals=True for ipsilateral and contralateral."
    if not wanted:
        raise InputError("hemisphere must not be empty", hint=hint)
    unknown = [each for each in wanted if each not in names]
    if unknown:
        raise InputError(f"{version.ref} has no hemisphere {unknown[0]!r}", hint=hint)
    return [side for side in names if side in wanted]


def _structures(
    connection: Connection, structures: StructureRef | Sequence[StructureRef] | None, set_id: int | None
) -> tuple[StructureRow, ...]:
    if structures is None:
        return structure_set(connection, SUMMARY_STRUCTURE_SET_ID if set_id is None else set_id)
    if set_id is not None:
        raise InputError("structures cannot be combined with structure_set", hint="Use one of them.")
    return named_structures(find_structures(connection, references(structures)))

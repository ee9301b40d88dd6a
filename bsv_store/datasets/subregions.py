"""Means of a version over subdivisions of a structure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bsv_store.atlas.annotation import annotation_facts, stored_annotation
from bsv_store.atlas.parcellation import Bins, Labels, parcellation
from bsv_store.atlas.subregions import arrays_of
from bsv_store.check import boolean
from bsv_store.datasets.animal_regions import ANIMAL_COLUMNS, animal_means, statistics_of
from bsv_store.datasets.arrays import require_voxels
from bsv_store.datasets.region_means import region_means
from bsv_store.datasets.region_summary import ChosenGroups, chosen_groups, chosen_hemispheres, without_empty_groups

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from bsv_store.atlas.parcellation import Parcellation
    from bsv_store.catalog.database.engine import Database
    from bsv_store.catalog.structures import StructureRef
    from bsv_store.datasets.animal_regions import AnimalMeans
    from bsv_store.datasets.version import DatasetVersion
    from bsv_store.progress import Progress
    from bsv_store.vocabulary import MeasuredHemisphere
    from bsv_store.volumes.files import StoreFiles


def subregion_means(
    database: Database,
    files: StoreFiles,
    version: DatasetVersion,
    structures: StructureRef | Sequence[StructureRef] | None,
    *,
    bins: Bins | None,
    labels: Labels | None,
    label_names: Mapping[int, str] | Path | str | None,
    groups: int | Sequence[int] | None,
    hemisphere: str | Sequence[str] | None,
    over_animals: bool = False,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Mean of each group over subregions; see `Datasets.subregions`."""
    import pandas as pd

    require_voxels(version)
    numbers = chosen_groups(version, groups)
    with_animals = boolean("over_animals", over_animals)
    sides = chosen_hemispheres(version, hemisphere, over_animals=with_animals)
    spacing_um = version.recipe.spacing_um
    found = parcellation(
        database, files, structures, bins=bins, labels=labels, label_names=label_names, spacing_um=spacing_um
    )
    if with_animals:
        means = animal_means(database, files, version, found.members, sides, labels=found.labels, progress=progress)
        frame = _over_animals(version, found, means, numbers, sides)
        frame.attrs["weight_by"] = version.recipe.weight_by
        if structures is not None:
            frame.attrs.update(annotation_facts(stored_annotation(database, spacing_um)))
        return frame
    with version.open() as file:
        chosen: Any = ChosenGroups(file["mean"], numbers)
        table = region_means(chosen, found.labels, found.members, hemisphere_rule=version.recipe.hemisphere_rule)
    place = np.searchsorted(np.array(found.numbers, np.int64), table.structure_id)
    group = np.array(numbers, np.int64)[table.group]
    frame = pd.DataFrame(
        {
            "group": group,
            "group_label": np.array([version.groups[number].label for number in group.tolist()], object),
            "label": table.structure_id,
            **{name: own[place] for name, own in arrays_of(found).items()},
            "hemisphere": table.hemisphere.astype(object),
            "voxels": table.voxels,
            "mean": table.mean,
        }
    )
    frame.attrs["weight_by"] = version.recipe.weight_by
    if structures is not None:
        frame.attrs.update(annotation_facts(stored_annotation(database, spacing_um)))
    frame = without_empty_groups(frame, version)
    attributes = frame.attrs
    frame = frame[frame["hemisphere"].isin(sides)].reset_index(drop=True)
    frame.attrs.update(attributes)
    return frame


def _over_animals(
    version: DatasetVersion,
    found: Parcellation,
    means: AnimalMeans,
    numbers: Sequence[int],
    sides: Sequence[MeasuredHemisphere],
) -> pd.DataFrame:
    """One row for each group, subregion and hemisphere, with the statistics over the animals of the group."""
    import pandas as pd

    statistics = statistics_of(means, numbers)
    shape = (len(numbers), len(found.numbers), len(sides))
    group, label, side = (each.reshape(-1) for each in np.indices(shape))
    names = np.array([version.groups[number].label for number in numbers], object)
    return pd.DataFrame(
        {
            "group": np.array(numbers, np.int64)[group],
            "group_label": names[group],
            "label": np.array(found.numbers, np.int64)[label],
            **{name: own[label] for name, own in arrays_of(found).items()},
            "hemisphere": np.array(sides, object)[side],
            **{name: getattr(statistics, name).reshape(-1) for name in ANIMAL_COLUMNS},
        }
    )

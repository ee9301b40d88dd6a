"""Means of each animal of a version over structures, and their statistics over the animals of each group."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from bsv_store.atlas.annotation import annotation_facts, stored_annotation
from bsv_store.atlas.masks import StructureVoxels, hemisphere_columns
from bsv_store.averaging.hemisphere import is_mirrored
from bsv_store.averaging.stack import StackedVolume
from bsv_store.catalog.injected_hemispheres import injected_hemispheres
from bsv_store.catalog.volume_use import record_use
from bsv_store.datasets.original_inputs import content_of_file, original_inputs
from bsv_store.progress import NO_PROGRESS
from bsv_store.vocabulary import HEMISPHERE_RULES, MeasuredHemisphere
from bsv_store.volumes.annotation import opened_annotation

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from bsv_store.averaging.inputs import Inputs, MemberInput
    from bsv_store.catalog.database.engine import Database
    from bsv_store.datasets.share.source import VersionSource
    from bsv_store.progress import Progress
    from bsv_store.vocabulary import Hemisphere, HemisphereRule
    from bsv_store.volumes.files import StoreFiles


@dataclass(frozen=True, slots=True, eq=False)
class AnimalMeans:
    """The mean of each animal over each structure and hemisphere.

    Attributes
    ----------
    experiment_ids : ndarray of int64, shape (animals,)
        Ascending.
    group : ndarray of int64, shape (animals,)
    mean : ndarray of float64, shape (animals, structures, hemispheres)
        NaN without a voxel with a value, or if the hemisphere depends on an injected hemisphere that is not known.
    voxels : ndarray of int64, shape (animals, structures, hemispheres)
        With a value.
    weight : ndarray of float64, shape (animals,)
        1 unless the recipe weights experiments.
    facts : dict of str to str
        About the annotation; empty for an image of labels.
    """

    experiment_ids: NDArray[np.int64]
    group: NDArray[np.int64]
    mean: NDArray[np.float64]
    voxels: NDArray[np.int64]
    weight: NDArray[np.float64]
    facts: dict[str, str]


def animal_means(
    database: Database,
    files: StoreFiles,
    version: VersionSource,
    structures: Mapping[int, Sequence[int]],
    hemispheres: Sequence[MeasuredHemisphere],
    *,
    labels: NDArray[np.uint32] | None = None,
    progress: Progress | None = None,
) -> AnimalMeans:
    """The mean of each member of a version over structures, after normalization, hemisphere rule and masks.

    Parameters
    ----------
    structures : mapping of int to sequence of int
        The requested structures, each with the ids of itself and all descendants.
    hemispheres : sequence of MeasuredHemisphere
    labels : ndarray of uint32, shape (ap, dv, ml), optional
        An image with the ids of ``structures``; by default the store's annotation.
    progress : Progress, optional

    Raises
    ------
    MissingDataError
        If the annotation, or a volume that the version was computed from, is not in the store.
    DamagedFileError
        If a file differs from what was published.
    """
    content = content_of_file(version)
    with database.reading() as connection:
        inputs = original_inputs(connection, version, content)
        sides = _injected_sides(connection, inputs)
    record_use(database, inputs.files())
    facts: dict[str, str] = {}
    if labels is not None:
        voxels = StructureVoxels(labels, structures)
    else:
        annotation_file = stored_annotation(database, inputs.recipe.spacing_um)
        facts = annotation_facts(annotation_file)
        with opened_annotation(files, annotation_file) as annotation:
            voxels = StructureVoxels(annotation, structures)
    shape = (len(inputs.members), len(structures), len(hemispheres))
    mean, counts = np.full(shape, np.nan), np.zeros(shape, np.int64)
    for number, (member, totals) in enumerate(_totals(files, inputs, voxels, progress or NO_PROGRESS)):
        for place, hemisphere in enumerate(hemispheres):
            columns = hemisphere_columns(hemisphere, sides[member.experiment_id])
            if columns is None:
                continue
            weight = totals.weight[:, columns].sum(axis=1)
            mean[number, :, place] = totals.value[:, columns].sum(axis=1) / np.where(weight > 0, weight, np.nan)
            counts[number, :, place] = totals.voxels[:, columns].sum(axis=1)
    return AnimalMeans(
        np.array([member.experiment_id for member in inputs.members], np.int64),
        np.array([member.group for member in inputs.members], np.int64),
        mean,
        counts,
        np.array(inputs.weights or [1.0] * len(inputs.members)),
        facts,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Totals:
    """Sums over the voxels of each structure on the left and on the right, shape (structures, 2)."""

    value: NDArray[np.float64]
    weight: NDArray[np.float64]
    voxels: NDArray[np.int64]


def _totals(
    files: StoreFiles, inputs: Inputs, voxels: StructureVoxels, progress: Progress
) -> Iterator[tuple[MemberInput, _Totals]]:
    """The weighted sums of each member."""
    rule = inputs.recipe.hemisphere_rule
    progress.start(len(inputs.members), "volumes")
    try:
        for member in inputs.members:
            values = StackedVolume(member.volume, rule, member.injected, member.divisor).planes(files, *voxels.planes)
            values = values.astype(np.float64, copy=False)
            if member.exclude is not None:
                inside = _mask(files, member, rule, "exclude", voxels.planes)
                # Without data it is not known to lie outside the injection.
                values[~(inside <= 0)] = np.nan
            if member.weights is None:
                sums, counts = voxels.sums(values)
                yield member, _Totals(sums, counts.astype(np.float64), counts)
            else:
                weights = _mask(files, member, rule, "weights", voxels.planes)
                weights[np.isnan(values) | ~(weights > 0)] = np.nan
                weighted, counts = voxels.sums(values * weights)
                yield member, _Totals(weighted, voxels.sums(weights)[0], counts)
            progress.advance()
    finally:
        progress.finish()


def _mask(
    files: StoreFiles,
    member: MemberInput,
    rule: HemisphereRule,
    name: Literal["exclude", "weights"],
    planes: tuple[int, int],
) -> NDArray[np.float64]:
    """The planes of a mask, mirrored like the volume. A difference is as reliable as the worse of its two voxels."""
    file = member.exclude if name == "exclude" else member.weights
    assert file is not None
    array = StackedVolume(file).planes(files, *planes).astype(np.float64)
    if HEMISPHERE_RULES[rule].subtracts:
        worse = np.maximum if name == "exclude" else np.minimum
        return worse(array, array[..., ::-1])
    return np.ascontiguousarray(array[..., ::-1]) if is_mirrored(rule, member.injected) else array


def _injected_sides(connection: Connection, inputs: Inputs) -> dict[int, Hemisphere | None]:
    """The side of each member's injection after the hemisphere rule."""
    ids = [member.experiment_id for member in inputs.members]
    mirrored_side = HEMISPHERE_RULES[inputs.recipe.hemisphere_rule].mirrored_side
    if mirrored_side is not None:
        side: Hemisphere = "right" if mirrored_side == "left" else "left"
        return dict.fromkeys(ids, side)
    current = injected_hemispheres(connection, ids)
    return {member.experiment_id: member.injected or current.get(member.experiment_id) for member in inputs.members}


@dataclass(frozen=True, slots=True, eq=False)
class AnimalStatistics:
    """Statistics over the animals of each group, each of shape (groups, structures, hemispheres).

    The formulas are those of averages: docs/averages.md.

    Attributes
    ----------
    voxels : ndarray of int64
        Largest number of voxels with a value in one animal.
    n : ndarray of int64
        Animals with a value.
    mean, sd, sem : ndarray of float64
        Weighted if the recipe weights experiments. sd and sem are NaN for fewer than two animals, the mean without any.
    """

    voxels: NDArray[np.int64]
    n: NDArray[np.int64]
    mean: NDArray[np.float64]
    sd: NDArray[np.float64]
    sem: NDArray[np.float64]


ANIMAL_COLUMNS = tuple(each.name for each in fields(AnimalStatistics))
"""The columns of tables with statistics over animals, in order."""


def statistics_of(means: AnimalMeans, groups: Sequence[int]) -> AnimalStatistics:
    """The statistics of some groups."""
    shape = (len(groups), *means.mean.shape[1:])
    n, voxels = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    mean, sd, sem = np.full(shape, np.nan), np.full(shape, np.nan), np.full(shape, np.nan)
    for place, group in enumerate(groups):
        own = means.mean[means.group == group]
        known = ~np.isnan(own)
        weight = np.where(known, means.weight[means.group == group][:, None, None], 0.0)
        n[place] = count = known.sum(axis=0)
        voxels[place] = means.voxels[means.group == group].max(axis=0, initial=0)
        total, squares = weight.sum(axis=0), (weight**2).sum(axis=0)
        mean[place] = (weight * np.where(known, own, 0.0)).sum(axis=0) / np.where(count > 0, total, np.nan)
        deviations = np.where(known, own - mean[place], 0.0)
        several = np.where(count > 1, total, np.nan)
        # The total minus squares / total, without cancellation: 2 sum(w_i w_j) / total over pairs of animals.
        sums = np.cumsum(weight, axis=0)
        freedom = 2 * (weight[1:] * sums[:-1]).sum(axis=0) / several
        sd[place] = np.sqrt((weight * deviations**2).sum(axis=0) / freedom)
        sem[place] = sd[place] * np.sqrt(squares) / several
    return AnimalStatistics(voxels, n, mean, sd, sem)

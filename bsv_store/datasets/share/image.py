"""A statistic or map of a dataset version as an image, and slabs of its arrays."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bsv_store.formats.image import Image
from bsv_store.vocabulary import COMPARISON_MAPS, STATISTICS

if TYPE_CHECKING:
    import h5py

    from bsv_store.datasets.share.source import VersionSource
    from bsv_store.formats.image import Slabs
    from bsv_store.vocabulary import ComparisonMap, Statistic

_SLAB_BYTES = 1 << 24


@contextmanager
def version_image(
    version: VersionSource,
    *,
    statistic: Statistic | ComparisonMap = "mean",
    group: int | None = None,
    like_allen: bool = False,
) -> Iterator[Image]:
    """Context manager that yields a statistic or map as an image, which can be read inside the block.

    Parameters
    ----------
    version : VersionSource
    statistic : Statistic or ComparisonMap
        One that the version has. A map is a three-dimensional image.
    group : int, optional
        Number of the group, for a three-dimensional image; by default all groups along a fourth axis. Not for maps.
    like_allen : bool
        See `Image`.

    Raises
    ------
    DamagedFileError
        If the result file is missing or differs from what was published.
    """
    is_map = statistic in COMPARISON_MAPS
    shown = version.groups if group is None else (version.groups[group],)
    first = shown[0].number
    of_group = "" if group is None else f", group {group}"
    dtype = "float32" if is_map else version.recipe.dtype
    with version.open() as file:

        def slabs(number: int) -> Slabs:
            found = map_slabs(file[statistic]) if is_map else group_slabs(file[statistic], first + number)
            # Image formats have no unsigned integers, which are the type of n.
            return ((start, slab.astype(dtype, copy=False)) for start, slab in found)

        yield Image(
            grid=version.grid,
            dtype=dtype,
            slabs=slabs,
            title=_title(version, statistic, of_group),
            name=f"{version.ref} {statistic}{of_group}",
            content="mean" if statistic == "mean" else "statistic",
            groups=tuple(each.label for each in shown) if group is None and not is_map else None,
            is_computed=True,
            like_allen=like_allen,
            facts={
                "groups": "; ".join(f"{each.number}: {each.label} (n={each.n})" for each in shown),
                "dataset": version.ref,
                "fingerprint": version.fingerprint,
            },
        )


def _title(version: VersionSource, statistic: Statistic | ComparisonMap, of_group: str) -> str:
    if statistic in STATISTICS:
        row = STATISTICS[statistic]
        return f"{statistic} {version.quantity}{of_group}" if row.has_unit else f"{row.words}{of_group}"
    sides = " minus ".join(each.label for each in version.groups)
    of_quantity = f" {version.quantity}" if COMPARISON_MAPS[statistic].has_unit else ""
    return f"{statistic}{of_quantity}, {sides}"


def map_slabs(dataset: h5py.Dataset) -> Slabs:
    """First AP plane and voxels of consecutive slabs of an array without groups; each chunk is read once."""
    step = dataset.chunks[0] * max(1, _SLAB_BYTES // (math.prod(dataset.chunks) * dataset.dtype.itemsize))
    for start in range(0, dataset.shape[0], step):
        yield start, dataset[start : start + step]


def group_slabs(dataset: h5py.Dataset, group: int) -> Slabs:
    """First AP plane and voxels of consecutive slabs of one group of a result array; each chunk is read once."""
    step = dataset.chunks[1] * max(1, _SLAB_BYTES // (math.prod(dataset.chunks) * dataset.dtype.itemsize))
    for start in range(0, dataset.shape[1], step):
        yield start, dataset[group, start : start + step]

"""The mean of a dataset version as an image, and slabs of its arrays."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bsv_store.formats.image import Image

if TYPE_CHECKING:
    import h5py

    from bsv_store.datasets.share.source import VersionSource
    from bsv_store.formats.image import Slabs

_SLAB_BYTES = 1 << 24


@contextmanager
def mean_image(version: VersionSource, *, group: int | None = None, like_allen: bool = False) -> Iterator[Image]:
    """Context manager that yields the mean as an image, which can be read inside the block.

    Parameters
    ----------
    version : VersionSource
    group : int, optional
        Number of the group, for a three-dimensional image; by default all groups along a fourth axis.
    like_allen : bool
        See `Image`.

    Raises
    ------
    DamagedFileError
        If the result file is missing or differs from what was published.
    """
    shown = version.groups if group is None else (version.groups[group],)
    first = shown[0].number
    of_group = "" if group is None else f", group {group}"
    with version.open() as file:
        yield Image(
            grid=version.grid,
            dtype=version.recipe.dtype,
            slabs=lambda number: group_slabs(file["mean"], first + number),
            title=f"mean {version.quantity}{of_group}",
            name=f"{version.ref} mean{of_group}",
            content="mean",
            groups=tuple(each.label for each in shown) if group is None else None,
            is_computed=True,
            like_allen=like_allen,
            facts={
                "groups": "; ".join(f"{each.number}: {each.label} (n={each.n})" for each in shown),
                "dataset": version.ref,
                "fingerprint": version.fingerprint,
            },
        )


def group_slabs(dataset: h5py.Dataset, group: int) -> Slabs:
    """First AP plane and voxels of consecutive slabs of one group of a result array; each chunk is read once."""
    step = dataset.chunks[1] * max(1, _SLAB_BYTES // (math.prod(dataset.chunks) * dataset.dtype.itemsize))
    for start in range(0, dataset.shape[1], step):
        yield start, dataset[group, start : start + step]

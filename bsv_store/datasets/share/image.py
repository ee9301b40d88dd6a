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
def mean_image(version: VersionSource) -> Iterator[Image]:
    """The mean of all groups as an image that can be read inside the block.

    Raises
    ------
    DamagedFileError
        If the result file is missing or differs from what was published.
    """
    with version.open() as file:
        yield Image(
            grid=version.grid,
            dtype=version.recipe.dtype,
            slabs=lambda group: group_slabs(file["mean"], group),
            title=f"mean {version.quantity}",
            name=f"{version.ref} mean",
            content="mean",
            groups=tuple(group.label for group in version.groups),
            is_computed=True,
            facts={
                "groups": "; ".join(f"{group.number}: {group.label} (n={group.n})" for group in version.groups),
                "dataset": version.ref,
                "fingerprint": version.fingerprint,
            },
        )


def group_slabs(dataset: h5py.Dataset, group: int) -> Slabs:
    """First AP plane and voxels of consecutive slabs of one group of a result array; each chunk is read once."""
    step = dataset.chunks[1] * max(1, _SLAB_BYTES // (math.prod(dataset.chunks) * dataset.dtype.itemsize))
    for start in range(0, dataset.shape[1], step):
        yield start, dataset[group, start : start + step]

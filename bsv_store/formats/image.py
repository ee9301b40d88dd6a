"""Images for export to files: a volume, a mask, labels, or a statistic of a dataset version."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bsv_store.volumes.grid import Grid
from bsv_store.volumes.layout import ml_blocks

ImageDtype = Literal["float32", "float64", "bool", "uint16"]
Slabs = Iterable[tuple[int, NDArray[Any]]]
"""First AP plane and voxels, shape (planes, dv, ml), of consecutive slabs of AP planes; all of the grid together."""


@dataclass(frozen=True, slots=True)
class Image:
    """Voxels on a grid, read when they are written, and the facts for the header of the file.

    Attributes
    ----------
    grid : Grid
    dtype : {'float32', 'float64', 'bool', 'uint16'}
    slabs : callable
        Takes the number of a group, from 0, and returns its slabs. Called several times by formats that store the
        first axis fastest. NaN = no data.
    title : str
        What the image shows, in one line.
    name : str
        A short name, such as that of the dataset version.
    content : {'volume', 'mask', 'mean', 'statistic', 'labels', 'template'}
    groups : tuple of str, optional
        Labels of the groups; None for an image without a group axis.
    is_computed : bool
        Whether the values are a result of this package. If not, no data is -1 in NRRD files, as in Allen's.
    like_allen : bool
        Whether NRRD files state the same, misleading directions as the Allen Institute's files, to align with these.
    facts : mapping of str to str
        Further facts, for formats other than NumPy's.
    """

    grid: Grid
    dtype: ImageDtype
    slabs: Callable[[int], Slabs]
    title: str
    name: str
    content: Literal["volume", "mask", "mean", "statistic", "labels", "template"]
    groups: tuple[str, ...] | None = None
    is_computed: bool = False
    like_allen: bool = False
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def group_count(self) -> int:
        """Number of groups; 1 without a group axis."""
        return 1 if self.groups is None else len(self.groups)

    @property
    def shape(self) -> tuple[int, ...]:
        """(ap, dv, ml), or (group, ap, dv, ml)."""
        return self.grid.shape if self.groups is None else (len(self.groups), *self.grid.shape)

    @property
    def number_dtype(self) -> str:
        """The dtype for formats that have no booleans: uint8 instead of bool."""
        return "uint8" if self.dtype == "bool" else self.dtype

    def ml_blocks(self) -> Iterator[NDArray[Any]]:
        """Blocks of ML planes, shape (ap, dv, planes), dtype `number_dtype`, at most 256 MiB each; group by group."""
        for group in range(self.group_count):
            yield from ml_blocks(partial(self.slabs, group), self.grid, self.number_dtype)


def array_slabs(array: NDArray[np.generic]) -> Callable[[int], Slabs]:
    """The `Image.slabs` of an array in memory, shape (ap, dv, ml) or (group, ap, dv, ml)."""
    groups = array[np.newaxis] if array.ndim == 3 else array
    return lambda group: [(0, groups[group])]

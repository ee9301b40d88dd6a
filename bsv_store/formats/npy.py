"""NumPy files, written slab by slab: what `numpy.save` writes, without holding the array."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

if TYPE_CHECKING:
    from bsv_store.formats.image import Image


def write_npy(image: Image, path: Path) -> None:
    """Write an image to a ``.npy`` file: C order, axes [ap, dv, ml], after that of the groups if there is one."""
    slabs = (slab for group in range(image.group_count) for _, slab in image.slabs(group))
    with path.open("wb") as file:
        write_array(file, slabs, dtype=image.dtype, shape=image.shape)


def write_array(file: IO[bytes], parts: Iterable[NDArray[Any]], *, dtype: DTypeLike, shape: tuple[int, ...]) -> None:
    """Write an array in the ``.npy`` format.

    Parameters
    ----------
    file : file
    parts : iterable of ndarray
        The array in consecutive parts of its C order.
    dtype : dtype
        Stored in little-endian byte order.
    shape : tuple of int
        Of the whole array.
    """
    stored = np.dtype(dtype).newbyteorder("<")
    np.lib.format.write_array_header_1_0(file, {"descr": stored.str, "fortran_order": False, "shape": shape})
    for part in parts:
        file.write(np.ascontiguousarray(part, stored).data)

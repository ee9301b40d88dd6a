"""NumPy files: written slab by slab, as `numpy.save` writes them, and read within limits."""

from __future__ import annotations

import io
import math
import os
import tokenize
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import DTypeLike, NDArray

from bsv_store.errors import FormatError
from bsv_store.formats.fields import DAMAGED_HINT, quoted
from bsv_store.text import size_text

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


_HEADER_BYTES = 10_000
_BLOCK_BYTES = 1 << 24
# NumPy evaluates the header, and raises the errors of Python's parser.
_HEADER_ERRORS = (
    ValueError,
    TypeError,
    LookupError,
    SyntaxError,
    RecursionError,
    AttributeError,
    OverflowError,
    MemoryError,
    tokenize.TokenError,
)


def read_npy(stream: BinaryIO, *, what: str, max_bytes: int) -> NDArray[Any]:
    """The array in a ``.npy`` file of numbers, truth values or texts, or structures of these.

    Parameters
    ----------
    stream : file
        Open at its start, and seekable.
    what : str
        Name of the file, for errors.
    max_bytes : int
        Maximum size of the array.

    Raises
    ------
    FormatError
        If it is not such a file, its array is too large, or the file has another size than its header states.
    """
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    # The header has less, whatever length it states.
    start = io.BytesIO(stream.read(_HEADER_BYTES + 12))
    try:
        version = np.lib.format.read_magic(start)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }.get(version)
        if read is None:
            raise ValueError(f"its version {version} is not supported")
        with warnings.catch_warnings():
            # Of Python's parser, about a damaged header.
            warnings.simplefilter("ignore")
            shape, is_fortran, dtype = read(start, max_header_size=_HEADER_BYTES)
    except _HEADER_ERRORS as error:
        raise FormatError(f"{what} is not a NumPy file: {quoted(str(error))}", hint=DAMAGED_HINT) from error
    if dtype.hasobject:
        raise FormatError(f"{what} contains Python objects, which are not read", hint="Save an array of numbers.")
    if any(length < 0 for length in shape) or math.prod(shape) * dtype.itemsize > max_bytes:
        raise FormatError(f"{what} has the shape {quoted(shape)}; it must have at most {size_text(max_bytes)}")
    count = math.prod(shape)
    if size != start.tell() + count * dtype.itemsize:
        raise FormatError(f"{what} has another size than its header states: it is truncated or damaged")
    stream.seek(start.tell())
    values = np.empty(count, dtype)
    # In blocks, because an image at 10 um has 5 GB.
    for first in range(0, values.nbytes, _BLOCK_BYTES):
        block = values.view(np.uint8)[first : first + _BLOCK_BYTES]
        block[:] = np.frombuffer(stream.read(block.size), np.uint8)
    return values.reshape(shape, order="F" if is_fortran else "C")

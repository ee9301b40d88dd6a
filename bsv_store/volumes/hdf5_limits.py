"""Read HDF5 files of unknown content within limits, so that a small file cannot take a large amount of memory.

The HDF5 library trusts the sizes in a file: it allocates a dataset of any shape, fills in values that were never
written, and decompresses a chunk to its end, however long that is. Each dataset is therefore checked before it is read.
Files are opened with `bsv_store.volumes.hdf5.opened_hdf5`, which refuses data in other places and unknown filters.
"""

from __future__ import annotations

import math
import zlib
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from bsv_store.text import shown

if TYPE_CHECKING:
    import h5py

HDF5_ERRORS: Final = (
    OSError,
    ValueError,
    TypeError,
    RuntimeError,
    LookupError,
    AttributeError,
    OverflowError,
    NotImplementedError,
)
"""The errors that h5py raises for damaged files."""

MAX_CHUNK_BYTES: Final = 64 * 1024 * 1024
"""Maximum size of a chunk after decompression; this package writes at most 16 MiB."""

MAX_TEXT_BYTES: Final = 64 * 1024
"""Maximum size of a text in an attribute."""

# Ids of filters.
_DEFLATE, _FLETCHER32 = 1, 3
_CHECKSUM_BYTES = 4
_PIECE_BYTES = 64 * 1024


def check_storage(dataset: h5py.Dataset, name: str) -> None:
    """Check that reading a dataset takes no more memory than its shape, type and chunks state.

    Raises
    ------
    ValueError
        If a chunk is larger than `MAX_CHUNK_BYTES` or does not have its size after decompression, or there are more
        chunks than the shape has.
    """
    check_chunk_size(dataset, name)
    if dataset.chunks is not None:
        _check_chunks(dataset, name)


def check_chunk_size(dataset: h5py.Dataset, name: str) -> None:
    """The part of `check_storage` that reads no data.

    Raises
    ------
    ValueError
        If its chunks are larger than `MAX_CHUNK_BYTES`.
    """
    if dataset.chunks is not None and math.prod(dataset.chunks) * dataset.dtype.itemsize > MAX_CHUNK_BYTES:
        raise ValueError(f"the chunks of {name} are too large: {shown(dataset.chunks)}")


def plain_dataset(
    file: h5py.File, name: str, *, shape: tuple[int, ...] | None = None, dtype: str, limit: int = 0
) -> h5py.Dataset:
    """An array in the file itself, checked by `check_storage`.

    Parameters
    ----------
    shape : tuple of int, optional
        Shape that it must have; by default it has one axis.
    dtype : str
        Type that it must have, in either byte order.
    limit : int
        Maximum length without ``shape``.

    Raises
    ------
    KeyError, ValueError
        If it is missing, a link, or not such an array.
    """
    import h5py

    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"it has no array {name}, or only a link")
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset) or dataset.shape is None:
        raise ValueError(f"{name} is not an array")
    if dataset.dtype.newbyteorder("<") != np.dtype(dtype).newbyteorder("<"):
        raise ValueError(f"{name} has the type {shown(str(dataset.dtype))}, not {dtype}")
    if shape is None and (len(dataset.shape) != 1 or dataset.shape[0] > limit):
        raise ValueError(f"{name} has the shape {shown(dataset.shape)}, not at most {limit:,} elements")
    if shape is not None and dataset.shape != shape:
        raise ValueError(f"{name} has the shape {shown(dataset.shape)}, not {shape}")
    check_storage(dataset, name)
    return dataset


def text_attribute(file: h5py.File, name: str) -> str:
    """The text of an attribute of a file, of fixed length as this package writes it.

    Raises
    ------
    KeyError, ValueError
        If it is missing, not such a text, or too long.
    """
    found = file.attrs.get_id(name)
    if found.shape != () or found.dtype.kind != "S" or found.dtype.itemsize > MAX_TEXT_BYTES:
        raise ValueError(f"its attribute {name} is not a text")
    return bytes(file.attrs[name]).decode()


def int_attribute(file: h5py.File, name: str) -> int:
    """The integer of an attribute of a file.

    Raises
    ------
    KeyError, ValueError
        If it is missing or not an integer.
    """
    found = file.attrs.get_id(name)
    if found.shape != () or found.dtype.kind not in "iu":
        raise ValueError(f"its attribute {name} is not an integer")
    return int(file.attrs[name])


def _check_chunks(dataset: h5py.Dataset, name: str) -> None:
    chunks: list[Any] = []
    expected = math.prod(-(-length // chunk) for length, chunk in zip(dataset.shape, dataset.chunks, strict=True))
    if dataset.id.get_num_chunks() > expected:
        raise ValueError(f"{name} has more chunks than its shape")
    dataset.id.chunk_iter(chunks.append)
    properties = dataset.id.get_create_plist()
    filters = [properties.get_filter(number)[0] for number in range(properties.get_nfilters())]
    size = math.prod(dataset.chunks) * dataset.dtype.itemsize
    checksum = _CHECKSUM_BYTES if _FLETCHER32 in filters else 0
    for chunk in chunks:
        if chunk.filter_mask:
            raise ValueError(f"a chunk of {name} was written without a filter")
        if chunk.size > MAX_CHUNK_BYTES:
            raise ValueError(f"a chunk of {name} is too large")
        if _DEFLATE in filters:
            is_inside = checksum and filters.index(_FLETCHER32) < filters.index(_DEFLATE)
            _check_deflated(dataset, name, chunk.chunk_offset, size + (checksum if is_inside else 0))
        elif chunk.size != size + checksum:
            # For a shorter chunk, the library would read beyond its end.
            raise ValueError(f"a chunk of {name} has {chunk.size:,} bytes instead of {size + checksum:,}")


def _check_deflated(dataset: h5py.Dataset, name: str, offset: tuple[int, ...], size: int) -> None:
    """Check that a chunk has its expected size after decompression."""
    _, packed = dataset.id.read_direct_chunk(offset)
    inflater = zlib.decompressobj()
    found = 0
    try:
        for first in range(0, len(packed), _PIECE_BYTES):
            rest = packed[first : first + _PIECE_BYTES]
            while found <= size and not inflater.eof:
                piece = inflater.decompress(rest, _PIECE_BYTES)
                rest = inflater.unconsumed_tail
                # Without input, it may still have values of the input before.
                if not (rest or piece):
                    break
                found += len(piece)
    except zlib.error as error:
        raise ValueError(f"a chunk of {name} is damaged: {error}") from error
    if found != size or not inflater.eof:
        raise ValueError(f"a chunk of {name} has another size after decompression")

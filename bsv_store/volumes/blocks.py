"""Hashes of the blocks of a large file, so that a part of it can be verified without the rest.

The Fletcher32 checksum of a chunk detects flipped bits, but the checksum of zeros is zero, and it does not depend on
the position, so lost and swapped chunks pass. The catalog therefore contains the XXH3-128 of each block, over
the name of its dataset, its number and its decoded values, little-endian. The blocks of a sparse file are
``plane_start`` as a whole and the chunks of ``indices_0`` and ``values``; those of a dense file are the chunks of
``volume``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from bsv_store.volumes.layout import dense_chunk_planes

if TYPE_CHECKING:
    import h5py

    from bsv_store.volumes.encoding import Encoding
    from bsv_store.volumes.grid import Grid

# 256 KiB: a slab at 25 um has about 20 chunks, so reading whole chunks adds only a few percent.
_CHUNK_VALUES = 1 << 16
_HASH_BYTES = 16


@dataclass(frozen=True, slots=True)
class DatasetBlocks:
    """The blocks of one dataset of a file.

    Attributes
    ----------
    name : str
        Name of the dataset.
    dtype : str
    shape : tuple of int
    length : int
        Size of a block along the first axis; the last one may be shorter.
    first : int
        Number of its first block in the list of all blocks of the file.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    length: int
    first: int

    @property
    def count(self) -> int:
        """Number of blocks."""
        return -(-self.shape[0] // self.length)

    @property
    def chunks(self) -> tuple[int, ...] | None:
        """Shape of the chunks of the dataset; None if it is empty."""
        return (min(self.length, self.shape[0]), *self.shape[1:]) if self.shape[0] else None

    def dataset(self, file: h5py.File) -> h5py.Dataset:
        """The dataset in an open file.

        Raises
        ------
        KeyError, ValueError
            If it is missing, or has another shape, type or chunk size than was written.
        """
        dataset = file[self.name]
        found = (dataset.shape, dataset.dtype, dataset.chunks)
        if found != (self.shape, np.dtype(self.dtype), self.chunks):
            raise ValueError(f"its dataset {self.name} has another shape, type or chunk size than was written")
        return dataset


def file_blocks(grid: Grid, encoding: Encoding, value_count: int) -> Mapping[str, DatasetBlocks]:
    """The blocks of a file with this content, by the name of their dataset, in the order of their hashes."""
    if encoding == "dense":
        return {"volume": DatasetBlocks("volume", "<f4", grid.shape, dense_chunk_planes(grid), 0)}
    starts = DatasetBlocks("plane_start", "<u8", (grid.shape[0] + 1,), grid.shape[0] + 1, 0)
    index = DatasetBlocks("indices_0", "<u4", (value_count,), _CHUNK_VALUES, starts.count)
    values = DatasetBlocks("values", "<f4", (value_count,), _CHUNK_VALUES, starts.count + index.count)
    return {part.name: part for part in (starts, index, values)}


class BlockHasher:
    """Computes the hashes of the blocks of a file from their values, in any order.

    Parameters
    ----------
    blocks : mapping of str to DatasetBlocks
        From `file_blocks`.
    """

    def __init__(self, blocks: Mapping[str, DatasetBlocks]) -> None:
        self.blocks = blocks
        self._hashes: dict[int, bytes] = {}

    def add(self, name: str, first: int, values: NDArray[Any]) -> None:
        """Hash consecutive whole blocks of a dataset, which begin at ``first`` along its first axis."""
        for number, block in _cut(self.blocks[name], first, values):
            self._hashes[number] = _hash(name, number, block)

    def finish(self) -> bytes:
        """The hashes of all blocks, one after the other."""
        count = sum(part.count for part in self.blocks.values())
        return b"".join(self._hashes[number] for number in range(count))


class BlockReader:
    """Reads parts of datasets of an open file and verifies the blocks that contain them.

    Parameters
    ----------
    file : h5py.File
    blocks : mapping of str to DatasetBlocks
        From `file_blocks`.
    hashes : bytes
        The recorded hashes of the blocks.

    Raises
    ------
    ValueError
        If the numbers of hashes and blocks differ.
    """

    def __init__(self, file: h5py.File, blocks: Mapping[str, DatasetBlocks], hashes: bytes) -> None:
        if len(hashes) != _HASH_BYTES * sum(part.count for part in blocks.values()):
            raise ValueError("the numbers of its blocks and of the hashes in the catalog differ")
        self._file = file
        self._blocks = blocks
        self._hashes = hashes

    def read(self, name: str, start: int, stop: int) -> NDArray[Any]:
        """Read the elements [start, stop) of a dataset along its first axis; returns a view of the blocks read.

        Raises
        ------
        OSError, KeyError, ValueError, RuntimeError
            If they cannot be read or differ from what was written.
        """
        part = self._blocks[name]
        dataset = part.dataset(self._file)
        first = start // part.length * part.length
        last = min(-(-stop // part.length) * part.length, part.shape[0])
        values: NDArray[Any] = dataset[first : max(first, last)]
        for number, block in _cut(part, first, values):
            at = _HASH_BYTES * number
            if _hash(name, number, block) != self._hashes[at : at + _HASH_BYTES]:
                raise ValueError(f"block {number - part.first} of its dataset {name} has changed")
        return values[start - first : stop - first]


def little_endian(values: NDArray[Any]) -> NDArray[Any]:
    """The array in C order with little-endian elements, without a copy if possible."""
    return np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<"), copy=False)


def _cut(part: DatasetBlocks, first: int, values: NDArray[Any]) -> list[tuple[int, NDArray[Any]]]:
    """Split consecutive values into blocks, with their numbers in the list of all blocks of the file."""
    number = part.first + first // part.length
    return [
        (number + place, values[start : start + part.length])
        for place, start in enumerate(range(0, len(values), part.length))
    ]


def _hash(name: str, number: int, block: NDArray[Any]) -> bytes:
    digest = xxhash.xxh3_128(f"{name} {number} ".encode())
    digest.update(little_endian(block).data)
    return digest.digest()

"""Volumes in the format "precomputed" of Neuroglancer: a JSON document and raw chunks.

The axes x, y and z are AP, DV and ML, so that an index in Neuroglancer, cloud-volume or TensorStore is that of the
arrays of this library. Chunks are in Fortran order, as the format requires.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bsv_store.errors import InputError
from bsv_store.server.images.blocks import Block
from bsv_store.text import shown as quoted
from bsv_store.vocabulary import PLANES
from bsv_store.volumes.grid import Grid

if TYPE_CHECKING:
    from bsv_store.server.images.images import Images
    from bsv_store.server.images.sources import Shown

CHUNK = 64
_NAME = re.compile(r"(\d{1,5})-(\d{1,5})_(\d{1,5})-(\d{1,5})_(\d{1,5})-(\d{1,5})")


def info(shown: Shown) -> dict[str, Any]:
    """The document ``info`` of a volume. Values of float64 are served as float32, the widest type of the format."""
    nanometers = shown.grid.spacing_um * 1000
    return {
        "@type": "neuroglancer_multiscale_volume",
        "type": "image",
        "data_type": data_type(shown),
        "num_channels": 1,
        "scales": [
            {
                "key": key_of(shown.grid),
                "size": list(shown.grid.shape),
                "resolution": [nanometers] * 3,
                "voxel_offset": [0, 0, 0],
                "chunk_sizes": [[CHUNK] * 3],
                "encoding": "raw",
            }
        ],
    }


def data_type(shown: Shown) -> str:
    """The type of the values of chunks."""
    return "float32" if shown.dtype.kind == "f" else "uint32"


def key_of(grid: Grid) -> str:
    """The name of the only scale, such as '25um'."""
    return f"{grid.spacing_um}um"


def chunk_ranges(grid: Grid, name: str) -> list[tuple[int, int]]:
    """First and last voxel of a chunk along AP, DV and ML.

    Raises
    ------
    InputError
        If the volume does not have a chunk of that name.
    """
    found = _NAME.fullmatch(name)
    if found is not None:
        numbers = [int(each) for each in found.groups()]
        ranges = list(zip(numbers[::2], numbers[1::2], strict=True))
        if all(
            first % CHUNK == 0 and first < count and last == min(first + CHUNK, count)
            for (first, last), count in zip(ranges, grid.shape, strict=True)
        ):
            return ranges
    raise InputError(f"{quoted(name[:60])} is not the name of a chunk", hint="For example: 0-64_0-64_64-114.")


async def chunk_blocks(images: Images, shown: Shown, first: int, last: int) -> list[tuple[Block, Block | None]]:
    """The blocks that contain the AP planes [first, last), one pair for each plane."""
    plane = PLANES["coronal"]
    return [
        (
            await images.block(shown.term, plane, index),
            None if shown.minus is None else await images.block(shown.minus, plane, index),
        )
        for index in range(first, last)
    ]


def chunk_bytes(shown: Shown, blocks: list[tuple[Block, Block | None]], ranges: list[tuple[int, int]]) -> bytes:
    """The bytes of a chunk."""
    plane = PLANES["coronal"]
    (first, _), dv, ml = ranges
    planes: list[NDArray[Any]] = []
    for index, (block, other) in enumerate(blocks, first):
        minus = None if other is None else other.plane(plane, index)
        planes.append(shown.values(block.plane(plane, index), minus)[slice(*dv), slice(*ml)])
    values = np.stack(planes)
    return values.astype("<f4" if data_type(shown) == "float32" else "<u4", copy=False).tobytes(order="F")

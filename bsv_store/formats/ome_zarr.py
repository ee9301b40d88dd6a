"""OME-Zarr 0.5 on Zarr version 3: a folder of chunks that viewers such as napari and Neuroglancer open.

There is one resolution level, the array ``0``. Its axes ``z``, ``y``, ``x`` are AP, DV, ML in micrometers; scale and
translation put voxel centers where they are in the CCFv3. The groups of a dataset version are the channels, axis ``c``.
Facts without a place in the format are in the attribute ``bsv_store``. https://ngff.openmicroscopy.org/0.5/
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bsv_store.errors import InputError
from bsv_store.volumes.grid import ARRAY_AXES, FRAME, ORIENTATION

if TYPE_CHECKING:
    from bsv_store.formats.image import Image, Slabs

_LEVEL = "0"
_SPACE_AXES = ("z", "y", "x")
# Some 2 MB: viewers read few chunks for a plane, whatever its orientation. At 10 um there are 2,646 of them.
_CHUNK = (32, 128, 128)


def write_ome_zarr(image: Image, path: Path) -> None:
    """Write an image as an OME-Zarr folder; needs the extra ``zarr``.

    Memory: 32 AP planes, 117 MB at 10 um, or twice that for float64.

    Parameters
    ----------
    image : Image
        Masks are stored as uint8.
    path : pathlib.Path
        Of the folder, which does not exist yet.

    Raises
    ------
    InputError
        If zarr is not installed.
    """
    zarr = _zarr()
    grid = image.grid
    chunks = tuple(min(pair) for pair in zip(_CHUNK, grid.shape, strict=True))
    root = zarr.create_group(path, zarr_format=3)
    array = root.create_array(
        _LEVEL,
        shape=image.shape,
        chunks=chunks if image.groups is None else (1, *chunks),
        dtype=image.number_dtype,
        dimension_names=[axis["name"] for axis in _axes(image)],
    )
    ranges = []
    for group in range(image.group_count):
        target = () if image.groups is None else (group,)
        low, high = np.inf, -np.inf
        for first, planes in _layers(image.slabs(group), grid.shape, chunks[0], image.number_dtype):
            array[(*target, slice(first, first + len(planes)))] = planes
            # NaN if a slab has no data; it does not change the range.
            low = min(low, float(np.fmin.reduce(planes, axis=None)))
            high = max(high, float(np.fmax.reduce(planes, axis=None)))
        ranges.append((low, high) if low <= high else (0.0, 0.0))
    root.update_attributes({"ome": _ome(image, ranges), "bsv_store": _facts(image)})


def _layers(slabs: Slabs, shape: tuple[int, int, int], depth: int, dtype: str) -> Iterator[tuple[int, NDArray[Any]]]:
    """First AP plane and voxels of layers of whole chunks; the array is reused for the next layer."""
    layer = np.empty((depth, *shape[1:]), dtype)
    for start, slab in slabs:
        for number, plane in enumerate(slab, start):
            place = number % depth
            layer[place] = plane
            if place == depth - 1 or number == shape[0] - 1:
                yield number - place, layer[: place + 1]


def _axes(image: Image) -> list[dict[str, str]]:
    channel = [] if image.groups is None else [{"name": "c", "type": "channel"}]
    return [*channel, *({"name": name, "type": "space", "unit": "micrometer"} for name in _SPACE_AXES)]


def _ome(image: Image, ranges: list[tuple[float, float]]) -> dict[str, Any]:
    spacing = float(image.grid.spacing_um)
    scale, translation = [spacing] * 3, [spacing / 2] * 3
    if image.groups is not None:
        scale, translation = [1.0, *scale], [0.0, *translation]
    transformations = [{"type": "scale", "scale": scale}, {"type": "translation", "translation": translation}]
    level = {"path": _LEVEL, "coordinateTransformations": transformations}
    described: dict[str, Any] = {
        "version": "0.5",
        "multiscales": [{"name": image.name, "axes": _axes(image), "datasets": [level]}],
    }
    if image.groups is not None:
        described["omero"] = {
            "channels": [
                {
                    "label": label,
                    "color": "FFFFFF",
                    "active": number == 0,
                    "window": {"min": low, "max": high, "start": low, "end": high},
                }
                for number, (label, (low, high)) in enumerate(zip(image.groups, ranges, strict=True))
            ]
        }
    return described


def _facts(image: Image) -> dict[str, Any]:
    return {
        "title": image.title,
        "content": image.content,
        "axes": dict(zip(_SPACE_AXES, ARRAY_AXES, strict=True)),
        "frame": FRAME,
        "orientation": ORIENTATION,
        **image.facts,
    }


def _zarr() -> Any:
    try:
        import zarr
    except ImportError as error:
        raise InputError("zarr is not installed", hint="Install it: pip install 'bsv-store[zarr]'") from error
    return zarr

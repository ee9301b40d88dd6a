"""Images of arrays, for tests of writers."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from bsv_store.formats.image import Image, array_slabs
from bsv_store.volumes.grid import Grid


def image_of(array: NDArray[Any], **changes: Any) -> Image:
    """An array of shape (ap, dv, ml) or (group, ap, dv, ml) as an image."""
    facts = {
        "grid": Grid.from_shape(array.shape[-3:]),
        "dtype": array.dtype.name,
        "slabs": array_slabs(array),
        "title": "test image",
        "name": "test",
        "content": "volume" if array.ndim == 3 else "mean",
        "groups": None if array.ndim == 3 else tuple(f"group {number}" for number in range(len(array))),
    }
    return Image(**{**facts, **changes})

"""The distribution of the values of a volume, for color scales."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

QUANTILES = (0.5, 0.9, 0.95, 0.99, 0.995, 0.998, 0.999, 1.0)
_BINS = 64
# Quantiles of larger volumes are those of a regular sample of their voxels.
_MAX_SAMPLE = 4_000_000


def value_range(slabs: Iterable[NDArray[Any]], *, size: int, count: int) -> dict[str, Any]:
    """Extremes, quantiles and a histogram of a volume in slabs.

    Parameters
    ----------
    slabs : iterable of ndarray
    size : int
        Number of voxels.
    count : int
        Number of voxels in the slabs; those that are 0 can be left out.
    """
    # Odd, so that the sample does not follow the planes.
    stride = count // _MAX_SAMPLE | 1
    lowest, highest, no_data, non_zero = np.inf, -np.inf, 0, 0
    sample = []
    for slab in slabs:
        flat = slab.reshape(-1)
        missing = int(np.isnan(flat).sum()) if flat.dtype.kind == "f" else 0
        no_data += missing
        non_zero += int(np.count_nonzero(flat)) - missing
        if missing < flat.size:
            lowest = min(lowest, float(np.nanmin(flat)))
            highest = max(highest, float(np.nanmax(flat)))
        part = flat[::stride]
        sample.append(part[np.isfinite(part) & (part != 0)])
    values = np.concatenate(sample) if sample else np.empty(0)
    strength = np.abs(values)
    has_values = bool(strength.size)
    counts, edges = np.histogram(values, _BINS) if has_values else (np.empty(0, np.int64), np.empty(0))
    return {
        "min": lowest if np.isfinite(lowest) else None,
        "max": highest if np.isfinite(highest) else None,
        "is_signed": bool(lowest < 0),
        "voxels": size,
        "non_zero_voxels": non_zero,
        "no_data_voxels": no_data,
        "quantiles": {
            f"{at:g}": float(value) for at, value in zip(QUANTILES, np.quantile(strength, QUANTILES), strict=True)
        }
        if has_values
        else {},
        "histogram": {"edges": edges.tolist(), "counts": counts.tolist()},
        "is_exact": stride == 1,
    }

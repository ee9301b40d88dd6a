"""Colors of values, as in the figures: the same color maps, scales and fading, without Matplotlib."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_never

import numpy as np
from numpy.typing import NDArray

from bsv_store.errors import InputError
from bsv_store.figures.scale import DECADES, FADE, FIRST_COLOR, QUANTILE, check_scale, low_end
from bsv_store.text import shown

if TYPE_CHECKING:
    from bsv_store.vocabulary import ColorScale, ThemeRow

COLOR_MAPS = Path(__file__).with_name("color_maps.json")
"""256 colors of each map, six hexadecimal digits each; also read by the viewer. ``NAME_r`` is the reversed map."""

# The last color of the palette is that of voxels without data.
_COLORS = 255
_NO_DATA = 255


@cache
def color_maps() -> Mapping[str, NDArray[np.float64]]:
    """The colors of each map, shape (256, 3), 0 to 1."""
    maps = json.loads(COLOR_MAPS.read_text(encoding="ascii"))
    tables = {name: np.frombuffer(bytes.fromhex(text), np.uint8).reshape(-1, 3) / 255 for name, text in maps.items()}
    return tables | {f"{name}_r": table[::-1] for name, table in tables.items()}


@dataclass(frozen=True, slots=True)
class Colors:
    """How values become colors.

    Attributes
    ----------
    low, high : float
        Ends of the scale.
    scale : ColorScale
    is_signed : bool
        Whether it is centered on 0.
    map : str
        Name of the color map.
    no_data : str
        Color of voxels without data, ``#rrggbb``.
    """

    low: float
    high: float
    scale: ColorScale
    is_signed: bool
    map: str
    no_data: str


def colors_of(
    values: NDArray[Any],
    *,
    theme: ThemeRow,
    scale: ColorScale | None,
    vmin: float | None,
    vmax: float | None,
    color_map: str | None,
    is_signed: bool,
) -> Colors:
    """The colors of an image; limits that are not given are those of the figures, 0 and a quantile of the values.

    Raises
    ------
    InputError
        If there is no such color map, or the limits are not valid.
    """
    name = color_map or (theme.difference if is_signed else theme.signal)
    if name not in color_maps():
        raise InputError(
            f"map must be a color map, got {shown(name)}", hint=f"Valid: {', '.join(sorted(color_maps()))}."
        )
    wanted = scale or ("linear" if is_signed else "power")
    chosen, vmin, vmax, _ = check_scale(wanted, vmin=vmin, vmax=vmax, quantile=QUANTILE)
    high = vmax
    if high is None:
        found = np.abs(values[np.isfinite(values) & (values != 0)])
        high = float(np.quantile(found, QUANTILE)) if found.size else 1.0
    low = low_end(chosen, vmin=vmin, high=high, is_signed=is_signed)
    return Colors(low, high, chosen, is_signed, name, theme.no_data)


def fractions(values: NDArray[Any], colors: Colors) -> NDArray[np.float64]:
    """Where values lie on the scale, 0 to 1; NaN = no data."""
    clipped = np.clip(np.asarray(values, np.float64), colors.low, colors.high)
    ends = np.array([colors.low, colors.high])
    if colors.scale == "linear":
        return np.asarray((clipped - colors.low) / (colors.high - colors.low))
    if colors.scale == "power":
        if colors.is_signed:
            return np.asarray((np.sign(clipped) * np.sqrt(np.abs(clipped) / colors.high) + 1) / 2)
        return np.asarray(np.sqrt((clipped - colors.low) / (colors.high - colors.low)))
    if colors.scale == "log":
        scaled = [_symmetric_log(each, colors.high) if colors.is_signed else np.log10(each) for each in (ends, clipped)]
        start, end = float(scaled[0][0]), float(scaled[0][1])
        return np.asarray((scaled[1] - start) / (end - start))
    assert_never(colors.scale)


def _symmetric_log(values: NDArray[Any], high: float) -> NDArray[np.float64]:
    # As Matplotlib's SymLogNorm: linear up to the threshold, over as much of the scale as a decade.
    threshold = high / 10**DECADES
    scaled = np.abs(values) / threshold
    outer = 1 / 0.9 + np.log10(np.maximum(scaled, 1))
    return np.asarray(np.sign(values) * np.where(scaled <= 1, scaled / 0.9, outer))


def palette(colors: Colors) -> NDArray[np.uint8]:
    """Red, green, blue and opacity of the 256 colors of an image, shape (256, 4)."""
    at = np.linspace(0, 1, _COLORS)
    where = at if colors.is_signed else FIRST_COLOR + (1 - FIRST_COLOR) * at
    table = color_maps()[colors.map]
    found = np.empty((_COLORS + 1, 4))
    found[:-1, :3] = table[np.minimum((where * len(table)).astype(int), len(table) - 1)]
    found[:-1, 3] = np.clip((np.abs(2 * at - 1) if colors.is_signed else at) / FADE, 0, 1)
    found[-1] = [*(int(colors.no_data[start : start + 2], 16) / 255 for start in (1, 3, 5)), 1]
    return np.asarray(np.round(found * 255), np.uint8)


def png(values: NDArray[Any], colors: Colors, *, zoom: int = 1) -> bytes:
    """A PNG file of an image with a palette; each voxel has ``zoom`` pixels along each axis."""
    at = fractions(values, colors)
    known = ~np.isnan(at)
    index = np.full(at.shape, _NO_DATA, np.uint8)
    index[known] = np.round(at[known] * (_COLORS - 1))
    index = index.repeat(zoom, 0).repeat(zoom, 1)
    height = len(index)
    width = index.size // height
    rows = np.zeros((height, width + 1), np.uint8)
    rows[:, 1:] = index
    table = palette(colors)
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", struct.pack(">2I5B", width, height, 8, 3, 0, 0, 0)),
            _chunk(b"PLTE", table[:, :3].tobytes()),
            _chunk(b"tRNS", table[:, 3].tobytes()),
            _chunk(b"IDAT", zlib.compress(rows.tobytes(), 6)),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

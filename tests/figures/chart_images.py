"""Comparison of figures with small reference images of synthetic data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOLDER = Path(__file__).with_name("chart_images")
_DPI = 60
# Root mean square of the difference of pixels, 0 to 255: fonts differ somewhat between versions of Matplotlib.
_TOLERATED = 12.0


def looks_like_reference(figure: Figure, name: str) -> bool:
    """Whether the figure looks like the reference image; writes it if NEW_REFERENCES is set."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.image import imread, imsave

    canvas = FigureCanvasAgg(figure)
    figure.set_dpi(_DPI)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    path = FOLDER / f"{name}.png"
    if os.environ.get("NEW_REFERENCES"):
        imsave(path, np.ascontiguousarray(pixels))
    expected = imread(path)[..., :3] * 255
    if expected.shape != pixels.shape:
        return False
    return float(np.sqrt(np.mean((pixels.astype(float) - expected) ** 2))) < _TOLERATED

"""The average template as the background of planes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bsv_store.check import path as checked_path
from bsv_store.figures.brain import upright
from bsv_store.figures.sheet import Layer
from bsv_store.formats.nrrd import opened_nrrd
from bsv_store.vocabulary import PlaneRow
from bsv_store.volumes.grid import AXES, EXTENT_UM

if TYPE_CHECKING:
    from pathlib import Path

    from bsv_store.vocabulary import Theme

_WHITE_QUANTILE = 0.995
# The template must not compete with the signal.
_CONTRAST = 0.55


def template_planes(file: Path | str, plane: PlaneRow, at_um: Sequence[float], *, theme: Theme) -> list[Layer]:
    """Planes of a template in an NRRD file, as gray images.

    Raises
    ------
    InputError
        If the file does not exist or cannot be read.
    FormatError, FrameError
        If it is not an NRRD file on a CCFv3 grid.
    """
    source = checked_path("template", file)
    axis = AXES.index(plane.across)
    with opened_nrrd(source, what=source.name) as opened:
        spacing = opened.grid.spacing_um
        indices = [min(int(um // spacing), opened.grid.shape[axis] - 1) for um in at_um]
        parts: list[list[NDArray[Any]]] = [[] for _ in indices]
        first = 0
        for block in opened.blocks:
            width = block.shape[2]
            for index, part in zip(indices, parts, strict=True):
                if axis != 2:
                    part.append(np.take(block, index, axis=axis))
                elif first <= index < first + width:
                    part.append(block[:, :, index - first])
            first += width
    found = [upright(np.concatenate(part, axis=1) if axis != 2 else part[0], plane) for part in parts]
    white = max(float(np.quantile(np.concatenate([each.ravel() for each in found]), _WHITE_QUANTILE)), 1e-12)
    extent = (0.0, EXTENT_UM[AXES.index(plane.right)] / 1000, EXTENT_UM[AXES.index(plane.down)] / 1000, 0.0)
    return [Layer(_gray(np.clip(each / white, 0, 1), theme), extent) for each in found]


def _gray(strength: NDArray[Any], theme: Theme) -> NDArray[np.float64]:
    """Colors of a template: dark fibers on white, or light tissue on black; transparent outside."""
    gray = 1 - _CONTRAST * strength if theme == "light" else _CONTRAST * strength
    return np.stack([gray, gray, gray, (strength > 0.02).astype(np.float64)], axis=-1)

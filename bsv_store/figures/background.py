"""The average template as the background of planes, from the store or from a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bsv_store.check import path as checked_path
from bsv_store.errors import InputError
from bsv_store.figures.brain import upright
from bsv_store.figures.sheet import Layer
from bsv_store.formats.nrrd import opened_nrrd
from bsv_store.vocabulary import PlaneRow
from bsv_store.volumes.grid import ARRAY_AXES, EXTENT_UM

if TYPE_CHECKING:
    from pathlib import Path

    from bsv_store.figures.brain import Brain
    from bsv_store.vocabulary import Theme

STORED = "template"
"""The template of the store."""

_WHITE_QUANTILE = 0.995
# The template must not compete with the signal.
_CONTRAST = 0.55


@dataclass(frozen=True, slots=True, eq=False)
class Background:
    """The images behind the planes of a figure, and what the footer says about them."""

    layers: list[Layer]
    note: str


def background_planes(
    background: Path | str, brain: Brain, plane: PlaneRow, at_um: Sequence[float], *, theme: Theme
) -> Background:
    """Planes of the template as gray images.

    Parameters
    ----------
    background : 'template' or path
        The template of the store, or one in an NRRD file.

    Raises
    ------
    MissingDataError, DamagedFileError
        If the store has no template, or its file is damaged.
    InputError
        If the file does not exist or cannot be read.
    FormatError, FrameError
        If it is not an NRRD file on a CCFv3 grid.
    """
    if background == STORED:
        file = brain.require_template("the background")
        found = brain.template_planes(file, plane, at_um)
        note = f"Background: average template at {file.grid.spacing_um} µm ({_file_name(file.source)})."
    else:
        source = checked_path("background", background)
        if not source.suffix and not source.exists():
            raise InputError(
                f"background must be '{STORED}' or the path of an NRRD file, got {str(background)!r}",
                hint="'template' is the average template in the store.",
            )
        found, spacing_um = _planes_of_file(source, plane, at_um)
        note = f"Background: {source.name} at {spacing_um} µm."
    white = max(float(np.quantile(np.concatenate([each.ravel() for each in found]), _WHITE_QUANTILE)), 1e-12)
    extent = (0.0, EXTENT_UM[ARRAY_AXES.index(plane.right)] / 1000, EXTENT_UM[ARRAY_AXES.index(plane.down)] / 1000, 0.0)
    return Background([Layer(_gray(np.clip(each / white, 0, 1), theme), extent) for each in found], note)


def _file_name(source: str) -> str:
    return source.rstrip("/").rpartition("/")[2]


def _planes_of_file(file: Path, plane: PlaneRow, at_um: Sequence[float]) -> tuple[list[NDArray[Any]], int]:
    axis = ARRAY_AXES.index(plane.across)
    with opened_nrrd(file, what=file.name) as opened:
        spacing_um = opened.grid.spacing_um
        indices = [min(int(um // spacing_um), opened.grid.shape[axis] - 1) for um in at_um]
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
    found = [np.concatenate(part, axis=1) if axis != 2 else part[0] for part in parts]
    # Some programs write NaN outside the brain.
    return [upright(np.nan_to_num(each), plane) for each in found], spacing_um


def _gray(strength: NDArray[Any], theme: Theme) -> NDArray[np.float64]:
    """Colors of a template: dark tissue on white, or light tissue on black; transparent outside."""
    gray = 1 - _CONTRAST * strength if theme == "light" else _CONTRAST * strength
    return np.stack([gray, gray, gray, (strength > 0.02).astype(np.float64)], axis=-1)

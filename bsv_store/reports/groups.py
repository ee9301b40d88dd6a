"""Figures of group averages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bsv_store.check import several
from bsv_store.errors import InputError
from bsv_store.figures.axes import draw_axes
from bsv_store.figures.panels import VIEWS, PlottedVersion, scene_of
from bsv_store.figures.sheet import SHEET_VIEWS, draw_sheet
from bsv_store.figures.style import check_path, figure_class, save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


# More groups are drawn as a sheet of small tiles without axes.
_MAX_WITH_AXES = 10
# Larger figures are not readable, and exceed the size limits of Matplotlib.
_MAX_GROUPS = 400


def plot_groups(
    version: PlottedVersion,
    path: Path | str,
    *,
    groups: Sequence[int] | None = None,
    subtitle: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Draw the mean of each group into a file: views from above, from the front and from the left.

    More than ten groups are drawn as a sheet of tiles without axes, with views from above and from the front. Each
    panel is a maximum projection (of absolute values, if there are negative ones); all groups share one color scale.
    Axes are CCF coordinates in mm. The thin line is the outline of all voxels with signal in any group; dashed lines
    are the edges of coordinate bins. Gray means no data along the whole line of sight, as opposed to 0; a group
    without experiments is gray and labeled. Normalization, hemisphere rule, masks and number of experiments are listed
    below the title.

    Parameters
    ----------
    version : DatasetVersion
    path : path
        Must end in .png, .pdf or .svg.
    groups : sequence of int, optional
        Numbers of the groups to draw; by default all.
    subtitle : str, optional
        One line below the title.
    overwrite : bool
        Replace the file if it exists.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    InputError
        If Matplotlib is not installed, the suffix is not valid, the file cannot be written, a group does not exist, or
        there are too many groups.
    DamagedFileError
        If the result file in the store is missing or damaged.
    """
    check_path(path)
    return save_figure(draw_groups(version, groups=groups, subtitle=subtitle), path, overwrite=overwrite)


def draw_groups(version: PlottedVersion, *, groups: Sequence[int] | None = None, subtitle: str | None = None) -> Figure:
    """The Matplotlib figure that :func:`plot_groups` writes, for notebooks and customization.

    Raises
    ------
    InputError
        If Matplotlib is not installed, a group does not exist, or there are too many groups.
    DamagedFileError
        If the result file in the store is missing or damaged.
    """
    # Raises if Matplotlib is missing, before any work.
    figure_class()
    numbers = _checked(version, groups)
    if len(numbers) <= _MAX_WITH_AXES:
        return draw_axes(scene_of(version, numbers, VIEWS, subtitle=subtitle))
    return draw_sheet(scene_of(version, numbers, SHEET_VIEWS, subtitle=subtitle))


def _checked(version: PlottedVersion, groups: Sequence[int] | None) -> list[int]:
    if not hasattr(version, "groups"):
        raise InputError(
            f"version must be a DatasetVersion, got {version!r}", hint="For example store.dataset('visual')."
        )
    known = range(len(version.groups))
    numbers = list(known) if groups is None else several("groups", groups, such_as="[0, 2]")
    unknown = [number for number in numbers if number not in known]
    if unknown:
        raise InputError(f"{version.ref} has no group {unknown[0]}", hint=f"Valid groups are 0 to {len(known) - 1}.")
    if not numbers or len(numbers) > _MAX_GROUPS:
        raise InputError(
            f"{len(numbers)} groups cannot be drawn in one figure",
            hint=f"Choose 1 to {_MAX_GROUPS} groups (--group N, groups=[...]).",
        )
    return numbers

"""Pictures of group averages. Needs the extra ``plot`` (Matplotlib)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bsv_store.check import path as checked_path
from bsv_store.check import several
from bsv_store.errors import InputError
from bsv_store.formats.output_file import atomic_output
from bsv_store.reports.axes import draw_axes
from bsv_store.reports.panels import VIEWS, PlottedGroup, PlottedVersion, figure_class, scene_of
from bsv_store.reports.sheet import SHEET_VIEWS, draw_sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ENDINGS", "PlottedGroup", "PlottedVersion", "draw_groups", "plot_groups"]

ENDINGS = (".png", ".pdf", ".svg")

# Up to here each group has axes with numbers; more become a sheet of small tiles.
_WITH_AXES = 10
# More tiles than these are no picture that anybody reads, and no size that Matplotlib writes.
_MOST = 400


def plot_groups(
    version: PlottedVersion,
    path: Path | str,
    *,
    groups: Sequence[int] | None = None,
    subtitle: str | None = None,
    overwrite: bool = True,
) -> Path:
    """The path of a picture with the groups' averages from above, from the front and from the left.

    More than ten groups become a sheet of tiles without axes, from above and from the front only. Each panel is a
    maximum projection (of the largest absolute value where there are negative ones) on one color scale for all groups;
    axes are CCF coordinates in mm. The thin line is the outline of all voxels with signal in any group. Where groups
    are bins of a coordinate, dashes mark the edges of the bin. Gray has no data, all the way through the brain, and is
    not the color of 0; a group without experiments is gray and says so. Normalization, hemisphere rule, masks and the
    number of experiments stand below the title.

    Parameters
    ----------
    version : DatasetVersion
    path : path
        Ends in .png, .pdf or .svg.
    groups : sequence of int, optional
        Numbers of the groups to draw; all by default.
    subtitle : str, optional
        One line below the title.
    overwrite : bool
        Replace the file if it exists.

    Raises
    ------
    InputError
        If Matplotlib is not installed, the ending is another one, the file cannot be written, or there is no such
        group, or there are too many for a picture.
    DamagedFileError
        If the result file in the store is not what was published.
    """
    target = checked_path("path", path)
    if target.suffix.lower() not in ENDINGS:
        raise InputError(
            f"cannot tell from {target.name!r} what to draw", hint=f"The name ends in {', '.join(ENDINGS)}."
        )
    figure = draw_groups(version, groups=groups, subtitle=subtitle)
    with atomic_output(target, overwrite=overwrite) as temporary:
        figure.savefig(temporary, dpi=150, facecolor="white")
    return target


def draw_groups(version: PlottedVersion, *, groups: Sequence[int] | None = None, subtitle: str | None = None) -> Figure:
    """The Matplotlib figure that :func:`plot_groups` writes, for notebooks and further changes.

    Raises
    ------
    InputError
        If Matplotlib is not installed, there is no such group, or there are too many for a picture.
    DamagedFileError
        If the result file in the store is not what was published.
    """
    # Before the work.
    figure_class()
    numbers = _checked(version, groups)
    if len(numbers) <= _WITH_AXES:
        return draw_axes(scene_of(version, numbers, VIEWS, subtitle=subtitle))
    return draw_sheet(scene_of(version, numbers, SHEET_VIEWS, subtitle=subtitle))


def _checked(version: PlottedVersion, groups: Sequence[int] | None) -> list[int]:
    if not hasattr(version, "groups"):
        raise InputError(
            f"version is {version!r}, and no version", hint="Give one, such as store.dataset('visual') returns."
        )
    known = range(len(version.groups))
    numbers = list(known) if groups is None else several("groups", groups, such_as="[0, 2]")
    unknown = [number for number in numbers if number not in known]
    if unknown:
        raise InputError(f"{version.ref} has no group {unknown[0]}", hint=f"Its groups are 0 to {len(known) - 1}.")
    if not numbers or len(numbers) > _MOST:
        raise InputError(
            f"{len(numbers)} groups cannot be drawn in one picture", hint=f"Choose 1 to {_MOST} of them (--group)."
        )
    return numbers

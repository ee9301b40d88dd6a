"""Figures of voxels and structures: slices, maximum projections, region maps, overlays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bsv_store.figures.overlay import draw_overlay
from bsv_store.figures.projections import draw_projections
from bsv_store.figures.region_map import draw_region_map
from bsv_store.figures.slices import draw_slices
from bsv_store.figures.style import figure_class, save_figure
from bsv_store.reports.anatomy import brain_of
from bsv_store.reports.sources import overlaid_sources, region_values, source_of

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

    from bsv_store.catalog.selection.selection import Selection
    from bsv_store.catalog.structures import StructureRef
    from bsv_store.figures.brain import Outlines
    from bsv_store.reports.sources import SourceRef
    from bsv_store.store.store import Store
    from bsv_store.vocabulary import ColorScale, ComparisonMap, Plane, Statistic, Theme, VolumeKind


def slices(
    store: Store,
    source: SourceRef,
    *,
    groups: int | Sequence[int] | None = None,
    minus: int | None = None,
    statistic: Statistic | ComparisonMap = "mean",
    kind: VolumeKind | None = None,
    spacing_um: int | None = None,
    plane: Plane = "coronal",
    through: StructureRef | Sequence[StructureRef] | None = None,
    at_mm: float | Sequence[float] | None = None,
    count: int | None = None,
    outlines: Outlines = None,
    emphasize: StructureRef | Sequence[StructureRef] | None = None,
    smooth_um: float = 0,
    region_only: StructureRef | Sequence[StructureRef] | None = None,
    background: Path | str | None = None,
    scale: ColorScale | None = None,
    vmin: float | None = None,
    vmax: float | None = None,
    shared: bool = True,
    quantile: float = 0.998,
    title: str | None = None,
    width_mm: float = 180,
    theme: Theme = "light",
    footer: bool = True,
) -> Figure:
    """A montage of slices: one row per group or experiment, one column per plane.

    Structures are outlined according to the store's annotation, at 25 um where the store has it. Without an annotation
    the line is the outline of all voxels with signal, and the footer says so. Values of both signs get a color scale
    centered on 0.

    Parameters
    ----------
    store : Store
    source : str, DatasetVersion, int or sequence of int
        A dataset version, or one or more experiments.
    groups : int or sequence of int, optional
        Numbers of the groups of a version; by default all.
    minus : int, optional
        Number of a group that is subtracted from each of the others.
    statistic : {'mean', 'sum', 'sd', 'sem', 'min', 'max', 'n', 'difference', 't', 'p_permutation', 'p_max_t', ...}
        Of a version, or a map of its comparison, which has no groups; p is drawn as -log10 p.
    kind : VolumeKind, optional
        Of the volumes of experiments; by default 'projection_density'.
    spacing_um : {10, 25, 50, 100}, optional
        Of the volumes of experiments; by default 100.
    plane : {'coronal', 'sagittal', 'horizontal'}
        The left hemisphere is on the left; dorsal or anterior is up; in sagittal planes, anterior is on the left.
    through : str, int or sequence of them, optional
        Spread the planes over the extent of these structures. Sagittal planes are in the hemisphere with more signal.
    at_mm : float or sequence of float, optional
        Positions of the planes, CCF coordinates in mm. By default planes are where the signal is.
    count : int, optional
        Number of planes, if they are not given by position; by default 6, fewer if there are many rows.
    outlines : int, str or sequence of them, optional
        Structures to outline: a level of the ontology (up to 30; 0 = only the brain), the id of a structure set such
        as 167587189, or structures. By default level 5, such as isocortex and thalamus with their neighbors.
    emphasize : str, int or sequence of them, optional
        Structures that are filled, edged in Allen's colors, and labeled in the hemisphere with less signal.
    smooth_um : float
        Standard deviation of a Gaussian filter in three dimensions; voxels without data do not count.
    region_only : str, int or sequence of them, optional
        Show signal only inside these structures.
    background : 'template' or path, optional
        Image drawn in gray behind the signal: the average template of the store (`Store.sync_template`), at 25 um
        where the store has it, or that in an NRRD file.
    scale : {'power', 'linear', 'log'}, optional
        How values become colors. By default 'power', the square root, which shows weak axons without saturating the
        injection site; 'linear' for values of both signs.
    vmin, vmax : float, optional
        Ends of the color scale; by default 0 and the quantile. The scale of values of both signs goes from ``-vmax`` to
        ``vmax``.
    shared : bool
        One color scale for all rows; otherwise each row has its own.
    quantile : float
        Of the values shown that are not 0; the upper end of the color scale.
    title : str, optional
        By default it names the source.
    width_mm : float
        A column of a journal is about 85 mm wide, a page about 180 mm. The height follows.
    theme : {'light', 'dark'}
    footer : bool
        Write rules, color scale, annotation and fingerprint below the figure.

    Returns
    -------
    matplotlib.figure.Figure
        One Axes for each row and plane, in this order, with CCF coordinates in mm, then those of the color scales.

    Raises
    ------
    InputError
        If Matplotlib is not installed, or an argument is not valid.
    MissingDataError
        If the store does not have a volume, or not the annotation or template that an argument needs.
    UnknownStructureError, UnknownDatasetError, UnknownExperimentError
        If something does not exist.
    DamagedFileError
        If a file in the store is missing or damaged.

    Examples
    --------
    >>> figure = reports.slices(store, 158375425, through="SSp", emphasize=["SSp", "VPM"])  # doctest: +SKIP
    """
    figure_class()
    chosen = source_of(store, source, groups=groups, minus=minus, statistic=statistic, kind=kind, spacing_um=spacing_um)
    return draw_slices(
        chosen,
        brain_of(store),
        plane=plane,
        through=through,
        at_mm=at_mm,
        count=count,
        outlines=outlines,
        emphasize=emphasize,
        smooth_um=smooth_um,
        region_only=region_only,
        background=background,
        scale=scale,
        vmin=vmin,
        vmax=vmax,
        shared=shared,
        quantile=quantile,
        title=title,
        width_mm=width_mm,
        theme=theme,
        footer=footer,
    )


def projections(
    store: Store,
    source: SourceRef,
    *,
    groups: int | Sequence[int] | None = None,
    minus: int | None = None,
    statistic: Statistic | ComparisonMap = "mean",
    kind: VolumeKind | None = None,
    spacing_um: int | None = None,
    emphasize: StructureRef | Sequence[StructureRef] | None = None,
    scale: ColorScale = "linear",
    vmin: float | None = None,
    vmax: float | None = None,
    shared: bool = True,
    quantile: float = 0.998,
    title: str | None = None,
    width_mm: float = 180,
    theme: Theme = "light",
    footer: bool = True,
) -> Figure:
    """Maximum projections: one row per group or experiment, seen from above, from the front and from the left.

    Each pixel is the value with the largest absolute value along the line of sight. Gray means no data along the whole
    line; a group without experiments is gray and labeled. Dashed lines are the edges of coordinate bins. Figures of
    more than ten rows have no view from the left.

    Parameters
    ----------
    store, source, groups, minus, statistic, kind, spacing_um
        As for `slices`.
    emphasize : str, int or sequence of them, optional
        Structures whose silhouettes are filled, edged in Allen's colors, and labeled.
    scale : {'linear', 'power', 'log'}
        Linear by default, because along a line of sight faint background adds up that a square root would show.
    vmin, vmax, shared, quantile, title, width_mm, theme, footer
        As for `slices`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError, MissingDataError, UnknownStructureError, UnknownDatasetError, UnknownExperimentError, DamagedFileError
        As `slices` does.
    """
    figure_class()
    chosen = source_of(store, source, groups=groups, minus=minus, statistic=statistic, kind=kind, spacing_um=spacing_um)
    return draw_projections(
        chosen,
        brain_of(store),
        emphasize=emphasize,
        scale=scale,
        vmin=vmin,
        vmax=vmax,
        shared=shared,
        quantile=quantile,
        title=title,
        width_mm=width_mm,
        theme=theme,
        footer=footer,
    )


def region_map(
    store: Store,
    values: Any,
    *,
    column: str | None = None,
    groups: int | Sequence[int] | None = None,
    plane: Plane = "coronal",
    through: StructureRef | Sequence[StructureRef] | None = None,
    at_mm: float | Sequence[float] | None = None,
    count: int | None = None,
    outlines: Outlines = None,
    emphasize: StructureRef | Sequence[StructureRef] | None = None,
    scale: ColorScale = "linear",
    vmin: float | None = None,
    vmax: float | None = None,
    shared: bool = True,
    title: str | None = None,
    width_mm: float = 180,
    theme: Theme = "light",
    footer: bool = True,
) -> Figure:
    """Slices whose structures are filled by a value, according to the store's annotation.

    A structure is filled by its own value, or by that of the nearest structure above it that has one. Structures
    without a value are not filled; NaN is gray.

    Parameters
    ----------
    store : Store
    values : mapping, pandas.Series, pandas.DataFrame, pathlib.Path, str or DatasetVersion
        Values by structure (acronym or id); a table with a column ``structure_id`` or ``structure``, such as those of
        ``store.search.targets_of`` and ``store.datasets.regions``, or the path of a CSV file with one; or a dataset
        version, whose means over the summary structures are shown, one row per group. If a table has a column
        ``hemisphere``, or ipsilateral and contralateral means, each hemisphere has its own values; the ipsilateral one
        is on the right.
    column : str, optional
        Of the table, with the values; by default ``mean``.
    groups : int or sequence of int, optional
        Numbers of the groups of a version; by default all.
    plane, through, at_mm, count
        As for `slices`; by default planes are spread over the structures with the largest values.
    outlines : int, str or sequence of them, optional
        As for `slices`; by default the structures with a value.
    emphasize, scale, vmin, vmax, shared, title, width_mm, theme, footer
        As for `slices`. The color scale ends at the largest value.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError, UnknownStructureError, UnknownDatasetError
        If an argument is not valid, or something does not exist.
    MissingDataError
        If the store has no annotation.
    DamagedFileError
        If a file in the store is missing or damaged.
    """
    figure_class()
    return draw_region_map(
        region_values(store, values, column=column, groups=groups),
        brain_of(store),
        plane=plane,
        through=through,
        at_mm=at_mm,
        count=count,
        outlines=outlines,
        emphasize=emphasize,
        scale=scale,
        vmin=vmin,
        vmax=vmax,
        shared=shared,
        title=title,
        width_mm=width_mm,
        theme=theme,
        footer=footer,
    )


def overlay(
    store: Store,
    sources: Mapping[str, SourceRef | Selection] | Sequence[SourceRef | Selection] | SourceRef,
    *,
    colors: Sequence[str] | None = None,
    kind: VolumeKind | None = None,
    spacing_um: int | None = None,
    plane: Plane = "coronal",
    through: StructureRef | Sequence[StructureRef] | None = None,
    at_mm: float | Sequence[float] | None = None,
    count: int | None = None,
    outlines: Outlines = None,
    emphasize: StructureRef | Sequence[StructureRef] | None = None,
    smooth_um: float = 0,
    scale: ColorScale = "power",
    vmax: float | None = None,
    shared: bool = False,
    quantile: float = 0.998,
    title: str | None = None,
    width_mm: float = 180,
    theme: Theme = "light",
    footer: bool = True,
) -> Figure:
    """Several sources in the same slices, each in its own color.

    Colors mix like inks on a light background and like lights on a dark one. Values must not be negative.

    Parameters
    ----------
    store : Store
    sources : mapping of str to source, sequence of sources, or source
        Labels for the legend, and what is drawn: a dataset version, each of whose groups has its own color; an
        experiment; or a Selection or a list of experiments, of which the mean is drawn.
    colors : sequence of str, optional
        One for each source, as Matplotlib names colors; by default up to six that readers with color vision deficiency
        can tell apart.
    kind, spacing_um, plane, through, at_mm, count, outlines, emphasize, smooth_um, scale
        As for `slices`.
    vmax : float, optional
        Value with full color; by default the quantile.
    shared : bool
        One scale for all sources; by default each has its own, since their strengths often differ.
    quantile, title, width_mm, theme, footer
        As for `slices`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError, MissingDataError, UnknownStructureError, UnknownDatasetError, UnknownExperimentError, DamagedFileError
        As for `slices`; or if there are more sources than colors, or their grids differ.
    """
    figure_class()
    overlaid, source = overlaid_sources(store, sources, kind=kind, spacing_um=spacing_um)
    return draw_overlay(
        overlaid,
        source,
        brain_of(store),
        colors=colors,
        plane=plane,
        through=through,
        at_mm=at_mm,
        count=count,
        outlines=outlines,
        emphasize=emphasize,
        smooth_um=smooth_um,
        scale=scale,
        vmax=vmax,
        shared=shared,
        quantile=quantile,
        title=title,
        width_mm=width_mm,
        theme=theme,
        footer=footer,
    )


def save(figure: Figure, path: Path | str, *, dpi: int = 300, overwrite: bool = False) -> Path:
    """Write a figure to a file; equal figures give equal files.

    PDF files embed TrueType fonts, and SVG files have text as text. The metadata of the file have the title, the
    fingerprint and the version of the software.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    path : path
        Must end in .png, .pdf or .svg.
    dpi : int
        Resolution of PNG files.
    overwrite : bool
        Replace the file if it exists.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    InputError
        If the suffix is not valid, or the file exists or cannot be written.
    NoSpaceError
        If the disk is full.
    """
    return save_figure(figure, path, dpi=dpi, overwrite=overwrite)

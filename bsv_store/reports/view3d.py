"""The 3-D view of signal in the brain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_never

import numpy as np
from numpy.typing import NDArray

from bsv_store.averaging.hemisphere import half_names
from bsv_store.averaging.units import describe_unit
from bsv_store.catalog.selection.selection import Selection
from bsv_store.catalog.structures import descendant_ids, find_structures
from bsv_store.check import boolean, checked_group, choice, finite_numbers, several, without
from bsv_store.datasets.version import DatasetVersion
from bsv_store.errors import InputError, MissingDataError
from bsv_store.figures.injections import sequence_of
from bsv_store.figures.layout import title_or
from bsv_store.figures.sources import experiment_names
from bsv_store.figures.style import GROUP_COLORS, check_html_path
from bsv_store.figures.surface import coarser, smoothed, surface
from bsv_store.figures.view3d import Item, Points, encoded_bytes, view_html, write_view
from bsv_store.formats.output_file import check_target
from bsv_store.reports.anatomy import brain_of, color_of
from bsv_store.reports.sources import DEFAULT_KIND, DEFAULT_SPACING_UM
from bsv_store.text import listed, shown
from bsv_store.vocabulary import MEASURED_HEMISPHERES, SIGNAL_STYLES, VOLUME_KINDS

if TYPE_CHECKING:
    from bsv_store.catalog.selection.selection import SelectionLike
    from bsv_store.catalog.structures import StructureRef
    from bsv_store.figures.brain import AnnotatedVolume
    from bsv_store.store.store import Store
    from bsv_store.vocabulary import SignalStyle, Theme, VolumeKind

_FINEST_UM = 100
_BRAIN_UM = 200
# For all signal together; brain and regions take about 0.7 MB.
_BUDGET = 3_600_000
_MAX_GROUPS = 40
# Gray that is mixed into the palette when it is used again, and its share.
_TINTS = ((0, 0.0), (255, 0.5), (0, 0.45))
_SCALE_QUANTILE = 0.998
# Fractions of the value at that quantile: of several groups only the first.
_LEVELS = (0.15, 0.5)


@dataclass(frozen=True, slots=True, eq=False)
class _Signal:
    """The signal of one group, at 100 um or coarser, without NaN."""

    label: str
    color: str
    values: NDArray[np.float32]
    spacing_um: int


def view_3d(
    store: Store,
    source: DatasetVersion | str | int | Selection | Sequence[int],
    path: Path | str,
    *,
    groups: Sequence[int] | None = None,
    regions: StructureRef | Sequence[StructureRef] | None = None,
    style: SignalStyle = "surface",
    level: float | Sequence[float] | None = None,
    kind: VolumeKind | None = None,
    spacing_um: int | None = None,
    title: str | None = None,
    theme: Theme = "dark",
    footer: bool = True,
    overwrite: bool = False,
) -> Path:
    """Write a 3-D view of signal in the brain as one HTML file that works without network in any current browser.

    Drag to turn, scroll or pinch to zoom, drag with Shift or with two fingers to move. Each group or experiment has its
    color and can be switched off in the legend. The surface of the brain and of regions comes from the store's
    annotation and is absent without one. The letters A, P, L, R, D and V mark the directions; the
    halves of a folded version are labeled contra and ipsi. Files are smaller than
    5 MB; where necessary, surfaces are computed from voxels of 200 or 400 um.

    Parameters
    ----------
    store : Store
    source : DatasetVersion, str, int, Selection or sequence of int
        A dataset version or its name, whose group means are drawn; or experiments, by id or as a selection, whose
        volumes are drawn.
    path : path
        Must end in .html.
    groups : sequence of int, optional
        Numbers of the groups of the version to draw; by default all.
    regions : str, int or sequence of them, optional
        Structures whose surface is drawn, in Allen's colors.
    style : {'surface', 'points'}
        Surfaces of equal signal, or a point in each voxel above the level, larger where there is more signal.
    level : float or sequence of float, optional
        Signal at the surface; the outer surfaces of several levels are translucent. The same for all groups. By default
        15 % (and, for a single group, also 50 %) of the 99.8 % quantile of the voxels with signal.
    kind : VolumeKind, optional
        Of the volumes of experiments; by default 'projection_density'.
    spacing_um : {10, 25, 50, 100}, optional
        Of the volumes of experiments; by default 100.
    title : str, optional
        '' for none.
    theme : {'light', 'dark'}
    footer : bool
        Write the levels and notes at the bottom.
    overwrite : bool
        Replace the file if it exists.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    MissingDataError
        If the store does not have the volume of an experiment, or regions are given and it has no annotation.
    UnknownDatasetError, UnknownStructureError, InputError
        If the source, a group, a region or another argument does not exist or is not valid.
    DamagedFileError
        If a file in the store differs from what was stored.
    """
    replaces = boolean("overwrite", overwrite)
    check_target(check_html_path(path), overwrite=replaces)
    text = view_3d_html(
        store,
        source,
        groups=groups,
        regions=regions,
        style=style,
        level=level,
        kind=kind,
        spacing_um=spacing_um,
        title=title,
        theme=theme,
        footer=footer,
    )
    return write_view(text, path, overwrite=replaces)


def view_3d_html(
    store: Store,
    source: DatasetVersion | str | int | Selection | Sequence[int],
    *,
    groups: Sequence[int] | None = None,
    regions: StructureRef | Sequence[StructureRef] | None = None,
    style: SignalStyle = "surface",
    level: float | Sequence[float] | None = None,
    kind: VolumeKind | None = None,
    spacing_um: int | None = None,
    title: str | None = None,
    theme: Theme = "dark",
    footer: bool = True,
) -> str:
    """The page that `view_3d` writes, as text."""
    chosen = choice("style", style, SIGNAL_STYLES).name
    with_footer = boolean("footer", footer)
    if isinstance(source, DatasetVersion | str):
        without("kind", "a dataset version", kind is not None)
        without("spacing_um", "a dataset version", spacing_um is not None)
        version = store.dataset(source)
        signals = list(_group_signals(version, groups, theme))
        name, quantity, fingerprint = version.ref, version.quantity, version.fingerprint
        halves = half_names(version.recipe.hemisphere_rule)
    else:
        without("groups", "experiments", groups is not None)
        halves = half_names("none")
        volume_kind = choice("kind", kind or DEFAULT_KIND, VOLUME_KINDS).name
        signals = list(_experiment_signals(store, source, volume_kind, spacing_um or DEFAULT_SPACING_UM))
        name, quantity, fingerprint = (
            (_title_of(store, signals[0]) if len(signals) == 1 else f"{len(signals)} experiments"),
            describe_unit(volume_kind, "none"),
            None,
        )
    levels = _levels(signals, level)
    brain = brain_of(store).voxels()
    wanted = [] if regions is None else several("regions", regions, such_as="'CP' or ['CP', 'TH']")
    outer = _anatomy(store, brain, wanted, theme)
    items, used_um = _within_budget(signals, levels, chosen)
    notes = [_level_note(chosen, levels, quantity)]
    if used_um > _FINEST_UM:
        notes.append(f"Computed from voxels of {used_um} µm.")
    if brain is None:
        notes.append("No brain surface: the store has no annotation.")
    drawn = {item.name for item in items}
    silent = [signal.label for signal in signals if not drawn & {signal.label, _negative(signal.label)}]
    if silent:
        notes.append(f"No signal at this level: {listed(silent)}.")
    return view_html(
        [*items, *outer],
        sides=(MEASURED_HEMISPHERES[halves[0]].short, MEASURED_HEMISPHERES[halves[1]].short),
        title=title_or(title, name),
        notes=notes,
        fingerprint=fingerprint,
        theme=theme,
        footer=with_footer,
    )


# -- signal -----------------------------------------------------------------------------------------------------------


def _group_signals(version: DatasetVersion, groups: Sequence[int] | None, theme: Theme) -> Iterator[_Signal]:
    known = range(len(version.groups))
    numbers = list(known) if groups is None else several("groups", groups, such_as="[0, 2]")
    for number in numbers:
        checked_group(number, len(known), what=version.ref)
    _check_count(len(numbers), "groups")
    is_sequence = len(version.axes) == 1 and len({group.lower for group in version.groups}) == len(version.groups)
    colors = sequence_of(len(numbers), theme) if is_sequence and len(numbers) > 1 else _palette(len(numbers))
    for number, color in zip(numbers, colors, strict=True):
        group = version.groups[number]
        values = version.statistic("mean", group=number)
        yield _signal(f"{group.label} (n = {group.n})", color, values, version.grid.spacing_um)


def _experiment_signals(
    store: Store, source: int | SelectionLike, kind: VolumeKind, spacing_um: int
) -> Iterator[_Signal]:
    ids = store.select(source)
    if not ids:
        raise InputError("no experiment matches the selection", hint="Use a wider selection.")
    _check_count(len(ids), "experiments")
    for identifier, color in zip(ids, _palette(len(ids)), strict=True):
        yield _signal(str(identifier), color, store.volume(identifier, kind=kind, spacing_um=spacing_um), spacing_um)


def _title_of(store: Store, signal: _Signal) -> str:
    (title,) = experiment_names(store.database, [int(signal.label)]).values()
    return title


def _check_count(count: int, what: str) -> None:
    if not 1 <= count <= _MAX_GROUPS:
        raise InputError(
            f"{count} {what} cannot be drawn in one view", hint=f"Choose 1 to {_MAX_GROUPS} {what}."
        )  # fmt: skip


def _palette(count: int) -> list[str]:
    """The palette, then its colors lighter and darker: groups have no other difference in space."""
    return [
        _mixed(GROUP_COLORS[(number + 1) % len(GROUP_COLORS)], *_TINTS[number // len(GROUP_COLORS) % len(_TINTS)])
        for number in range(count)
    ]


def _signal(label: str, color: str, values: NDArray[Any], spacing_um: int) -> _Signal:
    factor = max(1, _FINEST_UM // spacing_um)
    return _Signal(label, color, coarser(np.nan_to_num(values), factor), spacing_um * factor)


def _levels(signals: Sequence[_Signal], level: float | Sequence[float] | None) -> tuple[float, ...]:
    """The levels, ascending."""
    if level is None:
        values = np.concatenate([np.abs(signal.values[signal.values != 0]) for signal in signals])
        if not values.size:
            return (1.0,)
        high = float(np.quantile(values, _SCALE_QUANTILE))
        return tuple(part * high for part in (_LEVELS if len(signals) == 1 else _LEVELS[:1]))
    given = finite_numbers("level", level, such_as="0.1 or [0.1, 0.4]")
    if not given or min(given) <= 0:
        raise InputError(f"level must be a positive number, got {shown(level)}", hint="For example: 0.1 or [0.1, 0.4].")
    return tuple(sorted(set(given)))


def _level_note(style: SignalStyle, levels: Sequence[float], quantity: str) -> str:
    what = {"surface": "Surfaces at", "points": "Points in voxels above"}[style]
    shown = levels[:1] if style == "points" else levels
    return f"{what} {' and '.join(f'{level:.2g}' for level in shown)}: {quantity}."


def _within_budget(signals: Sequence[_Signal], levels: Sequence[float], style: SignalStyle) -> tuple[list[Item], int]:
    """The items of all signals, from coarser voxels if they would make the file too large, and the spacing in um."""
    for factor in (1, 2, 4):
        items = [item for signal in signals for item in _items(signal, levels, style, factor)]
        if sum(encoded_bytes(item.shape) for item in items) <= _BUDGET:
            break
    # Opaque ones first; of translucent ones the inner, which are more opaque.
    return sorted(items, key=lambda item: -item.opacity), signals[0].spacing_um * factor


def _items(signal: _Signal, levels: Sequence[float], style: SignalStyle, factor: int) -> list[Item]:
    values = coarser(signal.values, factor)
    spacing_mm = signal.spacing_um * factor / 1000
    found = []
    for sign in (1, -1) if (values < 0).any() else (1,):
        name = signal.label if sign > 0 else _negative(signal.label)
        color = signal.color if sign > 0 else _complement(signal.color)
        if style == "points":
            found.append(Item(name, color, _points(sign * values, levels, spacing_mm)))
        elif style == "surface":
            smooth = smoothed(sign * values)
            for number, each in enumerate(levels):
                is_inner = number == len(levels) - 1
                mesh = surface(smooth, each, spacing_mm)
                if len(mesh.vertices):
                    found.append(Item(name, color, mesh, 1.0 if is_inner else 0.16, 0.0 if is_inner else 0.35))
        else:
            assert_never(style)
    return found


def _negative(label: str) -> str:
    """The name of the item with the negative values of a group."""
    return f"{label}, negative"


def _points(values: NDArray[np.float32], levels: Sequence[float], spacing_mm: float) -> Points:
    at = np.argwhere(values > levels[0])
    strengths = values[tuple(at.T)] / max(float(values.max()), levels[0])
    # Spread inside the voxels, always in the same way, so that there are no rows.
    spread = np.random.default_rng(0).uniform(0, 1, at.shape)
    return Points((at + spread) * spacing_mm, strengths.astype(np.float64))


def _channels(color: str) -> list[int]:
    return [int(color[at : at + 2], 16) for at in (1, 3, 5)]


def _mixed(color: str, other: int, share: float) -> str:
    """A color mixed with a shade of gray, 0 to 255."""
    return "#" + "".join(f"{round((1 - share) * each + share * other):02x}" for each in _channels(color))


def _complement(color: str) -> str:
    """The color of the negative values of a group."""
    return "#" + "".join(f"{255 - each:02x}" for each in _channels(color))


# -- anatomy ----------------------------------------------------------------------------------------------------------


def _anatomy(store: Store, brain: AnnotatedVolume | None, regions: Sequence[StructureRef], theme: Theme) -> list[Item]:
    """The surfaces of regions and brain."""
    if brain is None:
        if regions:
            raise MissingDataError(
                "the store has no annotation, which has the surfaces of regions",
                hint="Download it: bsv-store sync annotation.",
            )
        return []
    ids, spacing_um = brain.ids, brain.spacing_um
    items = []
    with store.database.reading() as connection:
        rows = find_structures(connection, list(regions)) if regions else ()
        inside = {row.id: descendant_ids(connection, [row.id]) for row in rows}
    for row in rows:
        mask = coarser(np.isin(ids, sorted(inside[row.id])), max(1, _FINEST_UM // spacing_um))
        if not mask.any():
            raise InputError(f"no voxel of the annotation belongs to {row.acronym}")
        mesh = surface(smoothed(mask), 0.5, max(spacing_um, _FINEST_UM) / 1000)
        items.append(Item(f"{row.acronym}: {row.name}", color_of(row), mesh, 0.12, 0.45))
    shell = coarser(ids != 0, max(1, _BRAIN_UM // spacing_um))
    mesh = surface(smoothed(shell), 0.5, max(spacing_um, _BRAIN_UM) / 1000)
    gray = "#8d99a8" if theme == "light" else "#b8c4d2"
    return [*items, Item("Brain", gray, mesh, 0.04, 0.42)]

"""What is drawn: groups of a dataset version, differences of groups, single volumes, arrays."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from bsv_store.averaging.hemisphere import half_names
from bsv_store.catalog.current_volume import CurrentVolume
from bsv_store.catalog.tables.views import view
from bsv_store.catalog.volume_lookup import stored_volume
from bsv_store.catalog.volume_use import record_use
from bsv_store.check import checked_group, choice, several, without
from bsv_store.errors import InputError
from bsv_store.figures.layout import printed
from bsv_store.vocabulary import (
    COMPARISON_MAPS,
    HEMISPHERE_RULES,
    STATISTICS,
    VOLUME_KINDS,
    ComparisonMapRow,
    MeasuredHemisphere,
    StatisticRow,
)
from bsv_store.volumes.grid import EXTENT_UM, MIDLINE_UM, Grid
from bsv_store.volumes.layout import slab_ranges
from bsv_store.volumes.library import prefetch, read_slab
from bsv_store.volumes.volume import SparseArray

if TYPE_CHECKING:
    from bsv_store.averaging.recipe import Recipe
    from bsv_store.catalog.database.engine import Database
    from bsv_store.vocabulary import Axis, ColorScale, ComparisonMap, Statistic, VolumeKind
    from bsv_store.volumes.files import StoreFiles
    from bsv_store.volumes.library import VolumeFile

Box = tuple[tuple[float, float], tuple[float, float], tuple[float, float]]

# More rows are not readable on any page.
MAX_ROWS = 400
_MEMORY_BYTES = 1 << 28


class PlottedGroup(Protocol):
    """What a figure needs to know about a group."""

    @property
    def label(self) -> str:
        """Label of the group."""

    @property
    def n(self) -> int:
        """Number of experiments."""

    @property
    def lower(self) -> float | None:
        """Lower edge of the coordinate bin in um."""

    @property
    def upper(self) -> float | None:
        """Upper edge of the coordinate bin in um."""

    @property
    def second_lower(self) -> float | None:
        """Lower edge along the second axis in um, if two coordinates are crossed."""

    @property
    def second_upper(self) -> float | None:
        """Upper edge along the second axis in um, if two coordinates are crossed."""


class PlottedVersion(Protocol):
    """What a figure needs to know about a dataset version."""

    @property
    def ref(self) -> str:
        """Name and number, such as visual@1."""

    @property
    def fingerprint(self) -> str:
        """Fingerprint of recipe and inputs."""

    @property
    def quantity(self) -> str:
        """Description of the values, with their unit."""

    @property
    def rules(self) -> Sequence[str]:
        """Normalization, hemisphere rule and masks, in words."""

    @property
    def recipe(self) -> Recipe:
        """The recipe."""

    @property
    def axes(self) -> Sequence[Axis]:
        """Axes of the coordinate bins: none, one or two."""

    @property
    def grid(self) -> Grid:
        """The voxel grid."""

    @property
    def groups(self) -> Sequence[PlottedGroup]:
        """The groups."""

    def statistic(
        self, name: Statistic | ComparisonMap, *, group: int | None = None, box: Box | None = None
    ) -> NDArray[Any]:
        """A statistic of a group, or a map of a comparison, shape (ap, dv, ml) of the box."""


Read = Callable[[int, int, int], NDArray[Any]]


# Longer labels of the two groups are in the title only, not above the color bar.
_MAX_SIDES = 50
# The color scale of p ends at this p or a smaller one, so that larger p are not dark.
_LEVEL = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class SourceRow:
    """One group or experiment: a row of a figure.

    Attributes
    ----------
    label : str
        '' if the figure has one row that needs no label.
    n : int or None
        Number of experiments; None for a single one.
    read : callable
        ``read(axis, first, last)`` returns the planes [first, last) along an axis, all of the other axes, shape
        (ap, dv, ml).
    edges_mm : tuple of (Axis, float)
        Edges of the coordinate bin.
    is_empty : bool
        Whether it is a group without experiments, or a difference with one: the stored values are 0, but there are
        no data.
    """

    label: str
    n: int | None
    read: Read
    edges_mm: tuple[tuple[Axis, float], ...] = ()
    is_empty: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """What a figure of voxels shows.

    Attributes
    ----------
    title : str
        The default title.
    quantity : str
        Description of the values, with their unit.
    rows : tuple of SourceRow
    grid : Grid
    halves : (str, str)
        Names of the left and right half: 'left' and 'right', or 'contralateral' and 'ipsilateral'.
    facts : tuple of str
        Rules and provenance, for the footer.
    fingerprint : str or None
    scale : ColorScale
        Default color scale of slices.
    is_everywhere : bool
        Whether voxels outside the brain have values too; these are not drawn.
    is_count : bool
        Whether the values are counts of experiments, or differences of counts.
    least_end : (float, str) or None
        Lower bound of the upper end of the default color scale, and its meaning, such as 'p = 0.05'.
    """

    title: str
    quantity: str
    rows: tuple[SourceRow, ...]
    grid: Grid
    halves: tuple[MeasuredHemisphere, MeasuredHemisphere]
    facts: tuple[str, ...]
    fingerprint: str | None
    scale: ColorScale = "power"
    is_everywhere: bool = False
    least_end: tuple[float, str] | None = None
    is_count: bool = False

    def slabs(self, row: SourceRow) -> Iterator[tuple[int, NDArray[Any]]]:
        """First AP plane and values of consecutive slabs."""
        for first, last in slab_ranges(self.grid):
            yield first, row.read(0, first, last)


def source_of_version(
    version: PlottedVersion,
    *,
    groups: int | Sequence[int] | None = None,
    minus: int | None = None,
    statistic: Statistic | ComparisonMap = "mean",
) -> Source:
    """The groups of a version; with ``minus``, the difference of each group and that one; or a map of a comparison.

    Raises
    ------
    InputError
        If the version or a group does not exist, or there are too many groups.
    """
    if not hasattr(version, "groups"):
        raise InputError(
            f"version must be a DatasetVersion, got {version!r}", hint="For example: store.dataset('visual')."
        )
    rows_by_name: dict[str, StatisticRow | ComparisonMapRow] = {**STATISTICS, **COMPARISON_MAPS}
    row = choice("statistic", statistic, rows_by_name)
    if isinstance(row, ComparisonMapRow):
        without("groups", f"statistic={row.name!r}", groups is not None)
        without("minus", f"statistic={row.name!r}", minus is not None)
        return _source_of_map(version, row)
    name = row.name
    numbers = _checked_groups(version, groups, minus)
    memory = _Memory(version.grid)

    def reader(number: int) -> Read:
        def read_all(part: tuple[int, int, int]) -> NDArray[Any]:
            return version.statistic(name, group=number, box=_box(version.grid, part))

        return memory.reader(read_all)

    readers = {number: reader(number) for number in (*numbers, *(() if minus is None else (minus,)))}
    rows = []
    for number in numbers:
        group = version.groups[number]
        edges = _edges_mm(version, group)
        if minus is None:
            rows.append(SourceRow(group.label, group.n, readers[number], edges, is_empty=group.n == 0))
            continue
        other = version.groups[minus]
        label = f"{group.label} (n = {group.n}) − {other.label} (n = {other.n})"
        is_empty = group.n == 0 or other.n == 0
        rows.append(SourceRow(label, None, _difference(readers[number], readers[minus]), edges, is_empty=is_empty))
    count = sum(group.n for group in version.groups)
    chosen = STATISTICS[name]
    what = name if minus is None else f"difference of {'means' if name == 'mean' else name}"
    kind = VOLUME_KINDS[version.recipe.kind].words
    title = chosen.words if chosen.is_count and minus is None else f"{what} of {kind}"
    is_everywhere = chosen.is_count or VOLUME_KINDS[version.recipe.kind].site == "tissue"
    quantity = version.quantity if chosen.has_unit else chosen.words
    return Source(
        title=f"{version.ref}: {title} (n = {count})",
        quantity=quantity if minus is None else f"difference of {quantity}",
        rows=tuple(rows),
        grid=version.grid,
        halves=half_names(version.recipe.hemisphere_rule),
        facts=(f"{version.ref}: {', '.join(version.rules)}, {version.grid.spacing_um} µm",),
        fingerprint=version.fingerprint,
        scale="linear" if is_everywhere else "power",
        is_everywhere=is_everywhere,
        is_count=chosen.is_count,
    )


def _source_of_map(version: PlottedVersion, row: ComparisonMapRow) -> Source:
    """A map of a comparison as one row; p is shown as -log10 p, and voxels that were not tested as 0."""

    def read(part: tuple[int, int, int]) -> NDArray[Any]:
        values = np.nan_to_num(version.statistic(row.name, box=_box(version.grid, part)), nan=1.0 if is_p else 0.0)
        # The smallest p that permutations can give is above 0.
        return np.asarray(-np.log10(np.maximum(values, np.finfo(np.float32).tiny)) if is_p else values)

    is_p = row.is_probability
    first, second = version.groups[:2]
    quantity = f"−log10 of {row.words}" if is_p else row.words
    sides = f"{printed(first.label)} − {printed(second.label)}"
    if row.has_unit:
        quantity = f"{sides if len(sides) <= _MAX_SIDES else 'first − second group'}: {version.quantity}"
    return Source(
        title=f"{version.ref}: {printed(first.label)} (n = {first.n}) − {printed(second.label)} (n = {second.n})",
        quantity=quantity,
        rows=(SourceRow("", None, _Memory(version.grid).reader(read)),),
        grid=version.grid,
        halves=half_names(version.recipe.hemisphere_rule),
        facts=(
            f"{version.ref}: {', '.join(version.rules)}, {version.grid.spacing_um} µm",
            "Voxels that were not tested have no color",
        ),
        fingerprint=version.fingerprint,
        scale="linear",
        least_end=(-math.log10(_LEVEL), f"p = {_LEVEL:g}") if is_p else None,
    )


def _edges_mm(version: PlottedVersion, group: PlottedGroup) -> tuple[tuple[Axis, float], ...]:
    """The edges of the coordinate bins of a group; those along ML are mirrored as the injections are."""
    bounds = ((group.lower, group.upper), (group.second_lower, group.second_upper))
    mirrored = HEMISPHERE_RULES[version.recipe.hemisphere_rule].mirrored_side
    edges: list[tuple[Axis, float]] = []
    for axis, pair in zip(version.axes, bounds, strict=False):
        for edge in pair:
            if edge is None:
                continue
            at = edge
            if axis == "ML" and mirrored is not None:
                at = (max if mirrored == "left" else min)(edge, 2 * MIDLINE_UM - edge)
            edges.append((axis, at / 1000))
    return tuple(dict.fromkeys(edges))


def _box(grid: Grid, part: tuple[int, int, int]) -> Box:
    """The box of the planes [first, last) along an axis, um."""
    axis, first, last = part
    box = [(0.0, float(extent)) for extent in EXTENT_UM]
    box[axis] = (float(first * grid.spacing_um), float(last * grid.spacing_um))
    return box[0], box[1], box[2]


def _difference(first: Read, second: Read) -> Read:
    def read(axis: int, start: int, stop: int) -> NDArray[Any]:
        minuend, subtrahend = first(axis, start, stop), second(axis, start, stop)
        # Numbers of experiments are unsigned.
        return np.subtract(minuend, subtrahend, dtype=np.int64 if minuend.dtype.kind == "u" else None)

    return read


def _checked_groups(version: PlottedVersion, groups: int | Sequence[int] | None, minus: int | None) -> list[int]:
    known = range(len(version.groups))
    numbers = list(known) if groups is None else several("groups", groups, such_as="[0, 2]")
    for number in (*numbers, *(() if minus is None else (minus,))):
        checked_group(number, len(known), what=version.ref)
    if minus is not None and groups is None:
        numbers.remove(minus)
    if not numbers or len(numbers) > MAX_ROWS:
        raise InputError(
            f"{len(numbers)} groups cannot be drawn in one figure",
            hint=f"Choose 1 to {MAX_ROWS} groups (--group N, groups=[...]).",
        )
    return numbers


def source_of_volumes(
    database: Database,
    files: StoreFiles,
    experiment_ids: int | Sequence[int],
    *,
    kind: VolumeKind = "projection_density",
    spacing_um: int = 100,
) -> Source:
    """The volumes of experiments, one row each.

    Raises
    ------
    UnknownExperimentError, MissingDataError
        If the catalog does not have an experiment, or the store not its volume.
    InputError
        If the kind, the spacing or an id is not valid, or there are none or too many.
    """
    row = choice("kind", kind, VOLUME_KINDS)
    ids = list(dict.fromkeys(several("experiment_ids", experiment_ids, such_as="158375425 or [158375425, 100141219]")))
    if not ids or len(ids) > MAX_ROWS:
        raise InputError(f"{len(ids)} experiments cannot be drawn in one figure", hint=f"Choose 1 to {MAX_ROWS}.")
    grid = Grid(spacing_um)
    found = [stored_volume(database, each, kind=row.name, spacing_um=spacing_um) for each in ids]
    record_use(database, found)
    prefetch(files, found)
    names = experiment_names(database, ids)
    memory = _Memory(grid)

    def reader(file: VolumeFile) -> Read:
        # A figure states the hash of the content, and is drawn from several slabs.
        pinned = CurrentVolume(database, file, follow=False)

        def slab(first: int, last: int) -> NDArray[Any]:
            return pinned.read(lambda file: _dense(read_slab(files, file, first, last), first, last))

        def read_all(part: tuple[int, int, int]) -> NDArray[Any]:
            axis, first, last = part
            if axis == 0:
                return slab(first, last)
            where = (slice(None), *(slice(first, last) if other == axis else slice(None) for other in (1, 2)))
            return np.concatenate([slab(*each)[where] for each in slab_ranges(file.layout.grid)])

        return memory.reader(read_all)

    rows = [
        SourceRow("" if len(ids) == 1 else names[each], None, reader(file))
        for each, file in zip(ids, found, strict=True)
    ]
    title = names[ids[0]] if len(ids) == 1 else f"{row.words[0].upper()}{row.words[1:]} of {len(ids)} experiments"
    return Source(
        title=title,
        quantity=f"{row.words} ({row.unit})",
        rows=tuple(rows),
        grid=grid,
        halves=("left", "right"),
        facts=(f"{row.words[0].upper()}{row.words[1:]}, {spacing_um} µm, hemispheres as imaged",),
        fingerprint=found[0].layout.array_sha256 if len(ids) == 1 else None,
        # A data mask is 1 outside the brain too, where it would hide the outlines and the scale bar.
        scale="linear" if row.site == "tissue" else "power",
        is_everywhere=row.site == "tissue",
    )


def _dense(voxels: SparseArray | NDArray[np.float32], first: int, last: int) -> NDArray[np.float32]:
    return voxels.dense_planes(first, last) if isinstance(voxels, SparseArray) else voxels


def experiment_names(database: Database, ids: Sequence[int]) -> dict[int, str]:
    """Experiments in words, such as 'VPM, wild type (experiment 158375425)'."""
    table = view("experiments")
    columns = (table.c.experiment_id, table.c.primary_structure, table.c.transgenic_line)
    with database.reading() as connection:
        found = connection.execute(select(*columns).where(table.c.experiment_id.in_(ids))).all()
    return {
        each: f"Injection in {structure or 'an unknown structure'}, {line or 'wild type'} (experiment {each})"
        for each, structure, line in found
    }


class _Memory:
    """The volumes read last, up to a total size."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._kept: OrderedDict[int, NDArray[Any]] = OrderedDict()

    def reader(self, read: Callable[[tuple[int, int, int]], NDArray[Any]]) -> Read:
        """A reader that reads a volume of 100 or 50 um completely, and of finer ones only the planes asked for."""
        if self._grid.is_large:
            return lambda axis, first, last: read((axis, first, last))
        key = id(read)

        def from_memory(axis: int, first: int, last: int) -> NDArray[Any]:
            if key not in self._kept:
                self._kept[key] = read((0, 0, self._grid.shape[0]))
                while len(self._kept) > 1 and sum(kept.nbytes for kept in self._kept.values()) > _MEMORY_BYTES:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            where = tuple(slice(first, last) if number == axis else slice(None) for number in range(3))
            return self._kept[key][where]

        return from_memory


def mean_of_volumes(source: Source) -> SourceRow:
    """The mean of all rows of a source; a voxel without data in some volumes has the mean of the others."""

    def read(axis: int, first: int, last: int) -> NDArray[Any]:
        shape = [last - first if number == axis else count for number, count in enumerate(source.grid.shape)]
        total, count = np.zeros(shape), np.zeros(shape)
        for row in source.rows:
            values = row.read(axis, first, last)
            known = np.isfinite(values)
            total += np.where(known, values, 0)
            count += known
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(total / count)

    return SourceRow("", len(source.rows), read)

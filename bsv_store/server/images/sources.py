"""What is shown: a group of a version, a difference of two groups, a map of a comparison, or a volume."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bsv_store import check
from bsv_store.catalog.current_volume import CurrentVolume
from bsv_store.check import checked_group
from bsv_store.datasets.arrays import require_voxels
from bsv_store.errors import InputError, UnknownDatasetError
from bsv_store.server.images.blocks import ReadSlab, ReadStored
from bsv_store.text import shown
from bsv_store.vocabulary import (
    COMPARISON_MAPS,
    PLANES,
    STATISTICS,
    VOLUME_KINDS,
    ComparisonMapRow,
    KindRow,
    PlaneRow,
    StatisticRow,
)
from bsv_store.volumes.grid import ARRAY_AXES, EXTENT_UM, Grid
from bsv_store.volumes.large import dense_planes
from bsv_store.volumes.library import read_slab

if TYPE_CHECKING:
    from bsv_store.datasets.version import DatasetVersion
    from bsv_store.store.store import Store
    from bsv_store.volumes.volume import SparseArray

Box = tuple[tuple[float, float], tuple[float, float], tuple[float, float]]

SOURCE_NAMES = ("version", "statistic", "group", "minus", "experiment", "kind", "spacing_um", "content")
"""The parameters that name what is shown."""

DEFAULT_KIND = "projection_density"
DEFAULT_SPACING_UM = 100


@dataclass(frozen=True, slots=True, eq=False)
class Term:
    """An array of three axes in the store.

    Attributes
    ----------
    identity : str
        Determined by the values: the hash of the content, and which array it is.
    grid : Grid
    dtype : numpy.dtype
    read : callable
        ``read(first, last)`` returns AP planes.
    read_stored : callable or None
        The same in the form of the file: for a sparse volume, only the voxels that are not 0.
    """

    identity: str
    grid: Grid
    dtype: np.dtype[Any]
    read: ReadSlab
    read_stored: ReadStored | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """What an image shows: an array, or the difference of two.

    Attributes
    ----------
    term : Term
    minus : Term or None
    unit : str
        Of the values, in words.
    is_signed : bool
        Whether the colors are those of values of both signs.
    is_pinned : bool
        Whether the request names the values by their hash, so that the answer never changes.
    """

    term: Term
    minus: Term | None
    unit: str
    is_signed: bool
    is_pinned: bool

    @property
    def identity(self) -> str:
        """Determined by the values."""
        return self.term.identity if self.minus is None else f"{self.term.identity} - {self.minus.identity}"

    @property
    def grid(self) -> Grid:
        """The voxel grid."""
        return self.term.grid

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the values. The difference of counts can be negative, so it is float64."""
        return self.term.dtype if self.minus is None or self.term.dtype.kind == "f" else np.dtype("<f8")

    def values(self, term: NDArray[Any], minus: NDArray[Any] | None) -> NDArray[Any]:
        """The values, from those of the two terms."""
        if minus is None:
            return term
        if self.term.dtype.kind == "f":
            return np.asarray(term - minus)
        return np.asarray(term.astype(self.dtype) - minus.astype(self.dtype))

    def read_slab(self, first: int, last: int) -> NDArray[Any]:
        """The values of AP planes."""
        return self.values(self.term.read(first, last), None if self.minus is None else self.minus.read(first, last))


def shown_by(store: Store, query: Mapping[str, str]) -> Shown:
    """What the parameters of a request name.

    ``version`` with ``statistic``, ``group`` and ``minus``; or ``experiment`` with ``kind`` and ``spacing_um``.
    ``content`` is the hash of the values that the client expects.

    Raises
    ------
    InputError, UnknownDatasetError, UnknownExperimentError, MissingDataError
        If a parameter is not valid, or the store does not have what is named.
    """
    return _of_version(store, query) if names_version(query) else _of_volume(store, query)


def names_version(query: Mapping[str, str]) -> bool:
    """Whether the parameters name a version; otherwise they name the volume of an experiment.

    Raises
    ------
    InputError
        If they name both or neither.
    """
    if ("version" in query) == ("experiment" in query):
        raise InputError("give either version or experiment", hint="For example: ?version=visual@1&group=0.")
    return "version" in query


def volume_by(query: Mapping[str, str]) -> tuple[int, KindRow, int]:
    """Experiment, kind and spacing in um of the volume that the parameters name.

    Raises
    ------
    InputError
        If one is not valid.
    """
    kind = check.choice("kind", query.get("kind", DEFAULT_KIND), VOLUME_KINDS)
    spacing_um = whole_number("spacing_um", query.get("spacing_um", str(DEFAULT_SPACING_UM)))
    return whole_number("experiment", query["experiment"]), kind, spacing_um


def version_by(store: Store, query: Mapping[str, str]) -> tuple[DatasetVersion, bool]:
    """The version of a request, and whether its content is pinned.

    Raises
    ------
    UnknownDatasetError
        If the store does not have it, or its content is not the expected one.
    """
    version = store.dataset(query["version"])
    expected = query.get("content")
    if expected is not None and expected != version.content_sha256:
        raise UnknownDatasetError(
            f"the content of {version.ref} is {version.content_sha256}, not {shown(expected)}",
            hint="Reload the page.",
        )
    # A number alone is that of another version where another store is served at the same address later.
    return version, expected is not None


def _of_version(store: Store, query: Mapping[str, str]) -> Shown:
    _refuse(query, ("kind", "spacing_um"), "a version")
    version, is_pinned = version_by(store, query)
    statistic = query.get("statistic", "mean")
    rows: dict[str, StatisticRow | ComparisonMapRow] = {**STATISTICS, **COMPARISON_MAPS}
    row = check.choice("statistic", statistic, rows)
    unit = array_unit(version, row.name)
    if isinstance(row, ComparisonMapRow):
        _refuse(query, ("group", "minus"), f"statistic={row.name}")
        return Shown(version_term(version, row.name, None), None, unit, not row.is_probability, is_pinned)
    group = whole_number("group", query.get("group", "0"))
    minus = None if "minus" not in query else whole_number("minus", query["minus"])
    term = version_term(version, row.name, group)
    other = None if minus is None else version_term(version, row.name, minus)
    return Shown(term, other, unit, minus is not None, is_pinned)


def version_term(version: DatasetVersion, name: Any, group: int | None) -> Term:
    """An array of a version.

    Raises
    ------
    InputError
        If the version does not have the array or the group.
    """
    require_voxels(version)
    present = (*version.recipe.statistics, *version.recipe.maps)
    if name not in present:
        raise InputError(f"{version.ref} does not have {name}", hint=f"It has {', '.join(present)}.")
    if group is not None:
        checked_group(group, len(version.groups), what=version.ref)

    def read(first: int, last: int) -> NDArray[Any]:
        return version.statistic(name, group=group, box=slab_box(version.grid, first, last))

    dtype = "<u4" if name == "n" else "<f4" if name in COMPARISON_MAPS else version.recipe.dtype
    return Term(f"{version.content_sha256}/{name}/{group}", version.grid, np.dtype(dtype), read)


def array_unit(version: DatasetVersion, name: str) -> str:
    """The unit of an array of a version in words; '' if it has none."""
    if name == "n":
        return "experiments"
    if name in COMPARISON_MAPS and not COMPARISON_MAPS[name].has_unit:
        return ""
    return version.unit


def _of_volume(store: Store, query: Mapping[str, str]) -> Shown:
    _refuse(query, ("statistic", "group", "minus"), "an experiment")
    experiment_id, kind, spacing_um = volume_by(query)
    grid = Grid(spacing_um)
    file = store.volumes.recorded(experiment_id, kind=kind.name, spacing_um=spacing_um)
    sha256 = file.layout.array_sha256
    expected = query.get("content")
    if expected is not None and expected != sha256:
        raise InputError(
            f"the {kind.name} of experiment {experiment_id} was replaced: its content is {sha256}",
            hint="Reload the page.",
        )

    # The image is cached by the hash of the content, so it must not show a newer volume.
    pinned = CurrentVolume(store.database, file, follow=False)

    def read_stored(first: int, last: int) -> SparseArray | NDArray[np.float32]:
        return pinned.read(lambda file: read_slab(store.files, file, first, last))

    def read(first: int, last: int) -> NDArray[Any]:
        return dense_planes(read_stored(first, last), first, last)

    term = Term(f"{sha256}/{kind.name}", grid, np.dtype("<f4"), read, read_stored)
    return Shown(term, None, kind.unit, False, expected is not None)


def _refuse(query: Mapping[str, str], names: tuple[str, ...], what: str) -> None:
    for name in names:
        if name in query:
            raise InputError(f"{name} cannot be combined with {what}", hint=f"Leave out {name}.")


def slab_box(grid: Grid, first: int, last: int) -> Box:
    """The box in um that contains the centers of the AP planes [first, last)."""
    low, high = float(first * grid.spacing_um), float(last * grid.spacing_um)
    return (low, high), (0.0, float(EXTENT_UM[1])), (0.0, float(EXTENT_UM[2]))


def whole_number(name: str, text: str) -> int:
    """A parameter that is a whole number.

    Raises
    ------
    InputError
        If it is not, or is negative.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise InputError(f"{name} must be a whole number, got {shown(text)}")
    return int(text)


def number(name: str, text: str) -> float:
    """A parameter that is a finite number.

    Raises
    ------
    InputError
        If it is not.
    """
    try:
        return check.finite_number(name, float(text))
    except ValueError as error:
        raise InputError(f"{name} must be a number, got {shown(text)}") from error


def plane_by(query: Mapping[str, str], grid: Grid) -> tuple[PlaneRow, int]:
    """Orientation and index of the plane that a request names: ``plane`` with ``index`` or ``at_um``.

    Raises
    ------
    InputError
        If it is not a plane of the grid.
    """
    orientation = check.choice("plane", query.get("plane", "coronal"), PLANES)
    axis = ARRAY_AXES.index(orientation.across)
    count = grid.shape[axis]
    if ("index" in query) == ("at_um" in query):
        raise InputError("give either index or at_um", hint=f"index is 0 to {count - 1}, at_um 0 to {EXTENT_UM[axis]}.")
    if "index" in query:
        index = whole_number("index", query["index"])
        if index >= count:
            raise InputError(f"index must be 0 to {count - 1}, got {index}")
        return orientation, index
    at_um = number("at_um", query["at_um"])
    if not 0 <= at_um < EXTENT_UM[axis]:
        raise InputError(f"at_um must be from 0 to {EXTENT_UM[axis]}, got {at_um:g}")
    return orientation, int(at_um // grid.spacing_um)

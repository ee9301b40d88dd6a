"""Subdivisions of a structure, or of the whole grid: bins of coordinates, or a label image of the user's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bsv_store.atlas.annotation import structure_mask
from bsv_store.check import choice, finite_number, looks_like_mm, mm_hint, scalar, whole_number
from bsv_store.errors import FrameError, InputError
from bsv_store.formats.annotation import read_annotation_nrrd
from bsv_store.formats.input_file import open_input, shown_path
from bsv_store.formats.label_files import read_labels
from bsv_store.formats.nifti_reader import read_nifti_labels
from bsv_store.formats.npy import read_npy
from bsv_store.text import shown
from bsv_store.vocabulary import AXES
from bsv_store.volumes.grid import MIDLINE_UM, Grid

if TYPE_CHECKING:
    from bsv_store.catalog.database.engine import Database
    from bsv_store.catalog.structures import StructureRef
    from bsv_store.volumes.files import StoreFiles

Bins = Mapping[str, int | Sequence[float]]
"""For each axis the number of bins of equal width, or their edges in um."""

Labels = NDArray[np.integer[Any]] | Path | str
"""A label image: an array, or an ``.nrrd`` or ``.npy`` file."""

_BINS_HINT = "For example: bins={'AP': 5, 'ML': [0, 1000, 2000]} (--bins AP=5 --bins ML=0,1000,2000)."
_MAX_SUBREGIONS = 2_000
_LARGEST_LABEL = 2**32 - 1


@dataclass(frozen=True, slots=True, eq=False)
class Parcellation:
    """A label image with the facts about its labels.

    Attributes
    ----------
    labels : ndarray of uint32, shape (ap, dv, ml)
        0 = in no subregion.
    numbers : tuple of int
        The labels, ascending.
    columns : dict of str to list
        One value for each label: subregion (its name), and for bins the lower and upper bound along each axis, um.
    """

    labels: NDArray[np.uint32]
    numbers: tuple[int, ...]
    columns: dict[str, list[Any]]

    @property
    def members(self) -> dict[int, list[int]]:
        """Each label with the ids of its voxels, for `StructureVoxels` and `region_means`."""
        return {number: [number] for number in self.numbers}


def parcellation(
    database: Database,
    files: StoreFiles,
    structures: StructureRef | Sequence[StructureRef] | None,
    *,
    bins: Bins | None,
    labels: Labels | None,
    label_names: Mapping[int, str] | Path | str | None,
    spacing_um: int,
) -> Parcellation:
    """The subregions of structures; see `Atlas.subregions`.

    Raises
    ------
    InputError
        If not exactly one of bins and labels is given, or one is not valid.
    FrameError
        If the label image is not on the grid.
    """
    if (bins is None) == (labels is None):
        raise InputError("either bins or labels must be given", hint=_BINS_HINT)
    if labels is None and label_names is not None:
        raise InputError("label_names has no meaning without labels")
    if bins is not None and structures is None:
        raise InputError("bins need a structure", hint="For example: subregions(selection, 'CP', bins={'AP': 5}).")
    grid = Grid(spacing_um)
    checked = None if bins is None else _checked_bins(bins)
    mask = None if structures is None else structure_mask(database, files, structures, spacing_um=spacing_um)
    if checked is not None:
        assert mask is not None
        return _binned(mask, grid, checked)
    assert labels is not None
    image = _label_image(labels, grid)
    if mask is not None:
        image = np.where(mask, image, np.uint32(0))
    numbers = np.unique(image)
    numbers = numbers[numbers > 0]
    if not numbers.size:
        where = "" if structures is None else " inside the structures"
        raise InputError(f"the label image has no label{where}", hint="Labels are integers above 0.")
    _check_number(numbers.size, "labels")
    names = _names(label_names)
    found = tuple(numbers.tolist())
    return Parcellation(image, found, {"subregion": [names.get(number, str(number)) for number in found]})


# -- bins -------------------------------------------------------------------------------------------------------------


def _checked_bins(bins: object) -> dict[str, int | NDArray[np.float64]]:
    if not isinstance(bins, Mapping) or not bins:
        raise InputError(f"bins must name one or more axes, got {shown(bins)}", hint=_BINS_HINT)
    checked: dict[str, int | NDArray[np.float64]] = {}
    for key, value in bins.items():
        axis = choice("bins", key, AXES).name
        if axis in checked:
            raise InputError(f"bins names the axis {axis} twice")
        value = scalar(value)
        if _is_list(value):
            checked[axis] = _edges(axis, value)
        else:
            checked[axis] = count = whole_number(f"bins of {axis}", value, least=1)
            # Checked before that many edges are computed.
            _check_number(count, "bins")
    return {axis: checked[axis] for axis in AXES if axis in checked}


def _is_list(value: object) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)


def _edges(axis: str, value: Any) -> NDArray[np.float64]:
    items = list(value)
    edges = np.array([finite_number(f"each edge of {axis}", each) for each in items], np.float64)
    if edges.size < 2 or not (np.diff(edges) > 0).all():
        raise InputError(f"edges of {axis} must be two or more increasing numbers, got {shown(items)}", hint="In um.")
    if looks_like_mm(edges[-1]):
        raise InputError(f"edges of {axis} must be in um, got {shown(items)}", hint=mm_hint(edges))
    return edges


def _binned(mask: NDArray[np.bool_], grid: Grid, bins: Mapping[str, int | NDArray[np.float64]]) -> Parcellation:
    inside = np.nonzero(mask)
    label = np.zeros(inside[0].size, np.int64)
    is_inside = np.ones(inside[0].size, np.bool_)
    axes: dict[str, NDArray[np.float64]] = {}
    for place, axis in enumerate(AXES):
        if axis not in bins:
            continue
        centers = grid.centers_um(AXES[axis].name)[inside[place]]
        if axis == "ML":
            # From the midline, so that both hemispheres have the same bins.
            centers = np.abs(centers - MIDLINE_UM)
        wanted = bins[axis]
        half = grid.spacing_um / 2
        edges = (
            np.linspace(centers.min() - half, centers.max() + half, wanted + 1) if isinstance(wanted, int) else wanted
        )
        axes[axis] = edges
        count = edges.size - 1
        # The last bin includes its upper edge.
        number = np.where(centers == edges[-1], count - 1, np.searchsorted(edges, centers, side="right") - 1)
        is_inside &= (number >= 0) & (number < count)
        label = label * count + number
    total = int(np.prod([edges.size - 1 for edges in axes.values()]))
    _check_number(total, "bins")
    labels = np.zeros(grid.shape, np.uint32)
    chosen = tuple(each[is_inside] for each in inside)
    labels[chosen] = label[is_inside] + 1
    columns: dict[str, list[Any]] = {"subregion": []}
    for axis in axes:
        columns |= {f"{axis.lower()}_lower": [], f"{axis.lower()}_upper": []}
    for index in np.ndindex(*(edges.size - 1 for edges in axes.values())):
        names = []
        for axis, number in zip(axes, index, strict=True):
            low, high = float(axes[axis][number]), float(axes[axis][number + 1])
            columns[f"{axis.lower()}_lower"].append(low)
            columns[f"{axis.lower()}_upper"].append(high)
            names.append(f"{axis} {low:.0f}-{high:.0f}")
        columns["subregion"].append(", ".join(names))
    return Parcellation(labels, tuple(range(1, total + 1)), columns)


def _check_number(count: int, name: str) -> None:
    if count > _MAX_SUBREGIONS:
        raise InputError(f"{name} must give at most {_MAX_SUBREGIONS:,} subregions, got {count:,}")


# -- label images -----------------------------------------------------------------------------------------------------


def _label_image(labels: object, grid: Grid) -> NDArray[np.uint32]:
    if isinstance(labels, np.ndarray):
        return _checked_labels(labels, grid, what="labels")
    if not isinstance(labels, str | Path):
        raise InputError(f"labels must be an array or a path, got {shown(labels)}")
    file = Path(labels)
    what = shown_path(file)
    name = file.name.lower()
    if name.endswith(".nrrd"):
        annotation = read_annotation_nrrd(file, what=what, spacing_um=grid.spacing_um)
        image = np.empty(grid.shape, np.uint32)
        for first, planes in annotation.slabs():
            image[first : first + len(planes)] = planes
        return image
    if name.endswith(".npy"):
        with open_input(file, what=what) as stream:
            return _checked_labels(read_npy(stream, what=what, max_bytes=grid.size * 8), grid, what=what)
    if name.endswith((".nii", ".nii.gz")):
        return _checked_labels(read_nifti_labels(file, grid, what=what), grid, what=what)
    raise InputError(
        f"{file.name!r} does not have the ending of a label image",
        hint="Valid endings are .nrrd, .nii, .nii.gz, .npy.",
    )


def _checked_labels(labels: NDArray[Any], grid: Grid, *, what: str) -> NDArray[np.uint32]:
    if labels.dtype.kind not in "iub":
        raise InputError(f"{what} must have an integer dtype, got {labels.dtype}")
    if labels.shape != grid.shape:
        raise FrameError(
            f"{what} has the shape {labels.shape}, the volumes have {grid.shape}",
            hint="Axes are AP, DV, ML. Use a label image of the same spacing.",
        )
    if labels.dtype.kind != "b" and (int(labels.min()) < 0 or int(labels.max()) > _LARGEST_LABEL):
        raise InputError(f"{what} must be integers from 0 to {_LARGEST_LABEL}")
    return labels.astype(np.uint32)


def _names(label_names: object) -> dict[int, str]:
    if label_names is None:
        return {}
    if isinstance(label_names, Mapping):
        return {whole_number("label_names", key): str(name) for key, name in label_names.items()}
    if isinstance(label_names, str | Path):
        return {label.number: label.name for label in read_labels(Path(label_names))}
    raise InputError(
        f"label_names must be a mapping or a path, got {shown(label_names)}",
        hint="Use {1: 'core', 2: 'shell'}, or a label description of ITK-SNAP or 3D Slicer.",
    )

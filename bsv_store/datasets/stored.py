"""A version as the store has it: facts, groups and members at once, voxels when asked for."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bsv_store.averaging.grouping.grouping import axes_of, coordinates_of
from bsv_store.averaging.units import describe_unit, rule_texts, unit_text
from bsv_store.datasets.result.file import open_result, read_part
from bsv_store.datasets.result.verified import unchanged
from bsv_store.errors import FrameError, InputError
from bsv_store.volumes.grid import AXES, Axis, Grid

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    import h5py
    import pandas as pd

    from bsv_store.averaging.recipe import Recipe
    from bsv_store.datasets.history.checks import VersionCheck
    from bsv_store.datasets.records import GroupInfo, Member
    from bsv_store.volumes.files import StoreFiles


Box = Sequence[Sequence[float]]
"""Lowest and highest AP, DV and ML in um, both included."""


@dataclass(frozen=True, eq=False, repr=False)
class StoredVersion:
    """A version as the store has it: facts at once, voxels when asked for.

    Attributes
    ----------
    name : str
    number : int
        From 1.
    recipe : Recipe
        The question.
    fingerprint : str
        SHA-256 over recipe, groups, inputs and algorithm version.
    content_sha256 : str
        SHA-256 over the result arrays; it does not change with the file format.
    algorithm_version : int
    created_at : datetime.datetime
        Aware UTC.
    created_by : str
    software : str
        Versions of bsv-store, NumPy, h5py, HDF5 and Python.
    groups : tuple of GroupInfo
    experiments : tuple of Member
        All experiments that were asked for, ascending by id, those left out included.
    tags : tuple of str
        As of when the version was looked up.
    checks : tuple of VersionCheck
        When it was computed again, and what came of it, the oldest first; as of when the version was looked up.
    path : pathlib.Path
        The result file: netCDF-4 readable HDF5.
    size_bytes : int
    file_sha256 : str
    was_computed : bool
        True if the call that returned this object computed the version; False if the store had it.
    """

    name: str
    number: int
    recipe: Recipe
    fingerprint: str
    content_sha256: str
    algorithm_version: int
    created_at: datetime
    created_by: str
    software: str
    groups: tuple[GroupInfo, ...]
    experiments: tuple[Member, ...]
    tags: tuple[str, ...]
    checks: tuple[VersionCheck, ...]
    relative_path: str
    size_bytes: int
    file_sha256: str
    was_computed: bool
    files: StoreFiles

    @property
    def ref(self) -> str:
        """The version's full name, such as ``visual-by-AP@3``."""
        return f"{self.name}@{self.number}"

    @property
    def path(self) -> Path:
        """The result file, netCDF-4 readable HDF5. Its bytes are checked by `mean`, not by who opens it himself."""
        return self.files.path(self.relative_path)

    @property
    def grid(self) -> Grid:
        """The voxel grid that the result lies on."""
        return Grid(self.recipe.spacing_um)

    @property
    def unit(self) -> str:
        """Unit of the mean in words, such as 'fraction of voxel per mm³ injected'."""
        return unit_text(self.recipe.kind, self.recipe.normalize)

    @property
    def quantity(self) -> str:
        """What the mean is of, such as 'projection density (fraction of voxel)'."""
        return describe_unit(self.recipe.kind, self.recipe.normalize)

    @property
    def rules(self) -> tuple[str, ...]:
        """How volumes became this mean, such as ('divided by injection volume', 'hemispheres as imaged')."""
        return rule_texts(self.recipe)

    @property
    def axis(self) -> Axis | None:
        """Axis of the (first) coordinate bins, None where groups are no bins."""
        return next(iter(self.axes), None)

    @property
    def axes(self) -> tuple[Axis, ...]:
        """Axes of the coordinate bins: none, one, or two where two coordinates are crossed."""
        return axes_of(self.recipe.grouping)

    @property
    def left_out(self) -> tuple[Member, ...]:
        """Experiments that were asked for and did not go in, with the reason."""
        return tuple(member for member in self.experiments if member.group is None)

    @property
    def empty_groups(self) -> tuple[GroupInfo, ...]:
        """Groups that no experiment is in: regions and bin edges that were named. Their mean is stored as 0."""
        return tuple(group for group in self.groups if group.n == 0)

    @cached_property
    def mean(self) -> NDArray[np.floating[Any]]:
        """Mean of each group and voxel.

        Returns
        -------
        ndarray of float32 (or float64 where the recipe says so), shape (groups, ap, dv, ml)
            Read-only; in :attr:`unit`. NaN where no member has data; 0 in a group without members.

        Raises
        ------
        DamagedFileError
            If the result file is missing or differs in any bit from what was published.
        """
        return self.statistic("mean")

    def statistic(self, name: str, *, group: int | None = None, box: Box | None = None) -> NDArray[Any]:
        """A statistic of each group and voxel.

        Parameters
        ----------
        name : {'mean', 'sd', 'sem', 'min', 'max', 'n'}
            One that the recipe asked for.
        group : int, optional
            Number of a group; all of them unless given. The whole file is checked the first time in this process; from
            then on, as long as it is the same file, only what is asked for is read.
        box : ((float, float), (float, float), (float, float)), optional
            Lowest and highest AP, DV and ML in um: only voxels whose center lies in between, see
            :meth:`bsv_store.volumes.grid.Grid.centers_um`; checked likewise.

        Returns
        -------
        ndarray, shape (groups, ap, dv, ml), or (ap, dv, ml) with `group`
            dtype of the recipe, uint32 for 'n'; read-only.

        Raises
        ------
        InputError
            If the version does not have that statistic or group, or the box is none or holds no voxel.
        DamagedFileError
            If the result file is missing or differs from what was published.
        """
        if name not in self.recipe.statistics:
            raise InputError(
                f"{self.ref} has no statistic {name!r}",
                hint=f"It has {', '.join(self.recipe.statistics)}; the same average with "
                f"statistics=[{name!r}] (--statistic {name}) has more.",
            )
        if group is not None and group not in range(len(self.groups)):
            raise InputError(f"{self.ref} has no group {group!r}", hint=f"Its groups are 0 to {len(self.groups) - 1}.")
        if group is None and box is None:
            with self.open() as file:
                values: NDArray[Any] = file[name][:]
        else:
            first = slice(None) if group is None else group
            where = (slice(None),) * 3 if box is None else box_slices(self.grid, box)
            with unchanged(self.path, size_bytes=self.size_bytes, file_sha256=self.file_sha256, what=self.ref):
                values = read_part(self.path, name, (first, *where), size_bytes=self.size_bytes, what=self.ref)
        values.setflags(write=False)
        return values

    def values_in(
        self, mask: NDArray[np.bool_], name: str = "mean", *, group: int | None = None
    ) -> NDArray[np.floating[Any]]:
        """A statistic at the voxels of a mask, such as those of a structure; only the box around it is read.

        Parameters
        ----------
        mask : ndarray of bool, shape (ap, dv, ml)
            On the version's grid; for a structure ``np.isin(annotation, ids)``, its descendants' ids among them.
        name : {'mean', 'sd', 'sem', 'min', 'max', 'n'}
            One that the recipe asked for.
        group : int, optional
            Number of a group; all of them unless given.

        Returns
        -------
        ndarray, shape (groups, voxels), or (voxels,) with `group`
            In C order of the grid; NaN = no data.

        Raises
        ------
        FrameError
            If the mask does not lie on the version's grid.
        InputError
            If it is no mask or marks no voxel, or the version does not have that statistic or group.
        DamagedFileError
            If the result file is missing or differs from what was published.
        """
        where = mask_slices(self.grid, mask)
        centers = [self.grid.centers_um(axis)[part] for axis, part in zip(AXES, where, strict=True)]
        box = [(float(along[0]), float(along[-1])) for along in centers]
        values: NDArray[Any] = self.statistic(name, group=group, box=box)[..., mask[where]]
        return values

    def open(self) -> AbstractContextManager[h5py.File]:
        """The result file open for reading with h5py, in a ``with`` statement, every byte checked.

        Raises
        ------
        DamagedFileError
            If the result file is missing or differs in any bit from what was published.
        """
        return open_result(self.path, size_bytes=self.size_bytes, file_sha256=self.file_sha256, what=self.ref)

    def group_ranges(self) -> dict[str, NDArray[np.float64]]:
        """Edges and centers of the groups, named as in the result file.

        Returns
        -------
        dict of str to ndarray of float64, shape (groups,)
            um, NaN = none: ``group_lower``, ``group_upper`` and ``group_center``; along the second axis, where two
            coordinates are crossed, ``group_lower_2``, ``group_upper_2`` and ``group_center_2``.
        """
        prefixes = {"": ""} if len(self.axes) < 2 else {"": "", "second_": "_2"}
        return {
            f"group_{name}{suffix}": np.array([getattr(group, prefix + name) for group in self.groups], np.float64)
            for prefix, suffix in prefixes.items()
            for name in ("lower", "upper", "center")
        }

    def empty_ranges(self) -> dict[Axis, tuple[tuple[float, float], ...]]:
        """Where along a coordinate there are bins without experiments, which made no group.

        Returns
        -------
        dict of axis to tuple of (float, float)
            Lower and upper end in um, ascending, neighboring bins joined; only axes that have any. Bins that were asked
            for by their edges are groups even if they are empty, unless two groupings were crossed.
        """
        ranges = self.group_ranges()
        found: dict[Axis, tuple[tuple[float, float], ...]] = {}
        for factor, suffix in zip(coordinates_of(self.recipe.grouping), ("", "_2"), strict=False):
            # Crossed, a bin stands there once for each group along the other axis; without edges, everybody is in one.
            lower, upper = (_known(ranges[f"group_{name}{suffix}"]) for name in ("lower", "upper"))
            if not lower:
                continue
            first, last = (factor.edges[0], factor.edges[-1]) if factor.edges else (lower[0], upper[-1])
            gaps = zip([first, *upper], [*lower, last], strict=True)
            if empty := tuple((low, high) for low, high in gaps if low < high):
                found[factor.axis] = empty
        return found

    @property
    def members(self) -> pd.DataFrame:
        """All experiments that were asked for, one row each.

        Returns
        -------
        pandas.DataFrame
            Columns experiment_id, group (missing = left out), group_label, left_out_reason, divisor (mm3, or 1),
            injected_hemisphere, array_sha256, injection_fraction_sha256, data_mask_sha256.
        """
        import pandas as pd

        labels = {group.number: group.label for group in self.groups}
        rows = self.experiments
        return pd.DataFrame(
            {
                "experiment_id": pd.array([row.experiment_id for row in rows], dtype="int64"),
                "group": pd.array([row.group for row in rows], dtype="Int64"),
                "group_label": [None if row.group is None else labels[row.group] for row in rows],
                "left_out_reason": [row.reason for row in rows],
                "divisor": pd.array([row.divisor for row in rows], dtype="Float64"),
                "injected_hemisphere": [row.injected_hemisphere for row in rows],
                "array_sha256": [row.array_sha256 for row in rows],
                "injection_fraction_sha256": [row.injection_fraction_sha256 for row in rows],
                "data_mask_sha256": [row.data_mask_sha256 for row in rows],
            }
        )

    def __repr__(self) -> str:
        groups, members = len(self.groups), len(self.experiments) - len(self.left_out)
        return f"{type(self).__name__}({self.ref!r}, {groups} groups of {members} experiments, {self.quantity})"


def _known(values: NDArray[np.float64]) -> list[float]:
    known: list[float] = np.unique(values[~np.isnan(values)]).tolist()
    return known


def box_slices(grid: Grid, box: Box) -> tuple[slice, slice, slice]:
    """The voxels whose centers lie in a box, as slices of the three axes.

    Parameters
    ----------
    grid : Grid
    box : ((float, float), (float, float), (float, float))
        Lowest and highest AP, DV and ML in um, both included.

    Raises
    ------
    InputError
        If it is no box, or no voxel's center lies in it.
    """
    try:
        limits = [(float(low), float(high)) for low, high in box]
    except (TypeError, ValueError) as error:
        raise InputError(f"{box!r} is no box", hint=_BOX) from error
    if len(limits) != len(AXES):
        raise InputError(f"{box!r} is no box", hint=_BOX)
    slices = []
    for axis, (low, high) in zip(AXES, limits, strict=True):
        inside = np.flatnonzero((grid.centers_um(axis) >= low) & (grid.centers_um(axis) <= high))
        if inside.size == 0:
            raise InputError(f"no voxel's center lies between {axis} {low:g} and {high:g} um", hint=_BOX)
        slices.append(slice(int(inside[0]), int(inside[-1]) + 1))
    return slices[0], slices[1], slices[2]


def mask_slices(grid: Grid, mask: NDArray[np.bool_]) -> tuple[slice, slice, slice]:
    """The smallest box around the voxels that a mask marks, as slices of the three axes.

    Raises
    ------
    FrameError
        If the mask does not lie on the grid.
    InputError
        If it is no mask, or marks no voxel.
    """
    if not isinstance(mask, np.ndarray):
        raise InputError(
            f"mask must be an array, got {reprlib.repr(mask)}",
            hint="For example store.atlas.mask('CP'), at the spacing of the version.",
        )
    if mask.dtype != np.bool_:
        raise InputError(f"a mask is true or false, not {mask.dtype}", hint="For example np.isin(annotation, ids).")
    if mask.shape != grid.shape:
        raise FrameError(
            f"the mask has the shape {mask.shape}, the result {grid.shape}", hint="Use a mask of the same spacing."
        )
    slices = []
    for axis in range(mask.ndim):
        inside = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        if inside.size == 0:
            raise InputError("the mask marks no voxel")
        slices.append(slice(int(inside[0]), int(inside[-1]) + 1))
    return slices[0], slices[1], slices[2]


_BOX = "A box is the lowest and highest AP, DV and ML in um: ((7000, 8000), (0, 8000), (5700, 11400))."

"""`DatasetVersion`: facts, groups and members in memory, voxels read on request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bsv_store.averaging.grouping.grouping import axes_of
from bsv_store.averaging.grouping.words import grouping_words
from bsv_store.averaging.members import members_frame
from bsv_store.averaging.units import unit_text
from bsv_store.catalog.selection.words import selection_words
from bsv_store.check import checked_group
from bsv_store.datasets.arrays import checked_array, require_voxels
from bsv_store.datasets.comparison_summary import ComparisonSummary, comparison_summary
from bsv_store.datasets.groups import empty_ranges
from bsv_store.datasets.listing import has_version
from bsv_store.datasets.provenance import Provenance, provenance_of
from bsv_store.datasets.recorded_rows import lacks_weights
from bsv_store.datasets.result.content_hash import arrays_without_groups, planes_per_chunk
from bsv_store.datasets.result.file import array_dtype, checked_stream, open_result
from bsv_store.datasets.result.slabs import NO_GROUP, LargeResult, array_keys, has_slab_hashes
from bsv_store.datasets.result.verified import read_part, unchanged
from bsv_store.datasets.result.weights import read_weights
from bsv_store.datasets.share.citation import Citation, citation_of
from bsv_store.datasets.share.export import export_groups, export_version
from bsv_store.datasets.shared_uses import record_shared_use
from bsv_store.datasets.slices import box_slices, mask_slices
from bsv_store.datasets.structure_table import structure_table
from bsv_store.errors import DamagedFileError, InputError, UnknownDatasetError
from bsv_store.html import card, table
from bsv_store.text import number_of
from bsv_store.vocabulary import MEASURES, STATISTICS
from bsv_store.volumes.grid import ARRAY_AXES, Grid
from bsv_store.volumes.hdf5 import opened_hdf5

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    import h5py
    import pandas as pd
    import xarray as xr
    from matplotlib.figure import Figure

    from bsv_store.averaging.members import Member
    from bsv_store.averaging.recipe import Recipe
    from bsv_store.catalog.database.engine import Database
    from bsv_store.catalog.structures import StructureRef
    from bsv_store.datasets.groups import GroupInfo, Groups
    from bsv_store.datasets.history.checks import VersionCheck
    from bsv_store.datasets.origin import Origin, Twin
    from bsv_store.datasets.slices import Box
    from bsv_store.figures.brain import Outlines
    from bsv_store.vocabulary import (
        Axis,
        ColorScale,
        ComparisonMap,
        ComparisonOrder,
        MeasuredHemisphere,
        Plane,
        Statistic,
        Theme,
    )
    from bsv_store.volumes.files import StoreFiles


@dataclass(frozen=True, eq=False, repr=False)
class DatasetVersion:
    """One version of a dataset: a recipe, its inputs and the result. Immutable.

    Attributes
    ----------
    name : str
        Of the dataset.
    number : int
        From 1.
    recipe : Recipe
    fingerprint : str
        SHA-256 of recipe, groups, inputs and algorithm version.
    content_sha256 : str
        SHA-256 of the result arrays; independent of the file format.
    algorithm_version : int
    created_at : datetime.datetime
        Aware UTC.
    created_by : str
    software : str
        Versions of bsv-store, NumPy, h5py, HDF5 and Python.
    groups : Groups
        A tuple of `GroupInfo`.
    experiments : tuple of Member
        All selected experiments, ascending by id, including those left out.
    tags : tuple of str
        When the version was looked up.
    checks : tuple of VersionCheck
        Results of rebuilding it, oldest first, when the version was looked up.
    origin : Origin
        Whether it was computed in this store or imported, and whether an imported one was checked, when the version
        was looked up.
    twins : tuple of Twin
        Versions of the dataset with the same recipe and inputs but a different result; at least one was imported.
    path : pathlib.Path
        The result file: netCDF-4, readable as HDF5.
    size_bytes : int
    file_sha256 : str
    was_computed : bool
        Whether the call that returned this object computed the version.
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
    groups: Groups
    experiments: tuple[Member, ...]
    tags: tuple[str, ...]
    checks: tuple[VersionCheck, ...]
    origin: Origin
    twins: tuple[Twin, ...]
    relative_path: str
    size_bytes: int
    file_sha256: str
    was_computed: bool
    files: StoreFiles
    database: Database | None

    # -- facts --------------------------------------------------------------------------------------------------------

    @property
    def ref(self) -> str:
        """Name and number, such as ``visual-by-AP@3``."""
        return f"{self.name}@{self.number}"

    @property
    def path(self) -> Path:
        """The result file: netCDF-4, readable as HDF5. Unlike `open`, reading it directly does not check its bytes."""
        return self.files.path(self.relative_path)

    @property
    def grid(self) -> Grid:
        """The voxel grid of the result.

        Raises
        ------
        InputError
            If the version is a comparison by structure, which has no voxels.
        """
        require_voxels(self)
        return Grid(self.recipe.spacing_um)

    @property
    def unit(self) -> str:
        """Unit of the mean in words, such as 'fraction of voxel per mm³ injected'; '' if it has none."""
        comparison = self.recipe.structure_comparison
        if comparison is not None:
            return MEASURES[comparison.measure].unit
        return unit_text(self.recipe.kind, self.recipe.normalize)

    @property
    def quantity(self) -> str:
        """Quantity and unit of the mean, such as 'projection density (fraction of voxel)'."""
        return self.recipe.quantity

    @property
    def rules(self) -> tuple[str, ...]:
        """The rules of the recipe in words, such as ('divided by injection volume', 'hemispheres as imaged')."""
        return self.recipe.rules

    @property
    def axis(self) -> Axis | None:
        """Axis of the (first) coordinate bins; None if groups are not bins."""
        return next(iter(self.axes), None)

    @property
    def axes(self) -> tuple[Axis, ...]:
        """Axes of the coordinate bins: none, one, or two if two coordinates are crossed."""
        return axes_of(self.recipe.grouping)

    @property
    def left_out(self) -> tuple[Member, ...]:
        """Selected experiments that were left out, with the reason."""
        return tuple(member for member in self.experiments if member.group is None)

    @property
    def empty_groups(self) -> tuple[GroupInfo, ...]:
        """Groups without experiments, from explicit regions or bin edges. Their mean is stored as 0."""
        return tuple(group for group in self.groups if group.n == 0)

    @property
    def members(self) -> pd.DataFrame:
        """All selected experiments, one row each.

        Returns
        -------
        pandas.DataFrame
            Columns experiment_id, group (missing = left out), group_label, left_out_reason, divisor (1 = not
            normalized), injected_hemisphere, array_sha256, injection_fraction_sha256, data_mask_sha256, divisor_source
            ('list' if the divisor is from the experiment list instead of the unionize rows) and weight (missing = left
            out, not weighted, or computed before schema revision 0021; `weights` returns the weights of these too).
        """
        return members_frame(self.experiments, {group.number: group.label for group in self.groups})

    def weights(self) -> dict[int, float]:
        """The weight of each member by experiment id, ascending; 1 for all unless the recipe has ``weight_by``.

        Raises
        ------
        DamagedFileError
            If the catalog does not have the weights, because the version was computed before schema revision 0021, and
            the result file is missing, or the inputs that it contains differ from what was published.
        """
        placed = [member for member in self.experiments if member.group is not None]
        ids = [member.experiment_id for member in placed]
        if self.recipe.weight_by == "none":
            return dict.fromkeys(ids, 1.0)
        if not lacks_weights(self):
            return {each.experiment_id: each.weight for each in placed if each.weight is not None}
        with self._unless_deleted():
            weights = read_weights(
                self.files,
                self.relative_path,
                size_bytes=self.size_bytes,
                fingerprint=self.fingerprint,
                what=self.ref,
            )
        return dict(zip(ids, weights, strict=True))

    def group_ranges(self) -> dict[str, NDArray[np.float64]]:
        """Edges and centers of the groups, named as in the result file.

        Returns
        -------
        dict of str to ndarray of float64, shape (groups,)
            um, NaN = none: ``group_lower``, ``group_upper`` and ``group_center``; along the second axis, if two
            coordinates are crossed, ``group_lower_2``, ``group_upper_2`` and ``group_center_2``.
        """
        prefixes = {"": ""} if len(self.axes) < 2 else {"": "", "second_": "_2"}
        return {
            f"group_{name}{suffix}": np.array([getattr(group, prefix + name) for group in self.groups], np.float64)
            for prefix, suffix in prefixes.items()
            for name in ("lower", "upper", "center")
        }

    def empty_ranges(self) -> dict[Axis, tuple[tuple[float, float], ...]]:
        """Ranges of a coordinate with bins without experiments, which are not groups.

        Returns
        -------
        dict of axis to tuple of (float, float)
            Lower and upper end in um, ascending, adjacent bins joined; only axes that have any. Bins with explicit
            edges are groups even if they are empty, unless two groupings are crossed.
        """
        return empty_ranges(self.recipe.grouping, self.group_ranges())

    # -- voxels -------------------------------------------------------------------------------------------------------

    @cached_property
    def mean(self) -> NDArray[np.floating[Any]]:
        """Mean of each group and voxel.

        Returns
        -------
        ndarray of float32 or float64 (the recipe's dtype), shape (groups, ap, dv, ml)
            Read-only; in `unit`. NaN where no member has data; 0 in a group without members.

        Raises
        ------
        DamagedFileError
            If the result file is missing or differs from what was published.
        """
        return self.statistic("mean")

    def statistic(
        self, name: Statistic | ComparisonMap, *, group: int | None = None, box: Box | None = None
    ) -> NDArray[Any]:
        """A statistic of each group and voxel, or a map of a comparison, which has no groups.

        At 25 and 10 um, only the slabs of AP planes that contain the requested part are read. Of smaller results, the
        first read in a process checks the whole file; after that, as long as the file does not change, only the
        requested part is read.

        Parameters
        ----------
        name : {'mean', 'sum', 'sd', 'sem', 'min', 'max', 'n', 'difference', 't', 'p_permutation', 'p_max_t', ...}
            One of the recipe's statistics, or of the maps of its comparison (``bsv_store.vocabulary.COMPARISON_MAPS``).
        group : int, optional
            Number of a group; by default all groups. Not for maps.
        box : ((float, float), (float, float), (float, float)), optional
            Minimum and maximum AP, DV and ML in um: only voxels whose centers are in it, see `Grid.centers_um`.

        Returns
        -------
        ndarray, shape (groups, ap, dv, ml), or (ap, dv, ml) with ``group`` and for maps
            The recipe's dtype, uint32 for 'n', float32 for maps, where NaN = not tested; read-only.

        Raises
        ------
        InputError
            If the version does not have the statistic, map or group, or the box is not valid or contains no voxel.
        DamagedFileError
            If the result file is missing or differs from what was published.
        """
        statistic = checked_array(name, self.recipe, what=self.ref)
        has_groups = statistic in STATISTICS
        if not has_groups and group is not None:
            raise InputError(f"{statistic} has no groups, got group={group!r}", hint="Leave out group.")
        group = None if group is None else checked_group(group, len(self.groups), what=self.ref)
        if group is None and box is None:
            with self.open() as file:
                values: NDArray[Any] = file[statistic][:]
        else:
            first = slice(None) if group is None else group
            where = (slice(None),) * 3 if box is None else box_slices(self.grid, box)
            size_bytes, ref = self.size_bytes, self.ref
            part = self._read_slabs(statistic, group, where) if has_slab_hashes(self.grid) else None
            if part is not None:
                values = part
            else:
                with (
                    self._unless_deleted(),
                    unchanged(self.path, size_bytes=size_bytes, file_sha256=self.file_sha256, what=ref) as hashed,
                ):
                    key = (first, *where) if has_groups else where
                    values = read_part(self.path, statistic, key, hashed=hashed, size_bytes=size_bytes, what=ref)
        values.setflags(write=False)
        return values

    def _read_slabs(
        self, name: Statistic | ComparisonMap, group: int | None, where: tuple[slice, slice, slice]
    ) -> NDArray[Any] | None:
        """A part of a large result, without the rest; None if the file must be verified as a whole."""
        recipe, numbers = self.recipe, range(len(self.groups))
        large = LargeResult(
            files=self.files,
            path=self.relative_path,
            size_bytes=self.size_bytes,
            content_sha256=self.content_sha256,
            keys=tuple(array_keys(recipe.statistics, len(numbers), arrays_without_groups(recipe))),
            grid=self.grid,
            planes=planes_per_chunk(self.grid, np.dtype(recipe.dtype).itemsize),
            what=self.ref,
        )
        ends = [each.indices(size)[:2] for each, size in zip(where, self.grid.shape, strict=True)]
        along, down, right = (slice(*each) for each in ends)
        wanted: Sequence[int | str] = [NO_GROUP]
        if name in STATISTICS:
            wanted = numbers if group is None else [group]
        shape = [stop - start for start, stop in ends]
        found = np.empty((len(wanted), *shape), array_dtype(name, recipe.dtype))
        for part, number in zip(found, wanted, strict=True):
            if not large.read_into(part, name, number, (along, down, right)):
                return None
        return found if name in STATISTICS and group is None else found[0]

    def values_in(
        self, mask: NDArray[np.bool_], name: Statistic | ComparisonMap = "mean", *, group: int | None = None
    ) -> NDArray[np.floating[Any]]:
        """A statistic at the voxels of a mask. Only the bounding box of the mask is read.

        Parameters
        ----------
        mask : ndarray of bool, shape (ap, dv, ml)
            On the version's grid, such as ``store.atlas.mask("CP")``.
        name : {'mean', 'sum', 'sd', 'sem', 'min', 'max', 'n', 'difference', 't', 'p_permutation', 'p_max_t', ...}
            One of the recipe's statistics, or of the maps of its comparison.
        group : int, optional
            Number of a group; by default all groups. Not for maps.

        Returns
        -------
        ndarray, shape (groups, voxels), or (voxels,) with ``group`` and for maps
            In C order of the grid; NaN = no data.

        Raises
        ------
        FrameError
            If the mask is not on the version's grid.
        InputError
            If the mask is not a boolean array or has no voxel, or the version does not have the statistic or group.
        DamagedFileError
            If the result file is missing or differs from what was published.
        """
        where = mask_slices(self.grid, mask)
        centers = [self.grid.centers_um(axis)[part] for axis, part in zip(ARRAY_AXES, where, strict=True)]
        box = [(float(along[0]), float(along[-1])) for along in centers]
        values: NDArray[Any] = self.statistic(name, group=group, box=box)[..., mask[where]]
        return values

    def comparison_summary(self, alpha: float = 0.05) -> ComparisonSummary:
        """The outcome of a comparison by voxel: numbers of tested and significant voxels, permutations, critical t.

        Parameters
        ----------
        alpha : float
            Level of significance, corrected for all tested voxels.

        Raises
        ------
        InputError
            If the version is not a comparison by voxel, or alpha is not between 0 and 1.
        DamagedFileError
            If the result file is missing or differs from what was published.
        """
        return comparison_summary(self, alpha)

    def comparison_table(self, *, sort_by: ComparisonOrder = "p", limit: int | None = None) -> pd.DataFrame:
        """The table of a comparison by structure.

        Parameters
        ----------
        sort_by : {'p', 'effect_size', 'difference'}
            What the rows are sorted by: p by permutation, or the absolute effect size or difference.
        limit : int, optional
            Maximum number of rows to return.

        Returns
        -------
        pandas.DataFrame
            As from `Store.compare_structures`; ``frame.attrs["dataset"]`` names the version.

        Raises
        ------
        InputError
            If the version is not a comparison by structure, or an argument is not valid.
        DamagedFileError
            If the result file is missing or differs from what was published.
        """
        return structure_table(self, sort_by=sort_by, limit=limit)

    @contextmanager
    def open(self) -> Iterator[h5py.File]:
        """The result file open for reading with h5py, in a ``with`` statement. Every byte is checked.

        Raises
        ------
        DamagedFileError
            If the result file is missing or differs from what was published.
        UnknownDatasetError
            If the version was deleted.
        """
        with (
            self._unless_deleted(),
            open_result(self.path, size_bytes=self.size_bytes, file_sha256=self.file_sha256, what=self.ref) as file,
        ):
            yield file

    def to_xarray(self) -> xr.Dataset:
        """The version with labeled axes, in memory. Needs the extra ``xarray``.

        Returns
        -------
        xarray.Dataset
            The content of the result file: dimensions group, ap, dv, ml (um) and member; a variable for each
            statistic, and for each map of a comparison. A comparison by structure has the dimensions group, member and
            feature (a structure in a hemisphere), and a variable for each result of the test and for the signal. The
            facts about groups and members are coordinates, such as
            ``group_n`` (number of experiments) and ``member_divisor``; recipe and provenance as attributes. The
            attribute ``dataset`` names the version, ``empty_groups`` the groups without experiments.

        Raises
        ------
        InputError
            If xarray is not installed.
        DamagedFileError
            If the result file is missing or differs from what was published.
        """
        xarray = _xarray()
        with checked_stream(
            self.path, size_bytes=self.size_bytes, file_sha256=self.file_sha256, what=self.ref
        ) as stream:
            with opened_hdf5(stream, what=f"the file {self.path} of {self.ref}"):
                # xarray opens it itself, and would follow links to other files.
                pass
            stream.seek(0)
            dataset: xr.Dataset = xarray.load_dataset(stream, engine="h5netcdf")
        # Files of earlier versions have a scalar, and do not state which variables are coordinates.
        if dataset["inputs"].ndim == 0:
            dataset["inputs"] = dataset["inputs"].expand_dims("document")
        arrays = (*self.recipe.statistics, *arrays_without_groups(self.recipe))
        coordinates = [name for name in dataset.data_vars if name not in arrays]
        return dataset.set_coords(coordinates).assign_attrs(
            dataset=self.ref, empty_groups=[group.label for group in self.empty_groups]
        )

    def to_frame(self) -> pd.DataFrame:
        """The voxels that are not 0 as a long table.

        Returns
        -------
        pandas.DataFrame
            One row for each group and voxel whose mean is not 0 (NaN, no data, included), in C order: columns group
            (label, categorical), ap, dv, ml (voxel centers, um), and one column for each statistic. Maps of a
            comparison, which have no groups, are not included.

        Raises
        ------
        InputError
            If the version is a comparison by structure; see `comparison_table`.
        DamagedFileError
            If the result file is missing or differs from what was published.
        """
        import pandas as pd

        number, *voxel = np.nonzero(self.mean)
        labels = [group.label for group in self.groups]
        frame: dict[str, Any] = {"group": pd.Categorical(np.array(labels)[number], labels)}
        frame |= {
            axis.lower(): self.grid.centers_um(axis)[where] for axis, where in zip(ARRAY_AXES, voxel, strict=True)
        }
        frame |= {
            name: (self.mean if name == "mean" else self.statistic(name))[(number, *voxel)]
            for name in self.recipe.statistics
        }
        return pd.DataFrame(frame)

    # -- figures, files and texts -------------------------------------------------------------------------------------

    def plot(
        self,
        *,
        groups: int | Sequence[int] | None = None,
        minus: int | None = None,
        statistic: Statistic | ComparisonMap = "mean",
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
        """Slices of the groups, one row per group, with outlines of structures. Needs the extra ``plot``.

        All parameters of :func:`bsv_store.reports.slices` that concern versions, with the same meaning and defaults.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        InputError
            If Matplotlib is not installed, or an argument is not valid.
        MissingDataError
            If the store does not have the annotation or template that an argument needs.
        UnknownStructureError
            If the ontology does not have a structure.
        DamagedFileError
            If a file in the store is missing or damaged.
        """
        from bsv_store.figures.brain import Brain
        from bsv_store.figures.slices import draw_slices
        from bsv_store.figures.sources import source_of_version

        return draw_slices(
            source_of_version(self, groups=groups, minus=minus, statistic=statistic),
            Brain(self.database, self.files),
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

    def targets(
        self,
        *,
        structures: StructureRef | Sequence[StructureRef] | None = None,
        structure_set: int | None = None,
        groups: int | Sequence[int] | None = None,
        hemisphere: MeasuredHemisphere | Sequence[MeasuredHemisphere] | None = "both",
        limit: int = 10,
    ) -> pd.DataFrame:
        """The structures with the largest mean of each group, strongest first.

        The store must have the annotation at the version's spacing. The structures of the injection are among them,
        unless the recipe excludes the injection sites.

        Parameters
        ----------
        structures, structure_set, groups, hemisphere
            As for `Datasets.regions`.
        limit : int
            Maximum number of structures per group and hemisphere.

        Returns
        -------
        pandas.DataFrame
            As for `Datasets.regions`.

        Raises
        ------
        MissingDataError
            If the store has no annotation at the version's spacing. The hint is the command that downloads it.
        InputError
            If the version was pickled, so that its store is not known, or an argument is not valid.
        """
        from bsv_store.datasets.region_summary import region_summary

        if self.database is None:
            raise InputError(
                f"this copy of {self.ref} is not connected to its store",
                hint=f"Look it up again: store.dataset({self.ref!r}).",
            )
        return region_summary(
            self.database,
            self.files,
            self,
            structures=structures,
            structure_set=structure_set,
            groups=groups,
            hemisphere=hemisphere,
            limit=limit,
        )

    # -- files and texts ----------------------------------------------------------------------------------------------

    def export(
        self,
        path: Path | str,
        *,
        statistic: Statistic | ComparisonMap = "mean",
        group: int | str | None = None,
        like_allen: bool = False,
        overwrite: bool = False,
    ) -> Path:
        """Write the version to a file for other programs.

        At 25 and 10 um the result is never completely in memory. NRRD and NIfTI need about 400 MB of memory, and store
        the axes in reverse order, so each group is read twice at 25 um and 19 times at 10 um. Other formats need less.

        Parameters
        ----------
        path : path
            Its ending names the format; ``bsv_store.datasets.share.export.VERSION_FORMATS`` lists all.
        statistic : Statistic or ComparisonMap
            What an image shows: one of the recipe's statistics, or of the maps of its comparison, which are
            three-dimensional images. Image formats only; the others that have arrays have all of them.
        group : int or str, optional
            Number or label of a group. Writes a three-dimensional image of its mean, as required by viewers such as
            Fiji. Image formats only. By default all groups are written, in image formats along a fourth axis.
        like_allen : bool
            Write the directions of Allen's files to an ``.nrrd`` file, see `Volumes.export`.
        overwrite : bool
            Replace the file if it exists.

        Returns
        -------
        pathlib.Path
            Of the file.

        Raises
        ------
        InputError
            If the ending is unknown or does not support an option, there is no such group, the parent folder does not
            exist, or the file exists and ``overwrite`` is False.
        DamagedFileError
            If the result file in the store differs from what was published.
        NoSpaceError, StoreError
            If the file cannot be written; an existing file is not changed.
        """
        with self._unless_deleted():
            path = export_version(
                self, path, statistic=statistic, group=group, like_allen=like_allen, overwrite=overwrite
            )
        record_shared_use(self.database, self.ref, "exported")
        return path

    def export_groups(
        self,
        path: Path | str,
        *,
        statistic: Statistic = "mean",
        like_allen: bool = False,
        overwrite: bool = False,
    ) -> list[Path]:
        """Write the mean or another statistic of each group to a separate three-dimensional image file.

        Parameters
        ----------
        path : path
            Path from which the file names are derived: ``result.nii.gz`` writes ``result-group0.nii.gz``,
            ``result-group1.nii.gz`` and so on, with leading zeros for more than ten groups. Image formats only.
        statistic : Statistic
            One of the recipe's statistics.
        like_allen, overwrite
            As for `export`.

        Returns
        -------
        list of pathlib.Path
            The paths of the files, in the order of the groups.

        Raises
        ------
        InputError, DamagedFileError, NoSpaceError, StoreError
            See `export`. If one of the files exists and ``overwrite`` is False, none is written.
        """
        with self._unless_deleted():
            paths = export_groups(self, path, statistic=statistic, like_allen=like_allen, overwrite=overwrite)
        record_shared_use(self.database, self.ref, "exported")
        return paths

    def cite(self, *, annotation: str | None = None) -> Citation:
        """Draft citation of the version: methods, acknowledgement, references, experiment ids.

        Parameters
        ----------
        annotation : str, optional
            Name of the annotation used for means over structures, such as
            ``store.datasets.regions(...).attrs["annotation"]``. By default the store's at the version's spacing.
        """
        citation = citation_of(self, annotation=annotation)
        record_shared_use(self.database, self.ref, "cited")
        return citation

    def provenance(self) -> Provenance:
        """The experiment list, ontology and annotation behind the version, in words.

        For an imported version what its bundle says. Nothing is known of a version that was pickled.
        """
        if self.database is None:
            return Provenance()
        with self.database.reading() as connection:
            return provenance_of(
                connection,
                self.ref,
                created_at=self.created_at,
                is_imported=self.origin.imported_at is not None,
                spacing_um=self.recipe.spacing_um,
            )

    @contextmanager
    def _unless_deleted(self) -> Iterator[None]:
        """Raise if the version was deleted; otherwise its file would seem to be damaged."""
        try:
            yield
        except DamagedFileError as error:
            if self.database is None or has_version(self.database, self.name, self.number, self.fingerprint):
                raise
            raise UnknownDatasetError(
                f"{self.ref} was deleted after it was looked up",
                hint="List the versions: bsv-store dataset list",
            ) from error

    def _identity(self) -> tuple[Path, str, int, str, str]:
        """The store and what never changes: neither the file, which may be written again, nor tags and checks."""
        return self.files.root.resolve(), self.name, self.number, self.fingerprint, self.content_sha256

    def __eq__(self, other: object) -> bool:
        """Whether the two are the same version of the same store, whenever they were looked up."""
        return self._identity() == other._identity() if isinstance(other, DatasetVersion) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._identity())

    def __getstate__(self) -> dict[str, Any]:
        """The state without the database connection, which cannot be pickled."""
        return {**self.__dict__, "database": None}

    def _repr_html_(self) -> str:
        facts = [
            ("Quantity", self.quantity),
            ("Rules", ", ".join(self.rules)),
            ("Selection", selection_words(self.recipe.selection)),
            ("Grouping", grouping_words(self.recipe.grouping)),
            ("Experiments", f"{len(self.experiments) - len(self.left_out):,}, {len(self.left_out):,} left out"),
            ("Grid", self._grid_words()),
            ("Statistics", ", ".join(self.recipe.statistics)),
            ("Tags", ", ".join(self.tags)),
            ("Computed", f"{self.created_at:%Y-%m-%d %H:%M} UTC by {self.created_by}"),
            ("Fingerprint", self.fingerprint),
        ]
        rows = [[group.number, group.label, group.n] for group in self.groups]
        doubt = [] if self.origin.can_answer else [str(self.origin)]
        return card(self.ref, table(["group", "label", "n"], rows), kind="dataset version", facts=facts, notes=doubt)

    def _grid_words(self) -> str:
        if not self.recipe.has_voxels:
            return ""
        return f"{self.recipe.spacing_um} um, {' × '.join(map(str, self.grid.shape))} voxels"

    def __repr__(self) -> str:
        groups = number_of(len(self.groups), "group")
        members = number_of(len(self.experiments) - len(self.left_out), "experiment")
        doubt = "" if self.origin.can_answer else f", {self.origin.standing}"
        return f"{type(self).__name__}({self.ref!r}, {groups} of {members}, {self.quantity}{doubt})"


def _xarray() -> Any:
    try:
        import xarray
    except ImportError as error:
        raise InputError("xarray is not installed", hint="Install it: pip install 'bsv-store[xarray]'") from error
    return xarray

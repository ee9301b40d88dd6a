"""A dataset version as its users hold it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bsv_store.averaging.units import cf_unit
from bsv_store.datasets.share.citation import Citation, citation_of
from bsv_store.datasets.share.export import export_version
from bsv_store.datasets.stored import StoredVersion
from bsv_store.errors import InputError
from bsv_store.volumes.grid import AXES, FRAME, ORIENTATION

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    import xarray as xr


@dataclass(frozen=True, eq=False, repr=False)
class DatasetVersion(StoredVersion):
    """One version of a dataset: which question, over which inputs, with which result. Immutable.

    Facts, groups and members are those of :class:`bsv_store.datasets.stored.StoredVersion`.
    """

    def to_xarray(self) -> xr.Dataset:
        """The version with labelled axes, in memory. Needs the extra ``xarray``.

        Returns
        -------
        xarray.Dataset
            Dimensions group, ap, dv, ml (um); a variable for each statistic; recipe and provenance as attributes. The
            coordinate ``group_n`` counts the experiments; a group without any is named in ``empty_groups``.

        Raises
        ------
        InputError
            If xarray is not installed.
        DamagedFileError
            If the result file is missing or differs in any bit from what was published.
        """
        xarray = _xarray()
        dims = ("group", "ap", "dv", "ml")
        described = {"long_name": self.quantity, "units": cf_unit(self.recipe.kind, self.recipe.normalize)}
        attributes = {key: value for key, value in described.items() if value is not None}
        variables = {
            name: (dims, self.mean if name == "mean" else self.statistic(name), {} if name == "n" else attributes)
            for name in self.recipe.statistics
        }
        coordinates: dict[str, Any] = {"group": [group.label for group in self.groups]}
        for axis in AXES:
            coordinates[axis.lower()] = (axis.lower(), self.grid.centers_um(axis), {"units": "um"})
        for name, values in self.group_ranges().items():
            coordinates[name] = ("group", values, {"units": "um"})
        counted = {"long_name": "experiments in the group; where there are none, the mean is 0 all the same"}
        coordinates["group_n"] = ("group", [group.n for group in self.groups], counted)
        dataset: xr.Dataset = xarray.Dataset(variables, coordinates, self._attributes())
        return dataset

    def to_frame(self) -> pd.DataFrame:
        """The voxels that are not 0 as a long table, for programs that want one.

        Returns
        -------
        pandas.DataFrame
            One row for each group and voxel whose mean is not 0 (NaN, no data, included), in C order: columns group
            (label, categorical), ap, dv, ml (voxel centers, um), and one column for each statistic.

        Raises
        ------
        DamagedFileError
            If the result file is missing or differs in any bit from what was published.
        """
        import pandas as pd

        number, *voxel = np.nonzero(self.mean)
        labels = [group.label for group in self.groups]
        frame: dict[str, Any] = {"group": pd.Categorical(np.array(labels)[number], labels)}
        frame |= {axis.lower(): self.grid.centers_um(axis)[where] for axis, where in zip(AXES, voxel, strict=True)}
        frame |= {
            name: (self.mean if name == "mean" else self.statistic(name))[(number, *voxel)]
            for name in self.recipe.statistics
        }
        return pd.DataFrame(frame)

    def export(self, target: Path | str, *, overwrite: bool = False) -> Path:
        """Write the version to a file; see `bsv_store.datasets.share.export.VERSION_FORMATS` for the endings."""
        return export_version(self, target, overwrite=overwrite)

    def cite(self) -> Citation:
        """What a paper needs to say which data these are: methods, acknowledgement, references, experiment ids."""
        return citation_of(self)

    def _attributes(self) -> dict[str, Any]:
        return {
            "dataset": self.ref,
            "recipe": self.recipe.to_json(),
            "fingerprint": self.fingerprint,
            "software": self.software,
            "frame": FRAME,
            "orientation": ORIENTATION,
            "spacing_um": self.recipe.spacing_um,
            "empty_groups": [group.label for group in self.empty_groups],
        }


def _xarray() -> Any:
    try:
        import xarray
    except ImportError as error:
        raise InputError("xarray is not installed", hint="Install it: pip install 'bsv-store[xarray]'") from error
    return xarray

"""A dataset version as NumPy arrays in one ``.npz`` file."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

from bsv_store.datasets.result.content_hash import arrays_without_groups
from bsv_store.datasets.share.image import group_slabs
from bsv_store.formats.npy import write_array
from bsv_store.volumes.grid import ARRAY_AXES

if TYPE_CHECKING:
    from pathlib import Path

    from bsv_store.datasets.share.source import VersionSource


def write_npz(version: VersionSource, path: Path) -> None:
    """Write every statistic and map, the axes in um, the groups, the recipe and the fingerprint.

    Of a comparison by structure, the values of the members, the results of the test and the structures.
    """
    groups = version.groups
    has_voxels = version.recipe.has_voxels
    facts: dict[str, Any] = (
        {f"{axis.lower()}_um": version.grid.centers_um(axis) for axis in ARRAY_AXES} if has_voxels else {}
    )
    facts["group_label"] = np.array([group.label for group in groups])
    facts["group_n"] = np.array([group.n for group in groups])
    facts |= {f"{name}_um": values for name, values in version.group_ranges().items()}
    facts |= {
        "dataset": np.array(version.ref),
        "recipe": np.array(version.recipe.to_json()),
        "fingerprint": np.array(version.fingerprint),
    }
    # What `numpy.savez_compressed` writes, without holding all arrays.
    with version.open() as result, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for statistic in version.recipe.statistics:
            dataset = result[statistic]
            slabs = (slab for group in range(len(groups)) for _, slab in group_slabs(dataset, group))
            with archive.open(f"{statistic}.npy", "w", force_zip64=True) as member:
                write_array(member, slabs, dtype=dataset.dtype, shape=dataset.shape)
        for each in arrays_without_groups(version.recipe):
            with archive.open(f"{each}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, result[each][:], allow_pickle=False)
        if not has_voxels:
            facts |= {"structure_id": result["structure_id"][:], "member": result["member"][:]}
            facts |= {
                name: result[name].asstr()[:].astype(str) for name in ("structure", "structure_name", "hemisphere")
            }
        for name, value in facts.items():
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, np.asanyarray(value), allow_pickle=False)

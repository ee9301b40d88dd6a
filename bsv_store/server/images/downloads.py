"""NIfTI files of a version or a volume, for viewers that load it as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from bsv_store.errors import InputError
from bsv_store.server.images.sources import DEFAULT_KIND, DEFAULT_SPACING_UM, version_by, whole_number
from bsv_store.temporary import TemporaryFolder
from bsv_store.vocabulary import COMPARISON_MAPS
from bsv_store.volumes.grid import Grid

if TYPE_CHECKING:
    from bsv_store.server.images.anatomy import Structures
    from bsv_store.store.store import Store


def nifti(store: Store, query: Mapping[str, str]) -> bytes:
    """The compressed NIfTI file of a group of a version, a map of a comparison, or a volume, at 100 or 50 um.

    Raises
    ------
    InputError
        If the grid is finer, or a difference of groups is asked for.
    """
    if "minus" in query:
        raise InputError("minus is not supported by this address", hint="Load the two groups, and subtract them.")
    with TemporaryFolder() as folder:
        target = folder / "volume.nii.gz"
        if "version" in query:
            version, _ = version_by(store, query)
            _check_size(version.grid)
            statistic = query.get("statistic", "mean")
            if statistic in COMPARISON_MAPS:
                version.export(target, statistic=statistic)  # type: ignore[arg-type]
            else:
                group = whole_number("group", query.get("group", "0"))
                version.export(target, statistic=statistic, group=group)  # type: ignore[arg-type]
        else:
            grid = Grid(whole_number("spacing_um", query.get("spacing_um", str(DEFAULT_SPACING_UM))))
            _check_size(grid)
            store.volumes.export(
                whole_number("experiment", query["experiment"]),
                target,
                kind=query.get("kind", DEFAULT_KIND),  # type: ignore[arg-type]
                spacing_um=grid.spacing_um,
            )
        return target.read_bytes()


def brain_nifti(store: Store, grid: Grid, known: Structures) -> bytes:
    """The compressed NIfTI file of the voxels of all structures."""
    roots = [row.id for row in known.rows if row.parent_structure_id is None]
    with TemporaryFolder() as folder:
        target = folder / "brain.nii.gz"
        store.atlas.export_mask(roots, target, spacing_um=grid.spacing_um)
        return target.read_bytes()


def _check_size(grid: Grid) -> None:
    if grid.is_large:
        raise InputError(
            f"volumes at {grid.spacing_um} um are not shown in three dimensions",
            hint="Use 100 or 50 um; or export it: bsv-store volume export.",
        )

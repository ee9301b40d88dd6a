"""The volumes of the members of a version as one lazy array."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bsv_store.averaging.stack import StackedVolume, VolumeStack
from bsv_store.catalog.volume_use import record_use
from bsv_store.datasets.arrays import require_voxels
from bsv_store.datasets.original_inputs import content_of_file, original_inputs

if TYPE_CHECKING:
    from bsv_store.catalog.database.engine import Database
    from bsv_store.datasets.version import DatasetVersion
    from bsv_store.volumes.files import StoreFiles


def volume_stack(
    database: Database, files: StoreFiles, version: DatasetVersion, *, processed: bool = False
) -> VolumeStack:
    """The volumes of a version's members as a lazy array; see `Datasets.stack`."""
    require_voxels(version)
    content = content_of_file(version)
    with database.reading() as connection:
        inputs = original_inputs(connection, version, content)
    record_use(database, [each.volume for each in inputs.members])
    rule = inputs.recipe.hemisphere_rule
    volumes = [
        StackedVolume(each.volume, rule, each.injected, each.divisor) if processed else StackedVolume(each.volume)
        for each in inputs.members
    ]
    dtype = "float64" if processed else "float32"
    return VolumeStack(database, files, volumes, spacing_um=inputs.recipe.spacing_um, dtype=dtype)

"""The part of a store that hands out single volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bsv_store import check as arguments
from bsv_store.volumes.volume import volume_kind

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from bsv_store.catalog.database.engine import Database
    from bsv_store.volumes.files import StoreFiles
    from bsv_store.volumes.library import VolumeFile


class SingleVolumes:
    """What every open store offers about one volume; `bsv_store.store.store.Store` is one.

    Attributes
    ----------
    database : Database
    files : StoreFiles
    """

    database: Database
    files: StoreFiles

    def volume(
        self, experiment_id: int, *, kind: str = "projection_density", spacing_um: int = 100
    ) -> NDArray[np.float32]:
        """The volume of an experiment, every byte of its file checked.

        Returns
        -------
        ndarray of float32, shape (ap, dv, ml)
            C order; NaN = no data. 4.8 MB at 100 um, 308 MB at 25 um, 4.8 GB at 10 um.

        Raises
        ------
        MissingDataError
            If the store does not have it.
        DamagedFileError
            If its file is not what was stored.
        """
        from bsv_store.volumes.library import read_array

        return read_array(self.files, self._volume_file(experiment_id, kind, spacing_um))

    def describe_volume(
        self, experiment_id: int, *, kind: str = "projection_density", spacing_um: int = 100
    ) -> dict[str, Any]:
        """What is known of a volume: grid, values, hashes, origin."""
        from bsv_store.volumes.library import describe

        file = self._volume_file(experiment_id, kind, spacing_um)
        return describe(self.files, file) | {"path": self.files.path(file.path)}

    def export_volume(
        self,
        experiment_id: int,
        target: Path | str,
        *,
        kind: str = "projection_density",
        spacing_um: int = 100,
        overwrite: bool = False,
    ) -> None:
        """Write a volume to an image file; at 25 and 10 um in at most 350 MB of memory.

        The ending of the file name selects the format, such as ``.nrrd`` (no data is -1, as in Allen's files) or
        ``.npy`` (float32, axes ap, dv, ml); all are listed in `bsv_store.formats.table.IMAGE_FORMATS`.

        Raises
        ------
        MissingDataError, DamagedFileError, InputError
            As `volume` does; or if the ending is unknown, or the file exists.
        """
        from bsv_store.formats.volume_export import export_volume

        file = self._volume_file(experiment_id, kind, spacing_um)
        export_volume(self.files, file, arguments.path("target", target), overwrite=overwrite)

    def _volume_file(self, experiment_id: int, kind: str, spacing_um: int) -> VolumeFile:
        from bsv_store.catalog.volume_lookup import stored_volume

        return stored_volume(self.database, experiment_id, kind=volume_kind(kind), spacing_um=spacing_um)

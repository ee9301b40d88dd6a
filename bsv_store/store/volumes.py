"""``store.volumes``: single volumes of the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bsv_store import check
from bsv_store.vocabulary import VOLUME_KINDS

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from bsv_store.catalog.database.engine import Database
    from bsv_store.catalog.selection.selection import SelectionLike
    from bsv_store.plausibility.stored import VolumeCheckReport
    from bsv_store.progress import Progress
    from bsv_store.vocabulary import VolumeKind
    from bsv_store.volumes.files import StoreFiles
    from bsv_store.volumes.library import VolumeFile


class Volumes:
    """Single volumes: ``store.volumes``.

    A volume that the store does not have raises `MissingDataError`; the hint is the command that fetches it.

    Parameters
    ----------
    database : Database
    files : StoreFiles
    """

    def __init__(self, database: Database, files: StoreFiles) -> None:
        self._database = database
        self._files = files

    def read(
        self, experiment_id: int, *, kind: VolumeKind = "projection_density", spacing_um: int = 100
    ) -> NDArray[np.float32]:
        """The volume of an experiment. Every byte of its file is checked.

        Parameters
        ----------
        experiment_id : int
        kind : VolumeKind
        spacing_um : {10, 25, 50, 100}
            Edge of a voxel in um.

        Returns
        -------
        ndarray of float32, shape (ap, dv, ml)
            C order; NaN = no data. 4.8 MB at 100 um, 308 MB at 25 um, 4.8 GB at 10 um.

        Raises
        ------
        MissingDataError
            If the store does not have it.
        DamagedFileError
            If its file differs from what was published.
        """
        from bsv_store.volumes.library import read_array

        return read_array(self._files, self._file(experiment_id, kind, spacing_um))

    def describe(
        self, experiment_id: int, *, kind: VolumeKind = "projection_density", spacing_um: int = 100
    ) -> dict[str, Any]:
        """Facts about a stored volume: grid, values, hashes, source, path. Parameters are those of `read`."""
        from bsv_store.volumes.library import describe

        file = self._file(experiment_id, kind, spacing_um)
        return describe(self._files, file) | {"path": self._files.path(file.path)}

    def export(
        self,
        experiment_id: int,
        target: Path | str,
        *,
        kind: VolumeKind = "projection_density",
        spacing_um: int = 100,
        like_allen: bool = False,
        overwrite: bool = False,
    ) -> None:
        """Write a volume to an image file. At 25 and 10 um this takes at most 350 MB of memory.

        Parameters
        ----------
        experiment_id : int
        target : path
            Its ending names the format, such as ``.nrrd`` (no data is -1, as in Allen's files), ``.nii.gz`` or ``.npy``
            (float32, axes ap, dv, ml); ``bsv_store.formats.table.IMAGE_FORMATS`` lists all.
        kind : VolumeKind
        spacing_um : {10, 25, 50, 100}
            Edge of a voxel in um.
        like_allen : bool
            Write the same directions as Allen's files to an ``.nrrd`` file. They are not the true directions, so
            viewers align the file with Allen's files, but not with NIfTI files.
        overwrite : bool
            Replace an existing file.

        Raises
        ------
        MissingDataError, DamagedFileError
            As `read` does.
        InputError
            If the ending is unknown or does not support ``like_allen``, the file exists, or its folder does not exist.
        """
        from bsv_store.formats.volume_export import export_volume

        file = self._file(experiment_id, kind, spacing_um)
        export_volume(self._files, file, check.path("target", target), like_allen=like_allen, overwrite=overwrite)

    def check(
        self,
        selection: SelectionLike | None = None,
        *,
        kind: VolumeKind | None = None,
        spacing_um: int | None = None,
        progress: Progress | None = None,
    ) -> VolumeCheckReport:
        """Compare stored volumes with the catalog and with each other, and verify every byte of their files.

        The same checks are made before a volume is stored, but the catalog may have changed since then. The rows of
        ``bsv_store.vocabulary.PLAUSIBILITY_CHECKS`` describe them: the distribution of the values, the amount and
        hemisphere of the signal, the injection coordinate, the signal in large structures, and other volumes of the
        experiment. Checks for which the store does not have the data are skipped. Nothing is changed. To replace a
        volume with a problem, call `Store.fetch` with ``refresh=True``, or adopt a folder that has the correct one.

        Parameters
        ----------
        selection : Selection or experiment ids, optional
            By default all volumes in the store, including those of withdrawn and excluded experiments.
        kind : VolumeKind, optional
            By default all kinds.
        spacing_um : {10, 25, 50, 100}, optional
            By default all spacings.
        progress : Progress, optional

        Returns
        -------
        VolumeCheckReport
            ``problems`` lists the volumes that are damaged or contradict the catalog or each other.

        Raises
        ------
        SelectionError, InputError
            If an argument is not valid.
        """
        from bsv_store.catalog.selection.resolve import resolve
        from bsv_store.catalog.selection.selection import as_selection
        from bsv_store.plausibility.stored import check_volumes
        from bsv_store.volumes.grid import Grid

        ids = None
        if selection is not None:
            with self._database.reading() as connection:
                ids = resolve(connection, as_selection(selection))
        return check_volumes(
            self._database,
            self._files,
            ids,
            kind=None if kind is None else check.choice("kind", kind, VOLUME_KINDS).name,
            spacing_um=None if spacing_um is None else Grid(spacing_um).spacing_um,
            progress=progress,
        )

    def _file(self, experiment_id: int, kind: str, spacing_um: int) -> VolumeFile:
        from bsv_store.catalog.volume_lookup import stored_volume
        from bsv_store.catalog.volume_use import record_use

        file = stored_volume(
            self._database, experiment_id, kind=check.choice("kind", kind, VOLUME_KINDS).name, spacing_um=spacing_um
        )
        record_use(self._database, [file])
        return file

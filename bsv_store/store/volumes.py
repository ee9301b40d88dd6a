"""``store.volumes``: single volumes of the store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from bsv_store import check
from bsv_store.vocabulary import VOLUME_KINDS

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from bsv_store.atlas.thresholds import ThresholdedVolume
    from bsv_store.averaging.stack import VolumeStack
    from bsv_store.catalog.database.engine import Database
    from bsv_store.catalog.selection.selection import SelectionLike
    from bsv_store.catalog.structures import StructureRef
    from bsv_store.datasets.slices import Box
    from bsv_store.plausibility.stored import VolumeCheckReport
    from bsv_store.progress import Progress
    from bsv_store.vocabulary import HemisphereRule, MissingPolicy, Normalization, ThresholdRule, VolumeKind
    from bsv_store.volumes.files import StoreFiles
    from bsv_store.volumes.library import VolumeFile


T = TypeVar("T")


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
        self,
        experiment_id: int,
        *,
        kind: VolumeKind = "projection_density",
        spacing_um: int = 100,
        hemisphere_rule: HemisphereRule = "none",
        box: Box | None = None,
    ) -> NDArray[np.floating[Any]]:
        """The volume of an experiment, or a part of it. Every byte that is read from its file is checked.

        Parameters
        ----------
        experiment_id : int
        kind : VolumeKind
        spacing_um : {10, 25, 50, 100}
            Edge of a voxel in um.
        hemisphere_rule : HemisphereRule
            As for averages: 'flip_to_right' mirrors the volume if the left hemisphere was injected.
        box : ((float, float), (float, float), (float, float)), optional
            Minimum and maximum AP, DV and ML in um: only voxels whose centers are in it, see `Grid.centers_um`. At 25
            and 10 um, only the AP planes of the box are read from the file.

        Returns
        -------
        ndarray of float32, shape (ap, dv, ml)
            C order; NaN = no data. 4.8 MB at 100 um, 308 MB at 25 um, 4.8 GB at 10 um. It is float64 if the hemisphere
            rule subtracts.

        Raises
        ------
        MissingDataError
            If the store does not have it.
        InputError
            If the hemisphere rule needs the injected hemisphere, which is not known, or the box is not valid or
            contains no voxel.
        DamagedFileError
            If its file differs from what was published.
        DamagedCatalogError
            If the rows from which an injected hemisphere that is needed is known are damaged.
        """
        import numpy as np

        from bsv_store.averaging.single_volumes import with_rule
        from bsv_store.datasets.slices import box_slices
        from bsv_store.volumes.large import dense_planes
        from bsv_store.volumes.library import read_array, read_slab

        def content(file: VolumeFile) -> NDArray[np.floating[Any]]:
            with self._database.reading() as connection:
                volume = with_rule(connection, file, hemisphere_rule)
            if box is None:
                return volume.transformed(read_array(self._files, file))
            ap, dv, ml = box_slices(file.layout.grid, box)
            planes = dense_planes(read_slab(self._files, file, ap.start, ap.stop), ap.start, ap.stop)
            # The rules mirror at the midline, so they need the whole ML axis.
            return np.array(volume.transformed(planes)[:, dv, ml], order="C")

        return self._of_current_file(experiment_id, kind, spacing_um, content)

    def of_experiment(self, experiment_id: int) -> tuple[tuple[VolumeKind, int], ...]:
        """Kind and spacing in um of each stored volume of an experiment, sorted; empty if there are none.

        Parameters
        ----------
        experiment_id : int
        """
        from bsv_store.catalog.volumes import volumes_of

        with self._database.reading() as connection:
            found = volumes_of(connection, check.identifier("experiment_id", experiment_id))
        return tuple((VOLUME_KINDS[kind].name, spacing_um) for kind, spacing_um in found)

    def stack(
        self,
        selection: SelectionLike,
        *,
        kind: VolumeKind = "projection_density",
        spacing_um: int = 100,
        hemisphere_rule: HemisphereRule = "none",
        normalize: Normalization = "none",
        missing: MissingPolicy = "error",
    ) -> VolumeStack:
        """The volumes of the selected experiments as one lazy array of shape (experiments, ap, dv, ml).

        Nothing is read before the array is indexed. ``stack.to_dask()`` is a dask array (extra ``dask``).

        Parameters
        ----------
        selection : Selection or experiment ids
        kind : VolumeKind
        spacing_um : {10, 25, 50, 100}
            Edge of a voxel in um.
        hemisphere_rule : HemisphereRule
            As for averages, applied to each volume when it is read.
        normalize : Normalization
            As for averages.
        missing : {'error', 'leave_out'}
            What to do about experiments that do not have a volume, a divisor or an injected hemisphere that is needed.

        Returns
        -------
        VolumeStack
            ``experiment_ids`` names the first axis, ascending; ``left_out`` has the reason for each experiment that is
            not in it.

        Raises
        ------
        MissingDataError
            If volumes are missing. The hint is the command that fetches them.
        EmptySelectionError
            If no experiment matches.
        DamagedCatalogError
            If rows of the catalog that decide what is in the stack are damaged.
        """
        from bsv_store.averaging.single_volumes import experiment_stack
        from bsv_store.catalog.selection.selection import as_selection

        return experiment_stack(
            self._database,
            self._files,
            as_selection(selection),
            kind=kind,
            spacing_um=spacing_um,
            hemisphere_rule=hemisphere_rule,
            normalize=normalize,
            missing=missing,
        )

    def injection_centroids(
        self,
        selection: SelectionLike,
        *,
        spacing_um: int = 100,
        missing: MissingPolicy = "error",
        progress: Progress | None = None,
    ) -> pd.DataFrame:
        """The centroid of each selected injection: the mean of the voxel centers, weighted by injection density.

        The injection coordinate of Allen's list is the densest voxel at 10 um instead. The centroid of an injection in
        both hemispheres lies between them. AllenSDK's function takes the lower corners of voxels, and weights by
        density times injection fraction, although the density counts only the part of a voxel inside the injection.

        Parameters
        ----------
        selection : Selection or experiment ids
        spacing_um : {10, 25, 50, 100}
            Of the volumes of the kind injection_density.
        missing : {'error', 'leave_out'}
            What to do about experiments whose volume is not in the store. ``frame.attrs["without_volume"]`` lists the
            ids of those left out, ``frame.attrs["left_out"]`` the reason for each.
        progress : Progress, optional

        Returns
        -------
        pandas.DataFrame
            Columns experiment_id, primary_structure, injection_ap, injection_dv, injection_ml (of the list, um), voxels
            (with density), density_sum, centroid_ap, centroid_dv, centroid_ml (um), left_share (share of the density in
            the left hemisphere) and distance_um (of the centroid from the coordinate of the list), by experiment id.
            The centroid is NaN without density.

        Raises
        ------
        MissingDataError
            If volumes are missing. The hint is the command that fetches them.
        EmptySelectionError
            If no experiment matches.
        DamagedFileError
            If the file of a volume differs from what was published.
        DamagedCatalogError
            If rows of the catalog that decide which volumes are read are damaged.
        """
        from bsv_store.atlas.centroids import injection_centroids
        from bsv_store.catalog.selection.selection import as_selection

        return injection_centroids(
            self._database,
            self._files,
            as_selection(selection),
            spacing_um=spacing_um,
            missing=missing,
            progress=progress,
        )

    def describe(
        self, experiment_id: int, *, kind: VolumeKind = "projection_density", spacing_um: int = 100
    ) -> dict[str, Any]:
        """Facts about a stored volume: grid, values, hashes, source, path. Parameters are those of `read`."""
        from bsv_store.volumes.library import describe

        def facts(file: VolumeFile) -> dict[str, Any]:
            return describe(self._files, file) | {"path": self._files.path(file.path)}

        return self._of_current_file(experiment_id, kind, spacing_um, facts)

    def recorded(
        self, experiment_id: int, *, kind: VolumeKind = "projection_density", spacing_um: int = 100
    ) -> VolumeFile:
        """What the catalog records about a volume: path, hashes, size and source. Its file is not opened.

        Parameters are those of `read`. ``recorded.layout.array_sha256`` identifies the values.

        Raises
        ------
        MissingDataError
            If the store does not have it.
        """
        from bsv_store.catalog.volume_lookup import stored_volume

        name = check.choice("kind", kind, VOLUME_KINDS).name
        return stored_volume(self._database, experiment_id, kind=name, spacing_um=spacing_um)

    def ml_blocks(self, file: VolumeFile) -> Iterator[NDArray[np.float32]]:
        """A volume in consecutive blocks of ML planes, for file formats that store the AP axis fastest.

        Parameters
        ----------
        file : VolumeFile
            From `recorded`.

        Yields
        ------
        ndarray of float32, shape (ap, dv, planes)
            At most 256 MiB each; NaN = no data. Every byte of the file is checked.

        Raises
        ------
        InputError
            If ``file`` is not such a record.
        DamagedFileError
            If the file of the volume differs from what was published.
        StoreError
            If the volume was replaced since it was looked up, and the file of the record is gone.
        """
        from bsv_store.catalog.current_volume import CurrentVolume
        from bsv_store.catalog.volume_use import record_use
        from bsv_store.volumes.layout import ml_blocks
        from bsv_store.volumes.library import VolumeFile, dense_slabs

        hint = "store.volumes.recorded(EXPERIMENT_ID) returns it."
        file = check.instance("file", file, VolumeFile, words="the record of a volume", hint=hint)
        record_use(self._database, [file])
        recorded = CurrentVolume(self._database, file, follow=False)

        def slabs() -> Iterator[tuple[int, NDArray[np.float32]]]:
            following = dense_slabs(self._files, file)
            while (slab := recorded.read(lambda _: next(following, None))) is not None:
                yield slab

        return ml_blocks(slabs, file.layout.grid)

    def export(
        self,
        experiment_id: int,
        path: Path | str,
        *,
        kind: VolumeKind = "projection_density",
        spacing_um: int = 100,
        hemisphere_rule: HemisphereRule = "none",
        like_allen: bool = False,
        overwrite: bool = False,
    ) -> None:
        """Write a volume to an image file. At 25 and 10 um this takes at most 350 MB of memory.

        Parameters
        ----------
        experiment_id : int
        path : path
            Its ending names the format, such as ``.nrrd`` (no data is -1, as in Allen's files), ``.nii.gz`` or ``.npy``
            (float32, axes ap, dv, ml); ``bsv_store.formats.table.IMAGE_FORMATS`` lists all.
        kind : VolumeKind
        spacing_um : {10, 25, 50, 100}
            Edge of a voxel in um.
        hemisphere_rule : HemisphereRule
            As for `read`.
        like_allen : bool
            Write the same directions as Allen's files to an ``.nrrd`` file. They are not the true directions, so
            viewers align the file with Allen's files, but not with NIfTI files.
        overwrite : bool
            Replace an existing file.

        Raises
        ------
        MissingDataError, DamagedFileError, DamagedCatalogError
            As `read` does.
        InputError
            If the ending is unknown or does not support ``like_allen``, the file exists, or its folder does not exist.
        """
        from bsv_store.averaging.single_volumes import with_rule
        from bsv_store.formats.volume_export import export_volume

        def write(file: VolumeFile) -> None:
            with self._database.reading() as connection:
                volume = with_rule(connection, file, hemisphere_rule)
            export_volume(
                self._files,
                file,
                check.path("path", path),
                transformed=None if volume.hemisphere_rule == "none" else volume.transformed,
                facts={} if volume.hemisphere_rule == "none" else {"hemisphere_rule": volume.hemisphere_rule},
                dtype=volume.dtype,
                like_allen=like_allen,
                overwrite=overwrite,
            )

        self._of_current_file(experiment_id, kind, spacing_um, write)

    def threshold(
        self,
        experiment_id: int,
        threshold: float,
        *,
        rule: ThresholdRule = "absolute",
        within: StructureRef | Sequence[StructureRef] | None = None,
        positive_only: bool = False,
        kind: VolumeKind = "projection_density",
        spacing_um: int = 100,
        hemisphere_rule: HemisphereRule = "none",
    ) -> ThresholdedVolume:
        """The voxels of a volume above a threshold, as a mask and by structure.

        Parameters
        ----------
        experiment_id : int
        threshold : float
        rule : {'absolute', 'percentile', 'z_score'}
            What the threshold is: a value; a percentile of the values, 0 to 100; or a number of standard deviations
            above their mean.
        within : str, int or sequence of them, optional
            Only voxels of these structures, descendants included. By default all voxels with data, also outside the
            brain.
        positive_only : bool
            Compute percentiles, means and standard deviations over voxels above 0. Most voxels of a volume are 0.
        kind, spacing_um, hemisphere_rule
            As for `read`.

        Returns
        -------
        ThresholdedVolume
            ``mask`` is a bool array of shape (ap, dv, ml), ``cutoff`` the value that its voxels exceed;
            ``regions()`` is a table by structure; ``export()`` writes the mask.

        Raises
        ------
        MissingDataError, DamagedFileError, InputError
            As `read` does; or if the threshold or a structure is not valid.

        Warns
        -----
        BsvStoreWarning
            If an absolute threshold is above all values.
        """
        from bsv_store.atlas.thresholds import thresholded

        return thresholded(
            self._database,
            self._files,
            self.read(experiment_id, kind=kind, spacing_um=spacing_um, hemisphere_rule=hemisphere_rule),
            threshold,
            title=f"{check.choice('kind', kind, VOLUME_KINDS).name} of experiment {experiment_id}",
            rule=rule,
            within=within,
            positive_only=positive_only,
        )

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
        from bsv_store.catalog.without_unionizes import report_undecided
        from bsv_store.plausibility.stored import check_volumes
        from bsv_store.volumes.grid import Grid

        ids = None
        if selection is not None:
            wanted = as_selection(selection)
            with self._database.reading() as connection:
                report_undecided(connection, wanted, missing="leave_out")
                ids = resolve(connection, wanted)
        return check_volumes(
            self._database,
            self._files,
            ids,
            kind=None if kind is None else check.choice("kind", kind, VOLUME_KINDS).name,
            spacing_um=None if spacing_um is None else Grid(spacing_um).spacing_um,
            progress=progress,
        )

    def _of_current_file(self, experiment_id: int, kind: str, spacing_um: int, read: Callable[[VolumeFile], T]) -> T:
        """The result of ``read`` for a volume, which may be replaced after it was looked up."""
        from bsv_store.catalog.current_volume import CurrentVolume
        from bsv_store.catalog.volume_use import record_use

        name = check.choice("kind", kind, VOLUME_KINDS).name
        file = self.recorded(experiment_id, kind=name, spacing_um=spacing_um)
        record_use(self._database, [file])
        return CurrentVolume(self._database, file).read(read)

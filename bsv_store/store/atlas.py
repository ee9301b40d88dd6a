"""The part of a store that knows where the brain's structures lie: the annotation, masks, signal by structure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bsv_store import check as arguments

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from bsv_store.acquisition.annotation import AnnotationReport
    from bsv_store.catalog.database.engine import Database
    from bsv_store.catalog.selection.selection import Selection
    from bsv_store.catalog.structures import StructureRef
    from bsv_store.datasets.version import DatasetVersion
    from bsv_store.progress import Progress
    from bsv_store.volumes.files import StoreFiles


class Anatomy:
    """What every open store offers about structures; `bsv_store.store.store.Store` is one.

    Attributes
    ----------
    database : Database
    files : StoreFiles
    """

    database: Database
    files: StoreFiles

    # -- taking the annotation in -------------------------------------------------------------------------------------

    def sync_annotation(
        self,
        *,
        spacing_um: int = 100,
        refresh: bool = False,
        download_url: str | None = None,
        progress: Progress | None = None,
    ) -> AnnotationReport:
        """Bring the annotation of the CCFv3 into the store from Allen's file server, unless it is there.

        Parameters
        ----------
        spacing_um : int
        refresh : bool
            Download it again.
        download_url : str, optional
            Default: the variable ``BSV_STORE_DOWNLOAD_URL``, else Allen's.
        progress : Progress, optional

        Raises
        ------
        UpstreamError
            If it cannot be had whole; nothing is stored then.
        UnknownStructureError
            If the store has no ontology, or the annotation names structures that it lacks; nothing is stored then.
        """
        from bsv_store.acquisition.annotation import sync_annotation
        from bsv_store.sources.allen import AllenClient

        with AllenClient(download_url=download_url) as client:
            return sync_annotation(self.database, self.files, client, spacing_um, refresh=refresh, progress=progress)

    def ingest_annotation(self, file: Path | str, *, replace: bool = False) -> AnnotationReport:
        """Take in the annotation from an NRRD file: `bsv_store.acquisition.annotation.ingest_annotation_file`."""
        from bsv_store.acquisition.annotation import ingest_annotation_file

        return ingest_annotation_file(self.database, self.files, arguments.path("file", file), replace=replace)

    # -- asking it ----------------------------------------------------------------------------------------------------

    def annotation(self, spacing_um: int = 100, *, ap: slice = slice(None)) -> NDArray[np.uint32]:
        """The structure id of each voxel, or of a slab of AP planes, every byte of the file checked.

        Parameters
        ----------
        spacing_um : int
            At 25 um the array takes 308 MB, at 10 um 4.8 GB: take a part of it.
        ap : slice
            AP planes, by voxel index; only they are unpacked.

        Returns
        -------
        ndarray of uint32, shape (ap, dv, ml)
            0 = outside the brain. C order, the caller's own.

        Raises
        ------
        MissingDataError
            If the store does not have it; the hint is the command that brings it.
        DamagedFileError
            If its file is not what was stored.
        """
        from bsv_store.atlas.annotation import read_annotation

        return read_annotation(self.database, self.files, spacing_um=spacing_um, ap=ap)

    def structure_mask(
        self,
        structures: StructureRef | Sequence[StructureRef],
        *,
        spacing_um: int = 100,
        hemisphere: str = "both",
        descendants: bool = True,
    ) -> NDArray[np.bool_]:
        """The voxels that belong to a structure, or to any of several, by the annotation of the store.

        Parameters
        ----------
        structures : str, int or sequence of them
            Acronyms (case matters) or ids.
        spacing_um : int
        hemisphere : {'both', 'left', 'right'}
        descendants : bool
            Whether the structures inside belong to it. The annotation names only the finest: without them, most
            structures have no voxel.

        Returns
        -------
        ndarray of bool, shape (ap, dv, ml)
            C order.

        Raises
        ------
        MissingDataError
            If the store has no annotation at that spacing; the hint is the command that brings it.
        UnknownStructureError
            If the ontology lacks one of the structures.
        InputError
            If not one voxel belongs to them.
        """
        from bsv_store.atlas.annotation import structure_mask

        return structure_mask(
            self.database,
            self.files,
            structures,
            spacing_um=spacing_um,
            hemisphere=hemisphere,
            descendants=descendants,
        )

    def export_mask(
        self,
        structures: StructureRef | Sequence[StructureRef],
        target: Path | str,
        *,
        spacing_um: int = 100,
        hemisphere: str = "both",
        descendants: bool = True,
        overwrite: bool = False,
    ) -> None:
        """Write a mask to an image file: 1 inside, 0 outside.

        The ending of the file name selects the format, such as ``.nrrd`` or ``.npy`` (bool, axes ap, dv, ml); all are
        listed in `bsv_store.formats.table.IMAGE_FORMATS`.

        Raises
        ------
        MissingDataError, UnknownStructureError, InputError
            As `structure_mask` does; or if the ending is unknown, or the file exists.
        """
        from bsv_store.atlas.annotation import export_mask

        export_mask(
            self.database,
            self.files,
            structures,
            arguments.path("target", target),
            spacing_um=spacing_um,
            hemisphere=hemisphere,
            descendants=descendants,
            overwrite=overwrite,
        )

    def region_summary(
        self,
        ref: str | DatasetVersion,
        *,
        structures: StructureRef | Sequence[StructureRef] | None = None,
        structure_set: int | None = None,
        groups: int | Sequence[int] | None = None,
        hemisphere: str | Sequence[str] | None = None,
        top: int | None = None,
    ) -> pd.DataFrame:
        """Mean of each group of a dataset version over structures: `bsv_store.datasets.region_summary.region_summary`.

        Parameters
        ----------
        ref : str or DatasetVersion
            ``name@3``, ``name@tag``, ``name@latest`` or ``name``; or the version itself.
        structures : str, int or sequence of them, optional
            Acronyms (case matters) or ids; descendants belong to them.
        structure_set : int, optional
            Allen's id of a set of structures. Without either, the summary structures.
        groups : int or sequence of int, optional
            Numbers of the groups; all by default.
        hemisphere : {'left', 'right', 'both'}, or a sequence of them, optional
            For a folded version 'contralateral', 'ipsilateral', 'both'; all by default.
        top : int, optional
            Of each group and hemisphere so many structures, those with the largest mean first.

        Returns
        -------
        pandas.DataFrame
            Columns group, group_label, structure_id, acronym, name, hemisphere, voxels (with a value), mean. A group
            without experiments has no voxel with a value, and NaN for a mean.

        Raises
        ------
        UnknownDatasetError, UnknownStructureError, InputError
            If the store lacks what is named.
        MissingDataError
            If it has no annotation at the version's spacing; the hint is the command that brings it.
        """
        from bsv_store.datasets.region_summary import region_summary
        from bsv_store.store.datasets import Versions

        version = Versions(self.database, self.files).find(ref)
        return region_summary(
            self.database,
            self.files,
            version,
            structures=structures,
            structure_set=structure_set,
            groups=groups,
            hemisphere=hemisphere,
            top=top,
        )

    def structure_signal(
        self,
        structures: StructureRef | Sequence[StructureRef],
        selection: Selection,
        *,
        kind: str = "projection_density",
        spacing_um: int = 100,
        hemisphere: str | Sequence[str] = "both",
        missing: str = "error",
        progress: Progress | None = None,
    ) -> pd.DataFrame:
        """Mean and sum of each experiment's volume over the voxels of structures.

        All but the order of the first two arguments is as in
        :func:`bsv_store.atlas.signal.structure_signal`.

        Parameters
        ----------
        structures : str, int or sequence of them
            Acronyms (case matters) or ids; descendants belong to them.
        selection : Selection
        kind, spacing_um
            Of the volumes; the annotation is that of the same spacing.
        hemisphere : {'both', 'left', 'right', 'ipsilateral', 'contralateral'}, or a sequence of them
        missing : {'error', 'leave_out'}
            What to do about experiments whose volume is not in the store.
        progress : Progress, optional

        Returns
        -------
        pandas.DataFrame
            Columns experiment_id, structure_id, acronym, hemisphere, voxels, mean, sum.

        Raises
        ------
        MissingDataError
            If volumes or the annotation are missing; the hint is the command that brings them.
        """
        from bsv_store.atlas.signal import structure_signal

        return structure_signal(
            self.database,
            self.files,
            selection,
            structures,
            kind=kind,
            spacing_um=spacing_um,
            hemisphere=hemisphere,
            missing=missing,
            progress=progress,
        )

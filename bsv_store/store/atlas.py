"""``store.atlas``: structures, the annotation and the template, masks, and signal by structure from voxels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bsv_store import check
from bsv_store.vocabulary import SUMMARY_STRUCTURE_SET_ID

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from bsv_store.atlas.label_image import LabelFiles
    from bsv_store.atlas.parcellation import Bins, Labels
    from bsv_store.catalog.database.engine import Database
    from bsv_store.catalog.records import Ontology
    from bsv_store.catalog.search.structures import FoundStructures, StructureSetRow
    from bsv_store.catalog.selection.selection import SelectionLike
    from bsv_store.catalog.structure_lookup import OverlappingStructures
    from bsv_store.catalog.structures import StructureRef, StructureRow
    from bsv_store.progress import Progress
    from bsv_store.vocabulary import MeasuredHemisphere, MissingPolicy, Normalization, StructureKey, VolumeKind
    from bsv_store.volumes.annotation import AnnotationFile
    from bsv_store.volumes.files import StoreFiles
    from bsv_store.volumes.template import TemplateFile


class Atlas:
    """Anatomy: ``store.atlas``.

    Structures are named by acronym (case matters) or id. An unknown one raises `UnknownStructureError`; the hint
    suggests similar names. An annotation or template that the store does not have raises `MissingDataError`; the hint
    is the command that downloads it.

    Parameters
    ----------
    database : Database
    files : StoreFiles
    """

    def __init__(self, database: Database, files: StoreFiles) -> None:
        self._database = database
        self._files = files

    # -- structures -----------------------------------------------------------------------------------------------

    def structures(
        self, structures: StructureRef | Sequence[StructureRef], *, by: StructureKey = "any"
    ) -> tuple[StructureRow, ...]:
        """The structures with these ids, acronyms or full names, in the order given, with repetitions.

        Parameters
        ----------
        structures : str, int or sequence of them
            Case matters. A string of digits is an id.
        by : {'any', 'acronym', 'id', 'name'}
            What the values are. With 'any', a string is an acronym, or else a full name.

        Raises
        ------
        UnknownStructureError
            If the ontology does not have all of them; the message names the unknown ones.
        InputError
            If a value cannot be what ``by`` says.
        """
        from bsv_store.catalog.structure_lookup import look_up

        with self._database.reading() as connection:
            return look_up(connection, structures, by=by)

    def acronym_map(self) -> dict[str, int]:
        """The id of each structure by its acronym, in ontology order."""
        from bsv_store.catalog.structure_lookup import acronym_map

        with self._database.reading() as connection:
            return acronym_map(connection)

    def name_map(self) -> dict[int, str]:
        """The full name of each structure by its id, in ontology order."""
        from bsv_store.catalog.structure_lookup import name_map

        with self._database.reading() as connection:
            return name_map(connection)

    def color_map(self) -> dict[int, tuple[int, int, int]]:
        """Allen's color of each structure by its id: red, green and blue, 0 to 255; in ontology order."""
        from bsv_store.catalog.structure_lookup import color_map

        with self._database.reading() as connection:
            return color_map(connection)

    def descends_from(self, structure: StructureRef, ancestor: StructureRef) -> bool:
        """Whether a structure lies inside another one in the ontology, or is the same.

        Parameters
        ----------
        structure, ancestor : str or int
        """
        from bsv_store.catalog.structure_lookup import descends_from

        with self._database.reading() as connection:
            return descends_from(connection, structure, ancestor)

    def structure_path(self, structure: StructureRef) -> tuple[StructureRow, ...]:
        """The structures from the root down to a structure, itself included.

        Parameters
        ----------
        structure : str or int
        """
        from bsv_store.catalog.structure_lookup import structure_path

        with self._database.reading() as connection:
            return structure_path(connection, structure)

    def overlapping_structures(
        self, structures: StructureRef | Sequence[StructureRef]
    ) -> tuple[OverlappingStructures, ...]:
        """The pairs of structures of which one contains the other; empty if no voxel would be counted twice.

        In an ontology, two structures share voxels only if one is an ancestor of the other.

        Parameters
        ----------
        structures : str, int or sequence of them

        Returns
        -------
        tuple of OverlappingStructures
            Pairs (``outer``, ``inner``) of structures, in ontology order.
        """
        from bsv_store.catalog.structure_lookup import overlapping

        with self._database.reading() as connection:
            return overlapping(connection, structures)

    def find_structures(self, text: str, *, limit: int | None = None) -> FoundStructures:
        """Structures whose acronym or name contains a text, best first; if there are none, those with similar names.

        Common names in other atlases and the literature are known, too: V1 is VISp, and LGN is LGd, LGv and IGL.

        Parameters
        ----------
        text : str
            Case does not matter.
        limit : int, optional
            Maximum number of structures to return.
        """
        from bsv_store.catalog.search.structures import find_or_near

        with self._database.reading() as connection:
            return find_or_near(connection, text, limit=limit)

    def structure_tree(self, structure: StructureRef) -> tuple[StructureRow, ...]:
        """A structure and all its descendants, in ontology order.

        Parameters
        ----------
        structure : str or int
        """
        from bsv_store.catalog.structures import subtree

        with self._database.reading() as connection:
            return subtree(connection, structure)

    def structure_sets(self) -> tuple[StructureSetRow, ...]:
        """Allen's structure sets: id, name and number of members, by id."""
        from bsv_store.catalog.search.structures import structure_sets

        with self._database.reading() as connection:
            return structure_sets(connection)

    def structure_set(self, structure_set: int = SUMMARY_STRUCTURE_SET_ID) -> tuple[StructureRow, ...]:
        """The members of a structure set, in ontology order.

        Parameters
        ----------
        structure_set : int
            Allen's id; by default the summary structures.

        Raises
        ------
        InputError
            If the ontology has no structure set with that id.
        """
        from bsv_store.catalog.structures import structure_set as members

        with self._database.reading() as connection:
            return members(connection, structure_set)

    def ontology(self) -> Ontology:
        """The structures with their sets as records of an ontology, in graph order: what another store would ingest.

        Withdrawn structures are left out, except those that current experiments name and their ancestors.

        Raises
        ------
        DamagedCatalogError
            If rows differ from what was stored.
        """
        from bsv_store.catalog.tables.lists import current_ontology

        with self._database.reading() as connection:
            return current_ontology(connection)

    # -- voxels ---------------------------------------------------------------------------------------------------

    def recorded_annotation(self, *, spacing_um: int = 100) -> AnnotationFile:
        """What the catalog records about the annotation at a spacing: hashes, size and source. Its file is not opened.

        Raises
        ------
        MissingDataError
            If the store does not have the annotation.
        """
        from bsv_store.atlas.annotation import stored_annotation

        return stored_annotation(self._database, spacing_um)

    def annotation_ml_blocks(self, file: AnnotationFile) -> Iterator[NDArray[np.uint32]]:
        """An annotation in consecutive blocks of ML planes, for file formats that store the AP axis fastest.

        Parameters
        ----------
        file : AnnotationFile
            From `recorded_annotation`.

        Yields
        ------
        ndarray of uint32, shape (ap, dv, planes)
            At most 256 MiB each; 0 = outside the brain. Every byte of the file is checked.

        Raises
        ------
        InputError
            If ``file`` is not such a record.
        DamagedFileError
            If the file differs from what was stored.
        """
        from bsv_store.volumes.annotation import AnnotationFile, opened_annotation
        from bsv_store.volumes.dense_file import dataset_slabs
        from bsv_store.volumes.layout import ml_blocks

        hint = "store.atlas.recorded_annotation() returns it."
        file = check.instance("file", file, AnnotationFile, words="the record of an annotation", hint=hint)
        with opened_annotation(self._files, file) as ids:
            yield from ml_blocks(lambda: dataset_slabs(ids, file.grid), file.grid, "uint32")

    def annotations(self) -> tuple[AnnotationFile, ...]:
        """The records of the annotations in the store, the finest first. Their files are not read."""
        from bsv_store.catalog.annotations import all_annotations

        with self._database.reading() as connection:
            return tuple(all_annotations(connection))

    def annotation(self, *, spacing_um: int = 100, ap: slice = slice(None)) -> NDArray[np.uint32]:
        """The structure id of every voxel. Every byte read from the file is checked.

        Parameters
        ----------
        spacing_um : {10, 25, 50, 100}
            Edge of a voxel in um. The whole array takes 308 MB at 25 um and 4.8 GB at 10 um.
        ap : slice
            AP planes to read, by voxel index.

        Returns
        -------
        ndarray of uint32, shape (ap, dv, ml)
            C order; 0 = outside the brain.

        Raises
        ------
        MissingDataError
            If the store does not have the annotation.
        DamagedFileError
            If its file differs from what was stored.
        """
        from bsv_store.atlas.annotation import read_annotation

        return read_annotation(self._database, self._files, spacing_um=spacing_um, ap=ap)

    # -- template -------------------------------------------------------------------------------------------------

    def recorded_template(self, *, spacing_um: int = 100) -> TemplateFile:
        """What the catalog records about the template at a spacing: hashes, size and source. Its file is not opened.

        Raises
        ------
        MissingDataError
            If the store does not have the template.
        """
        from bsv_store.atlas.template import stored_template

        return stored_template(self._database, spacing_um)

    def templates(self) -> tuple[TemplateFile, ...]:
        """The records of the templates in the store, the finest first. Their files are not read."""
        from bsv_store.catalog.templates import all_templates

        with self._database.reading() as connection:
            return tuple(all_templates(connection))

    def template(self, *, spacing_um: int = 100, ap: slice = slice(None)) -> NDArray[Any]:
        """The average template, an image of the average brain. Every byte read from the file is checked.

        Parameters
        ----------
        spacing_um : {10, 25, 50, 100}
            Edge of a voxel in um. The whole array takes 154 MB at 25 um and 2.4 GB at 10 um.
        ap : slice
            AP planes to read, by voxel index.

        Returns
        -------
        ndarray of uint16 or float32, shape (ap, dv, ml)
            Intensity in arbitrary units, C order. Allen's are uint16.

        Raises
        ------
        MissingDataError
            If the store does not have the template. The hint is the command that downloads it.
        DamagedFileError
            If its file differs from what was stored.
        """
        from bsv_store.atlas.template import read_template

        return read_template(self._database, self._files, spacing_um=spacing_um, ap=ap)

    def template_ml_blocks(self, file: TemplateFile) -> Iterator[NDArray[Any]]:
        """A template in consecutive blocks of ML planes, for file formats that store the AP axis fastest.

        Parameters
        ----------
        file : TemplateFile
            From `recorded_template`.

        Yields
        ------
        ndarray of uint16 or float32, shape (ap, dv, planes)
            At most 256 MiB each.

        Raises
        ------
        InputError
            If ``file`` is not such a record.
        DamagedFileError
            If the file differs from what was stored.
        """
        from bsv_store.volumes.dense_file import dataset_slabs
        from bsv_store.volumes.layout import ml_blocks
        from bsv_store.volumes.template import TemplateFile, opened_template

        hint = "store.atlas.recorded_template() returns it."
        file = check.instance("file", file, TemplateFile, words="the record of a template", hint=hint)
        with opened_template(self._files, file) as values:
            yield from ml_blocks(lambda: dataset_slabs(values, file.grid), file.grid, file.dtype)

    def export_template(
        self, path: Path | str, *, spacing_um: int = 100, like_allen: bool = False, overwrite: bool = False
    ) -> TemplateFile:
        """Write the average template to an image file.

        Parameters
        ----------
        path : path
            Its ending names the format, see `export_mask`.
        spacing_um : {10, 25, 50, 100}
            Edge of a voxel in um.
        like_allen : bool
            Write the directions of Allen's files to an ``.nrrd`` file, see `Volumes.export`.
        overwrite : bool
            Replace an existing file.

        Returns
        -------
        TemplateFile
            The record of what was written: hashes and source.

        Raises
        ------
        MissingDataError
            If the store does not have the template. The hint is the command that downloads it.
        DamagedFileError
            If its file differs from what was stored.
        InputError
            If the file cannot be written.
        """
        from bsv_store.atlas.template import export_template

        return export_template(
            self._database,
            self._files,
            check.path("path", path),
            spacing_um=spacing_um,
            like_allen=like_allen,
            overwrite=overwrite,
        )

    # -- masks ----------------------------------------------------------------------------------------------------

    def mask(
        self,
        structures: StructureRef | Sequence[StructureRef],
        *,
        spacing_um: int = 100,
        hemisphere: MeasuredHemisphere = "both",
        include_descendants: bool = True,
    ) -> NDArray[np.bool_]:
        """The voxels of one or more structures, according to the store's annotation.

        Parameters
        ----------
        structures : str, int or sequence of them
        spacing_um : {10, 25, 50, 100}
            Edge of a voxel in um.
        hemisphere : {'both', 'left', 'right'}
        include_descendants : bool
            The annotation names only the finest structures: without descendants most structures have no voxel.

        Returns
        -------
        ndarray of bool, shape (ap, dv, ml)
            C order.

        Raises
        ------
        MissingDataError
            If the store does not have the annotation.
        UnknownStructureError
            If the ontology does not have one of the structures.
        InputError
            If no voxel belongs to the structures.
        """
        from bsv_store.atlas.annotation import structure_mask

        return structure_mask(
            self._database,
            self._files,
            structures,
            spacing_um=spacing_um,
            hemisphere=hemisphere,
            descendants=include_descendants,
        )

    def export_mask(
        self,
        structures: StructureRef | Sequence[StructureRef],
        path: Path | str,
        *,
        spacing_um: int = 100,
        hemisphere: MeasuredHemisphere = "both",
        include_descendants: bool = True,
        like_allen: bool = False,
        overwrite: bool = False,
    ) -> None:
        """Write a mask to an image file; 1 = inside, 0 = outside.

        Parameters
        ----------
        structures : str, int or sequence of them
        path : path
            Its ending names the format, such as ``.nrrd``, ``.nii.gz`` or ``.npy`` (bool, axes ap, dv, ml);
            ``bsv_store.formats.table.IMAGE_FORMATS`` lists all.
        spacing_um, hemisphere, include_descendants
            As for `mask`.
        like_allen : bool
            Write the directions of Allen's files to an ``.nrrd`` file, see `Volumes.export`.
        overwrite : bool
            Replace an existing file.

        Raises
        ------
        MissingDataError, UnknownStructureError, InputError
            See `mask`. Also if the ending is unknown or does not support ``like_allen``, or the file exists.
        """
        from bsv_store.atlas.annotation import export_mask

        export_mask(
            self._database,
            self._files,
            structures,
            check.path("path", path),
            spacing_um=spacing_um,
            hemisphere=hemisphere,
            descendants=include_descendants,
            like_allen=like_allen,
            overwrite=overwrite,
        )

    def masks(
        self,
        structures: StructureRef | Sequence[StructureRef],
        *,
        spacing_um: int = 100,
        hemisphere: MeasuredHemisphere = "both",
        include_descendants: bool = True,
    ) -> Iterator[tuple[StructureRow, NDArray[np.bool_]]]:
        """The mask of each of several structures, one after the other; the annotation is read once.

        Parameters
        ----------
        structures : str, int or sequence of them
        spacing_um, hemisphere, include_descendants
            As for `mask`.

        Yields
        ------
        structure : StructureRow
            In the order given, without repetitions.
        mask : ndarray of bool, shape (ap, dv, ml)

        Raises
        ------
        MissingDataError, UnknownStructureError, InputError
            As `mask` does, before the first mask; the message names all structures without a voxel.

        Examples
        --------
        >>> masks = {row.acronym: mask for row, mask in store.atlas.masks(["CP", "TH"])}  # doctest: +SKIP
        """
        from bsv_store.atlas.many_masks import StructureMasks

        return iter(
            StructureMasks(
                self._database,
                self._files,
                structures,
                spacing_um=spacing_um,
                hemisphere=hemisphere,
                descendants=include_descendants,
            )
        )

    def export_masks(
        self,
        structures: StructureRef | Sequence[StructureRef],
        folder: Path | str,
        *,
        ending: str = ".nrrd",
        spacing_um: int = 100,
        hemisphere: MeasuredHemisphere = "both",
        include_descendants: bool = True,
        like_allen: bool = False,
        overwrite: bool = False,
    ) -> tuple[Path, ...]:
        """Write the mask of each structure to a file of its own, ``<id>_<acronym><ending>``.

        Parameters
        ----------
        structures : str, int or sequence of them
        folder : path
            It must exist.
        ending : str
            Names the format, see `export_mask`.
        spacing_um, hemisphere, include_descendants, like_allen, overwrite
            As for `export_mask`.

        Returns
        -------
        tuple of pathlib.Path
            In the order of the structures.

        Raises
        ------
        MissingDataError, UnknownStructureError, InputError
            As `export_mask` does; nothing is written then.
        """
        from bsv_store.atlas.many_masks import export_masks

        return export_masks(
            self._database,
            self._files,
            structures,
            check.path("folder", folder),
            ending=check.text("ending", ending, such_as=".nrrd"),
            spacing_um=spacing_um,
            hemisphere=hemisphere,
            descendants=include_descendants,
            like_allen=like_allen,
            overwrite=overwrite,
        )

    def voxel_counts(
        self,
        structures: StructureRef | Sequence[StructureRef] | None = None,
        *,
        structure_set: int | None = None,
        spacing_um: int = 100,
    ) -> pd.DataFrame:
        """Numbers of voxels of structures, according to the store's annotation.

        Parameters
        ----------
        structures : str, int or sequence of them, optional
            By default all structures of the ontology.
        structure_set : int, optional
            Or the structures of a set, by Allen's id.
        spacing_um : {10, 25, 50, 100}
            Edge of a voxel in um.

        Returns
        -------
        pandas.DataFrame
            Columns structure_id, structure (acronym), name, direct_voxels (assigned to the structure itself), voxels
            (including descendants), left_voxels and right_voxels (of these), volume (of these, CCF mm3), in ontology
            order. ``frame.attrs["annotation"]`` names the annotation, ``frame.attrs["annotation_sha256"]`` is the hash
            of its array.

        Raises
        ------
        MissingDataError
            If the store does not have the annotation.
        UnknownStructureError, InputError
            If a structure or set does not exist.
        DamagedFileError
            If the annotation differs from what was stored.
        """
        from bsv_store.atlas.voxel_counts import voxel_counts

        return voxel_counts(self._database, self._files, structures, structure_set=structure_set, spacing_um=spacing_um)

    def export_labels(
        self,
        path: Path | str,
        *,
        structures: StructureRef | Sequence[StructureRef] | None = None,
        structure_set: int | None = None,
        spacing_um: int = 100,
        like_allen: bool = False,
        overwrite: bool = False,
    ) -> LabelFiles:
        """Write the annotation as a label image with a label description for ITK-SNAP and a color table for 3D Slicer.

        Labels are numbers from 1 in ontology order, because ITK-SNAP cannot show ids above 65,535; 0 is the background.
        Their names are ``ACRONYM (full name)``, their colors Allen's. The two tables are written beside the image, with
        the endings ``.label.txt`` and ``.ctbl``.

        Parameters
        ----------
        path : path
            The image; its ending names the format, see `export_mask`. Voxels are uint16.
        structures : str, int or sequence of them, optional
            Structures with a label. A voxel has that of the finest of them that contains it, or 0. By default each
            structure to which the annotation assigns voxels has a label.
        structure_set : int, optional
            Or the structures of a set, by Allen's id.
        spacing_um : {10, 25, 50, 100}
            Edge of a voxel in um.
        like_allen : bool
            Write the directions of Allen's files to an ``.nrrd`` file, see `Volumes.export`.
        overwrite : bool
            Replace existing files.

        Returns
        -------
        LabelFiles
            The paths, the labels, and Allen's id of each label.

        Raises
        ------
        MissingDataError
            If the store does not have the annotation.
        UnknownStructureError, InputError
            If a structure or set does not exist, or a file cannot be written.
        DamagedFileError
            If the annotation differs from what was stored.
        """
        from bsv_store.atlas.label_image import export_labels

        return export_labels(
            self._database,
            self._files,
            check.path("path", path),
            structures=structures,
            structure_set=structure_set,
            spacing_um=spacing_um,
            like_allen=like_allen,
            overwrite=overwrite,
        )

    def signal(
        self,
        selection: SelectionLike,
        structures: StructureRef | Sequence[StructureRef],
        *,
        kind: VolumeKind = "projection_density",
        spacing_um: int = 100,
        hemisphere: MeasuredHemisphere | Sequence[MeasuredHemisphere] = "both",
        normalize: Normalization = "none",
        missing: MissingPolicy = "error",
        progress: Progress | None = None,
    ) -> pd.DataFrame:
        """Mean and sum of each selected experiment's volume over the voxels of structures.

        Projection density includes the injection site, as in Allen's grids. Voxels outside the annotation belong to no
        structure. ``sum`` times the voxel volume is a volume in CCF mm3; volumes of unionize tables are 1.1025 times as
        large (Allen counts a pixel as 1.225e-9 mm3), so the two must not be mixed.

        Parameters
        ----------
        selection : Selection or experiment ids
        structures : str, int or sequence of them
            Descendants are included.
        kind : VolumeKind
        spacing_um : {10, 25, 50, 100}
            Of the volumes and of the annotation.
        hemisphere : {'both', 'left', 'right', 'ipsilateral', 'contralateral'}, or a sequence of them
            Of the structure.
        normalize : Normalization
            As for averages: 'injection_volume' divides mean and sum by the experiment's injection volume in mm3.
        missing : {'error', 'leave_out'}
            What to do about experiments whose volume, or injection volume if it is needed, is not in the store.
            ``frame.attrs["without_volume"]`` lists the ids of those left out, ``frame.attrs["left_out"]`` the reason
            for each. ``frame.attrs["without_hemisphere"]`` lists those whose injected hemisphere is needed and not
            known, as an `UnknownHemisphereWarning` does.
        progress : Progress, optional

        Returns
        -------
        pandas.DataFrame
            Columns experiment_id, structure_id, structure (acronym), hemisphere, voxels (of the structure, with data),
            mean and sum; by experiment id, ontology order and hemisphere. Mean and sum are NaN without voxels, as of a
            structure that is too small for the spacing, and where the hemisphere depends on an injected hemisphere that
            is not known. ``frame.attrs["unit"]`` is the unit of the mean, ``frame.attrs["annotation"]`` names the
            annotation, ``frame.attrs["annotation_sha256"]`` is the hash of its array.

        Raises
        ------
        MissingDataError
            If volumes or the annotation are missing. The hint is the command that fetches them.
        EmptySelectionError, UnknownStructureError
            If no experiment matches, or the ontology does not have one of the structures.
        DamagedFileError
            If the file of a volume or of the annotation is missing or differs from what was stored.
        DamagedCatalogError
            If rows of the catalog that enter the result are damaged.
        """
        from bsv_store.atlas.signal import structure_signal
        from bsv_store.catalog.selection.selection import as_selection

        return structure_signal(
            self._database,
            self._files,
            as_selection(selection),
            structures,
            kind=kind,
            spacing_um=spacing_um,
            hemisphere=hemisphere,
            normalize=normalize,
            missing=missing,
            progress=progress,
        )

    def subregions(
        self,
        selection: SelectionLike,
        structures: StructureRef | Sequence[StructureRef] | None = None,
        *,
        bins: Bins | None = None,
        labels: Labels | None = None,
        label_names: Mapping[int, str] | Path | str | None = None,
        kind: VolumeKind = "projection_density",
        spacing_um: int = 100,
        hemisphere: MeasuredHemisphere | Sequence[MeasuredHemisphere] = "both",
        normalize: Normalization = "none",
        missing: MissingPolicy = "error",
        progress: Progress | None = None,
    ) -> pd.DataFrame:
        """Mean and sum of each selected experiment's volume in subdivisions of structures.

        Parameters
        ----------
        selection : Selection or experiment ids
        structures : str, int or sequence of them, optional
            What is divided, descendants included. Without it, the whole label image is used.
        bins : mapping of {'AP', 'DV', 'ML'} to int or sequence of float, optional
            For each axis the number of bins of equal width over the extent of the structures, or the edges in um. A
            voxel belongs to the bin of its center. ML is the distance from the midline, so that both hemispheres have
            the same bins. Bins of several axes are crossed.
        labels : ndarray of int, shape (ap, dv, ml), or path, optional
            A parcellation instead of bins; 0 = in no subregion. A path names an ``.nrrd``, ``.nii``, ``.nii.gz`` or
            ``.npy`` file; the axes of a NIfTI file may have any order and direction.
        label_names : mapping of int to str, or path, optional
            The names of the labels, or a label description of ITK-SNAP or 3D Slicer, see `export_labels`.
        kind, spacing_um, hemisphere, normalize, missing, progress
            As for `signal`.

        Returns
        -------
        pandas.DataFrame
            Columns experiment_id, label (number), subregion (name), for bins the bounds such as ap_lower and ap_upper
            (um), hemisphere, voxels (with data), mean and sum; by experiment id, label and hemisphere. The attributes
            are those of `signal`.

        Raises
        ------
        InputError
            If not exactly one of bins and labels is given, or one is not valid.
        FrameError
            If the label image is not on the grid of the volumes.
        MissingDataError, EmptySelectionError, UnknownStructureError, DamagedFileError, DamagedCatalogError
            As `signal` does.
        """
        from bsv_store.atlas.subregions import subregion_signal
        from bsv_store.catalog.selection.selection import as_selection

        return subregion_signal(
            self._database,
            self._files,
            as_selection(selection),
            structures,
            bins=bins,
            labels=labels,
            label_names=label_names,
            kind=kind,
            spacing_um=spacing_um,
            hemisphere=hemisphere,
            normalize=normalize,
            missing=missing,
            progress=progress,
        )

"""The annotation of the CCF, which assigns a structure to each voxel: in memory and as an HDF5 file.

At 10 um the array takes 4.8 GB, and its NRRD files have the AP axis fastest, so that no AP plane is complete before the
last byte is read. But neighboring voxels mostly belong to the same structure: compressed by zlib, an annotation takes
a hundredth of its size or less. It is therefore kept compressed, in slabs of AP planes.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from bsv_store.errors import DamagedFileError
from bsv_store.html import card
from bsv_store.progress import do_nothing
from bsv_store.text import number_of, size_text
from bsv_store.vocabulary import ANNOTATION_ORIGINS, AnnotationOrigin
from bsv_store.volumes.dense_file import dense_image, opened_dense
from bsv_store.volumes.grid import FRAME, Grid
from bsv_store.volumes.hdf5 import opened_hdf5
from bsv_store.volumes.hdf5_limits import HDF5_ERRORS, int_attribute, plain_dataset, text_attribute
from bsv_store.volumes.layout import slab_ranges
from bsv_store.volumes.packing import Packer, turned_slabs, unpacked

if TYPE_CHECKING:
    from bsv_store.volumes.files import StoreFiles

ANNOTATION_FOLDER = "volumes/annotation"
DERIVED_FROM = "derived from "
"""Prefix of the source of a derived annotation, before the source of the finer one."""

# Ten times the size at 10 um: a file of noise must not fill the memory.
_MAX_PACKED_BYTES = 1 << 30


@dataclass(frozen=True, slots=True, eq=False)
class Annotation:
    """A validated annotation, compressed in memory.

    Attributes
    ----------
    grid : Grid
    packed : tuple of bytes
        The slabs of AP planes, compressed.
    structure_ids : tuple of int
        The ids that occur, ascending, without 0.
    annotated_voxels : int
        Number of voxels that belong to a structure.
    array_sha256 : str
        Of the array: little-endian uint32, C order.
    """

    grid: Grid
    packed: tuple[bytes, ...]
    structure_ids: tuple[int, ...]
    annotated_voxels: int
    array_sha256: str

    @classmethod
    def from_planes(cls, grid: Grid, read: Callable[[int, int], NDArray[Any]]) -> Annotation:
        """The annotation whose AP planes ``read(first, last)`` returns, as ids of shape (last - first, dv, ml).

        Raises
        ------
        FormatError
            If it compresses too badly to be an annotation.
        """
        digest, packed, found, annotated = hashlib.sha256(), [], set(), 0
        packer = _packer()
        for first, last in slab_ranges(grid):
            planes = np.ascontiguousarray(read(first, last), "<u4")
            digest.update(planes.data)
            starts, lengths = runs(planes)
            ids = planes.reshape(-1)[starts]
            found.update(np.unique(ids).tolist())
            annotated += int(lengths[ids != 0].sum())
            packed.append(packer.pack(planes))
        return cls(grid, tuple(packed), tuple(sorted(found - {0})), annotated, digest.hexdigest())

    @classmethod
    def from_blocks(
        cls, grid: Grid, blocks: Iterable[NDArray[Any]], *, on_block: Callable[[], None] = do_nothing
    ) -> Annotation:
        """The annotation in consecutive blocks of ML planes, ids of shape (ap, dv, planes).

        Parameters
        ----------
        on_block : callable
            Called before each block and slab; may raise to stop the work.

        Raises
        ------
        FormatError
            If it compresses too badly to be an annotation.
        """
        return cls.from_planes(grid, turned_slabs(grid, blocks, "<u4", packer=_packer(), on_block=on_block))

    def slabs(self) -> Iterator[tuple[int, NDArray[np.uint32]]]:
        """First AP plane and ids, uint32, shape (planes, dv, ml), read-only, of consecutive slabs."""
        for (first, last), packed in zip(slab_ranges(self.grid), self.packed, strict=True):
            yield first, unpacked(packed, (last - first, *self.grid.shape[1:]), "<u4")


def sampled_annotation(
    fine: Grid, coarse: Grid, read: Callable[[int, int], NDArray[Any]], *, on_plane: Callable[[], None] = do_nothing
) -> Annotation:
    """Sample an annotation at a coarser spacing: in each cell, the finer voxel nearest to the origin of the cell.

    Allen is reported to have made the files at 25, 50 and 100 um from the one at 10 um in this way. The result does not
    depend on the spacing of the finer annotation.

    Parameters
    ----------
    fine, coarse : Grid
    read : callable
        ``read(first, last)`` returns AP planes of the finer annotation, as ids of shape (last - first, dv, ml).
    on_plane : callable
        Called before each plane; may raise to stop the work.
    """
    # Rounded up: at 25 um, the voxels 0, 3, 5, 8, ... at 10 um.
    ap, dv, ml = (-(-np.arange(count) * coarse.spacing_um // fine.spacing_um) for count in coarse.shape)

    def planes(first: int, last: int) -> NDArray[Any]:
        found = np.empty((last - first, *coarse.shape[1:]), "<u4")
        for number, plane in enumerate(ap[first:last].tolist()):
            on_plane()
            found[number] = read(plane, plane + 1)[0][np.ix_(dv, ml)]
        return found

    return Annotation.from_planes(coarse, planes)


@dataclass(frozen=True, slots=True)
class AnnotationFile:
    """A published annotation, as recorded in the catalog.

    Attributes
    ----------
    grid : Grid
    frame : str
        Coordinate frame.
    path : str
        Relative to the store's folder.
    size_bytes : int
    file_sha256, file_xxh3 : str
        Of the file's bytes, hexadecimal. The short one is verified on every read.
    array_sha256 : str
        Of the array: little-endian uint32, C order.
    structure_count : int
        Number of structures that voxels are assigned to directly.
    annotated_voxels : int
        Number of voxels that belong to a structure.
    source : str
        URL or file name of its origin.
    fetched_at : datetime.datetime
        Aware UTC.
    origin : AnnotationOrigin
        Relation to Allen's annotation; for a derived annotation, that of the one from which it was derived.
    derived_from_um : int or None
        Spacing of the finer annotation from which it was derived; None if it was read from a file.
    derived_from_sha256 : str or None
        ``array_sha256`` of that annotation.
    """

    grid: Grid
    frame: str
    path: str
    size_bytes: int
    file_sha256: str
    file_xxh3: str
    array_sha256: str
    structure_count: int
    annotated_voxels: int
    source: str
    fetched_at: datetime
    origin: AnnotationOrigin = "unchecked"
    derived_from_um: int | None = None
    derived_from_sha256: str | None = None

    def _repr_html_(self) -> str:
        facts = [
            ("Spacing", f"{self.grid.spacing_um} um"),
            ("Structures", f"{self.structure_count:,} in {number_of(self.annotated_voxels, 'voxel')}"),
            ("Relation to Allen's", ANNOTATION_ORIGINS[self.origin].words),
            ("Source", self.source),
            ("Fetched", f"{self.fetched_at:%Y-%m-%d %H:%M} UTC"),
            ("Array SHA-256", self.array_sha256),
        ]
        return card("Annotation", kind=size_text(self.size_bytes), facts=facts)

    @property
    def name(self) -> str:
        """A name of the annotation for tables and citations."""
        file = self.source.removeprefix(DERIVED_FROM).rstrip("/").rpartition("/")[2]
        if self.origin == "allen":
            what = ANNOTATION_ORIGINS["allen"].words
        else:
            what = f"{file} ({ANNOTATION_ORIGINS[self.origin].words})"
        if self.derived_from_um is not None:
            what = f"derived from {what} at {self.derived_from_um} um,"
        return f"{what} at {self.grid.spacing_um} um, array SHA-256 {self.array_sha256[:16]}"


def annotation_image(annotation: Annotation, *, source: str, on_slab: Callable[[], None] = do_nothing) -> bytes:
    """The HDF5 file of an annotation. The same annotation and source give the same bytes.

    Dataset ``volume``: uint32, axes [ap, dv, ml], compressed by AP planes; attributes as in the files of volumes.
    ``on_slab`` may raise to stop the work.
    """
    return dense_image(
        annotation.grid,
        annotation.slabs(),
        dtype="<u4",
        kind="annotation",
        unit="structure id; 0 = outside the brain",
        source=source,
        on_slab=on_slab,
    )


def publish_annotation(
    files: StoreFiles,
    annotation: Annotation,
    *,
    source: str,
    origin: AnnotationOrigin = "unchecked",
    derived_from: AnnotationFile | None = None,
    on_slab: Callable[[], None] = do_nothing,
) -> AnnotationFile:
    """Write the file of an annotation; the caller commits its row afterwards.

    Parameters
    ----------
    source : str
        URL or file name of its origin.
    origin : AnnotationOrigin
        Relation to Allen's annotation.
    derived_from : AnnotationFile, optional
        The finer annotation from which it was derived.
    on_slab : callable
        Called before each slab that is encoded; may raise to stop the work.

    Raises
    ------
    NoSpaceError, ReadOnlyStoreError, StoreError
        If the file cannot be written; nothing is published.
    """
    image = annotation_image(annotation, source=source, on_slab=on_slab)
    file = described_image(image, annotation, source=source, origin=origin, derived_from=derived_from)
    files.publish(file.path, image)
    return file


def described_image(
    image: bytes,
    annotation: Annotation,
    *,
    source: str,
    origin: AnnotationOrigin = "unchecked",
    derived_from: AnnotationFile | None = None,
) -> AnnotationFile:
    """What the catalog records about the file image of an annotation."""
    sha256 = hashlib.sha256(image).hexdigest()
    return AnnotationFile(
        grid=annotation.grid,
        frame=FRAME,
        path=f"{ANNOTATION_FOLDER}/{annotation.grid.spacing_um}um/annotation.{sha256[:16]}.h5",
        size_bytes=len(image),
        file_sha256=sha256,
        file_xxh3=xxhash.xxh3_64_hexdigest(image),
        array_sha256=annotation.array_sha256,
        structure_count=len(annotation.structure_ids),
        annotated_voxels=annotation.annotated_voxels,
        source=source,
        fetched_at=datetime.now(UTC),
        origin=origin,
        derived_from_um=None if derived_from is None else derived_from.grid.spacing_um,
        derived_from_sha256=None if derived_from is None else derived_from.array_sha256,
    )


def annotation_from_image(image: bytes, *, what: str) -> tuple[Annotation, str]:
    """The annotation in a file image, and the source in its attributes.

    Raises
    ------
    DamagedFileError
        If the HDF5 library cannot read it, or it is not an annotation.
    """
    try:
        with opened_hdf5(io.BytesIO(image), what=what) as file:
            grid = Grid(int_attribute(file, "spacing_um"))
            dataset = plain_dataset(file, "volume", shape=grid.shape, dtype="<u4")
            annotation = Annotation.from_planes(grid, lambda first, last: dataset[first:last])
            return annotation, text_attribute(file, "source")
    except HDF5_ERRORS as error:
        raise DamagedFileError(f"{what} is not a readable annotation file: {error}") from error


def opened_annotation(files: StoreFiles, file: AnnotationFile) -> AbstractContextManager[Any]:
    """An HDF5 dataset of the ids, uint32, shape (ap, dv, ml). The whole file is verified; slices are read on demand.

    Raises
    ------
    DamagedFileError
        If the file is missing or differs in any bit from what was published.
    """
    return opened_dense(files, file.path, size_bytes=file.size_bytes, xxh3=file.file_xxh3)


def runs(ids: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Start and length of each run of equal ids in C order.

    There are twenty times fewer runs than voxels, so lookups by run are faster.
    """
    flat = ids.reshape(-1)
    starts = np.concatenate(([0], np.flatnonzero(flat[1:] != flat[:-1]) + 1))
    return starts, np.diff(starts, append=flat.size)


def _packer() -> Packer:
    return Packer(
        _MAX_PACKED_BYTES,
        "this is not an annotation: few neighboring voxels have the same id",
        hint="Download it again, or check its origin.",
    )

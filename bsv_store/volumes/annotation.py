"""The annotation of the CCF: which structure each voxel belongs to; as a value, as an HDF5 file, and back.

At 10 um the array takes 4.8 GB, and the NRRD files that it comes in have the AP axis fastest, so that no AP plane is
whole before the last byte has arrived. Neighbors mostly belong to one structure, though: packed by zlib, an annotation
is a hundredth of its size or less. So it is kept packed, slab by slab of AP planes, and memory is bounded by a slab.
"""

from __future__ import annotations

import hashlib
import io
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from bsv_store.errors import DamagedFileError, FormatError
from bsv_store.progress import go_on
from bsv_store.volumes.grid import FRAME, Grid
from bsv_store.volumes.hdf5 import FILE_FORMAT
from bsv_store.volumes.layout import create_dense, describe, slab_ranges

if TYPE_CHECKING:
    from bsv_store.volumes.files import StoreFiles

ANNOTATION_FOLDER = "volumes/annotation"

_PACKING_LEVEL = 1
# Ten times what 10 um takes: a file that is noise from end to end must not fill the memory.
_MOST_PACKED_BYTES = 1 << 30


@dataclass(frozen=True, slots=True, eq=False)
class Annotation:
    """A checked annotation, packed in memory.

    Attributes
    ----------
    grid : Grid
    packed : tuple of bytes
        One for each slab of AP planes.
    structure_ids : tuple of int
        Those that occur, ascending, without 0.
    annotated_voxels : int
        Voxels that belong to a structure.
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
        """The annotation whose AP planes ``read(first, last)`` gives, as ids of shape (last - first, dv, ml).

        Raises
        ------
        FormatError
            If it takes more room than an annotation can.
        """
        digest, packed, found, annotated = hashlib.sha256(), [], set(), 0
        room = _Room()
        for first, last in slab_ranges(grid):
            planes = np.ascontiguousarray(read(first, last), "<u4")
            digest.update(planes.data)
            starts, lengths = runs(planes)
            ids = planes.reshape(-1)[starts]
            found.update(np.unique(ids).tolist())
            annotated += int(lengths[ids != 0].sum())
            packed.append(room.pack(planes))
        return cls(grid, tuple(packed), tuple(sorted(found - {0})), annotated, digest.hexdigest())

    @classmethod
    def from_blocks(
        cls, grid: Grid, blocks: Iterable[NDArray[Any]], *, on_block: Callable[[], None] = go_on
    ) -> Annotation:
        """The annotation made of blocks of ids, shape (ap, dv, some of ml), that follow each other along ML.

        Parameters
        ----------
        on_block : callable
            Called before each block and slab; an exception from it gives the work up.

        Raises
        ------
        FormatError
            If it takes more room than an annotation can.
        """
        slabs = slab_ranges(grid)
        pieces: dict[int, list[bytes]] = {first: [] for first, _ in slabs}
        room = _Room()
        for block in blocks:
            on_block()
            turned = np.ascontiguousarray(block, "<u4")
            for first, last in slabs:
                pieces[first].append(room.pack(turned[first:last]))

        def read(first: int, last: int) -> NDArray[np.uint32]:
            on_block()
            shape = (last - first, grid.shape[1], -1)
            return np.concatenate([_unpacked(piece, shape) for piece in pieces.pop(first)], axis=2)

        return cls.from_planes(grid, read)

    def slabs(self) -> Iterator[tuple[int, NDArray[np.uint32]]]:
        """First AP index and ids, uint32 array of shape (some of ap, dv, ml), of slab after slab; read-only."""
        for (first, last), packed in zip(slab_ranges(self.grid), self.packed, strict=True):
            yield first, _unpacked(packed, (last - first, *self.grid.shape[1:]))


@dataclass(frozen=True, slots=True)
class AnnotationFile:
    """A published annotation: the catalog's row of it, as a value.

    Attributes
    ----------
    grid : Grid
    frame : str
        Coordinate frame.
    path : str
        Relative to the store's folder.
    size_bytes : int
    file_sha256, file_xxh3 : str
        Of the file's bytes, hexadecimal; the short one is checked on every read.
    array_sha256 : str
        Of the array: little-endian uint32, C order.
    structure_count : int
        Structures that own a voxel themselves.
    annotated_voxels : int
        Voxels that belong to a structure.
    source : str
        URL or file name that it came from.
    fetched_at : datetime.datetime
        Aware UTC.
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


def annotation_image(annotation: Annotation, *, source: str, on_slab: Callable[[], None] = go_on) -> bytes:
    """The HDF5 file of an annotation. The same annotation and source give the same bytes.

    Dataset ``volume``: uint32, axes [ap, dv, ml], compressed by AP planes; attributes as in the files of volumes. An
    exception from ``on_slab`` gives the work up.
    """
    import h5py

    grid = annotation.grid
    memory = io.BytesIO()
    with h5py.File(memory, "w", libver=FILE_FORMAT) as file:
        describe(file, grid, kind="annotation", unit="structure id; 0 = outside the brain", source=source)
        dataset = create_dense(file, grid, "<u4")
        for first, planes in annotation.slabs():
            on_slab()
            dataset[first : first + len(planes)] = planes
    return memory.getvalue()


def publish_annotation(
    files: StoreFiles, annotation: Annotation, *, source: str, on_slab: Callable[[], None] = go_on
) -> AnnotationFile:
    """The published file of an annotation; the caller commits its row afterwards.

    Parameters
    ----------
    on_slab : callable
        Called before each slab that is encoded; an exception from it gives the work up.

    Raises
    ------
    NoSpaceError, ReadOnlyStoreError, StoreError
        If the file cannot be written; nothing is published then.
    """
    image = annotation_image(annotation, source=source, on_slab=on_slab)
    file = described_image(image, annotation, source=source)
    files.publish(file.path, image)
    return file


def described_image(image: bytes, annotation: Annotation, *, source: str) -> AnnotationFile:
    """What is recorded of the file that an annotation was encoded to."""
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
    )


def annotation_from_image(image: bytes, *, what: str) -> tuple[Annotation, str]:
    """The annotation in a file image, read by the file's own description, and the source that it names.

    Raises
    ------
    DamagedFileError
        If the HDF5 library cannot read it, or it holds something else.
    """
    import h5py

    try:
        with h5py.File(io.BytesIO(image), "r") as file:
            dataset = file["volume"]
            annotation = Annotation.from_planes(
                Grid.from_shape(dataset.shape, what=what), lambda first, last: dataset[first:last]
            )
            return annotation, bytes(file.attrs["source"]).decode()
    except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise DamagedFileError(f"{what} is not a readable annotation file: {error}") from error


@contextmanager
def opened_annotation(files: StoreFiles, file: AnnotationFile) -> Iterator[Any]:
    """An HDF5 dataset of the ids, uint32, shape (ap, dv, ml), every byte of its file checked; slices unpack on demand.

    Raises
    ------
    DamagedFileError
        If the file is missing or differs in any bit from what was published.
    """
    import h5py

    image = files.read(file.path, size_bytes=file.size_bytes, xxh3=file.file_xxh3)
    with h5py.File(io.BytesIO(image), "r") as opened:
        yield opened["volume"]


def runs(ids: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Start and length of each stretch of equal neighbors in C order.

    What is looked up for each stretch and then repeated is looked up twenty times less often than for each voxel.
    """
    flat = ids.reshape(-1)
    starts = np.concatenate(([0], np.flatnonzero(flat[1:] != flat[:-1]) + 1))
    return starts, np.diff(starts, append=flat.size)


class _Room:
    """Packs arrays as long as they together take no more room than an annotation can."""

    def __init__(self) -> None:
        self._size_bytes = 0

    def pack(self, array: NDArray[np.uint32]) -> bytes:
        packed = zlib.compress(array.data, _PACKING_LEVEL)
        self._size_bytes += len(packed)
        if self._size_bytes > _MOST_PACKED_BYTES:
            raise FormatError(
                "this is no annotation: it hardly has two neighboring voxels in the same structure",
                hint="Download it again, or check where it comes from.",
            )
        return packed


def _unpacked(packed: bytes, shape: tuple[int, ...]) -> NDArray[np.uint32]:
    return np.frombuffer(zlib.decompress(packed), "<u4").reshape(shape)

"""The average template of the CCF, an image of the average brain: in memory and as an HDF5 file.

Its NRRD files have the AP axis fastest, so that no AP plane is complete before the last byte is read. It is therefore
kept compressed, in slabs of AP planes. At 10 um it takes 2.4 GB, compressed about a fifth of that.
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
from bsv_store.text import size_text
from bsv_store.vocabulary import TEMPLATE_DTYPES, TemplateDtype
from bsv_store.volumes.dense_file import dense_image, opened_dense
from bsv_store.volumes.grid import FRAME, Grid
from bsv_store.volumes.hdf5 import opened_hdf5
from bsv_store.volumes.hdf5_limits import HDF5_ERRORS, int_attribute, plain_dataset, text_attribute
from bsv_store.volumes.layout import slab_ranges
from bsv_store.volumes.packing import Packer, turned_slabs, unpacked

if TYPE_CHECKING:
    from bsv_store.volumes.files import StoreFiles

TEMPLATE_FOLDER = "volumes/template"

# Three quarters of the uncompressed uint16 array at 10 um.
_MAX_PACKED_BYTES = 1_800_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """A validated template, compressed in memory.

    Attributes
    ----------
    grid : Grid
    dtype : {'uint16', 'float32'}
    packed : tuple of bytes
        The slabs of AP planes, compressed.
    array_sha256 : str
        Of the array: little-endian, C order.
    """

    grid: Grid
    dtype: TemplateDtype
    packed: tuple[bytes, ...]
    array_sha256: str

    @classmethod
    def from_planes(
        cls, grid: Grid, dtype: TemplateDtype, read: Callable[[int, int], NDArray[Any]], *, packer: Packer | None = None
    ) -> Template:
        """The template whose AP planes ``read(first, last)`` returns, with the shape (last - first, dv, ml).

        Raises
        ------
        FormatError
            If it compresses too badly to be an image of a brain.
        """
        packer = _packer() if packer is None else packer
        digest, packed = hashlib.sha256(), []
        for first, last in slab_ranges(grid):
            planes = np.ascontiguousarray(read(first, last), TEMPLATE_DTYPES[dtype].code)
            digest.update(planes.data)
            packed.append(packer.pack(planes))
        return cls(grid, dtype, tuple(packed), digest.hexdigest())

    @classmethod
    def from_blocks(
        cls,
        grid: Grid,
        dtype: TemplateDtype,
        blocks: Iterable[NDArray[Any]],
        *,
        on_block: Callable[[], None] = do_nothing,
    ) -> Template:
        """The template in consecutive blocks of ML planes, of shape (ap, dv, planes).

        Parameters
        ----------
        on_block : callable
            Called before each block and slab; may raise to stop the work.

        Raises
        ------
        FormatError
            If it compresses too badly to be an image of a brain.
        """
        code = TEMPLATE_DTYPES[dtype].code
        return cls.from_planes(grid, dtype, turned_slabs(grid, blocks, code, packer=_packer(), on_block=on_block))

    def slabs(self) -> Iterator[tuple[int, NDArray[Any]]]:
        """First AP plane and values, shape (planes, dv, ml), read-only, of consecutive slabs."""
        code = TEMPLATE_DTYPES[self.dtype].code
        for (first, last), packed in zip(slab_ranges(self.grid), self.packed, strict=True):
            yield first, unpacked(packed, (last - first, *self.grid.shape[1:]), code)


@dataclass(frozen=True, slots=True)
class TemplateFile:
    """A published template, as recorded in the catalog.

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
        Of the array: little-endian, C order.
    dtype : {'uint16', 'float32'}
        Of the array.
    source : str
        URL or file name of its origin.
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
    dtype: TemplateDtype
    source: str
    fetched_at: datetime

    def _repr_html_(self) -> str:
        facts = [
            ("Spacing", f"{self.grid.spacing_um} um"),
            ("Source", self.source),
            ("Fetched", f"{self.fetched_at:%Y-%m-%d %H:%M} UTC"),
            ("Array SHA-256", self.array_sha256),
        ]
        return card("Template", kind=size_text(self.size_bytes), facts=facts)

    @property
    def name(self) -> str:
        """A name of the template for figures and citations."""
        file = self.source.rstrip("/").rpartition("/")[2]
        return f"{file} at {self.grid.spacing_um} um, array SHA-256 {self.array_sha256[:16]}"


def template_image(template: Template, *, source: str, on_slab: Callable[[], None] = do_nothing) -> bytes:
    """The HDF5 file of a template. The same template and source give the same bytes.

    Dataset ``volume``: axes [ap, dv, ml], compressed by AP planes; attributes as in the files of volumes. ``on_slab``
    may raise to stop the work.
    """
    return dense_image(
        template.grid,
        template.slabs(),
        dtype=TEMPLATE_DTYPES[template.dtype].code,
        kind="template",
        unit="intensity, arbitrary units",
        source=source,
        on_slab=on_slab,
    )


def publish_template(
    files: StoreFiles, template: Template, *, source: str, on_slab: Callable[[], None] = do_nothing
) -> TemplateFile:
    """Write the file of a template; the caller commits its row afterwards.

    Parameters
    ----------
    source : str
        URL or file name of its origin.
    on_slab : callable
        Called before each slab that is encoded; may raise to stop the work.

    Raises
    ------
    NoSpaceError, ReadOnlyStoreError, StoreError
        If the file cannot be written; nothing is published.
    """
    image = template_image(template, source=source, on_slab=on_slab)
    file = described_template(image, template, source=source)
    files.publish(file.path, image)
    return file


def described_template(image: bytes, template: Template, *, source: str) -> TemplateFile:
    """The catalog record of a file with this content, published now."""
    sha256 = hashlib.sha256(image).hexdigest()
    return TemplateFile(
        grid=template.grid,
        frame=FRAME,
        path=template_path(template.grid.spacing_um, sha256),
        size_bytes=len(image),
        file_sha256=sha256,
        file_xxh3=xxhash.xxh3_64_hexdigest(image),
        array_sha256=template.array_sha256,
        dtype=template.dtype,
        source=source,
        fetched_at=datetime.now(UTC),
    )


def template_path(spacing_um: int, file_sha256: str) -> str:
    """Path of the file of a template, relative to the store's folder."""
    return f"{TEMPLATE_FOLDER}/{spacing_um}um/template.{file_sha256[:16]}.h5"


def template_from_image(image: bytes, *, what: str) -> tuple[Template, str]:
    """The template in a file image, and the source of its data.

    Raises
    ------
    DamagedFileError
        If the HDF5 library cannot read it, or it is not a template.
    """
    try:
        with opened_hdf5(io.BytesIO(image), what=what) as file:
            grid = Grid(int_attribute(file, "spacing_um"))
            if text_attribute(file, "kind") != "template":
                raise DamagedFileError(f"{what} is not the file of a template")
            stored = file["volume"].dtype
            dtype = next((row.name for row in TEMPLATE_DTYPES.values() if np.dtype(row.code) == stored), None)
            if dtype is None:
                raise DamagedFileError(f"{what} has values of the type {stored}")
            dataset = plain_dataset(file, "volume", shape=grid.shape, dtype=TEMPLATE_DTYPES[dtype].code)
            template = Template.from_planes(grid, dtype, lambda first, last: dataset[first:last])
            return template, text_attribute(file, "source")
    except HDF5_ERRORS as error:
        raise DamagedFileError(f"{what} is not a readable template file: {error}") from error


def opened_template(files: StoreFiles, file: TemplateFile) -> AbstractContextManager[Any]:
    """An HDF5 dataset of the template, shape (ap, dv, ml). The whole file is verified; slices are read on demand.

    Raises
    ------
    DamagedFileError
        If the file is missing or differs in any bit from what was published.
    """
    return opened_dense(files, file.path, size_bytes=file.size_bytes, xxh3=file.file_xxh3)


def _packer() -> Packer:
    return Packer(
        _MAX_PACKED_BYTES,
        "this is not a template: it is noise that cannot be compressed",
        hint="Download it again, or check its origin.",
    )

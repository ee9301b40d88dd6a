"""Result files: self-describing netCDF-4, readable as HDF5, with labeled axes and members.

They have no time stamps, so the same result of the same software has the same bytes. They are created in memory, at 25
and 10 um in a temporary file. Layout::

    group (group)                  labels                     group_n, group_center, group_lower, group_upper (group),
                                                              group_label (group, label_length)
    ap (ap)  dv (dv)  ml (ml)      voxel centers, um
    mean (group, ap, dv, ml)       and the other statistics of the recipe
    difference (ap, dv, ml)        and the other maps of a comparison by voxel, if the recipe has one
    member (member)                experiment ids             member_group (-1 = left out), member_divisor,
                                                              member_injected_hemisphere, member_array_sha256,
                                                              member_left_out_reason (member), member_weight if the
                                                              recipe weights experiments
    inputs (document)              canonical JSON of recipe and inputs; its SHA-256 is the fingerprint
    slab_sha256 (hashed_array,     at 25 and 10 um: SHA-256 of each slab of AP planes of each array
                 slab, hash_byte)

A comparison by structure has no ap, dv, ml and mean. Instead it has::

    feature (feature)              a structure in a hemisphere     structure_id, structure, structure_name, hemisphere
                                                                   (feature)
    signal (member, feature)       the values of each member, NaN = left out
    difference (feature)           and the other results of the test

The variables of groups are CF auxiliary coordinates of the statistics. Those of members, and the inputs, are listed in
the attribute ``coordinates`` of the file. Text is stored as variable-length strings. GNU Octave cannot read these, so
``group_label`` contains the labels as character arrays. (Fixed-length strings are not an alternative: netCDF does not
have them, h5netcdf reads them as bytes, and R's ncdf4 crashes.)

Compression is gzip level 1 without the shuffle filter. For averages of real volumes this is smaller (27 % of the raw
size, with the filter 32 %) and faster, since mostly runs of zeros are compressed.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from bsv_store.averaging.inputs import Inputs
from bsv_store.averaging.units import cf_unit, describe_unit
from bsv_store.datasets.result.columns import SIGNAL, create_columns
from bsv_store.datasets.result.content_hash import arrays_without_groups, has_content, planes_per_chunk, slab_planes
from bsv_store.datasets.result.contents import (
    describe_variable,
    write_axes,
    write_description,
    write_features,
    write_groups,
    write_inputs,
    write_members,
)
from bsv_store.datasets.result.slabs import NO_GROUP, ArrayHash, array_keys, content_of, create_table, fill_table
from bsv_store.errors import DamagedFileError, StoreError
from bsv_store.vocabulary import COMPARISON_MAPS, STATISTICS, ComparisonMap, Statistic
from bsv_store.volumes.files import hashes_of, store_errors
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.hdf5 import FILE_FORMAT, GuardedFile, opened_hdf5, written_hdf5

if TYPE_CHECKING:
    from pathlib import Path

    import h5py

    from bsv_store.averaging.recipe import Recipe
    from bsv_store.averaging.recorded import RecordedInputs
    from bsv_store.volumes.files import StoreFiles

_DIMENSIONS = ("group", "ap", "dv", "ml")
_UINT32 = np.dtype("<u4")
_MAP_TYPE = np.dtype("<f4")


@dataclass(frozen=True, slots=True)
class EncodedResult:
    """A result file that is not published yet, with its size and hashes.

    Attributes
    ----------
    content : memoryview or pathlib.Path
        Its bytes, or a temporary file.
    size_bytes : int
    file_sha256 : str
    content_sha256 : str
        Of the arrays, independent of the file format; see `ResultWriter`.
    """

    content: memoryview | Path
    size_bytes: int
    file_sha256: str
    content_sha256: str

    def open(self) -> BinaryIO:
        """The file, open for reading."""
        return io.BytesIO(self.content) if isinstance(self.content, memoryview) else self.content.open("rb")

    def has_content(self, recipe: Recipe, content_sha256: str) -> bool:
        """Whether its arrays have a content hash, by any rule; see `has_content`."""
        if self.content_sha256 == content_sha256:
            return True
        if slab_planes(recipe) is None:
            return False
        with self.open() as stream, opened_hdf5(stream, what="the result") as file:
            return has_content(file, recipe, content_sha256)

    def publish(self, files: StoreFiles, relative: str) -> None:
        """Publish the file under a path relative to the store. A temporary file is moved.

        Raises
        ------
        NoSpaceError, ReadOnlyStoreError, StoreError
            If it cannot be written.
        """
        if isinstance(self.content, memoryview):
            files.publish(relative, self.content)
        else:
            files.publish_file(self.content, relative)


class ResultWriter:
    """A writer of a result file. Statistics are written group by group, in slabs of AP planes in ascending order.

    ``content_sha256`` is the SHA-256 of one line ``<statistic> <group> <SHA-256 of the array>`` for each statistic, in
    the order of the recipe, and group, then one line ``<name> all <SHA-256 of the array>`` for each array without
    groups (`arrays_without_groups`); the arrays little-endian, C order. At 25 and 10 um, the hash of an array is the
    SHA-256 of those of its slabs, one after the other, which the file has too; see `bsv_store.datasets.result.slabs`.
    """

    def __init__(
        self,
        file: h5py.File,
        inputs: Inputs | RecordedInputs,
        seal: Callable[[], tuple[memoryview | Path, int, str]],
        guard: GuardedFile | None = None,
        *,
        has_table: bool = True,
    ) -> None:
        self._file = file
        self._seal = seal
        self._guard = guard
        recipe = inputs.recipe
        self._float_type = np.dtype(recipe.dtype).newbyteorder("<")
        # Files at 25 and 10 um of earlier versions have no table of slabs.
        self._slab_planes = slab_planes(recipe) if has_table else None
        keys = array_keys(recipe.statistics, len(inputs.groups), arrays_without_groups(recipe))
        self._hashes = {key: ArrayHash(self._slab_planes) for key in keys}
        write_description(file, inputs)
        if recipe.has_voxels:
            self._grid = Grid(recipe.spacing_um)
            write_axes(file, self._grid, [group.label for group in inputs.groups])
        else:
            write_features(file, inputs.recorded() if isinstance(inputs, Inputs) else inputs)
        self._coordinates = write_groups(file, inputs)
        write_members(file, inputs)
        write_inputs(file, inputs)
        if self._slab_planes is not None:
            create_table(file, len(keys), self._grid.shape[0] // self._slab_planes)
        for name in recipe.statistics:
            self._create(name, len(inputs.groups), recipe)
        for each in recipe.maps:
            self._create_map(each, recipe)
        if not recipe.has_voxels:
            create_columns(file, recipe)

    @property
    def planes_per_chunk(self) -> int:
        """Number of AP planes in a chunk. Slabs that are multiples of it are written without reading back."""
        return planes_per_chunk(self._grid, self._float_type.itemsize)

    def write(self, arrays: Mapping[Statistic, NDArray[Any]], *, first_group: int, first_plane: int) -> None:
        """Write every statistic of some groups on some AP planes; arrays of shape (groups, planes, dv, ml).

        Raises
        ------
        OSError
            If an earlier write failed.
        """
        if self._guard is not None:
            self._guard.check()
        # Group by group, so that the order of writing does not depend on the number of groups per call.
        for place in range(len(arrays["mean"])):
            for name, values in arrays.items():
                dataset = self._file[name]
                block = np.ascontiguousarray(values[place], dtype=dataset.dtype)
                dataset[first_group + place, first_plane : first_plane + len(block)] = block
                self._hashes[name, first_group + place].update(block)

    def write_array(self, name: str, values: NDArray[np.floating[Any]]) -> None:
        """Write an array without groups: a map of shape (ap, dv, ml), or a column of shape (features,).

        NaN = not tested.

        Raises
        ------
        OSError
            If an earlier write failed.
        """
        if self._guard is not None:
            self._guard.check()
        dataset = self._file[name]
        block = np.ascontiguousarray(values, dtype=dataset.dtype)
        dataset[:] = block
        self._hashes[name, NO_GROUP].update(block)

    def write_signal(self, values: NDArray[np.float64]) -> None:
        """Write the values of the members of a comparison by structure, shape (members, features).

        Raises
        ------
        OSError
            If an earlier write failed.
        """
        # Members come first in the file; those that were left out have no values.
        everybody = np.full(self._file[SIGNAL].shape, np.nan)
        everybody[: len(values)] = values
        self.write_array(SIGNAL, everybody)

    def describe_array(self, name: str, facts: Mapping[str, float]) -> None:
        """Add attributes to an array without groups: facts about the test, which are not part of the content hash."""
        for key, value in facts.items():
            self._file[name].attrs[key] = np.int64(value) if isinstance(value, int) else np.float64(value)

    def finish(self) -> EncodedResult:
        """Close the file and return it.

        Raises
        ------
        OSError
            If a write failed.
        """
        if self._slab_planes is not None:
            fill_table(self._file, list(self._hashes.values()))
        self._file.close()
        content, size_bytes, file_sha256 = self._seal()
        return EncodedResult(content, size_bytes, file_sha256, content_of(self._hashes))

    def _create(self, name: Statistic, groups: int, recipe: Recipe) -> None:
        row = STATISTICS[name]
        dtype = array_dtype(name, recipe.dtype)
        dataset = self._file.create_dataset(
            name,
            shape=(groups, *self._grid.shape),
            dtype=dtype,
            chunks=(1, self.planes_per_chunk, *self._grid.shape[1:]),
            compression="gzip",
            compression_opts=1,
            fletcher32=True,
        )
        for axis, scale in enumerate(_DIMENSIONS):
            dataset.dims[axis].attach_scale(self._file[scale])
        dataset.attrs["coordinates"] = " ".join(self._coordinates)
        if row.is_count:
            describe_variable(dataset, long_name="members counted at the voxel", units="1")
            return
        quantity, unit = describe_unit(recipe.kind, recipe.normalize), cf_unit(recipe.kind, recipe.normalize)
        describe_variable(dataset, long_name=f"{name} of {quantity}", units=unit if row.has_unit else "1")
        dataset.attrs["_FillValue"] = dtype.type(np.nan)

    def _create_map(self, name: ComparisonMap, recipe: Recipe) -> None:
        row = COMPARISON_MAPS[name]
        dataset = self._file.create_dataset(
            name,
            shape=self._grid.shape,
            dtype=_MAP_TYPE,
            chunks=(self.planes_per_chunk, *self._grid.shape[1:]),
            compression="gzip",
            compression_opts=1,
            fletcher32=True,
        )
        for axis, scale in enumerate(_DIMENSIONS[1:]):
            dataset.dims[axis].attach_scale(self._file[scale])
        quantity, unit = describe_unit(recipe.kind, recipe.normalize), cf_unit(recipe.kind, recipe.normalize)
        words = f"{row.words}, {quantity}" if row.has_unit else row.words
        describe_variable(dataset, long_name=words, units=unit if row.has_unit else "1")
        dataset.attrs["_FillValue"] = _MAP_TYPE.type(np.nan)
        if row.is_probability:
            dataset.attrs["valid_range"] = np.array([0, 1], _MAP_TYPE)


@contextmanager
def result_writer(inputs: Inputs | RecordedInputs, path: Path | None = None) -> Iterator[ResultWriter]:
    """A writer of a result file, in memory or into a new file at a path.

    Raises
    ------
    NoSpaceError, ReadOnlyStoreError, StoreError
        If that file cannot be written.
    """
    import h5py

    if path is not None:
        with _written_file(path) as (file, guard, sink):
            yield ResultWriter(file, inputs, partial(_sealed_file, path, sink, guard), guard)
        return
    memory = io.BytesIO()
    # HDF5's own in-memory driver writes a wrong checksum before HDF5 2.0.
    with h5py.File(memory, "w", libver=FILE_FORMAT) as file:
        yield ResultWriter(file, inputs, partial(_sealed_memory, memory))


@contextmanager
def _written_file(path: Path) -> Iterator[tuple[h5py.File, GuardedFile, BinaryIO]]:
    """A new file to write with h5py. Only errors of the file itself are converted, not those of the block."""
    with store_errors(path):
        sink = path.open("x+b", buffering=0)
    guard = GuardedFile(sink)
    try:
        with written_hdf5(guard) as file:
            yield file, guard, sink
    except OSError as error:
        if error is not guard.error:
            raise
        with store_errors(path):
            raise
    finally:
        # Some network file systems report a full disk only here.
        with store_errors(path):
            sink.close()


def _sealed_file(path: Path, sink: BinaryIO, guard: GuardedFile) -> tuple[Path, int, str]:
    guard.check()
    with store_errors(path):
        hashes = hashes_of(sink)
    return path, hashes.size_bytes, hashes.sha256


def _sealed_memory(memory: io.BytesIO) -> tuple[memoryview, int, str]:
    # The bytes are not copied, which would double the memory if there are many groups. With a view from getbuffer() the
    # file could not be closed: Python 3.13 reports an error if both are collected in one cycle.
    image = memoryview(memory.getvalue())
    return image, len(image), hashlib.sha256(image).hexdigest()


def result_path(name: str, fingerprint: str, file_sha256: str) -> str:
    """The path of a result file relative to the store.

    It contains both hashes, since other software may write the same inputs as other bytes.
    """
    return f"datasets/{name}/{fingerprint[:16]}.{file_sha256[:16]}.nc"


def array_dtype(name: Statistic | ComparisonMap, dtype: str) -> np.dtype[Any]:
    """The type of an array of a result file, from that of the recipe."""
    if name in COMPARISON_MAPS:
        return _MAP_TYPE
    return _UINT32 if STATISTICS[name].is_count else np.dtype(dtype).newbyteorder("<")


@contextmanager
def checked_stream(path: Path, *, size_bytes: int, file_sha256: str, what: str) -> Iterator[BinaryIO]:
    """A result file open for reading, every byte checked.

    Raises
    ------
    DamagedFileError
        If it is missing or differs in any bit from what was published.
    StoreError
        If it cannot be read.
    """
    # Checked and read through one descriptor.
    with reading_errors(path, what):
        stream = path.open("rb")
    with stream:
        with reading_errors(path, what):
            found = hashlib.file_digest(stream, "sha256").hexdigest(), stream.tell()
            stream.seek(0)
        if found != (file_sha256, size_bytes):
            raise DamagedFileError(f"the file {path} of {what} differs from what was stored", hint=rebuild_hint(what))
        yield stream


def check_result_size(path: Path, size_bytes: int, what: str) -> None:
    """Check that a result file exists and has its published size, without opening it.

    Raises
    ------
    DamagedFileError
        If it is missing or of another size.
    StoreError
        If it cannot be accessed.
    """
    with reading_errors(path, what):
        size = path.stat().st_size
    if size != size_bytes:
        raise DamagedFileError(f"the file {path} of {what} is not {size_bytes} bytes long", hint=rebuild_hint(what))


@contextmanager
def reading_errors(path: Path, what: str) -> Iterator[None]:
    """Convert errors of the operating system about a result file.

    Raises
    ------
    DamagedFileError
        If it is missing.
    StoreError
        If it cannot be read.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise DamagedFileError(f"the file {path} of {what} is missing", hint=rebuild_hint(what)) from error
    except OSError as error:
        raise StoreError(
            f"the file {path} of {what} cannot be read: {error}",
            hint="Check its permissions and those of its folder, and the disk.",
        ) from error


@contextmanager
def open_result(path: Path, *, size_bytes: int, file_sha256: str, what: str) -> Iterator[h5py.File]:
    """A result file open for reading with h5py, every byte checked.

    HDF5 itself does not check all parts of the file, such as group labels.

    Raises
    ------
    DamagedFileError
        If it is missing or differs in any bit from what was published.
    StoreError
        If it cannot be read.
    """
    with (
        checked_stream(path, size_bytes=size_bytes, file_sha256=file_sha256, what=what) as stream,
        opened_hdf5(stream, what=f"the file {path} of {what}") as file,
    ):
        yield file


def rebuild_hint(what: str) -> str:
    """The hint for a damaged result file."""
    return (
        f"Restore it from the recorded inputs: bsv-store dataset rebuild {what}; or repair the whole store: "
        "bsv-store repair --apply"
    )

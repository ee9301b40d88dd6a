"""Result files: self-describing netCDF-4, readable as HDF5, with labelled axes and members.

They have no time stamps, so the same result of the same software has the same bytes. They are created in memory, at 25
and 10 um in a temporary file. Layout::

    group (group)                  labels                     group_n, group_center, group_lower, group_upper (group)
    ap (ap)  dv (dv)  ml (ml)      voxel centers, um
    mean (group, ap, dv, ml)       and the other statistics of the recipe
    member (member)                experiment ids             member_group (-1 = left out), member_divisor,
                                                              member_injected_hemisphere, member_array_sha256,
                                                              member_left_out_reason (member)
    inputs ()                      canonical JSON of recipe and inputs; its SHA-256 is the fingerprint

Compression is gzip level 1 without the shuffle filter. For averages of real volumes this is smaller (27 % of the raw
size, with the filter 32 %) and faster, since mostly runs of zeros are compressed.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from bsv_store.averaging.inputs import ALGORITHM_VERSION
from bsv_store.averaging.members import MEMBER_COLUMNS, Member, MemberColumn
from bsv_store.averaging.units import cf_unit, describe_unit
from bsv_store.errors import DamagedFileError, StoreError
from bsv_store.vocabulary import AXES, STATISTICS, Statistic
from bsv_store.volumes.files import hashes_of, store_errors
from bsv_store.volumes.grid import FRAME, ORIENTATION, Grid
from bsv_store.volumes.hdf5 import FILE_FORMAT, GuardedFile, written_hdf5

if TYPE_CHECKING:
    from pathlib import Path

    import h5py

    from bsv_store.averaging.inputs import Inputs, RecordedInputs
    from bsv_store.averaging.recipe import Recipe
    from bsv_store.volumes.files import StoreFiles

_DIMENSIONS = ("group", "ap", "dv", "ml")
# A compromise between reading small boxes and the number of chunks.
_CHUNK_BYTES = 1_250_000
_UINT32 = np.dtype("<u4")


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
    the order of the recipe, and group; the arrays little-endian, C order.
    """

    def __init__(
        self,
        file: h5py.File,
        inputs: Inputs | RecordedInputs,
        seal: Callable[[], tuple[memoryview | Path, int, str]],
        guard: GuardedFile | None = None,
    ) -> None:
        self._file = file
        self._seal = seal
        self._guard = guard
        recipe = inputs.recipe
        self._grid = Grid(recipe.spacing_um)
        self._hashes = {
            (name, group): hashlib.sha256() for name in recipe.statistics for group in range(len(inputs.groups))
        }
        self._float_type = np.dtype(recipe.dtype).newbyteorder("<")
        _describe(file, inputs)
        _write_axes(file, self._grid, [group.label for group in inputs.groups])
        _write_groups(file, inputs)
        _write_members(file, inputs)
        _write_inputs(file, inputs)
        for name in recipe.statistics:
            self._create(name, len(inputs.groups), recipe)

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
                self._hashes[name, first_group + place].update(block.data)

    def finish(self) -> EncodedResult:
        """Close the file and return it.

        Raises
        ------
        OSError
            If a write failed.
        """
        self._file.close()
        content, size_bytes, file_sha256 = self._seal()
        return EncodedResult(content, size_bytes, file_sha256, _hash_of_hashes(self._hashes))

    def _create(self, name: Statistic, groups: int, recipe: Recipe) -> None:
        row = STATISTICS[name]
        dtype = _UINT32 if row.is_count else self._float_type
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
        if row.is_count:
            _label(dataset, long_name="members counted at the voxel", units="1")
            return
        quantity, unit = describe_unit(recipe.kind, recipe.normalize), cf_unit(recipe.kind, recipe.normalize)
        _label(dataset, long_name=f"{name} of {quantity}", units=unit if row.has_unit else "1")
        dataset.attrs["_FillValue"] = dtype.type(np.nan)


@contextmanager
def result_writer(inputs: Inputs, path: Path | None = None) -> Iterator[ResultWriter]:
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
    # A view, since with many groups a copy would double the memory.
    image = memory.getbuffer()
    return image, len(image), hashlib.sha256(image).hexdigest()


def content_hash(file: h5py.File, statistics: Sequence[str]) -> str:
    """The content hash of the arrays of an open result file; see `ResultWriter`."""
    hashes = {}
    for name in statistics:
        dataset = file[name]
        for group in range(dataset.shape[0]):
            hashes[name, group] = hashlib.sha256()
            for slab in range(0, dataset.shape[1], dataset.chunks[1]):
                block = np.ascontiguousarray(dataset[group, slab : slab + dataset.chunks[1]])
                hashes[name, group].update(block.data)
    return _hash_of_hashes(hashes)


def _hash_of_hashes(hashes: Mapping[Any, Any]) -> str:
    lines = "".join(f"{name} {group} {each.hexdigest()}\n" for (name, group), each in hashes.items())
    return hashlib.sha256(lines.encode()).hexdigest()


def result_path(name: str, fingerprint: str, file_sha256: str) -> str:
    """The path of a result file relative to the store.

    It contains both hashes, since other software may write the same inputs as other bytes.
    """
    return f"datasets/{name}/{fingerprint[:16]}.{file_sha256[:16]}.nc"


def planes_per_chunk(grid: Grid, itemsize: int) -> int:
    """The largest number of AP planes that divides the grid and gives chunks of a suitable size."""
    count, dv, ml = grid.shape
    fitting = [planes for planes in range(1, count + 1) if count % planes == 0]
    return max([1, *(planes for planes in fitting if planes * dv * ml * itemsize <= _CHUNK_BYTES)])


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
            raise DamagedFileError(
                f"the file {path} of {what} has changed since it was published", hint=rebuild_hint(what)
            )
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
    """
    import h5py

    with (
        checked_stream(path, size_bytes=size_bytes, file_sha256=file_sha256, what=what) as stream,
        h5py.File(stream, "r") as file,
    ):
        yield file


def read_part(path: Path, name: str, key: tuple[Any, ...], *, size_bytes: int, what: str) -> NDArray[Any]:
    """A part of an array of a result file, without reading the rest.

    HDF5 checks the checksums of the file's structure and of each chunk that it reads.

    Raises
    ------
    DamagedFileError
        If the file is missing or has another size, or a checksum is wrong.
    StoreError
        If it cannot be read.
    """
    import h5py

    hint = rebuild_hint(what)
    with reading_errors(path, what):
        stream = path.open("rb")
    with stream:
        if os.fstat(stream.fileno()).st_size != size_bytes:
            raise DamagedFileError(f"the file {path} of {what} has changed since it was published", hint=hint)
        try:
            with h5py.File(stream, "r") as file:
                values: NDArray[Any] = file[name][key]
                return values
        except (OSError, KeyError, RuntimeError) as error:
            raise DamagedFileError(f"the file {path} of {what} is damaged: {error}", hint=hint) from error


def rebuild_hint(what: str) -> str:
    """The hint for a damaged result file."""
    return f"Restore it from the recorded inputs: bsv-store dataset rebuild {what}"


def software() -> str:
    """Versions of all software that determines the bytes of a result."""
    import platform

    import h5py

    from bsv_store._version import __version__

    return (
        f"bsv-store {__version__}, NumPy {np.__version__}, h5py {h5py.__version__}, "
        f"HDF5 {h5py.version.hdf5_version}, Python {platform.python_version()}"
    )


def _describe(file: h5py.File, inputs: Inputs | RecordedInputs) -> None:
    recipe = inputs.recipe
    text = {
        "Conventions": "CF-1.10",
        "title": f"Group averages of {describe_unit(recipe.kind, recipe.normalize)}, mouse brain",
        "source": "Allen Mouse Brain Connectivity Atlas, aggregated by bsv-store",
        "references": "https://connectivity.brain-map.org; Oh et al. 2014, doi:10.1038/nature13186",
        "frame": FRAME,
        "orientation": ORIENTATION,
        "axis_order": "group ap dv ml",
        "recipe": recipe.to_json(),
        "fingerprint": inputs.fingerprint(),
        "software": software(),
    }
    for name, value in text.items():
        file.attrs[name] = value
    file.attrs["algorithm_version"] = np.int64(ALGORITHM_VERSION)
    file.attrs["spacing_um"] = np.int64(recipe.spacing_um)


def _write_axes(file: h5py.File, grid: Grid, labels: Sequence[str]) -> None:
    groups = _write_text(file, "group", labels)
    groups.make_scale("group")
    for row in AXES.values():
        axis = row.name
        scale = file.create_dataset(axis.lower(), data=grid.centers_um(axis).astype("<f8"))
        _label(scale, long_name=f"{axis}, {row.words}, voxel center", units="um")
        scale.make_scale(axis.lower())


def _write_groups(file: h5py.File, inputs: Inputs | RecordedInputs) -> None:
    groups, scale = inputs.groups, file["group"]
    counts = file.create_dataset("group_n", data=np.array([group.n for group in groups], "<i8"))
    _label(counts, long_name="members of the group", units="1")
    counts.dims[0].attach_scale(scale)
    factors = max((len(group.ranges) for group in groups), default=0)
    for factor in range(max(1, factors)):
        # The names of a second coordinate factor have a suffix; most results have one factor or none.
        suffix = f"_{factor + 1}" if factor else ""
        for name in ("center", "lower", "upper"):
            values = [_range_value(group.ranges, factor, name) for group in groups]
            dataset = file.create_dataset(f"group_{name}{suffix}", data=np.array(values, "<f8"))
            what = "mean injection coordinate of the members" if name == "center" else f"{name} edge of the bin"
            axis = next((group.ranges[factor].axis for group in groups if len(group.ranges) > factor), "none")
            _label(dataset, long_name=f"{what}, NaN = none", units="um", axis_name=axis)
            dataset.dims[0].attach_scale(scale)


def _range_value(ranges: Sequence[Any], factor: int, name: str) -> float:
    value = getattr(ranges[factor], f"{name}_um") if factor < len(ranges) else None
    return float("nan") if value is None else float(value)


def _write_members(file: h5py.File, inputs: Inputs | RecordedInputs) -> None:
    # Members first, then those left out.
    ordered = sorted(inputs.experiments(), key=lambda each: each.group is None)
    scale = file.create_dataset("member", data=np.array([each.experiment_id for each in ordered], "<i8"))
    _label(scale, long_name="experiment id (Allen section data set)")
    scale.make_scale("member")
    # The reason is last in this format.
    columns = sorted((each for each in MEMBER_COLUMNS if each.in_file), key=lambda each: each.field == "reason")
    for dataset in [_write_member_column(file, column, ordered) for column in columns]:
        dataset.dims[0].attach_scale(scale)


def _write_member_column(file: h5py.File, column: MemberColumn, members: Sequence[Member]) -> h5py.Dataset:
    values = [getattr(member, column.field) for member in members]
    name = f"member_{column.name}"
    if column.dtype == "object":
        return _write_text(file, name, [value or "" for value in values])
    dtype, missing = _MEMBER_DTYPES[column.dtype]
    return file.create_dataset(name, data=np.array([missing if value is None else value for value in values], dtype))


# dtype in data frames -> dtype in the file and the value of missing numbers.
_MEMBER_DTYPES: Mapping[str, tuple[str, float]] = {"Int64": ("<i4", -1), "Float64": ("<f8", float("nan"))}


def _write_inputs(file: h5py.File, inputs: Inputs | RecordedInputs) -> None:
    import h5py

    dataset = file.create_dataset("inputs", data=inputs.to_json(), dtype=h5py.string_dtype())
    _label(dataset, long_name="recipe and inputs as canonical JSON; its SHA-256 is the fingerprint")


def _write_text(file: h5py.File, name: str, values: Sequence[str]) -> h5py.Dataset:
    import h5py

    return file.create_dataset(name, data=np.array(values, dtype=object), dtype=h5py.string_dtype())


def _label(dataset: h5py.Dataset, **attributes: str | None) -> None:
    for name, value in attributes.items():
        if value is not None:
            dataset.attrs[name] = value

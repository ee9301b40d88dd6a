"""Reading many volumes in batches: one batch is read while the previous one is processed.

Batches bound the memory for any number of volumes. Small files are read into buffers that are reused, because touching
freshly allocated memory takes as long as reading the file. Files are opened, with a hint to the system, some time
before they are read, so that a slow disk can serve several at a time.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from bsv_store.errors import DamagedFileError
from bsv_store.volumes.encoding import decode
from bsv_store.volumes.library import read_slab
from bsv_store.volumes.volume import SparseArray

if TYPE_CHECKING:
    from io import FileIO

    from bsv_store.volumes.files import StoreFiles
    from bsv_store.volumes.library import VolumeFile

Voxels = SparseArray | NDArray[np.float32]

Content = list[Voxels] | DamagedFileError
"""The voxels of the files of a request, in order, or the error of the first damaged one."""

# Number of files opened ahead. A larger number was not faster on a cold cache.
_AHEAD = 8
# Alignment of arrays for vector instructions.
_ALIGNMENT = 64

_Request = Sequence["VolumeFile"]

A = TypeVar("A")
R = TypeVar("R")


def read_in_batches(
    files: StoreFiles, requests: Sequence[_Request], start: int, stop: int, *, batch_bytes: int
) -> Iterator[list[Content]]:
    """The voxels of the AP planes [start, stop) of all requests, in order, in batches; every byte is verified.

    Of volumes of 25 and 10 um only these planes are read.

    Parameters
    ----------
    requests : sequence of sequences of VolumeFile
        Files that belong together, such as a volume and its masks.
    batch_bytes : int
        Maximum size of a batch. A request that is larger is a batch of its own.

    Yields
    ------
    list of (list of SparseArray or ndarray of float32, or DamagedFileError)
        One item for each request, as from `bsv_store.volumes.library.read_slab`; read-only. The arrays of a batch are
        valid until the next batch is requested, which reuses their memory.
    """
    batches = _cut(requests, start, stop, batch_bytes)
    if len(batches) == 1:
        yield _read(files, batches[0], start, stop, _Buffer(batch_bytes))
        return
    buffers = itertools.cycle((_Buffer(batch_bytes), _Buffer(batch_bytes)))
    with ThreadPoolExecutor(1, thread_name_prefix="bsv-store-read") as reader:
        coming: Future[list[Content]] | None = None
        for batch in batches:
            later = reader.submit(_read, files, batch, start, stop, next(buffers))
            if coming is not None:
                yield coming.result()
            coming = later
        if coming is not None:
            yield coming.result()


@dataclass(slots=True)
class _Buffer:
    """Memory for the files of one batch."""

    _batch_bytes: int
    _memory: NDArray[np.uint8] = field(default_factory=lambda: np.empty(0, np.uint8))

    def split(self, sizes: Sequence[int]) -> list[memoryview]:
        """Views of these sizes, which reuse the memory of earlier views."""
        starts = list(itertools.accumulate((-(-size // _ALIGNMENT) * _ALIGNMENT for size in sizes), initial=0))
        if starts[-1] > self._memory.size:
            self._memory = np.empty(max(starts[-1], self._batch_bytes), np.uint8)
        whole = self._memory.data
        return [whole[start : start + size] for start, size in zip(starts, sizes, strict=False)]


def _cut(requests: Sequence[_Request], start: int, stop: int, batch_bytes: int) -> list[list[_Request]]:
    batches: list[list[_Request]] = []
    free = 0
    for request in requests:
        # The size of a slab of a large file is known only when it is open.
        alone = any(file.layout.has_slabs for file in request)
        size = batch_bytes if alone else sum(_bytes(file, start, stop) for file in request)
        if not batches or free < size:
            batches.append([])
            free = batch_bytes
        batches[-1].append(request)
        free -= size
    return batches


def _bytes(file: VolumeFile, start: int, stop: int) -> int:
    layout = file.layout
    if layout.encoding == "dense":
        return layout.size_bytes + 4 * layout.grid.size * (stop - start) // layout.grid.shape[0]
    return layout.size_bytes


def _read(files: StoreFiles, batch: Sequence[_Request], start: int, stop: int, buffer: _Buffer) -> list[Content]:
    small = [file for request in batch for file in request if not file.layout.has_slabs]
    parts = buffer.split([file.layout.size_bytes for file in small])
    with ExitStack() as stack:
        prepared = zip(_opened_ahead(files, small, stack), parts, strict=True)

        def voxels(file: VolumeFile) -> Voxels | DamagedFileError:
            if file.layout.has_slabs:
                return read_slab(files, file, start, stop)
            stream, part = next(prepared)
            if isinstance(stream, DamagedFileError):
                return stream
            with stream:
                files.read_into(part, stream, xxh3=file.layout.file_xxh3)
            whole = decode(part.toreadonly(), file.layout)
            return whole.planes(start, stop) if isinstance(whole, SparseArray) else whole[start:stop]

        return [_together([_or_damage(voxels, file) for file in request]) for request in batch]


def _opened_ahead(
    files: StoreFiles, small: Sequence[VolumeFile], stack: ExitStack
) -> Iterator[FileIO | DamagedFileError]:
    """Each file, open, or the error; some files are opened ahead."""
    ahead: deque[FileIO | DamagedFileError] = deque()
    for file in small:
        found = _or_damage(files.open_for_read_into, file.path)
        ahead.append(found if isinstance(found, DamagedFileError) else stack.enter_context(found))
        if len(ahead) > _AHEAD:
            yield ahead.popleft()
    yield from ahead


def _or_damage(read: Callable[[A], R], argument: A) -> R | DamagedFileError:
    """The result of a call or its `DamagedFileError`, so that the other files of the batch are still read."""
    try:
        return read(argument)
    except DamagedFileError as error:
        return error


def _together(parts: list[Voxels | DamagedFileError]) -> Content:
    damage = next((part for part in parts if isinstance(part, DamagedFileError)), None)
    return damage or [part for part in parts if not isinstance(part, DamagedFileError)]

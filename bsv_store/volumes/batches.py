"""Many volumes one after the other: a batch is read while the one before it is worked on.

Batches bound the memory whatever the number of volumes. Small files are read into rooms that are used again and again,
since memory that the system has just handed out costs as much as reading the file into it. Files are opened, and so
announced to the system, some time before they are read: a slow disk serves many at a time.
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
"""The voxels of the files asked for together, in their order, or what is wrong with one of them."""

_BATCH_BYTES = 16_000_000
# Files opened before they are read: on a cold cache, more gained nothing.
_AHEAD = 8
# Arrays start where the processor likes to load them from.
_ALIGNMENT = 64

_Request = Sequence["VolumeFile"]

A = TypeVar("A")
R = TypeVar("R")


def read_in_batches(files: StoreFiles, requests: Sequence[_Request], start: int, stop: int) -> Iterator[list[Content]]:
    """The voxels of the AP planes [start, stop) of every request, in order, in batches; every byte checked.

    Of volumes of 25 and 10 um nothing but these planes is read.

    Parameters
    ----------
    requests : sequence of sequences of VolumeFile
        Files that belong together, such as a volume and its masks.

    Yields
    ------
    list of (list of SparseArray or ndarray of float32, or DamagedFileError)
        One for each request, as from :func:`bsv_store.volumes.library.read_slab`; read-only. The arrays of a batch
        hold until the next one is asked for: its memory is then used again.
    """
    batches = _cut(requests, start, stop)
    if len(batches) == 1:
        yield _read(files, batches[0], start, stop, _Room())
        return
    rooms = itertools.cycle((_Room(), _Room()))
    with ThreadPoolExecutor(1, thread_name_prefix="bsv-store-read") as reader:
        coming: Future[list[Content]] | None = None
        for batch in batches:
            later = reader.submit(_read, files, batch, start, stop, next(rooms))
            if coming is not None:
                yield coming.result()
            coming = later
        if coming is not None:
            yield coming.result()


@dataclass(slots=True)
class _Room:
    """Memory for the files of one batch."""

    _memory: NDArray[np.uint8] = field(default_factory=lambda: np.empty(0, np.uint8))

    def cut(self, sizes: Sequence[int]) -> list[memoryview]:
        """Parts of these sizes; those handed out before are used again."""
        starts = list(itertools.accumulate((-(-size // _ALIGNMENT) * _ALIGNMENT for size in sizes), initial=0))
        if starts[-1] > self._memory.size:
            self._memory = np.empty(max(starts[-1], _BATCH_BYTES), np.uint8)
        whole = self._memory.data
        return [whole[start : start + size] for start, size in zip(starts, sizes, strict=False)]


def _cut(requests: Sequence[_Request], start: int, stop: int) -> list[list[_Request]]:
    batches: list[list[_Request]] = []
    room = 0
    for request in requests:
        # How much of a large file lies in a slab, only the file knows.
        alone = any(file.layout.has_slabs for file in request)
        size = _BATCH_BYTES if alone else sum(_bytes(file, start, stop) for file in request)
        if not batches or room < size:
            batches.append([])
            room = _BATCH_BYTES
        batches[-1].append(request)
        room -= size
    return batches


def _bytes(file: VolumeFile, start: int, stop: int) -> int:
    layout = file.layout
    if layout.encoding == "dense":
        return layout.size_bytes + 4 * layout.grid.size * (stop - start) // layout.grid.shape[0]
    return layout.size_bytes


def _read(files: StoreFiles, batch: Sequence[_Request], start: int, stop: int, room: _Room) -> list[Content]:
    small = [file for request in batch for file in request if not file.layout.has_slabs]
    parts = room.cut([file.layout.size_bytes for file in small])
    with ExitStack() as stack:
        prepared = zip(_announced(files, small, stack), parts, strict=True)

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


def _announced(files: StoreFiles, small: Sequence[VolumeFile], stack: ExitStack) -> Iterator[FileIO | DamagedFileError]:
    """Each file, open, or why it cannot be; some are opened ahead."""
    ahead: deque[FileIO | DamagedFileError] = deque()
    for file in small:
        found = _or_damage(files.announced, file.path)
        ahead.append(found if isinstance(found, DamagedFileError) else stack.enter_context(found))
        if len(ahead) > _AHEAD:
            yield ahead.popleft()
    yield from ahead


def _or_damage(read: Callable[[A], R], argument: A) -> R | DamagedFileError:
    """What a call returns, or the damage that it met: the other files of a batch are read all the same."""
    try:
        return read(argument)
    except DamagedFileError as error:
        return error


def _together(parts: list[Voxels | DamagedFileError]) -> Content:
    damage = next((part for part in parts if isinstance(part, DamagedFileError)), None)
    return damage or [part for part in parts if not isinstance(part, DamagedFileError)]

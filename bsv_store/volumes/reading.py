"""Reading many volumes in their order, each into memory that is reused.

A sparse volume of 100 or 50 um is read, verified and passed on before the next one is read, so that its bytes are still
in the processor's cache when they are added to a sum. Volumes that must be decompressed are read ahead by a thread.
Files are opened, with a hint to the system, some time before they are read, so that a slow disk can serve several at a
time.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from bsv_store.errors import DamagedFileError
from bsv_store.volumes.encoding import decode
from bsv_store.volumes.library import read_slab
from bsv_store.volumes.volume import SparseArray

if TYPE_CHECKING:
    from collections.abc import Generator
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


def read_in_order(
    files: StoreFiles, requests: Sequence[_Request], start: int, stop: int
) -> Generator[Content, None, None]:
    """The voxels of the AP planes [start, stop) of each request, in order; every byte is verified.

    Of volumes of 25 and 10 um only these planes are read.

    Parameters
    ----------
    requests : sequence of sequences of VolumeFile
        Files that belong together, such as a volume and its masks.

    Yields
    ------
    list of (SparseArray or ndarray of float32), or DamagedFileError
        As from `bsv_store.volumes.library.read_slab`; read-only. The arrays are valid until the next request is read,
        which reuses their memory.
    """
    small = [file for request in requests for file in request if not file.layout.has_slabs]
    with closing(_opened_ahead(files, small)) as opened:
        reader = _Reader(files, opened, start, stop)
        if any(file.layout.has_slabs or file.layout.encoding == "dense" for request in requests for file in request):
            yield from _read_ahead(reader, requests)
            return
        buffer = _Buffer()
        for request in requests:
            yield reader.read(request, buffer)


def _read_ahead(reader: _Reader, requests: Sequence[_Request]) -> Iterator[Content]:
    """The contents of the requests; a thread reads one while the previous one is processed."""
    buffers = itertools.cycle((_Buffer(), _Buffer()))
    with ThreadPoolExecutor(1, thread_name_prefix="bsv-store-read") as thread:
        coming: Future[Content] | None = None
        for request in requests:
            later = thread.submit(reader.read, request, next(buffers))
            if coming is not None:
                yield coming.result()
            coming = later
        if coming is not None:
            yield coming.result()


@dataclass(slots=True)
class _Buffer:
    """Memory for the files of one request."""

    _memory: NDArray[np.uint8] = field(default_factory=lambda: np.empty(0, np.uint8))

    def split(self, sizes: Sequence[int]) -> list[memoryview]:
        """Views of these sizes, which reuse the memory of earlier views."""
        starts = list(itertools.accumulate((-(-size // _ALIGNMENT) * _ALIGNMENT for size in sizes), initial=0))
        if starts[-1] > self._memory.size:
            # Larger than necessary, because touching new memory takes as long as reading the file.
            self._memory = np.empty(starts[-1] * 3 // 2, np.uint8)
        whole = self._memory.data
        return [whole[start : start + size] for start, size in zip(starts, sizes, strict=False)]


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads the files of requests, which must be given in order."""

    files: StoreFiles
    opened: Iterator[FileIO | DamagedFileError]
    start: int
    stop: int

    def read(self, request: _Request, buffer: _Buffer) -> Content:
        """The voxels of the files of a request, or the error of the first damaged one."""
        sizes = [0 if file.layout.has_slabs else file.layout.size_bytes for file in request]
        parts = zip(request, buffer.split(sizes), strict=True)
        # The others are read too, so that each file is read once.
        found = [_or_damage(self._voxels, each) for each in parts]
        damage = next((each for each in found if isinstance(each, DamagedFileError)), None)
        return damage or [each for each in found if not isinstance(each, DamagedFileError)]

    def _voxels(self, part: tuple[VolumeFile, memoryview]) -> Voxels:
        file, memory = part
        if file.layout.has_slabs:
            return read_slab(self.files, file, self.start, self.stop)
        stream = next(self.opened)
        if isinstance(stream, DamagedFileError):
            raise stream
        with stream:
            self.files.read_into(memory, stream, xxh3=file.layout.file_xxh3)
        whole = decode(memory.toreadonly(), file.layout)
        return whole.planes(self.start, self.stop) if isinstance(whole, SparseArray) else whole[self.start : self.stop]


def _opened_ahead(files: StoreFiles, small: Sequence[VolumeFile]) -> Generator[FileIO | DamagedFileError, None, None]:
    """Each file, open, or the error; some files are opened ahead."""
    ahead: deque[FileIO | DamagedFileError] = deque()
    try:
        for file in small:
            ahead.append(_or_damage(files.open_for_read_into, file.path))
            if len(ahead) > _AHEAD:
                yield ahead.popleft()
        while ahead:
            yield ahead.popleft()
    finally:
        for each in ahead:
            if not isinstance(each, DamagedFileError):
                each.close()


def _or_damage(read: Callable[[A], R], argument: A) -> R | DamagedFileError:
    """The result of a call or its `DamagedFileError`, so that other files are still read."""
    try:
        return read(argument)
    except DamagedFileError as error:
        return error

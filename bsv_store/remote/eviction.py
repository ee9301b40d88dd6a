"""What is in the cache, and the removal of the objects that were not used for the longest time."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bsv_store.errors import BsvStoreError
from bsv_store.remote.folder import make_private
from bsv_store.remote.locks import ThreadLock, locked_if_free
from bsv_store.remote.partial import MARKS_ENDING, remove_partial

# Evicted down to this part of the limit, so that not every download looks at the whole folder.
_PART: Final = 0.95
_ALLOCATED_UNIT: Final = 512


@dataclass(frozen=True, slots=True)
class CachedObject:
    """A file in the cache.

    Attributes
    ----------
    sha256 : str
        Of the bytes of the complete file.
    path : pathlib.Path
    size_bytes : int
        On disk: of a partial file only the blocks that are present.
    last_used : datetime.datetime
        Aware UTC, to about ten minutes.
    is_partial : bool
    """

    sha256: str
    path: Path
    size_bytes: int
    last_used: datetime
    is_partial: bool


def listed_objects(folder: Path) -> list[CachedObject]:
    """The complete and partial files in a cache folder, the least recently used ones first."""
    found = [*_listed(folder, "objects"), *_listed(folder, "partial")]
    return sorted(found, key=lambda each: (each.last_used, each.sha256))


def _listed(folder: Path, kind: str) -> Iterator[CachedObject]:
    for entry in _entries(folder / kind):
        if entry.name.endswith(MARKS_ENDING):
            continue
        sha256 = entry.name.partition(".")[0]
        try:
            facts = entry.stat()
        except FileNotFoundError:
            # Another process has just removed it.
            continue
        used = facts.st_mtime
        with contextlib.suppress(FileNotFoundError):
            used = max(used, (folder / "uses" / sha256[:2] / sha256).stat().st_mtime)
        is_partial = kind == "partial"
        size = min(facts.st_size, facts.st_blocks * _ALLOCATED_UNIT) if is_partial else facts.st_size
        yield CachedObject(sha256, Path(entry.path), size, datetime.fromtimestamp(used, UTC), is_partial)


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as groups:
            names = [each.path for each in groups if each.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return
    for name in sorted(names):
        with contextlib.suppress(FileNotFoundError), os.scandir(name) as entries:
            yield from [each for each in entries if is_object_name(each.name) and each.is_file(follow_symlinks=False)]


def is_object_name(name: str) -> bool:
    """Whether a file has the name of an object: its SHA-256, with or without an ending. The cache removes no others."""
    return _OBJECT.fullmatch(name) is not None


_OBJECT = re.compile(r"[0-9a-f]{64}(\.[a-z0-9.]+)?")


def remove_object(folder: Path, found: CachedObject) -> bool:
    """Remove an object, unless another process is downloading it; whether it is gone."""
    locks = make_private(folder / "locks")
    with locked_if_free(locks / found.sha256) as is_free:
        if not is_free:
            return False
        if found.is_partial:
            remove_partial(found.path)
        else:
            found.path.unlink(missing_ok=True)
        (folder / "uses" / found.sha256[:2] / found.sha256).unlink(missing_ok=True)
    return True


class Eviction:
    """Keeps the size of a cache below its limit.

    Parameters
    ----------
    folder : pathlib.Path
        Of the cache.
    max_bytes : int
    is_in_use : callable
        Whether this process is using the object with a hash.
    """

    def __init__(self, folder: Path, max_bytes: int, is_in_use: Callable[[str], bool]) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._is_in_use = is_in_use
        self._lock = ThreadLock()
        # Size when the folder was last listed, and of what was added since; None before that.
        self._size: int | None = None

    def added(self, size_bytes: int, *, keep: str) -> None:
        """Note a new object, and evict others if the limit is exceeded."""
        with self._lock:
            if self._size is not None:
                self._size += size_bytes
            if self._size is None or self._size > self._max_bytes:
                self._size = self._evict(keep)

    def _evict(self, keep: str) -> int:
        objects = listed_objects(self._folder)
        size = sum(each.size_bytes for each in objects)
        if size <= self._max_bytes:
            return size
        for each in objects:
            if size <= _PART * self._max_bytes:
                break
            # An object that cannot be removed now stays until the next time.
            with contextlib.suppress(OSError, BsvStoreError):
                if each.sha256 != keep and not self._is_in_use(each.sha256) and remove_object(self._folder, each):
                    size -= each.size_bytes
        return size

"""Make the n-th call of one kind of file operation fail, as a broken disk or a full one would."""

from __future__ import annotations

import errno
import io
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import pytest

Call = Literal["open", "write", "fsync", "rename", "unlink", "mkdir"]
CALLS: tuple[Call, ...] = get_args(Call)
ERRORS = {"EIO": errno.EIO, "ENOSPC": errno.ENOSPC}


@dataclass
class FailingDisk:
    """Counts the operations on files below a folder, and makes one of them fail.

    Attributes
    ----------
    root : pathlib.Path
        Operations elsewhere are not counted.
    call : Call or None
        The kind of operation that fails; None fails nothing.
    number : int
        Which one fails, from 1.
    error : int
        The error number.
    counts : Counter
        Operations so far, by kind.
    """

    root: Path
    call: Call | None = None
    number: int = 0
    error: int = errno.EIO
    counts: Counter[Call] = field(default_factory=Counter)
    failed: bool = False

    def count(self, call: Call, path: str) -> None:
        """Count an operation; raises OSError if it is the one that fails."""
        if not path.startswith(str(self.root)):
            return
        self.counts[call] += 1
        if call == self.call and self.counts[call] == self.number:
            self.failed = True
            raise OSError(self.error, os.strerror(self.error), path)


class _File(io.FileIO):
    """A file whose writes are counted."""

    disk: FailingDisk

    def write(self, data: Any, /) -> int:
        """Write, unless this is the write that fails."""
        self.disk.count("write", str(self.name))
        return super().write(data)


@contextmanager
def failing(disk: FailingDisk) -> Iterator[None]:
    """Count and fail operations of Python code, in the ways in which the library writes files."""
    real_open, real_fsync = Path.open, os.fsync

    class Counted(_File):
        pass

    Counted.disk = disk

    def opened(self: Path, mode: str = "r", buffering: int = -1, *others: Any, **options: Any) -> Any:
        if not (set(mode) & set("wxa+")):
            return real_open(self, mode, buffering, *others, **options)
        disk.count("open", str(self))
        if "b" not in mode:
            return real_open(self, mode, buffering, *others, **options)
        raw = Counted(str(self), mode.replace("b", ""))
        if buffering == 0:
            return raw
        return io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)

    def synced(descriptor: int) -> None:
        disk.count("fsync", str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        real_fsync(descriptor)

    def counted(call: Call, real: Any) -> Any:
        def operation(self: Path, *arguments: Any, **options: Any) -> Any:
            disk.count(call, str(self))
            return real(self, *arguments, **options)

        return operation

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", opened)
        patch.setattr(os, "fsync", synced)
        for name in ("rename", "replace"):
            patch.setattr(Path, name, counted("rename", getattr(Path, name)))
        for name in ("unlink", "mkdir"):
            patch.setattr(Path, name, counted(name, getattr(Path, name)))
        yield

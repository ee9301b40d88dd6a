"""Counts the work that a call does: statements, files opened, bytes read. A guard against slowness without a clock."""

from __future__ import annotations

import builtins
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from bsv_store.volumes.files import StoreFiles


@dataclass
class Work:
    """What was done while it was counted.

    Attributes
    ----------
    statements : list of str
        SQL, without what begins transactions and sets pragmas.
    opened : list of str
        Names of the volume and result files opened, once for each time.
    read : list of str
        Names of those read whole and checked.
    bytes_read : int
        Of these.
    """

    statements: list[str] = field(default_factory=list)
    opened: list[str] = field(default_factory=list)
    read: list[str] = field(default_factory=list)
    bytes_read: int = 0


@contextmanager
def _counting_opened(work: Work) -> Iterator[None]:
    """Note the files that are opened.

    An audit hook would see every file too. It cannot be removed, and so would slow down all later tests: Python calls
    it for each call of ``id``, among others.
    """

    def note(file: object) -> None:
        if isinstance(file, (str, os.PathLike)) and os.fspath(file).endswith((".h5", ".nc")):
            work.opened.append(Path(file).name)

    class CountedFileIO(FileIO):
        def __init__(self, file: Any, *arguments: Any, **options: Any) -> None:
            note(file)
            super().__init__(file, *arguments, **options)

    plain = io.open

    def counted_open(file: Any, *arguments: Any, **options: Any) -> Any:
        note(file)
        return plain(file, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(io, "open", counted_open)
        patch.setattr(builtins, "open", counted_open)
        for module in [each for name, each in sys.modules.items() if name.startswith("bsv_store")]:
            if vars(module).get("FileIO") is FileIO:
                patch.setattr(module, "FileIO", CountedFileIO)
        yield


@contextmanager
def counted() -> Iterator[Work]:
    """Count the work of this process until the end of the block."""
    work = Work()
    read, read_into = StoreFiles.read, StoreFiles.read_into

    def on_statement(_c: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if not statement.startswith(("BEGIN", "PRAGMA")):
            work.statements.append(statement)

    def reading(self: StoreFiles, relative: str, **recorded: Any) -> bytes:
        data = read(self, relative, **recorded)
        work.read.append(Path(relative).name)
        work.bytes_read += len(data)
        return data

    def reading_into(self: StoreFiles, room: memoryview, file: FileIO, **recorded: Any) -> None:
        read_into(self, room, file, **recorded)
        work.read.append(Path(file.name).name)
        work.bytes_read += len(room)

    event.listen(Engine, "before_cursor_execute", on_statement)
    StoreFiles.read, StoreFiles.read_into = reading, reading_into  # type: ignore[assignment, method-assign]
    try:
        with _counting_opened(work):
            yield work
    finally:
        StoreFiles.read, StoreFiles.read_into = read, read_into  # type: ignore[method-assign]
        event.remove(Engine, "before_cursor_execute", on_statement)

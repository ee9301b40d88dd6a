"""Counts the work that a call does: statements, files opened, bytes read. A guard against slowness without a clock."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Any

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


_watching: list[Work] = []


def _on_audit(name: str, arguments: tuple[Any, ...]) -> None:
    if name == "open" and _watching and isinstance(arguments[0], str) and arguments[0].endswith((".h5", ".nc")):
        for work in _watching:
            work.opened.append(Path(arguments[0]).name)


# An audit hook sees all opened files of the interpreter and cannot be removed, so there is one for all tests.
sys.addaudithook(_on_audit)


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
    _watching.append(work)
    try:
        yield work
    finally:
        _watching.remove(work)
        StoreFiles.read, StoreFiles.read_into = read, read_into  # type: ignore[method-assign]
        event.remove(Engine, "before_cursor_execute", on_statement)

"""The states in which a loss of power may leave a store: what was not flushed may be lost, cut or reordered.

A killed process keeps what the system has in memory, so a missing fsync shows only when the power fails. Here, the file
operations of a job are recorded, and from them are built the folders that a crash at any moment may leave, as ALICE
does (Pillai et al., OSDI 2014):

- the bytes of a file are on the disk when the file was flushed after they were written. Before that, it may be empty,
  cut in half, full of zeros, or complete;
- a name (created, renamed, removed) is on the disk when its folder was flushed afterwards. Before that, each change may
  have reached the disk or not, in any order; permissions go with the name;
- a commit of the database is on the disk when it returns, since SQLite flushes its file and journal
  (``PRAGMA synchronous = FULL``), and so is the deletion of its journal.
"""

from __future__ import annotations

import itertools
import os
import random
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from bsv_store.catalog.database.sqlite import CatalogConnection

_DATABASE = "catalog.db"


@dataclass(frozen=True)
class Operation:
    """One operation that changed files, or made changes durable.

    Attributes
    ----------
    kind : str
    path : str
        Relative to the store; of a rename, the new one.
    inode : int
        Of the file, or of the folder.
    content : bytes
        Of a file when it was flushed or got a name; of the database after a commit.
    source : str
        The old path, of a rename.
    """

    kind: Literal["create", "flush", "rename", "unlink", "mkdir", "flush folder", "commit"]
    path: str
    inode: int = 0
    content: bytes = b""
    source: str = ""


@dataclass
class Recorder:
    """The operations below a folder, in their order."""

    root: Path
    operations: list[Operation] = field(default_factory=list)

    def add(self, kind: Any, path: Path | str, *, inode: int = 0, content: bytes = b"", source: str = "") -> None:
        """Record an operation, unless it is elsewhere or on the database."""
        name = str(path)
        if name.startswith(f"{self.root}/") and not Path(name).name.startswith(_DATABASE):
            self.operations.append(Operation(kind, name[len(str(self.root)) + 1 :], inode, content, source))

    def committed(self) -> None:
        """Record the state of the database."""
        content = (self.root / _DATABASE).read_bytes()
        if not any(each.kind == "commit" for each in self.operations) or self._latest() != content:
            self.operations.append(Operation("commit", _DATABASE, 0, content))

    def summary(self, crash: int) -> str:
        """The last operations before a crash, in words."""
        return ", ".join(f"{each.kind} {each.path}" for each in self.operations[max(0, crash - 4) : crash])

    def _latest(self) -> bytes:
        return next(each.content for each in reversed(self.operations) if each.kind == "commit")


@contextmanager
def recording(recorder: Recorder) -> Iterator[None]:
    """Record the file operations of Python code, and the commits of SQLite."""
    real_open, real_fsync = Path.open, os.fsync
    real = {name: getattr(Path, name) for name in ("rename", "replace", "unlink", "mkdir")}

    def opened(self: Path, mode: str = "r", *others: Any, **options: Any) -> Any:
        is_new = bool(set(mode) & set("wxa")) and not self.exists()
        file = real_open(self, mode, *others, **options)
        if is_new:
            recorder.add("create", self, inode=self.stat().st_ino)
        return file

    def synced(descriptor: int) -> None:
        real_fsync(descriptor)
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        found = os.fstat(descriptor)
        if stat.S_ISDIR(found.st_mode):
            recorder.add("flush folder", f"{path}/.", inode=found.st_ino)
        else:
            recorder.add("flush", path, inode=found.st_ino, content=path.read_bytes())

    def moved(name: str) -> Callable[[Path, Path | str], Path]:
        def operation(self: Path, target: Path | str) -> Path:
            found = self.stat()
            content = self.read_bytes()
            done: Path = real[name](self, target)
            source = str(self)[len(str(recorder.root)) + 1 :]
            recorder.add("rename", target, inode=found.st_ino, content=content, source=source)
            return done

        return operation

    def unlinked(self: Path, *arguments: Any, **options: Any) -> None:
        existed = self.exists()
        real["unlink"](self, *arguments, **options)
        if existed:
            recorder.add("unlink", self)

    def made(self: Path, *arguments: Any, **options: Any) -> None:
        existed = self.exists()
        real["mkdir"](self, *arguments, **options)
        if not existed:
            recorder.add("mkdir", self)

    real_commit = CatalogConnection.commit

    def committed(self: CatalogConnection) -> None:
        real_commit(self)
        recorder.committed()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", opened)
        patch.setattr(os, "fsync", synced)
        for name in ("rename", "replace"):
            patch.setattr(Path, name, moved(name))
        patch.setattr(Path, "unlink", unlinked)
        patch.setattr(Path, "mkdir", made)
        patch.setattr(CatalogConnection, "commit", committed)
        yield


@dataclass(frozen=True)
class State:
    """What a crash left.

    Attributes
    ----------
    crash : int
        Number of operations before the crash.
    commits : int
        Number of commits before it.
    folders : frozenset of str
        New folders.
    removed : frozenset of str
        Files of the store before the job that no longer exist.
    files : tuple of (str, bytes)
        Files that are new or have other content.
    database : bytes or None
        None if nothing was committed.
    """

    crash: int
    commits: int
    folders: frozenset[str]
    removed: frozenset[str]
    files: tuple[tuple[str, bytes], ...]
    database: bytes | None

    def build(self, before: Path, target: Path) -> None:
        """Write the state: a copy of the store before the job, changed."""
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(before, target)
        for folder in sorted(self.folders):
            (target / folder).mkdir(exist_ok=True)
            (target / folder).chmod(0o2775)
        for name in self.removed:
            (target / name).unlink(missing_ok=True)
        for name, content in self.files:
            (target / name).write_bytes(content)
            (target / name).chmod(0o664)
        if self.database is not None:
            (target / _DATABASE).write_bytes(self.database)


def states(operations: list[Operation], *, tries: int, seed: int) -> Iterator[State]:
    """Distinct states after a crash at each moment: what is lost is drawn at random, besides nothing and everything."""
    draw = random.Random(seed)
    seen = set()
    for crash in range(len(operations) + 1):
        done = operations[:crash]
        pending = _pending(done)
        for attempt in range(tries + 2):
            lost = set() if attempt == 0 else pending if attempt == 1 else {n for n in pending if draw.random() < 0.5}
            state = _state(done, lost, draw)
            key = (state.folders, state.removed, state.files, state.commits)
            if key not in seen:
                seen.add(key)
                yield state


def _pending(done: list[Operation]) -> set[int]:
    """The numbers of the operations that no flush has made durable."""
    pending = set()
    for number, operation in enumerate(done):
        if operation.kind not in ("create", "rename", "unlink", "mkdir"):
            continue
        folder = _parent(operation.path)
        later = itertools.islice(done, number + 1, None)
        if not any(each.kind == "flush folder" and _parent(each.path) == folder for each in later):
            pending.add(number)
    return pending


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _state(done: list[Operation], lost: set[int], draw: random.Random) -> State:
    names: dict[str, int] = {}
    folders: set[str] = set()
    removed: set[str] = set()
    written: dict[int, bytes] = {}
    flushed: dict[int, bytes] = {}
    database: bytes | None = None
    commits = 0
    for number, operation in enumerate(done):
        if operation.kind == "flush":
            flushed[operation.inode] = written[operation.inode] = operation.content
        elif operation.kind == "commit":
            database = operation.content
            commits += 1
        elif operation.kind == "rename":
            written[operation.inode] = operation.content
        if number in lost:
            continue
        if operation.kind == "create":
            names[operation.path] = operation.inode
        elif operation.kind == "rename":
            names.pop(operation.source, None)
            removed.add(operation.source)
            names[operation.path] = operation.inode
        elif operation.kind == "unlink":
            names.pop(operation.path, None)
            removed.add(operation.path)
        elif operation.kind == "mkdir":
            folders.add(operation.path)
    files = []
    for name, inode in sorted(names.items()):
        if _parent(name) in _new_folders(done) and _parent(name) not in folders:
            continue
        files.append((name, _content(inode, written, flushed, draw)))
    kept = {name for name, _ in files}
    folders = {each for each in folders if _has_parents(each, folders, _new_folders(done))}
    return State(len(done), commits, frozenset(folders), frozenset(removed - kept), tuple(files), database)


def _new_folders(done: list[Operation]) -> set[str]:
    return {each.path for each in done if each.kind == "mkdir"}


def _has_parents(path: str, kept: set[str], new: set[str]) -> bool:
    parent = _parent(path)
    return parent not in new or (parent in kept and _has_parents(parent, kept, new))


def _content(inode: int, written: dict[int, bytes], flushed: dict[int, bytes], draw: random.Random) -> bytes:
    content = written.get(inode, b"")
    if flushed.get(inode) == content:
        return content
    kind = draw.choice(["complete", "empty", "cut", "zeros"])
    if kind == "complete":
        return content
    return {"empty": b"", "cut": content[: len(content) // 2], "zeros": bytes(len(content))}[kind]

"""A process whose file operations are recorded or fail in the C library, including those of SQLite and HDF5.

``disk.c`` is compiled and loaded into the process with LD_PRELOAD. To check that a record is complete, it is replayed:
the result must equal the folder that the process left (`tests.reliability.power_loss.History`).
"""

from __future__ import annotations

import ctypes
import gc
import mmap
import multiprocessing
import os
import pickle
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal, Self, get_args

import pytest

Call = Literal["open", "read", "write", "fsync", "rename", "unlink", "mkdir", "link", "truncate"]
CALLS: tuple[Call, ...] = get_args(Call)
# Instead of an error number: a write that writes half of the bytes, as before the disk is full.
SHORT = 0

Kind = Literal[
    "create",
    "write",
    "truncate",
    "sync",
    "rename",
    "link",
    "unlink",
    "mkdir",
    "rmdir",
    "mark",
    "call",
    "open",
    "unknown",
]
KINDS: tuple[Kind, ...] = get_args(Kind)

# The layout of struct control in disk.c, behind the lock.
_CONTROL = struct.Struct("=8I16I2IQQ")
_CONTROL_AT = 128
_IS_READY, _IS_RECORDING, _IS_COUNTING, _CALL, _NUMBER, _IS_LASTING, _ERROR, _FAILED = range(8)
_COUNTS = 8
_IS_TRACING = 24
_IS_FOLLOWING = 25
_USED = 26
_LOG_AT = 4096
_RECORD = struct.Struct("=4IQq")
_LOG_BYTES = 1 << 28
_TIMEOUT_S = 120


@dataclass(frozen=True)
class Operation:
    """One operation that changed files, or made changes durable.

    Attributes
    ----------
    kind : Kind
        A mark says that a step of the job has returned.
    path : str
        Absolute; the name of a mark.
    target : str
        The new path, of a rename or link.
    inode : int
    offset : int
        Of a write; the new size of a truncated file; of a flush, whether it is a folder.
    data : bytes
        That were written.
    """

    kind: Kind
    path: str
    target: str
    inode: int
    offset: int
    data: bytes


@dataclass(frozen=True)
class Counted:
    """A counted call.

    Attributes
    ----------
    call : Call
    number : int
        From 1, of its kind.
    path : str
        Absolute.
    stack : str
        Lines of Python from which it was made.
    inner : bytes
        Return addresses of the C code below, such as SQLite; the same in all forks of a process.
    """

    call: Call
    number: int
    path: str
    stack: str
    inner: bytes


@dataclass(frozen=True)
class Failure:
    """Which call fails.

    Attributes
    ----------
    call : Call
    number : int
        From 1.
    error : int
        The error number, or `SHORT`.
    is_lasting : bool
        Whether the later calls of the kind fail, too.
    """

    call: Call
    number: int
    error: int
    is_lasting: bool = False


class Control:
    """The memory that is shared with disk.c in the observed process."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 0)

    @classmethod
    def create(cls, path: Path) -> Self:
        """A new control file."""
        with path.open("xb") as file:
            file.truncate(_LOG_AT + _LOG_BYTES)
        return cls(path)

    def _get(self, place: int) -> int:
        return int(_CONTROL.unpack_from(self._memory, _CONTROL_AT)[place])

    def _set(self, place: int, value: int) -> None:
        struct.pack_into("=I", self._memory, _CONTROL_AT + 4 * place, value)

    @property
    def is_ready(self) -> bool:
        """Whether disk.c is loaded."""
        return bool(self._get(_IS_READY))

    @property
    def failed(self) -> int:
        """How many calls have failed."""
        return self._get(_FAILED)

    def start(self, *, is_recording: bool = False, is_tracing: bool = False, failure: Failure | None = None) -> None:
        """Begin to record operations, or to count, trace and fail calls."""
        call = len(CALLS) if failure is None else CALLS.index(failure.call)
        for place, value in (
            (_CALL, call),
            (_NUMBER, 0 if failure is None else failure.number),
            (_IS_LASTING, failure is not None and failure.is_lasting),
            (_ERROR, 0 if failure is None else failure.error),
            (_FAILED, 0),
            *((_COUNTS + number, 0) for number in range(len(CALLS))),
        ):
            self._set(place, int(value))
        if is_recording or is_tracing:
            struct.pack_into("=Q", self._memory, _CONTROL_AT + 4 * _USED, 0)
        self._set(_IS_RECORDING, int(is_recording))
        self._set(_IS_TRACING, int(is_tracing))
        self._set(_IS_COUNTING, int(not is_recording))

    def follow(self) -> None:
        """Begin to record which files are opened, and nothing else."""
        struct.pack_into("=Q", self._memory, _CONTROL_AT + 4 * _USED, 0)
        self._set(_IS_FOLLOWING, 1)

    def stop(self) -> None:
        """Neither record nor fail calls."""
        self._set(_IS_RECORDING, 0)
        self._set(_IS_COUNTING, 0)
        self._set(_IS_FOLLOWING, 0)

    def opened(self) -> set[int]:
        """The inodes of the files that were opened since `follow`."""
        return {each.inode for each in self._records()}

    def counted(self) -> Iterator[Counted]:
        """The traced calls."""
        for each in self._records():
            yield Counted(CALLS[each.inode], each.offset, each.path, each.target, each.data)

    def operations(self) -> Iterator[Operation]:
        """The recorded operations."""
        return self._records()

    def _records(self) -> Iterator[Operation]:
        (used,) = struct.unpack_from("=Q", self._memory, _CONTROL_AT + 4 * _USED)
        at, end = _LOG_AT, _LOG_AT + used
        while at < end:
            kind, *lengths, inode, offset = _RECORD.unpack_from(self._memory, at)
            at += _RECORD.size
            parts = []
            for length in lengths:
                parts.append(self._memory[at : at + length])
                at += length
            yield Operation(KINDS[kind], os.fsdecode(parts[0]), os.fsdecode(parts[1]), inode, offset, parts[2])


def missing() -> str | None:
    """Why file operations cannot be observed here; None if they can."""
    if sys.platform != "linux":
        return "disk.c is for Linux"
    if shutil.which("cc") is None:
        return "there is no C compiler (cc)"
    return None


class ObservedProcess:
    """A process with disk.c, which calls functions one after the other.

    Parameters
    ----------
    root : pathlib.Path
        Operations below this folder are observed.
    """

    def __init__(self, root: Path) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="bsv-store-disk-", dir=memory_folder())
        folder = Path(self._folder.name)
        library = folder / "disk.so"
        source = Path(__file__).with_name("disk.c")
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl", "-lpthread"], check=True)
        self.control = Control.create(folder / "control")
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("LD_PRELOAD", str(library))
            patch.setenv("BSV_STORE_TEST_DISK", str(folder / "control"))
            patch.setenv("BSV_STORE_TEST_DISK_ROOT", str(root.resolve()))
            patch.setenv("OPENBLAS_NUM_THREADS", "1")
            self._process = context.Process(target=_serve, args=(theirs, library), daemon=True)
            self._process.start()
        theirs.close()
        assert self.call(_ready) is None
        assert self.control.is_ready

    def call(self, function: Callable[..., Any], *arguments: Any, in_fork: bool = True) -> Any:
        """What a function of a module returns, called in a fork of the process, or in the process itself.

        Raises
        ------
        DiedError
            If the process that calls it dies or takes too long.
        Exception
            What the function raises.
        """
        try:
            self._connection.send_bytes(pickle.dumps((function, arguments, in_fork)))
            if not self._connection.poll(_TIMEOUT_S + 10):
                # It would answer a later call.
                self._process.kill()
                raise DiedError(f"the process took longer than {_TIMEOUT_S} s")
            is_returned, value = pickle.loads(self._connection.recv_bytes())
        except (EOFError, ConnectionError) as error:
            raise DiedError("the process died") from error
        if not is_returned:
            raise value
        return value

    def close(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.join(10)
        self._process.kill()
        self._folder.cleanup()


class DiedError(Exception):
    """The process that called the function died, or took too long."""


def memory_folder() -> Path | None:
    """A folder in memory, if there is one with space; else None, for the folder of temporary files."""
    folder = Path("/dev/shm")
    return folder if folder.is_dir() and shutil.disk_usage(folder).free > 1 << 30 else None


def mark(name: str) -> None:
    """Record that a step of a job has returned; only in the observed process."""
    library = ctypes.CDLL(os.environ["LD_PRELOAD"])
    library.bsv_store_test_mark(os.fsencode(name))


def own_control() -> Control:
    """The control of this process, which is observed."""
    return Control(Path(os.environ["BSV_STORE_TEST_DISK"]))


def _ready() -> None:
    return None


def _serve(connection: Connection, _library: Path) -> None:
    _import_everything()
    while True:
        try:
            function, arguments, in_fork = pickle.loads(connection.recv_bytes())
        except EOFError:
            return
        connection.send_bytes(_in_fork(function, arguments) if in_fork else _answer(function, arguments))


def _import_everything() -> None:
    """Import what jobs need, once for all forks."""
    import tests.preloaded
    import tests.reliability.jobs  # noqa: F401
    from tests.compiled_sql import share_compiled_sql

    share_compiled_sql()
    gc.collect()
    gc.freeze()


def _in_fork(function: Callable[..., Any], arguments: tuple[Any, ...]) -> bytes:
    ours, theirs = multiprocessing.Pipe(duplex=False)
    child = os.fork()
    if child == 0:
        try:
            ours.close()
            theirs.send_bytes(_answer(function, arguments))
        finally:
            os._exit(0)
    theirs.close()
    try:
        answer = ours.recv_bytes() if ours.poll(_TIMEOUT_S) else None
    except EOFError:
        answer = None
    if answer is None:
        is_late = os.waitpid(child, os.WNOHANG)[0] == 0
        if is_late:
            os.kill(child, 9)
            os.waitpid(child, 0)
        why = f"took longer than {_TIMEOUT_S} s" if is_late else "died"
        return pickle.dumps((False, DiedError(f"the process {why}")))
    os.waitpid(child, 0)
    ours.close()
    return answer


def _answer(function: Callable[..., Any], arguments: tuple[Any, ...]) -> bytes:
    try:
        return pickle.dumps((True, function(*arguments)))
    except BaseException as error:  # noqa: BLE001 (the caller raises it)
        import traceback

        text = "".join(traceback.format_exception(error))
        return pickle.dumps((False, AssertionError(text)))

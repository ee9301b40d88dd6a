"""A target of fuzzing, and one run of it within limits.

An input passes if the reader returns the right value or raises a `BsvStoreError`, within the target's CPU time and
memory, and without writing a file outside its scratch folder.
"""

from __future__ import annotations

import hashlib
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bsv_store.errors import BsvStoreError

Mutator = Callable[[bytes, random.Random], bytes]

# In addition to the limit of the reader: caches of the libraries, fragmentation.
_SLACK_BYTES = 32 << 20
# Memory of the values of a text, for each of its bytes.
_FACTOR = 60

FOUND_VARIABLE = "BSV_STORE_FUZZING_FOUND"
"""A folder where failing inputs are kept."""

MAX_INPUT_BYTES = 8 << 20
"""Longer inputs are not made: limits of size have tests of their own."""
_PROC = Path("/proc/self")


@dataclass(frozen=True)
class Prepared:
    """A target that is ready to run.

    Attributes
    ----------
    seeds : sequence of bytes
        Valid inputs.
    run : callable
        Reads an input. It raises `BsvStoreError` if it is refused, and AssertionError if the value is wrong.
    close : callable
        Releases what the reader holds, such as an open store.
    """

    seeds: Sequence[bytes]
    run: Callable[[bytes], object]
    close: Callable[[], object] = lambda: None


@dataclass(frozen=True)
class Target:
    """A reader of outside bytes.

    Attributes
    ----------
    reads : str
        What is read, for the documentation.
    prepare : callable
        Makes the seeds and the reader, given a scratch folder.
    mutate : callable
    weight : float
        Relative number of inputs, the larger the faster the reader.
    seconds : float
        CPU time that one input may take.
    memory_bytes : int
        Memory that one input may take.
    has_hash : bool
        Whether its bytes are compared with a recorded hash before the reader sees them, so that only inputs are tried
        that a program has written.
    """

    reads: str
    prepare: Callable[[Path], Prepared]
    mutate: Mutator
    weight: float = 10.0
    seconds: float = 5.0
    memory_bytes: int = 64 << 20
    has_hash: bool = False


class BrokenPromiseError(Exception):
    """An input for which a reader broke its promise; the message says how to repeat it."""


_watched: list[Path] = []
_written: list[str] = []
_is_hooked = False


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watched or event not in ("open", "os.rename", "os.remove", "os.mkdir"):
        return
    name = arguments[0]
    if event == "open":
        flags = arguments[2]
        if not isinstance(flags, int) or not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            return
    elif event in ("os.remove", "os.mkdir") and arguments[-1] not in (-1, None):
        # Relative to an open folder, as `shutil.rmtree` does it.
        return
    if isinstance(name, str | bytes | os.PathLike):
        path = Path(os.fsdecode(name)).absolute()
        if not _is_allowed(path):
            _written.append(f"{event} {path}")


def _is_allowed(path: Path) -> bool:
    # Temporary files of the package, the folder of the server that forks children in tests, and caches of Python and
    # Matplotlib.
    temporary = [str(Path(tempfile.gettempdir()) / prefix) for prefix in ("bsv-store-", "pymp-")]
    return (
        path.is_relative_to(_watched[-1])
        or path.is_relative_to("/proc")
        or path == Path(os.devnull)
        or str(path).startswith(tuple(temporary))
        or any(part == "__pycache__" or part.startswith("matplotlib") for part in path.parts)
    )


@contextmanager
def _watching(scratch: Path) -> Iterator[None]:
    """Record the files that are written outside a folder. An audit hook cannot be removed, so there is one."""
    global _is_hooked
    if not _is_hooked:
        sys.addaudithook(_audit)
        _is_hooked = True
    _written.clear()
    _watched.append(scratch)
    try:
        yield
    finally:
        _watched.pop()


def check(name: str, target: Target, prepared: Prepared, data: bytes, scratch: Path) -> bool:
    """Run one input; whether it was accepted.

    Raises
    ------
    BrokenPromiseError
        If the reader broke its promise.
    """
    before = _reset_peak()
    start = time.process_time()
    is_accepted = False
    try:
        with _watching(scratch):
            prepared.run(data)
            is_accepted = True
    except BsvStoreError as error:
        # The message is shown in terminals and logs.
        if len(str(error)) > 20_000:
            raise BrokenPromiseError(
                _words(name, data, f"an error message of {len(str(error)):,} characters")
            ) from error
    except Exception as error:
        raise BrokenPromiseError(_words(name, data, f"{type(error).__name__}: {str(error)[:300]}")) from error
    spent, taken = time.process_time() - start, _peak() - before
    if spent > target.seconds:
        raise BrokenPromiseError(_words(name, data, f"{spent:.1f} s of CPU, more than {target.seconds:g}"))
    allowed = target.memory_bytes + _FACTOR * len(data)
    if taken > allowed + _SLACK_BYTES:
        raise BrokenPromiseError(_words(name, data, f"{taken >> 20} MiB of memory, more than {allowed >> 20}"))
    if _written:
        raise BrokenPromiseError(_words(name, data, f"files outside the store: {_written[:3]}"))
    return is_accepted


def digest_of(data: bytes) -> str:
    """Name of an input in ``corpus`` and ``found``."""
    return hashlib.sha256(data).hexdigest()[:16]


def _words(name: str, data: bytes, problem: str) -> str:
    folder = os.environ.get(FOUND_VARIABLE)
    where = ""
    if folder:
        target = Path(folder) / name
        target.mkdir(parents=True, exist_ok=True)
        (target / digest_of(data)).write_bytes(data)
        where = f", kept as {target / digest_of(data)}"
    return f"target {name}, input {digest_of(data)} of {len(data):,} bytes{where}: {problem}; begins {data[:200]!r}"


def _reset_peak() -> int:
    """Reset the peak of the resident memory, where the system can; returns the peak after that, in bytes."""
    try:
        (_PROC / "clear_refs").write_text("5")
    except OSError:
        return _peak()
    return _peak()


def _peak() -> int:
    try:
        with (_PROC / "status").open("rb") as file:
            text = file.read()
    except OSError:
        return 0
    at = text.find(b"VmHWM:")
    return int(text[at + 6 : text.find(b"kB", at)]) * 1024 if at >= 0 else 0

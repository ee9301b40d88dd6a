"""Files that are computed while they are sent."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bsv_store.errors import DamagedFileError
from bsv_store.server.allen.messages import FileContent
from bsv_store.server.allen.spool import Spool, SpoolBusyError

PIECES = [bytes([number]) * 100_000 for number in range(20)]
WHOLE = b"".join(PIECES)


def open_files() -> int:
    """Number of open files of this process; 0 where it is not known."""
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.is_dir() else 0


class Source:
    """Content that counts how often it is computed."""

    def __init__(self, *, fails_at: int | None = None, gate_at: int | None = None, **size: bool) -> None:
        self.computed = 0
        self.fails_at, self.gate_at = fails_at, gate_at
        self.gate = threading.Event()
        self.content = FileContent("x", self.pieces, **size)

    def pieces(self) -> Iterator[bytes]:
        for number, piece in enumerate(PIECES):
            if number == self.fails_at:
                raise DamagedFileError("damaged")
            if number == self.gate_at:
                assert self.gate.wait(20)
            self.computed += 1
            yield piece


@pytest.mark.parametrize("is_large", [False, True])
def test_many_readers_at_once_get_the_same_bytes_computed_once(is_large: bool) -> None:
    source, spool, bodies = Source(is_large=is_large), Spool(), list[bytes]()
    threads = [
        threading.Thread(target=lambda: bodies.append(b"".join(spool.get(source.content).read()))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bodies == [WHOLE] * 8
    assert source.computed == len(PIECES)


@pytest.fixture
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bsv_store.server.allen.spool._COMPLETE_WAIT_S", 0.05)


@pytest.mark.usefixtures("_hurry")
def test_a_large_file_is_sent_while_it_is_computed() -> None:
    source = Source(is_large=True, gate_at=2)
    file = Spool().get(source.content)
    assert b"".join(file.read(0, 200_000)) == WHOLE[:200_000]
    assert file.size is None
    source.gate.set()
    assert b"".join(file.read(150_000, 250_000)) == WHOLE[150_000:250_000]
    assert b"".join(file.read()) == WHOLE
    assert file.size == len(WHOLE)


@pytest.mark.usefixtures("_hurry")
def test_few_large_files_are_computed_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bsv_store.server.allen.spool._SLOT_WAIT_S", 0.01)
    spool, first = Spool(large_at_a_time=1), Source(is_large=True, gate_at=1)
    file = spool.get(first.content)
    other = FileContent("other", lambda: iter(PIECES), is_large=True)
    with pytest.raises(SpoolBusyError):
        spool.get(other)
    # Small ones need not wait.
    assert spool.get(FileContent("small", lambda: iter(PIECES))).size == len(WHOLE)
    first.gate.set()
    assert b"".join(file.read()) == WHOLE
    monkeypatch.setattr("bsv_store.server.allen.spool._SLOT_WAIT_S", 20.0)
    assert spool.get(other).size == len(WHOLE)


@pytest.mark.usefixtures("_hurry")
def test_a_failure_is_raised_and_not_kept() -> None:
    spool = Spool(large_at_a_time=1)
    for is_large in (False, True):
        with pytest.raises(DamagedFileError):
            spool.get(Source(fails_at=3, is_large=is_large).content)
    late = Source(fails_at=3, gate_at=2, is_large=True)
    file = spool.get(late.content)
    late.gate.set()
    with pytest.raises(DamagedFileError):
        b"".join(file.read())
    assert b"".join(spool.get(Source(is_large=True).content).read()) == WHOLE


def test_the_least_recently_used_files_are_removed() -> None:
    spool = Spool(limit_bytes=3 * len(WHOLE))
    contents = [FileContent(str(number), lambda: iter(PIECES)) for number in range(5)]
    oldest = spool.get(contents[0])
    before = open_files()
    for content in contents:
        spool.get(content)
    assert spool.size_bytes <= 3 * len(WHOLE)
    assert spool.get(contents[0]) is not oldest
    # A file that is still being sent stays readable.
    assert b"".join(oldest.read()) == WHOLE
    del oldest
    assert open_files() <= before + 3

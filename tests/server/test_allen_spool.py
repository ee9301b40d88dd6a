"""Files that are computed while they are sent."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bsv_store.errors import DamagedFileError
from bsv_store.server.allen.messages import FileContent
from bsv_store.server.allen.spool import Spool, SpooledFile

PIECES = [bytes([number]) * 100_000 for number in range(20)]
WHOLE = b"".join(PIECES)


def open_files() -> int:
    """Number of open files of this process; 0 where it is not known."""
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.is_dir() else 0


class Source:
    """Content that counts how often it is computed."""

    def __init__(self, *, fails_at: int | None = None) -> None:
        self.computed = 0
        self.fails_at = fails_at
        self.content = FileContent("x", self.pieces)

    def pieces(self) -> Iterator[bytes]:
        for number, piece in enumerate(PIECES):
            if number == self.fails_at:
                raise DamagedFileError("damaged")
            self.computed += 1
            yield piece


def test_many_readers_at_once_get_the_same_bytes_computed_once() -> None:
    source, bodies = Source(), list[bytes]()
    file = SpooledFile(source.content)
    threads = [threading.Thread(target=lambda: bodies.append(b"".join(file.read()))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bodies == [WHOLE] * 8
    assert source.computed == len(PIECES)


def test_only_what_is_read_is_computed_and_the_next_reader_continues() -> None:
    source = Source()
    file = SpooledFile(source.content)
    reader = file.read()
    assert next(reader) == PIECES[0]
    reader.close()  # type: ignore[attr-defined]
    assert (source.computed, file.size) == (1, None)
    assert b"".join(file.read(150_000, 250_000)) == WHOLE[150_000:250_000]
    assert source.computed == 3
    file.compute()
    assert (file.size, source.computed) == (len(WHOLE), len(PIECES))


def test_a_failure_reaches_every_reader_and_is_not_kept() -> None:
    spool, broken = Spool(), Source(fails_at=3)
    file = spool.get(broken.content)
    for _ in range(2):
        with pytest.raises(DamagedFileError):
            file.compute()
    again = spool.get(Source().content)
    assert b"".join(again.read()) == WHOLE


def test_the_least_recently_used_files_are_removed() -> None:
    spool = Spool(limit_bytes=3 * len(WHOLE))
    contents = [FileContent(str(number), lambda: iter(PIECES)) for number in range(5)]
    oldest = spool.get(contents[0])
    before = open_files()
    for content in contents:
        spool.get(content).compute()
    spool.get(contents[-1])
    assert spool.size_bytes <= 3 * len(WHOLE)
    assert spool.get(contents[0]) is not oldest
    # A file that is still being sent stays readable.
    assert b"".join(oldest.read()) == WHOLE
    del oldest
    assert open_files() <= before + 3

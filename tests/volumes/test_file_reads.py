"""Published files are read as they were stored, or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any

import pytest
import xxhash

from bsv_store.errors import DamagedFileError, StoreError
from bsv_store.volumes.files import StoreFiles, hashes_of

NAME = "volumes/projection_density/100um/127084296.h5"
OTHER = "datasets/1/result.nc"
DATA = b"some bytes" * 100
XXH3 = xxhash.xxh3_64_hexdigest(DATA)


@pytest.fixture
def files(tmp_path: Path) -> StoreFiles:
    files = StoreFiles(tmp_path)
    files.publish(NAME, DATA)
    return files


def read(files: StoreFiles, name: str = NAME) -> bytes:
    return files.read(name, size_bytes=len(DATA), xxh3=XXH3)


def read_into(files: StoreFiles, name: str = NAME) -> bytes:
    buffer = bytearray(len(DATA))
    with files.open_for_read_into(name) as file:
        files.read_into(memoryview(buffer), file, xxh3=XXH3)
    return bytes(buffer)


def opened(files: StoreFiles, name: str = NAME) -> bytes:
    with files.opened(name, size_bytes=len(DATA), xxh3=XXH3) as file:
        return file.read()


WAYS = [read, read_into, opened]


@contextmanager
def little_memory(most: int) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < most


@pytest.mark.parametrize("way", WAYS)
def test_each_way_of_reading_returns_what_was_published(files: StoreFiles, way: Callable[..., bytes]) -> None:
    assert way(files) == DATA


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("missing", "is missing"),
        ("cut", "is not 1000 bytes long"),
        ("longer", "is not 1000 bytes long"),
        ("flipped", "differs from what was stored"),
    ],
)
def test_each_way_of_reading_names_the_damage_and_the_command(
    files: StoreFiles, way: Callable[..., bytes], damage: str, says: str
) -> None:
    path = files.path(NAME)
    path.write_bytes({"cut": DATA[:-1], "longer": DATA + b"x"}.get(damage, b"S" + DATA[1:]))
    if damage == "missing":
        path.unlink()
    with pytest.raises(DamagedFileError, match=f"the file {path} {says}") as caught:
        way(files)
    command = "bsv-store fetch --refresh --ids 127084296 --include-excluded --kind projection_density --spacing 100"
    assert command in str(caught.value.hint)


@pytest.mark.parametrize("way", WAYS)
def test_a_damaged_file_that_is_no_volume_is_repaired_with_the_store(
    files: StoreFiles, way: Callable[..., bytes]
) -> None:
    with pytest.raises(DamagedFileError) as caught:
        way(files, OTHER)
    assert caught.value.hint == "Repair the store: bsv-store repair --apply"


@pytest.mark.parametrize("way", WAYS)
def test_a_file_that_cannot_be_opened_is_named(files: StoreFiles, way: Callable[..., bytes]) -> None:
    # A folder in its place.
    files.path(OTHER).mkdir(parents=True)
    with pytest.raises(StoreError, match=f"the file {files.path(OTHER)} cannot be read"):
        way(files, OTHER)


class Failing(FileIO):
    """A file on a disk that fails."""

    def read(self, _size: int | None = -1, /) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def readinto(self, _buffer: Any, /) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_a_file_that_cannot_be_read_is_named(files: StoreFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    path = files.path(NAME)
    message = f"the file {path} cannot be read: .*{os.strerror(errno.EIO)}"
    with Failing(str(path)) as file, pytest.raises(StoreError, match=message):
        files.read_into(memoryview(bytearray(len(DATA))), file, xxh3=XXH3)
    monkeypatch.setattr(Path, "open", lambda path, _mode: Failing(str(path)))
    for way in (read, opened):
        with pytest.raises(StoreError, match=message):
            way(files)


@pytest.mark.parametrize("way", WAYS)
def test_no_way_of_reading_leads_out_of_the_store(files: StoreFiles, way: Callable[..., bytes]) -> None:
    with pytest.raises(DamagedFileError, match="outside the store"):
        way(files, "../outside")


def test_without_a_hash_only_the_size_is_verified(files: StoreFiles) -> None:
    files.path(NAME).write_bytes(b"S" + DATA[1:])
    with files.opened(NAME, size_bytes=len(DATA)) as file:
        assert file.read() == b"S" + DATA[1:]
    with (
        pytest.raises(DamagedFileError, match="is not 999 bytes long"),
        files.opened(NAME, size_bytes=len(DATA) - 1),
    ):
        pass


def test_a_file_that_is_far_too_long_is_not_read_into_memory(files: StoreFiles) -> None:
    files.path(NAME).write_bytes(bytes(4_000_000))
    with little_memory(1_000_000), pytest.raises(DamagedFileError, match="is not 1000 bytes long"):
        read(files)


class Slow(FileIO):
    """A file of which each read returns few bytes, as on some network file systems, and none after a while."""

    left = len(DATA)

    def readinto(self, buffer: Any, /) -> int:
        count = super().readinto(memoryview(buffer)[: min(7, self.left)]) or 0
        self.left -= count
        return count


def test_a_file_is_read_on_until_the_buffer_is_full(files: StoreFiles) -> None:
    buffer = bytearray(len(DATA))
    with Slow(str(files.path(NAME))) as file:
        files.read_into(memoryview(buffer), file, xxh3=XXH3)
    assert buffer == DATA


def test_a_file_that_is_cut_while_it_is_read_is_damaged(files: StoreFiles) -> None:
    with Slow(str(files.path(NAME))) as file:
        file.left = 100
        with pytest.raises(DamagedFileError, match="is not 1000 bytes long"):
            files.read_into(memoryview(bytearray(len(DATA))), file, xxh3=XXH3)


@pytest.mark.parametrize("is_refused", [False, True])
def test_the_system_is_told_that_a_file_will_be_read(
    files: StoreFiles, is_refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    hints = []

    def advised(*hint: int) -> None:
        hints.append(hint)
        if is_refused:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    # Not every system has them.
    monkeypatch.setattr(os, "posix_fadvise", advised, raising=False)
    monkeypatch.setattr(os, "POSIX_FADV_WILLNEED", 3, raising=False)
    with files.open_for_read_into(NAME) as file:
        # The whole file.
        assert hints == [(file.fileno(), 0, 0, 3)]
        assert file.read() == DATA


def test_a_system_without_such_hints_reads_too(files: StoreFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "posix_fadvise", raising=False)
    assert read_into(files) == DATA


def test_hashes_are_those_of_the_whole_file_in_little_memory(files: StoreFiles) -> None:
    data = os.urandom(3_500_000)
    path = files.publish(OTHER, data)
    with path.open("rb", buffering=0) as file:
        file.seek(10)
        with little_memory(2_500_000):
            found = hashes_of(file)
        assert file.tell() == 0
    assert found.size_bytes == len(data)
    assert found.sha256 == hashlib.sha256(data).hexdigest()
    assert found.xxh3 == xxhash.xxh3_64_hexdigest(data)


def test_the_size_of_a_file_is_known_if_there_is_one(files: StoreFiles) -> None:
    assert files.size_bytes(NAME) == len(DATA)
    assert files.size_bytes(OTHER) is None


# -- damaged copies ------------------------------------------------------------------------------------------------


class Cached(StoreFiles):
    """Files with local copies that can be discarded."""

    def discard_damaged(self, relative: str) -> bool:
        """Discard the copy of one file only."""
        return relative == NAME


@pytest.mark.parametrize("name", [NAME, OTHER])
def test_a_damaged_copy_is_discarded_and_the_file_read_again(tmp_path: Path, name: str) -> None:
    answers: list[bytes | None] = [None, DATA]

    def reading() -> bytes:
        if (answer := answers.pop(0)) is None:
            raise DamagedFileError("the copy is damaged")
        return answer

    if name == NAME:
        assert Cached(tmp_path).read_undamaged(name, reading) == DATA
        assert answers == []
        return
    with pytest.raises(DamagedFileError, match="the copy is damaged"):
        Cached(tmp_path).read_undamaged(name, reading)
    assert answers == [DATA]


def test_an_undamaged_file_is_read_once(files: StoreFiles) -> None:
    calls = []
    assert files.read_undamaged(NAME, lambda: calls.append(NAME) or DATA) == DATA  # type: ignore[func-returns-value]
    assert calls == [NAME]


def test_a_folder_has_no_copies_to_discard(files: StoreFiles) -> None:
    assert files.discard_damaged(NAME) is False
    with pytest.raises(DamagedFileError, match="outside the store"):
        files.discard_damaged("../outside")

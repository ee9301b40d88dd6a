"""Members of zip files are read within the limit of the caller, and have the size that the directory states."""

from __future__ import annotations

import io
import zipfile

import pytest

from bsv_store.formats.zip_archive import opened_archive, read_member

CONTENT = b"0123456789"


def _archive(*, stated: int = len(CONTENT)) -> io.BytesIO:
    """An archive with one member; all its headers state a size in bytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", CONTENT)
    body = stream.getvalue()
    # The local header has the size at byte 22, the entry of the directory at byte 24.
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = body.index(signature) + offset
        body = body[:at] + stated.to_bytes(4, "little") + body[at + 4 :]
    return io.BytesIO(body)


def _read(stream: io.BytesIO, limit: int) -> bytes:
    with opened_archive(stream) as archive:
        return read_member(archive, archive.infolist()[0], limit)


def test_a_member_of_the_largest_size_is_read() -> None:
    assert _read(_archive(), len(CONTENT)) == CONTENT


def test_a_member_above_the_limit_is_refused() -> None:
    with pytest.raises(zipfile.BadZipFile, match="must be at most 9 B, got 10 B"):
        _read(_archive(), len(CONTENT) - 1)


def test_a_member_shorter_than_stated_is_refused() -> None:
    with pytest.raises(zipfile.BadZipFile, match="has 10 bytes instead of 11"):
        _read(_archive(stated=11), 100)


def test_a_member_longer_than_stated_is_refused() -> None:
    with pytest.raises(zipfile.BadZipFile):
        _read(_archive(stated=9), 100)

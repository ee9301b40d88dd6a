"""Documents from outside: what is wrong with one is a ValueError, whatever the parser would raise."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from bsv_store.documents import (
    MAX_DEPTH,
    MAX_TOML_BYTES,
    json_value,
    read_document,
    record_of,
    seal_of,
    sealed_value,
    toml_values,
)
from bsv_store.text import reason, shown


@dataclass(frozen=True)
class _Record:
    name: str
    number: int
    note: str | None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "Expecting value"),
        ("NaN", "NaN is not a JSON number"),
        ("[1e400]", "too large"),
        (str(2**64), "more than 64 bits"),
        ("9" * 5_000, "more than 64 bits"),
        ("[" * 100_000, "nested deeper"),
        ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "nested deeper"),
        (b"\xff", "utf-8"),
        (b'\xff\xfe"\x00a\x00"\x00', "utf-8"),
    ],
)
def test_json_is_refused_by_a_value_error(text: str | bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        json_value(text)


def test_json_is_refused_above_its_limit() -> None:
    assert json_value(b" 1", max_bytes=2) == 1
    with pytest.raises(ValueError, match="at most 2 B"):
        json_value(b"  1", max_bytes=2)


@pytest.mark.parametrize("text", [b"a = " + b"[" * 5_000, b"a." * 100 + b"b = 1", b"#" * (MAX_TOML_BYTES + 1), b"\xff"])
def test_toml_is_refused_by_a_value_error(text: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (each has words of its own)
        toml_values(text)


def test_a_comment_may_have_many_dots() -> None:
    assert toml_values(b"# " + b"." * 100 + b"\na = 1\n") == {"a": 1}


def test_no_more_of_a_file_than_its_limit_is_read(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(b"12345")
    assert read_document(file, max_bytes=5) == b"12345"
    with pytest.raises(ValueError, match="at most 4 B"):
        read_document(file, max_bytes=4)


def test_a_sealed_value_has_its_hash() -> None:
    text = json.dumps({"a": [1], "sha256": seal_of([1])}).encode()
    assert sealed_value(text, "a") == [1]
    with pytest.raises(ValueError, match="checksum"):
        sealed_value(text.replace(b"[1]", b"[2]"), "a")
    for other in (b"[]", b"{}", b'{"a": 1}'):
        with pytest.raises(ValueError, match="must be an object"):
            sealed_value(other, "a")


@pytest.mark.parametrize(
    "value",
    [
        {"name": "a", "number": True, "note": None},
        {"name": 1, "number": 1, "note": None},
        {"name": "a", "number": 1, "note": 2},
        {"name": "a", "number": 1},
        {"name": "a", "number": 1, "note": None, "more": 1},
        [],
    ],
)
def test_a_record_has_exactly_its_fields_with_their_types(value: object) -> None:
    assert record_of(_Record, {"name": "a", "number": 1, "note": None}) == _Record("a", 1, None)
    with pytest.raises(ValueError):  # noqa: PT011 (each has words of its own)
        record_of(_Record, value)


def test_values_that_are_too_large_are_described_in_messages() -> None:
    nested: object = []
    for _ in range(900):
        nested = [nested]
    assert shown(nested).startswith("[[[") or "cannot be shown" in shown(nested)
    assert shown([0] * 100_000) == "a list that is too large to be shown"
    assert len(shown("x" * 10**7)) < 100
    assert len(reason(ValueError("x" * 10**6))) < 400

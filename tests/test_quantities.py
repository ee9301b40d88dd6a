"""Durations and sizes as users write them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bsv_store.errors import InputError
from bsv_store.quantities import parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("1.5m", 90), ("30min", 1800), ("12h", 43_200), ("7 d", 604_800), ("4W", 2_419_200)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration("since", text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "7", "d", "-1d", "1x", "1e3d", "9" * 400 + "d", "999999999d", "1d2h"])
def test_invalid_durations_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="since must be a number with a unit of time"):
        parse_duration("since", text)


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("12", 12), ("1kB", 1000), ("1 KiB", 1024), ("1.5TB", 1_500_000_000_000), ("2gib", 2**31)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size("max_bytes", text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "1XB", "1,5GB", "nan", "9" * 400])
def test_invalid_sizes_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="max_bytes must be a number of bytes"):
        parse_size("max_bytes", text)

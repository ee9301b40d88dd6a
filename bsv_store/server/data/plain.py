"""Values as JSON: numbers that JSON does not have, times, and the library's own types."""

from __future__ import annotations

import base64
import dataclasses
import json
import math
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from pathlib import PurePath
from typing import Any

MAX_EXACT_INTEGER = 2**53
"""Largest integer that JavaScript and other readers of JSON represent exactly."""


def plain(value: Any) -> Any:
    """A value as what `json.dumps` writes: see `bsv_store.remote.protocol.TABLE_TYPE` for the rules."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        # Of a subclass, such as a NumPy integer or an IntEnum, the number.
        return int(value) if abs(value) <= MAX_EXACT_INTEGER else str(int(value))
    if isinstance(value, float):
        return plain_float(float(value))
    if isinstance(value, str):
        return str(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value // timedelta(microseconds=1)
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(bytes(value)).decode()
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        items = sorted(value, key=repr) if isinstance(value, set | frozenset) else value
        return [plain(each) for each in items]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, PurePath):
        # No folders of this machine in answers.
        return value.name
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return str(value)


def plain_float(number: float) -> float | str | None:
    """A float; None for NaN, which tables use for missing values; text for infinities."""
    if math.isfinite(number):
        return number
    if math.isnan(number):
        return None
    return "Infinity" if number > 0 else "-Infinity"


def json_bytes(value: Any) -> bytes:
    """A plain value as compact JSON."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # Lone surrogates cannot be encoded; a name from a damaged file may have them.
    return text.encode("utf-8", "replace")

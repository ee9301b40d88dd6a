"""Durations and sizes as users write them: ``30m``, ``7d``, ``500GB``."""

from __future__ import annotations

import re
from datetime import timedelta

from bsv_store.errors import InputError
from bsv_store.text import shown

_QUANTITY = re.compile(r"(\d{1,15}(?:\.\d{1,15})?)\s*([A-Za-z]*)")
_SECONDS = {"s": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_BYTES = {
    **{"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12},
    **{"kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40},
}
_MAX_DAYS = 365_000


def parse_duration(name: str, text: str) -> timedelta:
    """The duration that a user wrote, such as ``90s``, ``30m``, ``12h``, ``7d`` or ``4w``.

    Raises
    ------
    InputError
        If it is not valid.
    """
    found = _QUANTITY.fullmatch(text.strip())
    unit = None if found is None else _SECONDS.get(found[2].lower())
    if found is None or unit is None or float(found[1]) * unit > _MAX_DAYS * 86_400:
        raise InputError(
            f"{name} must be a number with a unit of time, got {shown(text)}",
            hint="For example: 90s, 30m, 12h, 7d or 4w.",
        )
    return timedelta(seconds=float(found[1]) * unit)


def parse_size(name: str, text: str) -> int:
    """The number of bytes that a user wrote, such as ``500GB`` or ``1.5TB``; ``kB`` is 1,000 and ``KiB`` 1,024 bytes.

    Raises
    ------
    InputError
        If it is not valid.
    """
    found = _QUANTITY.fullmatch(text.strip())
    unit = None if found is None else _BYTES.get(found[2].lower())
    if found is None or unit is None:
        raise InputError(
            f"{name} must be a number of bytes or a number with a unit, got {shown(text)}",
            hint="For example: 800MB, 500GB or 1.5TB.",
        )
    return round(float(found[1]) * unit)

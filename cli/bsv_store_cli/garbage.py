"""Garbage collection while a command starts.

Imports create some hundred thousand objects, none of which is garbage. Python would search them several times, which
takes about 8 % of the time of a short command, and again in the middle of a longer one.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_RARELY = 100_000
# Python's thresholds while they are replaced.
_replaced: list[tuple[int, int, int]] = []


@contextmanager
def collected_rarely() -> Iterator[None]:
    """Collect garbage rarely until `collect_as_usual` is called."""
    usual = gc.get_threshold()
    _replaced.append(usual)
    gc.set_threshold(_RARELY, *usual[1:])
    try:
        yield
    finally:
        collect_as_usual()


def collect_as_usual() -> None:
    """Collect garbage as usual from now on, but never search what was imported before."""
    if _replaced:
        gc.freeze()
        gc.set_threshold(*_replaced.pop())

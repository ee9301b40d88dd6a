"""Garbage collection while a command starts.

Imports create some hundred thousand objects, none of which is garbage. Python would search them several times, which
takes about 8 % of the time of a short command, and again in the middle of a longer one.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Objects after which garbage is collected for the first time; a short command creates fewer.
_FIRST = 200_000


@contextmanager
def collected_late() -> Iterator[None]:
    """Collect garbage late for the first time, then as usual, but never search what existed then."""
    usual = gc.get_threshold()

    def as_usual(phase: str, _facts: Any) -> None:
        if phase == "stop":
            gc.callbacks.remove(as_usual)
            gc.freeze()
            gc.set_threshold(*usual)

    gc.callbacks.append(as_usual)
    gc.set_threshold(_FIRST, *usual[1:])
    try:
        yield
    finally:
        if as_usual in gc.callbacks:
            gc.callbacks.remove(as_usual)
            gc.set_threshold(*usual)

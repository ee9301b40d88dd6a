"""The warnings of the library during one request, while other threads serve other requests.

`warnings.catch_warnings` changes the state of the whole process, so it cannot be used in threads.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from bsv_store.errors import BsvStoreWarning

_collected: ContextVar[list[BsvStoreWarning] | None] = ContextVar("collected_warnings", default=None)
_lock = threading.Lock()


class _Hook:
    """Collects warnings of the library, and passes others on."""

    def __init__(self, original: Any) -> None:
        self._original = original

    def __call__(self, message: Warning | str, *details: Any, **more: Any) -> None:
        collected = _collected.get()
        if collected is not None and isinstance(message, BsvStoreWarning):
            collected.append(message)
        else:
            self._original(message, *details, **more)


def _install() -> None:
    # Again if somebody else has replaced it since, as tests do.
    if not isinstance(warnings.showwarning, _Hook):
        with _lock:
            if not isinstance(warnings.showwarning, _Hook):
                warnings.showwarning = _Hook(warnings.showwarning)
                # Each request gets its warnings, not only the first one.
                warnings.simplefilter("always", BsvStoreWarning)


@contextmanager
def collected_warnings() -> Iterator[list[BsvStoreWarning]]:
    """The warnings of the library that this thread issues in the block."""
    _install()
    found: list[BsvStoreWarning] = []
    token = _collected.set(found)
    try:
        yield found
    finally:
        _collected.reset(token)

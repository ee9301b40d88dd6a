"""Named points at which a test may kill the process, to prove that the next run recovers.

A point does nothing unless the environment variable ``BSV_STORE_KILL_AT`` names it; then the process ends at once by
SIGKILL, as a power cut would end it. ``name@3`` kills at the third passage.
"""

from __future__ import annotations

import os
import signal

_VARIABLE = "BSV_STORE_KILL_AT"
_passages: dict[str, int] = {}


def checkpoint(name: str) -> None:
    """Pass the point of that name."""
    wanted = os.environ.get(_VARIABLE)
    if wanted is None:
        return
    point, _, count = wanted.partition("@")
    if point != name:
        return
    _passages[name] = _passages.get(name, 0) + 1
    if _passages[name] == int(count or 1):
        os.kill(os.getpid(), signal.SIGKILL)

"""Named points at which a test can stop or kill the process, to prove that the next run recovers.

A checkpoint does nothing unless the environment variable ``BSV_STORE_KILL_AT`` names it. Then the process is ended by
SIGKILL, similar to a power failure. ``name@3`` kills the process the third time the checkpoint is reached. The variable
``BSV_STORE_KILL_WITH`` names another signal, such as SIGTERM. A test can also set a function that every checkpoint
calls, and that returns when the process may go on.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

_VARIABLE = "BSV_STORE_KILL_AT"
_SIGNAL_VARIABLE = "BSV_STORE_KILL_WITH"
_reached: dict[str, int] = {}
_hook: Callable[[str], None] | None = None


def set_hook(hook: Callable[[str], None] | None) -> None:
    """Call a function with the name of each checkpoint that this process reaches; None ends it."""
    global _hook
    _hook = hook


def checkpoint(name: str) -> None:
    """Call the function of `set_hook`; kill the process if ``BSV_STORE_KILL_AT`` names this checkpoint."""
    if _hook is not None:
        _hook(name)
    wanted = os.environ.get(_VARIABLE)
    if wanted is None:
        return
    point, _, count = wanted.partition("@")
    if point != name:
        return
    _reached[name] = _reached.get(name, 0) + 1
    if _reached[name] == int(count or 1):
        os.kill(os.getpid(), signal.Signals[os.environ.get(_SIGNAL_VARIABLE, "SIGKILL")])

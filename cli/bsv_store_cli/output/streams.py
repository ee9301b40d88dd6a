"""Standard streams that were closed before the program started, as by ``2>&-`` or some job systems."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

_NAMES = ("stdin", "stdout", "stderr")


def open_closed_streams() -> None:
    """Connect closed standard streams to the null device.

    Otherwise the next file that is opened, such as one of the store, gets the file descriptor of the stream, and
    what a library writes to the stream ends up in that file.
    """
    # In this order, since a new file gets the lowest free descriptor.
    for number, name in enumerate(_NAMES):
        if getattr(sys, name) is not None:
            continue
        with suppress(OSError):
            os.fstat(number)
            continue
        opened = os.open(os.devnull, os.O_RDWR)
        if opened != number:
            os.dup2(opened, number)
            os.close(opened)
        # Child processes inherit the stream.
        os.set_inheritable(number, True)
    for name in _NAMES:
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8", errors="backslashreplace"))  # noqa: SIM115

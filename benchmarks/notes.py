"""Status messages of the benchmarks."""

from __future__ import annotations

import sys


def note(text: str) -> None:
    """Print a status message to standard error; results go to standard output."""
    print(text, file=sys.stderr, flush=True)

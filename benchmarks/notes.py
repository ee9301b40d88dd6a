"""Says where a benchmark is."""

from __future__ import annotations

import sys


def note(text: str) -> None:
    """Say it on standard error: figures go to standard output."""
    print(text, file=sys.stderr, flush=True)

"""Progress bars on standard error, if it is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from bsv_store.progress import NO_PROGRESS, Progress, RichBar, rich_bars


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A display of progress bars for the duration of the block, if standard error is a terminal."""
    from bsv_store.config import setting

    wanted = setting("progress").value
    if wanted == "off" or not (sys.stderr.isatty() or wanted == "on"):
        yield NO_PROGRESS
        return
    with rich_bars() as bars:
        yield RichBar(bars)

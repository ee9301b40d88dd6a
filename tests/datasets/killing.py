"""What processes of their own do with datasets, to the end or until they are killed."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.processes import Child


def killed(location: Path, point: str, method: str, *arguments: str, **options: object) -> None:
    """Make a call of ``store.datasets`` in a process that dies at that point."""
    child = Child(_call, location, method, arguments, options, kill_at=point)
    output, errors = child.communicate(timeout=120)
    assert (child.returncode, output, errors) == (-signal.SIGKILL, "", "")


def asking(location: Path, *questions: Sequence[int], kill_at: str | None = None) -> Child:
    """A process that averages the experiments of each question, and writes the numbers of the versions."""
    return Child(_ask, location, questions, kill_at=kill_at)


def _call(location: Path, method: str, arguments: Sequence[str], options: dict[str, object]) -> None:
    from bsv_store import open_store

    with open_store(location) as store:
        getattr(store.datasets, method)(*arguments, **options)


def _ask(location: Path, questions: Sequence[Sequence[int]]) -> None:
    from bsv_store import Selection, open_store
    from tests.datasets.world import ask

    with open_store(location) as store:
        for ids in questions:
            sys.stdout.write(f"{ask(store, Selection(ids=ids)).number}\n")

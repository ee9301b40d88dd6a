"""A process that repairs a store and is killed at a checkpoint."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.processes import Child


def killed_repair(location: Path, point: str, api_url: str) -> None:
    """Repair a store in a process that dies at that point."""
    child = Child(_repair, location, api_url, kill_at=point)
    output, errors = child.communicate(timeout=300)
    assert (child.returncode, output, errors) == (-signal.SIGKILL, "", "")


def _repair(location: Path, api_url: str) -> None:
    from bsv_store import open_store

    with open_store(location) as store:
        store.admin.repair(apply=True, api_url=api_url)

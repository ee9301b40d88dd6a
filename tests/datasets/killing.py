"""A process that is killed in the middle of a call."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]

CHILD = """
import json, sys
from bsv_store import open_store

with open_store(sys.argv[1]) as store:
    method, arguments, options = json.loads(sys.argv[2])
    getattr(store.versions, method)(*arguments, **options)
"""


def killed(location: Path, point: str, method: str, *arguments: str, **options: object) -> None:
    """Make a call of ``store.versions`` in a process that dies at that point."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(location), json.dumps([method, arguments, options])],
        env={**os.environ, "BSV_STORE_KILL_AT": point},
        capture_output=True,
        text=True,
        check=False,
        cwd=CHECKOUT,
        timeout=120,
    )
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGKILL, "", "")

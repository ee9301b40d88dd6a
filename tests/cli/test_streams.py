"""Standard streams that are closed when a command starts."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.running import child_environment, command_line

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the shell closes the streams")

# Reports on a file which file gets the number of a closed stream, as one of the store would.
_PROBE = """
import os, sys
from bsv_store_cli.output.streams import open_closed_streams
open_closed_streams()
with open(sys.argv[1], "w") as opened:
    print("a text", file=sys.stdout), os.write(1, b"of a library")
    print("a message", file=sys.stderr), os.write(2, b"of a library")
    opened.write(f"{opened.fileno() > 2} {sys.stdin.read()!r}")
"""


def _run(command: list[str], closed: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", f"exec {shlex.join(command)} {closed}"],
        env=child_environment(),
        capture_output=True,
        text=True,
        encoding="utf-8",
        stdin=subprocess.DEVNULL,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("closed", ["<&- >&- 2>&-", "2>&-", ">&-"])
def test_no_file_gets_the_number_of_a_closed_stream(closed: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    assert _run([sys.executable, "-c", _PROBE, str(file)], closed).returncode == 0
    assert file.read_text() == "True ''"


def test_a_command_does_its_work_with_closed_streams(filled: Path) -> None:
    # One with a table and a progress bar.
    done = _run(command_line("verify", store=filled), "<&- >&- 2>&-")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = _run(command_line("exclude", "list", store=filled), ">&-")
    assert done.returncode == 0
    assert "Traceback" not in done.stderr

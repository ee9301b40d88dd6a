"""Progress bars: on a terminal, and only there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from bsv_store_synthetic import SyntheticServer
from tests.cli.conftest import VISP
from tests.cli.running import Runner, child_environment, command_line

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals there"),
    pytest.mark.parametrize("database", ["sqlite"], indirect=True),
]


def _on_a_terminal(*arguments: object, store: Path) -> tuple[int, str, str]:
    """Exit code, standard output, and what a terminal got as standard error."""
    import pty

    mine, theirs = pty.openpty()
    process = subprocess.Popen(
        command_line(*arguments, store=store),
        env=child_environment(TERM="xterm", COLUMNS="100"),
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
    )
    os.close(theirs)
    seen = bytearray()
    reader = threading.Thread(target=_read_all, args=(mine, seen))
    reader.start()
    out, _ = process.communicate(timeout=120)
    reader.join(timeout=60)
    os.close(mine)
    return process.returncode, out, seen.decode()


def _read_all(terminal: int, into: bytearray) -> None:
    while True:
        try:
            piece = os.read(terminal, 65536)
        except OSError:
            # Linux says EIO when the last writer has gone, others return nothing.
            return
        if not piece:
            return
        into += piece


def test_a_terminal_gets_a_bar(server: SyntheticServer, own_filled: Path) -> None:
    ids = f"{VISP[0]},{VISP[1]}"
    code, out, err = _on_a_terminal("fetch", "--ids", ids, "--refresh", "--format", "csv", store=own_filled)
    assert code == 0
    assert out.splitlines()[0] == "experiment_id,outcome,reason"
    assert "projection_density at 100 um" in err
    assert "2/2" in err
    assert re.search(r"\d+\.\d [kM]B, \d+\.\d [kM]B/s ", err)
    # Afterwards the cursor is there again.
    assert err.rindex("\x1b[?25h") > err.rindex("\x1b[?25l")
    assert "2 fetched" in err.rsplit("\x1b[?25h", 1)[1]


def test_a_pipe_gets_none(run: Runner, server: SyntheticServer, own_filled: Path) -> None:
    done = run("fetch", "--ids", VISP[0], "--refresh", store=own_filled).succeeded()
    assert "\x1b" not in done.err
    assert len(done.err.splitlines()) == 1

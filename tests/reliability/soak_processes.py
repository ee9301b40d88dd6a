"""The server and the processes of a soak, which are killed and restarted."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Final

import requests

from tests.cli.running import child_environment, command_line
from tests.processes import Child
from tests.reliability.soak_worker import Places, work

PROCESSES: Final = 12
_START_S: Final = 400.0
STOP_S: Final = 600.0
# The first ones are clients of the server. Of each kind, one process is never killed, so that its growth would show.
_REMOTE: Final = 2
_IMMORTAL: Final = frozenset({0, 2, 3, 4})


class SoakProcess:
    """A process of the soak, which is replaced when it was killed."""

    def __init__(self, places: Places, number: int, seed: int) -> None:
        self.name = f"{'remote' if number < _REMOTE else 'local'}-{number}"
        self._places = places
        self._number = number
        self._seed = seed
        self._generation = 0
        self.child = self._start()

    @property
    def is_mortal(self) -> bool:
        return self._number not in _IMMORTAL

    @property
    def pid(self) -> int | None:
        return self.child._process.pid

    def _start(self) -> Child:
        self._generation += 1
        return Child(work, self._places, self.name, f"{self._seed}-{self._number}-{self._generation}")

    def kill(self) -> None:
        self.child.kill()
        self.child.communicate(STOP_S)
        self.child = self._start()


class SoakServer:
    """``bsv-store serve`` with two workers, always at the same address."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._up_since: float | None = None
        self.process = self._start()
        deadline = time.monotonic() + _START_S
        while not self.is_settled(0):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the server did not start: {self.process.returncode}")
            time.sleep(0.1)

    def is_settled(self, seconds: float) -> bool:
        """Whether it answers, and has for some time."""
        try:
            requests.get(f"{self._places.server}/health", timeout=5).raise_for_status()
        except requests.RequestException:
            self._up_since = None
            return False
        if self._up_since is None:
            self._up_since = time.monotonic()
        return time.monotonic() - self._up_since >= seconds

    def _start(self) -> subprocess.Popen[bytes]:
        port = self._places.server.rsplit(":", 1)[1]
        with (self._places.work / "logs" / "server.log").open("ab") as log:
            return subprocess.Popen(
                command_line("serve", "--workers", 2, "--port", port, store=self._places.store),
                env=child_environment(TMPDIR=str(self._places.temporary), OPENBLAS_NUM_THREADS="1"),
                stdout=subprocess.DEVNULL,
                stderr=log,
            )

    def workers(self) -> list[int]:
        """The ids of its processes, without that of the first and helpers of multiprocessing."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                fields = (path / "stat").read_text().rpartition(")")[2].split()
                if int(fields[1]) == self.process.pid and b"resource_tracker" not in (path / "cmdline").read_bytes():
                    found.append(int(path.name))
        return sorted(found)

    def restart(self, *, kill: bool) -> None:
        """Stop it and start it again, without waiting until it answers."""
        self._up_since = None
        self.process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
        self.process.wait(_START_S)
        # Its workers end by themselves, and then the address is free.
        deadline = time.monotonic() + _START_S
        port = int(self._places.server.rsplit(":", 1)[1])
        while _is_open(port):
            assert time.monotonic() < deadline, "workers of a killed server did not end"
            time.sleep(0.1)
        self.process = self._start()

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(_START_S)


def _is_open(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False

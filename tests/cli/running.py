"""How tests run the command line: as the entry point does it, exit codes and error texts included."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Outcome:
    """What a command said, on which stream, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def rows(self) -> list[dict[str, str]]:
        """The rows of CSV."""
        return list(csv.DictReader(io.StringIO(self.out, newline="")))

    @property
    def cells(self) -> list[list[str]]:
        """The words of each line."""
        return [line.split() for line in self.out.splitlines()]

    def succeeded(self) -> Outcome:
        assert self.code == 0, f"exit code {self.code}\n{self.err}"
        return self

    def refused(self, code: int, *texts: str) -> Outcome:
        """It failed with this code, saying these things on standard error, without a trace of our code."""
        assert self.code == code, f"exit code {self.code}\n{self.out}\n{self.err}"
        for text in texts:
            assert text in self.err, self.err
        assert "Traceback" not in self.err
        return self


class Runner:
    """Runs ``main()`` in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys = capsys
        self._monkeypatch = monkeypatch

    def __call__(self, *arguments: object, store: Path | None = None, stdin: str = "") -> Outcome:
        from bsv_store_cli.main import main

        where = [] if store is None else ["--store", str(store)]
        self._capsys.readouterr()
        with self._monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["bsv-store", *where, *map(str, arguments)])
            patch.setattr(sys, "stdin", io.StringIO(stdin))
            with pytest.raises(SystemExit) as exit_info:
                main()
        code = exit_info.value.code
        assert isinstance(code, int)
        out, err = self._capsys.readouterr()
        return Outcome(code, out, err)


def command_line(*arguments: object, store: Path | None = None) -> list[str]:
    """The command as a process of its own."""
    where = [] if store is None else ["--store", str(store)]
    return [sys.executable, "-m", "bsv_store_cli.main", *where, *map(str, arguments)]


def child_environment(**variables: str) -> Mapping[str, str]:
    """The environment of such a process."""
    path = os.pathsep.join([str(CHECKOUT), str(CHECKOUT / "cli"), str(CHECKOUT / "synthetic")])
    # Unbuffered, Python takes it for success when a pipe closes in the middle of a write.
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return {**inherited, "PYTHONPATH": path, **variables}


def run_process(*arguments: object, store: Path | None = None, **variables: str) -> Outcome:
    """Run the command as a process of its own."""
    done = subprocess.run(
        command_line(*arguments, store=store),
        env=child_environment(**variables),
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=120,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)

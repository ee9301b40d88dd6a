"""Generated hostile calls of the command line: every one ends with a documented exit code and without a traceback."""

from __future__ import annotations

import os
import random
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import click
import pytest

from bsv_store_cli.main import cli
from bsv_store_synthetic import SyntheticServer
from tests.cli.conftest import UNMEASURED, VISP
from tests.cli.running import Runner

# As in the help of bsv-store.
DOCUMENTED = range(8)
LONGEST_S = 60

TEXTS = (
    "",
    " ",
    "-",
    "--",
    "@",
    "@-",
    "*",
    "'; DROP TABLE experiment; --",
    "%s%n%x",
    "$(reboot)",
    "../../etc/passwd",
    "a\nb\r\tc",
    "\x1b[31mred\x1b[0m\x07",
    "\u202egnp.exe",
    "\ufeff",
    "caf\udce9",
    "lone \ud800 surrogate",
    "nul\0nul",
    "é" * 300,
    "x" * 10_000,
    "脳",
    "😀",
    "=HYPERLINK(1)",
    "[",
    "{",
    '{"version":1}',
    '{"version":1,"ids":[1e400]}',
    '{"version":1,"ids":[' + "9" * 5_000 + "]}",
    '{"and":' * 50,
    "[" * 50_000,
    "select 1",
    "select randomblob(100), zeroblob(10)",
    "select char(55296), 'x' || char(27)",
    "select 9223372036854775807 + 1",
    "select :x",
    "drop table experiment",
    "VISp",
    "root",
    "visual",
    "visual@1",
    "visual@" + "9" * 5_000,
    "wild-type",
    "AP",
    "VISp+",
    "=VISp",
    "a=b=c",
)
NUMBERS = (
    "0",
    "-1",
    "1",
    "3",
    "1.5",
    "1e3",
    "1e400",
    "-1e400",
    "nan",
    "inf",
    "1_000",
    "٣",
    "0x10",
    "2147483648",
    "9223372036854775807",
    "9223372036854775808",
    "9" * 30,
    "9" * 5_000,
    "-" + "9" * 5_000,
    "1,2,3",
    "8000,1500,8500",
    "nan,inf,1e400",
    "8,1.5,8.5",
    "7000,9000,0,8000,0,11400",
    "0.1,0.5,0.9",
    str(VISP[0]),
    f"{VISP[0]},{UNMEASURED}",
    "167587189",
)
# Harmless ones, so that many calls get past the first check.
USUAL = {
    "--format": ("csv", "json", "table"),
    "--limit": ("1", "2"),
    "--ids": (str(VISP[0]), f"{VISP[0]},{VISP[1]}"),
    "--spacing": ("100", "50"),
    "--line": ("wild-type", "any-cre"),
    "--injected-in": ("VISp", "root"),
    "--api-url": ("", "nonsense", "ftp://127.0.0.1", "http://", "http://127.0.0.1:0", "caf\udce9", "x" * 5_000),
    "--download-url": ("", "nonsense", "ftp://127.0.0.1", "http://", "caf\udce9"),
    "--database": ("", "nonsense", "sqlite://", "postgresql://", "postgresql://u:p@127.0.0.1/x", "caf\udce9"),
}
# Those would take seconds, or never end.
LEFT_OUT = {"demo"}
ENDLESS = {"--watch"}
SLOW = {"plot", "report"}


class Campaign:
    """Draws calls from the commands and options that there are."""

    def __init__(self, seed: int, folder: Path) -> None:
        self._random = random.Random(seed)
        (folder / "text").write_text("hello\n", encoding="utf-8")
        (folder / "empty").touch()
        (folder / "bytes").write_bytes(bytes(range(256)))
        (folder / "folder").mkdir()
        (folder / "caf\udce9").write_text("[1]", encoding="utf-8")
        os.mkfifo(folder / "pipe")
        self._outputs = ("new", "new.csv", "new.nrrd", "new.nii.gz", "text", "folder", "pipe", "caf\udce9", "no/where")
        self._inputs = (*self._outputs, "bytes", "empty", ".", "..", "", "/dev/zero", "/dev/null", "/proc/self/mem")
        self._commands = list(_leaves(cli, []))

    def call(self) -> list[str]:
        """The arguments of one call."""
        path, command = self._random.choice(self._commands)
        if path[0] in SLOW and self._random.random() < 0.8:
            return self.call()
        words = [*path]
        for parameter in command.params:
            if isinstance(parameter, click.Argument):
                many = 3 if parameter.nargs == -1 else 1
                if parameter.required or self._random.random() < 0.5:
                    words += [self._value(parameter, "") for _ in range(self._random.randint(1, many))]
            elif set(parameter.opts) & ENDLESS:
                continue
            elif self._random.random() < 3 / len(command.params) or parameter.required:
                name = self._random.choice([*parameter.opts, *parameter.secondary_opts])
                words.append(name)
                if not (isinstance(parameter, click.Option) and parameter.is_flag):
                    words.append(self._value(parameter, name))
        if self._random.random() < 0.1:
            words.insert(self._random.randint(0, len(words)), self._random.choice(TEXTS))
        return words

    def _value(self, parameter: click.Parameter, name: str) -> str:
        draw = self._random.choice
        usual = USUAL.get(name)
        # Finer grids take minutes.
        if name in ("--api-url", "--download-url", "--database", "--spacing"):
            return draw(USUAL[name])
        if usual is not None and self._random.random() < 0.7:
            return draw(usual)
        if isinstance(parameter.type, click.Path):
            is_output = parameter.name in ("target", "output", "folder") or "-o" in parameter.opts
            return draw(self._outputs if is_output else self._inputs)
        if isinstance(parameter.type, click.Choice) and self._random.random() < 0.7:
            return str(draw(list(parameter.type.choices)))
        kind = self._random.random()
        if kind < 0.2:
            return f"@{draw(self._inputs)}"
        return draw(TEXTS) if kind < 0.6 else draw(NUMBERS)


def _leaves(command: click.Command, path: list[str]) -> Iterator[tuple[list[str], click.Command]]:
    if not isinstance(command, click.Group):
        yield path, command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        child = command.get_command(context, name)
        if child is not None and name not in LEFT_OUT:
            yield from _leaves(child, [*path, name])


@contextmanager
def _time_limit() -> Iterator[None]:
    def stop(_number: int, _frame: FrameType | None) -> Any:
        raise AssertionError(f"the call did not end within {LONGEST_S} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LONGEST_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _run_campaign(run: Runner, location: Path, folder: Path, calls: int, seed: int) -> None:
    campaign = Campaign(seed, folder)
    codes, failures = [], []
    for number in range(calls):
        words = campaign.call()
        with _time_limit():
            done = run(*words, store=location, stdin="1,2\n")
        shown = f"call {number} of seed {seed}: {[word[:200] for word in words]}\n{done.err[-1500:]}"
        is_plain = all(each.isprintable() or each in "\n\t" for each in done.err)
        if done.code not in DOCUMENTED or "Traceback" in done.err or "bug in bsv-store" in done.err or not is_plain:
            failures.append(shown)
        codes.append(done.code)
    assert not failures, "\n\n".join([f"{len(failures)} of {calls} calls failed", *failures[:10]])
    # Otherwise the calls would prove little.
    assert {0, 2} <= set(codes)
    assert codes.count(0) > calls / 50


@pytest.fixture
def battlefield(
    own_filled: Path, server: SyntheticServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Path, Path]]:
    """A store that may be changed, and the current folder."""
    monkeypatch.setenv("BSV_STORE_DOWNLOAD_URL", server.url)
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    limit = sys.getrecursionlimit()
    yield own_filled, folder
    assert sys.getrecursionlimit() == limit


def test_hostile_calls_end_with_a_named_error(run: Runner, battlefield: tuple[Path, Path]) -> None:
    _run_campaign(run, *battlefield, calls=250, seed=1)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 107))
def test_thousands_of_hostile_calls_end_with_a_named_error(
    run: Runner, battlefield: tuple[Path, Path], seed: int
) -> None:
    # 7 times 500 calls, on both databases.
    _run_campaign(run, *battlefield, calls=500, seed=seed)

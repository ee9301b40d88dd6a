"""Completion with the Tab key: what is suggested, in the shells themselves, and that nothing goes wrong."""

from __future__ import annotations

import os
import pty
import select
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from bsv_store import Selection, open_store
from bsv_store.store import suggestions
from bsv_store_cli.main import COMPLETION_VARIABLE, cli
from bsv_store_cli.options import completion
from tests.cli.running import CHECKOUT, Runner, child_environment

WORDBREAKS = " \t\n\"'@><=;|&(:"


def suggested(*words: str, store: Path | None = None) -> list[str]:
    """The suggestions for the last word."""
    where = [] if store is None else ["--store", str(store)]
    *before, incomplete = words
    shell = ShellComplete(cli, {}, "bsv-store", COMPLETION_VARIABLE)
    return [item.value for item in shell.get_completions([*where, *before], incomplete)]


@pytest.fixture
def named(own_filled: Path) -> Path:
    """A store with a tag and a saved selection."""
    with open_store(own_filled) as store:
        store.datasets.tag("visual@1", "paper")
        store.catalog.save_selection("visual-areas", Selection(injected_in="VIS"))
    return own_filled


# -- names of the store -----------------------------------------------------------------------------------------------


def test_names_come_from_the_store(named: Path) -> None:
    with open_store(named) as store:
        acronyms = [row.acronym for row in store.atlas.structure_tree("root") if row.acronym.startswith("VIS")]
    assert "VISp" in acronyms
    for words in (
        ("select", "--injected-in"),
        ("select", "--line", "wild-type", "--projecting-to"),
        ("search", "source"),
        ("search", "target", "CP"),
        ("structures", "tree"),
        ("matrix", "--target"),
        ("volume", "regions"),
        ("dataset", "regions", "visual", "--structure"),
    ):
        assert suggested(*words, "VIS", store=named) == acronyms, words
    assert suggested("aggregate", "--region", "higher=VISp+CP", store=named) == ["higher=VISp+CP"]
    assert suggested("dataset", "show", "v", store=named) == ["visual", "visual@1", "visual@latest", "visual@paper"]
    assert suggested("plot", "projections", "visual@p", store=named) == ["visual@paper"]
    assert suggested("dataset", "untag", "visual", "", store=named) == ["paper"]
    assert suggested("dataset", "untag", "", store=named) == ["visual"]
    assert suggested("select", "--named", "", store=named) == ["visual-areas"]
    assert suggested("selection", "show", "vis", store=named) == ["visual-areas"]
    assert suggested("volume", "show", "910000001", store=named) == ["9100000010", "9100000011", "9100000012"]
    assert suggested("fetch", "--ids", "1,9100000012", store=named) == ["1,9100000012"]
    lines = suggested("select", "--line", "", store=named)
    assert lines[:2] == ["wild-type", "any-cre"]
    assert len(lines) > 3


def test_another_case_is_found_if_nothing_else_matches(filled: Path) -> None:
    assert "VISp" in suggested("structures", "tree", "visp", store=filled)
    assert suggested("structures", "tree", "VISp", store=filled)[0] == "VISp"
    assert "visp" not in suggested("structures", "tree", "VISp", store=filled)


def test_commands_are_completed_for_help() -> None:
    assert suggested("help", "data") == ["dataset"]
    assert suggested("help", "dataset", "c") == ["cite"]
    assert suggested("help", "dataset", "cite", "") == []
    assert suggested("help", "nosuch", "") == []


# -- nothing goes wrong -----------------------------------------------------------------------------------------------


def test_ids_from_files_and_standard_input_are_not_read(filled: Path) -> None:
    read, write = os.pipe()
    try:
        # An open pipe without data: whoever reads it waits.
        environment = child_environment(
            **{
                COMPLETION_VARIABLE: "bash_complete",
                "_BSV_STORE_LINE": "bsv-store fetch --ids @- --inj",
                "_BSV_STORE_BREAKS": "",
            }
        )
        done = subprocess.run(
            [sys.executable, "-m", "bsv_store"], env=environment, stdin=read, capture_output=True, text=True,
            check=False, timeout=20,
        )  # fmt: skip
    finally:
        os.close(read)
        os.close(write)
    assert done.stdout.splitlines()[0] == "plain,--injected-in"
    assert suggested("fetch", "--ids", "@", store=filled) == []


def _complete(line: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = child_environment(
        **{COMPLETION_VARIABLE: "bash_complete", "_BSV_STORE_LINE": line, "_BSV_STORE_BREAKS": WORDBREAKS, **variables}
    )
    return subprocess.run(
        [sys.executable, "-m", "bsv_store"], env=environment, capture_output=True, text=True, check=False, timeout=20
    )


def test_without_a_store_there_is_silence(tmp_path: Path) -> None:
    (tmp_path / "store.toml").write_text("nonsense")
    for folder in (tmp_path / "nowhere", tmp_path):
        done = _complete("bsv-store dataset show v", BSV_STORE=str(folder))
        assert (done.stdout, done.stderr) == ("\n", "")
    assert _complete("bsv-store nosuch x").stderr == ""


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_locked_or_old_store_gives_nothing_at_once(own_filled: Path) -> None:
    with closing(sqlite3.connect(own_filled / "catalog.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        start = time.monotonic()
        assert suggested("structures", "tree", "VIS", store=own_filled) == []
        assert time.monotonic() - start < 1
        other.execute("ROLLBACK")
        assert suggested("structures", "tree", "VISp", store=own_filled)
        other.execute("ALTER TABLE structure RENAME COLUMN acronym TO old_acronym")
    assert suggested("structures", "tree", "VISp", store=own_filled) == []


def _sleep(*_arguments: object) -> list[tuple[str, None]]:
    time.sleep(0.6)
    return [("VISp", None)]


def test_a_server_that_does_not_answer_is_not_waited_for(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completion, "_PATIENCE_S", 0.05)
    monkeypatch.setattr(suggestions, "_from_sqlite", _sleep)
    monkeypatch.setattr(suggestions, "_from_postgres", _sleep)
    start = time.monotonic()
    assert suggested("structures", "tree", "VIS", store=filled) == []
    assert time.monotonic() - start < 0.5


@pytest.mark.parametrize("journal", ["delete", "wal"])
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_nothing_is_written_to_the_store(own_filled: Path, journal: str) -> None:
    with closing(sqlite3.connect(own_filled / "catalog.db")) as connection:
        connection.execute(f"PRAGMA journal_mode = {journal}")
    before = {path: path.stat().st_mtime_ns for path in [own_filled, *own_filled.rglob("*")]}
    assert suggested("structures", "tree", "VISp", store=own_filled)
    assert {path: path.stat().st_mtime_ns for path in [own_filled, *own_filled.rglob("*")]} == before


def test_acronyms_are_completed_without_loading_sqlalchemy(filled: Path) -> None:
    code = (
        "import sys; from click.shell_completion import ShellComplete; from bsv_store_cli.main import cli\n"
        "shell = ShellComplete(cli, {}, 'bsv-store', '_BSV_STORE_COMPLETE')\n"
        "found = shell.get_completions(['--store', sys.argv[1], 'select', '--injected-in'], 'VISp')\n"
        "assert [each.value for each in found][0] == 'VISp'\n"
        "slow = {'sqlalchemy', 'numpy', 'pandas', 'h5py', 'alembic', 'requests'} & set(sys.modules)\n"
        "assert not slow, slow\n"
    )
    subprocess.run([sys.executable, "-c", code, filled], env=child_environment(), check=True, timeout=60)


# -- the shells -------------------------------------------------------------------------------------------------------


def test_bash_gets_only_what_follows_its_last_word_break() -> None:
    shell = completion._Bash(cli, {}, "bsv-store", COMPLETION_VARIABLE)
    item = completion.CompletionItem  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("_BSV_STORE_BREAKS", WORDBREAKS)
        patch.setenv("_BSV_STORE_LINE", "bsv-store dataset show visual@p")
        assert shell.get_completion_args() == (["dataset", "show"], "visual@p")
        assert shell.format_completion(item("visual@paper")) == "plain,@paper"
        patch.setenv("_BSV_STORE_LINE", "bsv-store select --line ")
        assert shell.get_completion_args() == (["select", "--line"], "")
        assert shell.format_completion(item("Syn14(RCL-nT)")) == r"plain,Syn14\(RCL-nT\)"
        patch.setenv("_BSV_STORE_LINE", "bsv-store select --line 'Sy")
        assert shell.format_completion(item("Syn14(RCL-nT)")) == "plain,Syn14(RCL-nT)"


@pytest.fixture
def typing(named: Path, tmp_path: Path) -> Path:
    """A folder with a ``bsv-store`` that completes, and otherwise prints its arguments."""
    program = tmp_path / "bin" / "bsv-store"
    program.parent.mkdir()
    program.write_text(
        "#!/bin/sh\n"
        f'if [ -n "${COMPLETION_VARIABLE}" ]; then exec "{sys.executable}" -m bsv_store "$@"; fi\n'
        'printf "ARGS:%s:END\\n" "$*"\n'
    )
    program.chmod(0o755)
    return tmp_path


STARTS = {"bash": ["bash", "--norc", "--noprofile", "-i"], "zsh": ["zsh", "-f", "-i"], "fish": ["fish", "-N", "-i"]}
PREPARATIONS = {"zsh": "autoload -Uz compinit; compinit -u -D\n"}


@pytest.mark.parametrize("shell", completion.SHELLS)
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_keys_complete_in_the_shell(named: Path, typing: Path, shell: completion.Shell) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    file = typing / f"completion.{shell}"
    file.write_text(completion.script(shell, cli))
    path = f"{typing / 'bin'}{os.pathsep}{os.environ['PATH']}"
    terminal = Terminal(
        STARTS[shell], child_environment(PATH=path, BSV_STORE=str(named), HOME=str(typing), TERM="xterm")
    )
    try:
        terminal.send(f"{PREPARATIONS.get(shell, '')}source {file}\n")
        terminal.output()
        for keys, expected in (
            ("bsv-store dataset show visual@pa\t\n", "dataset show visual@paper"),
            ("bsv-store select --injected-in LOB\t\n", "select --injected-in LOB4, 5"),
            ("bsv-store select --injected-in=VISp2\t\n", "select --injected-in=VISp2/3"),
            ("bsv-store select --lin\twild\t\n", "select --line wild-type"),
            ("bsv-store help datas\tci\t\n", "help dataset cite"),
        ):
            assert terminal.answer(keys) == expected
    finally:
        terminal.close()


class Terminal:
    """A shell on a pseudo-terminal."""

    def __init__(self, command: list[str], environment: Mapping[str, str]) -> None:
        self._terminal, end = pty.openpty()
        self._process = subprocess.Popen(
            command, stdin=end, stdout=end, stderr=end, env=environment, preexec_fn=lambda: os.login_tty(end)
        )
        os.close(end)

    def send(self, keys: str) -> None:
        os.write(self._terminal, keys.encode())

    def answer(self, keys: str) -> str:
        """The arguments of the program after these keys."""
        for part in keys.replace("\t", "\t\0").split("\0"):
            self.send(part)
            seen = self.output(until=":END" if part.endswith("\n") else None)
        start, end = seen.rfind("ARGS:"), seen.rfind(":END")
        assert 0 <= start < end, seen
        return seen[start + 5 : end]

    def output(self, *, until: str | None = None) -> str:
        """What the shell prints until it has been quiet for a while, or a text is there."""
        seen = ""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if until is not None and until in seen:
                break
            if select.select([self._terminal], [], [], 0.25 if seen else 5)[0]:
                try:
                    seen += os.read(self._terminal, 65536).decode(errors="replace")
                except OSError as error:
                    # The shell has ended.
                    raise AssertionError(seen) from error
            elif until is None:
                break
        return seen

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._terminal)


# -- completion install -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_the_script_is_shown(run: Runner, shell: completion.Shell) -> None:
    shown = run("completion", "show", "--shell", shell).succeeded().out
    assert f"{shell}_complete" in shown
    assert COMPLETION_VARIABLE in shown
    assert shown == completion.script(shell, cli)
    if shutil.which(shell):
        subprocess.run([shell, "-n", "/dev/stdin"], input=shown, text=True, check=True)


def test_install_writes_once(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Path.home()
    (home / ".bashrc").write_text("export A=1")
    monkeypatch.setenv("SHELL", "/usr/bin/bash")
    planned = run("completion", "install", "--dry-run").succeeded()
    script = home / ".local/share/bash-completion/completions/bsv-store"
    assert planned.out.splitlines() == [str(script), str(home / ".bashrc")]
    assert "Nothing was written" in planned.err
    assert not script.exists()
    done = run("completion", "install").succeeded()
    assert done.out == planned.out
    start = (home / ".bashrc").read_text()
    assert start.startswith("export A=1\n# >>> bsv-store completion >>>\n")
    again = run("completion", "install").succeeded()
    assert (again.out, (home / ".bashrc").read_text()) == ("", start)
    assert str(script) in again.err
    loaded = subprocess.run(["bash", "-c", f". {home / '.bashrc'} && complete -p bsv-store"], check=False)
    assert loaded.returncode == 0


def test_install_replaces_an_earlier_block(run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZDOTDIR", str(tmp_path))
    start = tmp_path / ".zshrc"
    start.write_text("a\n# >>> bsv-store completion >>>\nold\n# <<< bsv-store completion <<<\nb\n")
    run("completion", "install", "--shell", "zsh").succeeded()
    lines = start.read_text().splitlines()
    assert (lines[0], lines[-1], "old" in lines) == ("a", "b", False)
    start.write_text("a\n# >>> bsv-store completion >>>\nold\n")
    run("completion", "install", "--shell", "zsh").refused(2, "remove what is left")


def test_fish_needs_no_start_file(run: Runner) -> None:
    done = run("completion", "install", "--shell", "fish").succeeded()
    assert done.out == f"{Path.home() / '.config/fish/completions/bsv-store.fish'}\n"


@pytest.mark.parametrize("value", [None, "/bin/tcsh"])
def test_an_unknown_shell_is_an_error(run: Runner, monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    if value is None:
        monkeypatch.delenv("SHELL", raising=False)
    else:
        monkeypatch.setenv("SHELL", value)
    for command in ("install", "show"):
        run("completion", command).refused(2, "$SHELL", "--shell bash|zsh|fish")


def test_the_checkout_completes_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bsv_store", "--version"], cwd=CHECKOUT, env=child_environment(), capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.stdout.startswith("bsv-store, version ")

"""Every command explains itself, and the documents know every command."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from bsv_store import errors
from bsv_store_cli.help import RowChoice, WordChoice
from bsv_store_cli.main import cli
from bsv_store_cli.man import man_page
from tests.cli.running import CHECKOUT, Runner, child_environment

Path = tuple[str, ...]


def _commands(command: click.Command = cli, path: Path = ()) -> Iterator[tuple[Path, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _commands(inner, (*path, name))


COMMANDS = dict(_commands())
# Options that take a name of the library's.
NAMES = ("measure", "target_measure", "kind")
LEAVES = [path for path, command in COMMANDS.items() if not isinstance(command, click.Group)]


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_choices_take_any_spelling(path: Path) -> None:
    choices = [each for each in COMMANDS[path].params if isinstance(each.type, click.Choice)]
    assert [each.name for each in choices if not isinstance(each.type, WordChoice | RowChoice)] == []
    names = [each for each in COMMANDS[path].params if each.metavar == "MEASURE" or each.name in NAMES]
    assert [each.name for each in names if type(each.type) is not RowChoice] == []


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_an_option_of_one_value_is_not_taken_twice(path: Path) -> None:
    for option in COMMANDS[path].params:
        takes_one = isinstance(option, click.Option) and not (option.multiple or option.is_flag or option.is_eager)
        takes_one = takes_one and option.nargs == 1
        if takes_one:
            name = option.opts[-1]
            twice = CliRunner().invoke(cli, [*path, name, "1", name, "2"], prog_name="bsv-store")
            assert twice.exit_code == 2
            assert f"{name} takes one value, got 2" in twice.stderr


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_the_brain_side_has_one_word(path: Path) -> None:
    for option in COMMANDS[path].params:
        words = set(option.type.choices) if isinstance(option.type, click.Choice) else set()
        if words & {"left", "right"}:
            assert set(option.opts) & {"--hemisphere", "--injected-hemisphere", "--target-hemisphere"}, option.opts


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_is_printed(path: Path) -> None:
    for option in ("--help", "-h"):
        shown = CliRunner().invoke(cli, [*path, option], prog_name="bsv-store")
        assert shown.exit_code == 0
        assert shown.stdout.startswith(" ".join(["Usage: bsv-store", *path]))
        assert shown.stderr == ""


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_command_and_options_say_what_they_do(path: Path) -> None:
    command = COMMANDS[path]
    first_line = (command.help or "").split("\n")[0]
    assert first_line.endswith((".", ":")), first_line
    silent = [each.name for each in command.params if isinstance(each, click.Option) and not each.help]
    assert not silent


@pytest.mark.parametrize("name", ["output_format", "overwrite", "api_url", "kind", "spacing_um"])
def test_the_same_option_says_the_same_everywhere(name: str) -> None:
    records = {
        path: option.get_help_record(click.Context(COMMANDS[path]))
        for path in LEAVES
        for option in COMMANDS[path].params
        # The only command with one format more.
        if option.name == name and (path, name) != (("status",), "output_format")
    }
    assert len(records) > 1
    assert len(set(records.values())) == 1, records


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_formats_are_for_people_and_for_programs(path: Path) -> None:
    for option in COMMANDS[path].params:
        if option.name == "output_format":
            assert isinstance(option.type, click.Choice)
            # A status has no texts that others wrote, which a spreadsheet could take for formulas.
            last = "prometheus" if path == ("status",) else "spreadsheet"
            assert list(option.type.choices) == ["table", "json", "csv", last]


def test_commands_of_the_main_help_are_those_that_exist() -> None:
    shown = CliRunner().invoke(cli, ["--help"]).stdout
    listed = re.findall(r"^  ([a-z]+) +\S", shown.split("Fill the store:")[1], re.MULTILINE)
    assert sorted(listed) == sorted(path[0] for path in COMMANDS if len(path) == 1)
    for path, command in COMMANDS.items():
        if len(path) == 1:
            assert CliRunner().invoke(cli, [*path, "--help"], prog_name="bsv-store").exit_code == 0
            assert command.name == path[0]


def test_readme_documents_every_command() -> None:
    text = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `bsv-store ([^`]+)` \|", text, re.MULTILINE)
    documented: dict[str, set[str]] = {}
    for row in rows:
        documented.setdefault(row.split()[0], set()).update(re.findall(r"[a-z0-9]+", row))
    assert set(documented) == {path[0] for path in LEAVES}
    missing = [path for path in LEAVES if not set(path) <= documented[path[0]]]
    assert not missing


def test_exit_codes_of_all_errors_are_documented() -> None:
    def all_below(kind: type[errors.BsvStoreError]) -> Iterator[type[errors.BsvStoreError]]:
        yield kind
        for each in kind.__subclasses__():
            yield from all_below(each)

    codes = {kind.exit_code for kind in all_below(errors.BsvStoreError)} | {0, 1}
    for text in (cli.help or "", (CHECKOUT / "README.md").read_text(encoding="utf-8")):
        listed = text.split("xit codes:")[1].split(".")[0]
        assert {int(code) for code in re.findall(r"(\d)\s+[a-z]", listed)} == codes


# -- bare commands, `help` and `python -m bsv_store` -------------------------------------------------------------------

GROUPS = [path for path, command in COMMANDS.items() if isinstance(command, click.Group)]


@pytest.mark.parametrize("path", GROUPS, ids=" ".join)
def test_the_help_of_a_group_does_not_cut_sentences(path: Path) -> None:
    listed = CliRunner().invoke(cli, [*path, "--help"], prog_name="bsv-store").stdout.partition("Commands:")[2]
    assert "..." not in listed


@pytest.mark.parametrize("path", [path for path in GROUPS if path != ("serve",)], ids=" ".join)
def test_a_bare_group_prints_its_help(run: Runner, path: Path) -> None:
    bare = run(*path).succeeded()
    assert bare.out == run(*path, "--help").out
    assert bare.err == ""


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_shows_the_help_of_a_command(run: Runner, path: Path) -> None:
    assert run("help", *path).succeeded().out == run(*path, "--help").out


def test_help_of_all_commands_is_one_page(run: Runner) -> None:
    page = run("help", "--all").succeeded().out
    assert re.findall(r"^Usage: (bsv-store.*?) (?=\[|[A-Z])", page, re.MULTILINE) == [
        " ".join(["bsv-store", *path]) for path in COMMANDS
    ]
    below = run("help", "dataset", "--all").succeeded().out
    assert page.count("Usage:") > below.count("Usage:") == sum(path[:1] == ("dataset",) for path in COMMANDS)
    assert below.strip() in page


def test_help_of_an_unknown_command_names_the_nearest(run: Runner) -> None:
    run("help", "datset").refused(2, "unknown command 'datset'", "Did you mean dataset?")
    run("help", "dataset", "tagg").refused(2, "Did you mean tag?")
    run("help", "select", "all").refused(2, "bsv-store select has no subcommands, got 'all'")


def test_the_main_help_fits_80_columns(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = run("--help").succeeded().out.splitlines()
    assert max(map(len, lines)) <= 80
    commands = lines[lines.index("Fill the store:") :]
    # A line that is wrapped is indented further.
    assert [line for line in commands if line.startswith("   ")] == []


def test_the_module_is_the_command_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bsv_store", "help", "status"], env=child_environment(), capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: bsv-store status")


def test_the_library_does_not_load_the_command_line() -> None:
    code = (
        "import importlib, pkgutil, sys, bsv_store\n"
        # uvicorn, which the server imports, uses click itself.
        "found = [each.name for each in pkgutil.iter_modules(bsv_store.__path__) if each.name != 'server']\n"
        "for name in found:\n"
        "    module = importlib.import_module(f'bsv_store.{name}')\n"
        "    for each in pkgutil.walk_packages(getattr(module, '__path__', ()), f'bsv_store.{name}.'):\n"
        "        importlib.import_module(each.name)\n"
        "assert 'bsv_store.__main__' in sys.modules\n"
        "assert not [name for name in sys.modules if name.startswith(('bsv_store_cli', 'click'))]\n"
    )
    subprocess.run([sys.executable, "-c", code], env=child_environment(), check=True, timeout=120)


# -- the manual page --------------------------------------------------------------------------------------------------

MANUAL = CHECKOUT / "docs" / "man" / "bsv-store.1"


def test_the_manual_page_is_current() -> None:
    assert man_page() == MANUAL.read_text(encoding="utf-8"), "run: make man"


def test_the_manual_page_is_valid_roff() -> None:
    if shutil.which("groff") is None:
        pytest.skip("groff is not installed")
    done = subprocess.run(
        ["groff", "-man", "-ww", "-Tutf8", "-P-cbou", MANUAL], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    for path in COMMANDS:
        assert re.search(rf"^ +bsv-store {' '.join(path)}".rstrip() + r"\b", done.stdout, re.MULTILINE)
    # As typed, not as typographic signs.
    assert "bsv-store select --projecting-to LGd --ids-only | bsv-store fetch --ids @-" in done.stdout
    assert "pip install 'bsv-store[plot]'" in done.stdout


def test_the_manual_page_lists_the_exit_codes() -> None:
    page = man_page()
    assert "Exit codes" not in page
    assert ".B 4\nschema needs upgrade." in page

"""The entry point: global options, commands that load when used, errors as exit codes."""

from __future__ import annotations

import errno
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from bsv_store import __version__
from bsv_store.errors import BsvStoreError, BsvStoreWarning
from bsv_store_cli.help import Group
from bsv_store_cli.output.formats import discard_output
from bsv_store_cli.output.messages import complain, note

# Name of each command, which is also its module under bsv_store_cli.commands, and its line of help, by section of the
# help. They are listed here so that `--help` does not import the commands.
_SECTIONS: dict[str, dict[str, str]] = {
    "Fill the store": {
        "init": "Create a store in a folder.",
        "sync": "Update the catalog and the annotation from the Allen API.",
        "fetch": "Download volumes of selected experiments.",
        "ingest": "Store structures, experiments, unionize tables or annotations from files.",
        "adopt": "Copy a cache folder of Brain Street View or AllenSDK into the store.",
    },
    "Find and read": {
        "status": "Show what the store contains.",
        "select": "List the experiments of a selection.",
        "search": "Search experiments by source, target, coordinate, correlation or point.",
        "structures": "Find structures, show subtrees and sets, rank the structures of experiments.",
        "matrix": "Tabulate signal by source and target structure.",
        "catalog": "Count selected experiments; list and compare snapshots.",
        "volume": "Show or export a volume, mask structures, measure signal in them.",
        "sql": "Query the catalog with SQL, read-only.",
    },
    "Compute and publish": {
        "aggregate": "Average volumes by group, as a dataset version.",
        "dataset": "List, show, measure and export dataset versions.",
        "plot": "Draw a dataset version.",
    },
    "Share": {
        "selection": "Save selections under names for all users of the store.",
        "exclude": "Edit the list of experiments that selections leave out.",
    },
    "Administer": {
        "activity": "Show who changed the store, and when.",
        "backup": "Back up the store; list, verify, restore and prune backups.",
        "db": "Show or upgrade the database schema; grant read access on Postgres.",
        "store": "Move the catalog to another database; attach a folder to its database.",
    },
    "Learn": {
        "demo": "Run a complete example on a synthetic atlas.",
    },
}
_COMMANDS = {name: words for section in _SECTIONS.values() for name, words in section.items()}

_INTERRUPTED = 130
_DEFECT = 3
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class _LazyGroup(Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command = getattr(import_module(f"bsv_store_cli.commands.{cmd_name}"), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, _COMMANDS))
        for title, commands in _SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), words) for name, words in commands.items()])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="bsv-store")
@click.option(
    "--store",
    "store_path",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Folder of the store.  [default: $BSV_STORE, then the configuration file, then the platform's data folder]",
)
@click.option("--debug", is_flag=True, help="Show the traceback of errors.")
@click.pass_context
def cli(context: click.Context, store_path: Path | None, debug: bool) -> None:
    """A lab's shared store of the Allen Mouse Brain Connectivity Atlas.

    Data go to standard output, everything else to standard error. Exit codes: 0 ok, 1 findings, 2 usage or bad input, 3
    store unreachable or corrupt, 4 schema needs upgrade, 5 busy, 6 upstream (Allen) failed, 7 no space.
    """
    context.obj = {"store": store_path, "debug": debug}


def main() -> None:
    """Run the command line. An error of bsv-store becomes a message and its exit code."""
    for stream in (sys.stdout, sys.stderr):
        # Characters that the terminal cannot show become escapes.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    with _warnings_as_notes():
        sys.exit(_run())


@contextmanager
def _warnings_as_notes() -> Iterator[None]:
    """Print each warning of bsv-store once, as a message."""
    printed: set[str] = set()
    with warnings.catch_warnings():
        warnings.simplefilter("always", BsvStoreWarning)
        show = warnings.showwarning

        def print_warning(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
            if not isinstance(message, BsvStoreWarning):
                show(message, category, *rest, **more)
            elif str(message) not in printed:
                printed.add(str(message))
                note(f"{message.message}." + (f"\n{message.hint}" if message.hint else ""))

        warnings.showwarning = print_warning
        yield


def _run() -> int:
    try:
        # Without standalone mode, click returns the exit code of `Context.exit`, or the return value of the command.
        code = cli.main(prog_name="bsv-store", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.ClickException as error:
        _explain_usage(error)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        note("Interrupted. Finished work is stored, and the next run continues from there.")
        return _INTERRUPTED
    except BsvStoreError as error:
        _trace()
        complain(error.message, error.hint)
        return error.exit_code
    except OSError as error:
        _trace()
        return _explain_system(error)
    except Exception:  # noqa: BLE001 (an unexpected error must not exit with 1, which means findings)
        _print_traceback()
        complain("this is a bug in bsv-store", "Please report it with the lines above.")
        return _DEFECT


def _trace() -> None:
    if "--debug" in sys.argv[1:]:
        _print_traceback()


def _print_traceback() -> None:
    import traceback

    traceback.print_exc()


def _explain_usage(error: click.ClickException) -> None:
    if isinstance(error, click.UsageError) and error.ctx is not None:
        note(error.ctx.get_usage())
        note(f"Try '{error.ctx.command_path} --help' for help.\n")
    complain(error.format_message(), _usage_hint(error))


def _usage_hint(error: click.ClickException) -> str | None:
    if isinstance(error, click.NoSuchOption) and error.option_name in ("--store", "--debug"):
        return "--store and --debug go before the command: bsv-store --store FOLDER COMMAND ..."
    if isinstance(error, click.UsageError) and error.ctx is not None and "unexpected extra argument" in error.message:
        options = {option for parameter in error.ctx.command.params for option in parameter.opts}
        if "--injected-in" in options:
            return "Select experiments with options, for example --injected-in VISp --line wild-type."
    return None


def _explain_system(error: OSError) -> int:
    where = f"{error.filename}: " if error.filename else ""
    complain(f"{where}{error.strerror or error}")
    try:
        sys.stdout.flush()
    except OSError:
        discard_output()
    return 7 if error.errno in _NO_SPACE else 3


if __name__ == "__main__":
    main()

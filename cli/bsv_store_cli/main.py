"""The entry point: global options, commands that load when used, errors as exit codes."""

from __future__ import annotations

import errno
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from bsv_store import __version__
from bsv_store.errors import BsvStoreError, BsvStoreWarning, InputError
from bsv_store.program import name_program
from bsv_store.text import printable
from bsv_store.vocabulary import LOG_FORMATS, LOG_LEVELS, SettingName
from bsv_store_cli.garbage import collected_late
from bsv_store_cli.help import Group, RowChoice
from bsv_store_cli.logs import LOG, LOG_SETTINGS, CommandLog
from bsv_store_cli.output.formats import discard_output
from bsv_store_cli.output.messages import complain, in_options, note
from bsv_store_cli.output.streams import open_closed_streams
from bsv_store_cli.signals import Signals

# Name of each command, which is also its module under bsv_store_cli.commands, and its line of help, by section of the
# help. They are listed here so that `--help` does not import the commands. On 80 columns, each takes one line.
_SECTIONS: dict[str, dict[str, str]] = {
    "Fill the store": {
        "init": "Create a store in a folder.",
        "sync": "Update the catalog, annotation and template from the Allen API.",
        "fetch": "Download volumes of selected experiments.",
        "ingest": "Store structures, experiments, tables, annotation from files.",
        "adopt": "Copy a cache of Brain Street View or AllenSDK into the store.",
    },
    "Find and read": {
        "status": "Show what the store contains.",
        "select": "List the experiments of a selection.",
        "search": "Find experiments by source, target, coordinate or similarity.",
        "targets": "Rank the targets of the selected experiments.",
        "sources": "Rank the structures that project to a target.",
        "structures": "Find structures; show subtrees and sets; rank by signal.",
        "atlas": "Export the average template.",
        "matrix": "Tabulate signal by source and target structure.",
        "catalog": "Count selected experiments; list and compare snapshots.",
        "reproduce": "Compare published counts with the catalog.",
        "volume": "Show, check and export volumes; mask and measure structures.",
        "sql": "Query the catalog with SQL, read-only.",
    },
    "Compute and publish": {
        "aggregate": "Average volumes by group, as a dataset version.",
        "compare": "Compare two groups by structure, or by voxel as a version.",
        "dataset": "List, show, measure and export dataset versions.",
        "plot": "Draw figures: projections, slices, maps, rankings.",
        "report": "Write the report on a dataset version as an HTML page.",
    },
    "Share": {
        "selection": "Save selections under names for all users of the store.",
        "exclude": "Edit the list of experiments that selections leave out.",
        "serve": "Serve the store over HTTP; manage tokens of clients.",
    },
    "Administer": {
        "activity": "Show who changed the store, and when.",
        "backup": "Back up the store; list, verify, restore and prune backups.",
        "cache": "List, prune and verify the cache of stores on servers.",
        "claims": "List the downloads that runs have claimed; break claims.",
        "completion": "Complete commands and names in bash, zsh or fish.",
        "config": "Show settings and their origin; change those of the store.",
        "db": "Show, check, upgrade the schema; grant access on Postgres.",
        "doctor": "Check folder, database, environment and servers.",
        "gc": "Collect what the store does not need.",
        "quota": "Delete volumes that can be downloaded again.",
        "repair": "Repair what verify finds: download, rebuild or record it again.",
        "store": "Move the catalog, attach a folder, correct permissions.",
        "trash": "List the trash.",
        "untrash": "Restore items from the trash.",
        "verify": "Verify files and catalog; report damage with its remedy.",
    },
    "Learn": {
        "demo": "Run a complete example on a synthetic atlas.",
        "help": "Show the help of a command, or of all commands.",
    },
}
_COMMANDS = {name: words for section in _SECTIONS.values() for name, words in section.items()}

# Set by the completion scripts of shells.
COMPLETION_VARIABLE = "_BSV_STORE_COMPLETE"

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

    def invoke(self, ctx: click.Context) -> Any:
        """Start the log, and run the command."""
        given: dict[SettingName, object] = {
            name: value for name in LOG_SETTINGS if (value := ctx.params[name]) is not None
        }
        ctx.obj = {
            "store": ctx.params["store_path"],
            "debug": ctx.params["debug"],
            "settings": {**given, **({"store": ctx.params["store_path"]} if ctx.params["store_path"] else {})},
        }
        try:
            _log.start(sys.argv[1:], given)
        except InputError:
            # The doctor reports an invalid setting itself.
            if "doctor" not in ctx._protected_args:
                raise
        return super().invoke(ctx)

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
    metavar="STORE",
    help="Folder of the store, or its address on a server.  "
    "[default: $BSV_STORE, then the configuration file, then the platform's data folder]",
)
@click.option("--debug", is_flag=True, help="Show the traceback of errors.")
@click.option(
    "--log-file", type=click.Path(path_type=Path), metavar="FILE", help="Append a log to a file.  [default: no log]"
)
@click.option(
    "--log-level",
    type=RowChoice(LOG_LEVELS),
    help="Lowest level of the records in the log; without --log-file, it goes to standard error.  [default: info]",
)
@click.option("--log-format", type=RowChoice(LOG_FORMATS), help="Format of the log.  [default: text]")
@click.pass_context
def cli(
    context: click.Context,
    store_path: Path | None,
    debug: bool,
    log_file: Path | None,
    log_level: str | None,
    log_format: str | None,
) -> None:
    """A lab's shared store of the Allen Mouse Brain Connectivity Atlas.

    Data go to standard output, everything else to standard error. Exit codes: 0 ok, 1 findings, 2 usage or bad input, 3
    store unreachable or corrupt, 4 schema needs upgrade, 5 busy, 6 upstream (Allen) failed, 7 no space.
    """
    name_program(context.invoked_subcommand or "bsv-store")


_log = CommandLog()


def main() -> None:
    """Run the command line. An error of bsv-store becomes a message and its exit code."""
    open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        # Characters that the terminal cannot show become escapes.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    if COMPLETION_VARIABLE in os.environ:
        from bsv_store_cli.options.completion import complete_and_exit

        complete_and_exit(cli)
    signals = Signals()
    with _warnings_as_notes(), signals.handled(), collected_late():
        code = _run(signals)
    _log.end(code)
    sys.exit(code)


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
                LOG.warning("%s", printable(message.message), extra={"event": "warning", "hint": message.hint})
                note(in_options(f"{message.message}." + (f"\n{message.hint}" if message.hint else "")))

        warnings.showwarning = print_warning
        yield


def _run(signals: Signals) -> int:
    try:
        # Without standalone mode, click returns the exit code of `Context.exit`, or the return value of the command.
        code = cli.main(prog_name="bsv-store", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.ClickException as error:
        LOG.error("%s", printable(error.format_message()), extra={"event": "error", "kind": type(error).__name__})
        _explain_usage(error)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        LOG.warning("interrupted", extra={"event": "interrupted"})
        # The terminal may be closed.
        with suppress(OSError):
            what = "Interrupted" if signals.exit_code == _INTERRUPTED else "Terminated"
            note(f"{what}. Finished work is stored, and the next run continues from there.")
        return signals.exit_code
    except BsvStoreError as error:
        _trace()
        LOG.error(
            "%s", printable(error.message), extra={"event": "error", "kind": type(error).__name__, "hint": error.hint}
        )
        complain(error.message, error.hint)
        return error.exit_code
    except OSError as error:
        _trace()
        LOG.error("%s", printable(str(error)), extra={"event": "error", "kind": type(error).__name__})
        return _explain_system(error)
    except Exception:  # noqa: BLE001 (an unexpected error must not exit with 1, which means findings)
        LOG.critical("bug in bsv-store", exc_info=True, extra={"event": "error"})
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
        return "--store and --debug go before the command: bsv-store --store STORE COMMAND ..."
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

"""Messages on standard error, without characters that could control the terminal."""

from __future__ import annotations

import sys

import click

from bsv_store.advice import for_open_stores
from bsv_store.text import printable
from bsv_store_cli.spelling import with_options


def note(text: str) -> None:
    """Print a message, and who can run the commands in it that a store on a server refuses."""
    click.echo(printable(for_open_stores(text), keep="\n\t"), err=True)


def in_options(text: str) -> str:
    """A message of the library, with the options of the command that is running instead of arguments of Python."""
    context = click.get_current_context(silent=True)
    return text if context is None else with_options(text, context.command.params)


def is_interactive() -> bool:
    """Whether a user can answer questions on a terminal."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def confirmed(problem: str, question: str) -> bool:
    """Ask a yes-or-no question on standard error; False if there is no terminal."""
    if not is_interactive():
        return False
    note(problem)
    return click.confirm(question, default=False, err=True)


def complain(message: str, hint: str | None = None) -> None:
    """Print an error and, on a separate line, a hint, with the options of the command that is running."""
    note(f"Error: {in_options(message)}")
    if hint:
        note(in_options(hint))

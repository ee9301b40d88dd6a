"""Commands that documents and scripts contain, compared with the commands that exist."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

import click

from bsv_store_cli.main import cli


def unknown(line: str) -> str | None:
    """The first part of a command line that does not exist: a command, an option or a choice; None if it is complete.

    Raises
    ------
    click.UsageError
        If the line is wrong otherwise, for example because an argument is missing.
    """
    program, *rest = shlex.split(line)
    assert program == "bsv-store", line
    context = click.Context(cli, info_name=program, **cli.context_settings)
    path: list[str] = []
    command: click.Command = cli
    while isinstance(command, click.Group):
        try:
            _, rest, _ = command.make_parser(context).parse_args(list(rest))
        except click.NoSuchOption as error:
            return _named(path, error.option_name)
        if not rest:
            return None
        path.append(rest.pop(0))
        inner = command.get_command(context, path[-1])
        if inner is None:
            return " ".join(path)
        command, context = inner, click.Context(inner, info_name=path[-1], parent=context)
    return _unknown_in(command, path, rest, context)


def _unknown_in(command: click.Command, path: Sequence[str], rest: list[str], context: click.Context) -> str | None:
    try:
        command.make_context(path[-1], list(rest), parent=context.parent)
    except click.NoSuchOption as error:
        return _named(path, error.option_name)
    except click.BadParameter as error:
        if error.param is not None and isinstance(error.param.type, click.Choice):
            option = error.param.opts[-1]
            return _named(path, f"{option} {rest[rest.index(option) + 1]}")
        raise
    return None


def _named(path: Sequence[str], what: str) -> str:
    return " ".join([*path, what])

"""``bsv-store help``."""

from __future__ import annotations

import click

from bsv_store_cli.help import Command, contexts_below, subcontext
from bsv_store_cli.options.completion import complete_commands
from bsv_store_cli.output.formats import emit


@click.command(cls=Command)
@click.argument("names", nargs=-1, metavar="[COMMAND]...", shell_complete=complete_commands)
@click.option("--all", "everything", is_flag=True, help="Also of all commands below it.")
def help(names: tuple[str, ...], everything: bool) -> None:  # noqa: A001
    """Show the help of a command; without COMMAND, of bsv-store.

    With --all, the help of every command is printed, with its options.

    \b
    Examples:
      bsv-store help dataset export
      bsv-store help --all | less
    """  # noqa: D301 (click needs \b)
    context = click.get_current_context().find_root()
    for name in names:
        context = subcontext(context, name)
    pages = contexts_below(context) if everything else [context]
    emit("\n\n\n".join(page.get_help() for page in pages))

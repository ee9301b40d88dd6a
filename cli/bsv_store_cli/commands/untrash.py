"""``bsv-store untrash``."""

from __future__ import annotations

import click

from bsv_store_cli.help import Command
from bsv_store_cli.output.messages import note
from bsv_store_cli.session import opened_store


@click.command(cls=Command)
@click.argument("items", nargs=-1, required=True, metavar="ITEM...")
def untrash(items: tuple[str, ...]) -> None:
    """Restore items from the trash.

    ITEM is the name of an item, as `trash` shows it, or what it was. A deleted dataset version gets its number,
    members, checks and tags again. Any other file moves back to its place, where the next run that needs it uses it.

    \b
    Examples:
      bsv-store untrash visual-by-AP@3
      bsv-store untrash 4f0c9a2be1d7
    """  # noqa: D301 (click wants the character)
    with opened_store() as store:
        restored = store.admin.untrash(items)
    for each in restored:
        note(f"{each}.")

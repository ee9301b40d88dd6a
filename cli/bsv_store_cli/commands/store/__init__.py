"""``bsv-store store``."""

from __future__ import annotations

import click

from bsv_store_cli.commands.store.attach import attach
from bsv_store_cli.commands.store.move import move
from bsv_store_cli.commands.store.permissions import permissions
from bsv_store_cli.help import Group


@click.group(cls=Group)
def store() -> None:
    """Move the catalog to another database, attach a folder, correct permissions."""


for _command in (attach, move, permissions):
    store.add_command(_command)

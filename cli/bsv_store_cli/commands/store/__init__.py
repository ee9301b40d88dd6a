"""``bsv-store store``."""

from __future__ import annotations

import click

from bsv_store_cli.commands.store.permissions import permissions
from bsv_store_cli.help import Group


@click.group(cls=Group)
def store() -> None:
    """Correct the permissions of the store's folder."""


for _command in (permissions,):
    store.add_command(_command)

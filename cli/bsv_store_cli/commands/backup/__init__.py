"""``bsv-store backup``."""

from __future__ import annotations

import click

from bsv_store_cli.commands.backup.check import verify
from bsv_store_cli.commands.backup.create import create
from bsv_store_cli.commands.backup.listing import list_snapshots
from bsv_store_cli.commands.backup.prune import prune
from bsv_store_cli.commands.backup.restore import restore
from bsv_store_cli.help import Group


@click.group(cls=Group)
def backup() -> None:
    """Back up the store; list, verify, restore and prune backups.

    TARGET is a folder, or a URL such as s3://bucket/backups (with pip install 'bsv-store[remote]' and the package of
    its protocol). Several stores may share a target, and identical files are stored once.
    """


for _command in (create, list_snapshots, prune, restore, verify):
    backup.add_command(_command)

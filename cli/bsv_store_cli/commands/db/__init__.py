"""``bsv-store db``."""

from __future__ import annotations

import click

from bsv_store_cli.commands.db.grant import grant
from bsv_store_cli.commands.db.journal import journal
from bsv_store_cli.commands.db.migrate import downgrade, stamp, upgrade
from bsv_store_cli.commands.db.show import check, current, history
from bsv_store_cli.help import Group


@click.group(cls=Group)
def db() -> None:
    """Show, check and upgrade the database schema; grant access on Postgres."""


for _command in (check, current, downgrade, grant, history, journal, stamp, upgrade):
    db.add_command(_command)

"""The group ``bsv-store store``."""

from __future__ import annotations

import click

from bsv_store_cli.help import Group


@click.group(cls=Group)
def store() -> None:
    """Move the catalog to another database, attach a folder, correct permissions."""

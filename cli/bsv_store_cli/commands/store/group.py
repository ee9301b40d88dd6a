"""The group ``bsv-store store``."""

from __future__ import annotations

import click

from bsv_store_cli.help import Group


@click.group(cls=Group)
def store() -> None:
    """Correct the permissions of the store's folder."""

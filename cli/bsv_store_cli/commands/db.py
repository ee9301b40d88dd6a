"""``bsv-store db``."""

from __future__ import annotations

import click

from bsv_store_cli.help import Group
from bsv_store_cli.output.formats import print_facts
from bsv_store_cli.output.messages import note
from bsv_store_cli.session import store_folder


@click.group(cls=Group)
def db() -> None:
    """Show or upgrade the schema of the store's database."""


@db.command()
def current() -> None:
    """Print the schema revision of the store, and the one that this version needs."""
    from bsv_store.store.opening import schema_state

    state = schema_state(store_folder())
    print_facts([("store", state.revision or "none"), ("package", state.head)])


@db.command()
def upgrade() -> None:
    """Upgrade the schema, in one transaction."""
    from bsv_store.store.opening import upgrade_store

    before, after = upgrade_store(store_folder())
    note(f"The schema is already at revision {after}." if before == after else f"Upgraded from {before} to {after}.")

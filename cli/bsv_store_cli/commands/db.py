"""``bsv-store db``."""

from __future__ import annotations

import click

from bsv_store_cli.help import Group
from bsv_store_cli.output.formats import print_facts
from bsv_store_cli.output.messages import note
from bsv_store_cli.output.progress import progress_bar
from bsv_store_cli.output.tables import number_of
from bsv_store_cli.session import store_folder


@click.group(cls=Group)
def db() -> None:
    """Show or upgrade the database schema; grant read access on Postgres."""


@db.command()
def current() -> None:
    """Print the schema revision of the store, and the one that this version needs."""
    from bsv_store.store.opening import schema_state

    state = schema_state(store_folder())
    print_facts([("store", state.revision or "none"), ("package", state.head)])


@db.command()
def upgrade() -> None:
    """Upgrade the database schema, in one transaction.

    Afterwards, block hashes that are not yet recorded are computed for volumes at 25 and 10 um, which reads these files
    once. If this is interrupted, run the command again.
    """
    from bsv_store.progress import NO_PROGRESS
    from bsv_store.store.opening import upgrade_store

    with progress_bar() as bar:
        report = upgrade_store(store_folder(), progress=bar or NO_PROGRESS)
    before, after = report.before, report.after
    note(f"The schema is already at revision {after}." if before == after else f"Upgraded from {before} to {after}.")
    if report.hashed:
        note(f"Recorded the block hashes of {number_of(report.hashed, 'volume')}.")
    if report.damaged:
        for path in report.damaged:
            note(f"damaged or missing: {path}")
        note(f"Fetch {'it' if len(report.damaged) == 1 else 'them'} again: `bsv-store fetch --refresh`.")
        click.get_current_context().exit(1)


@db.command()
@click.argument("accounts", nargs=-1, metavar="[ACCOUNT]...")
def grant(accounts: tuple[str, ...]) -> None:
    """Grant accounts of the Postgres server read access to the catalog.

    Creates a role that can only read the catalog of this store, and makes the accounts members of it. `bsv-store sql`
    runs queries as this role. The store's own account always becomes a member.
    """
    from bsv_store.store.opening import grant_reading

    role = grant_reading(store_folder(), accounts=accounts)
    note(f"The role {role} can read the catalog; {number_of(len(accounts), 'account')} added.")

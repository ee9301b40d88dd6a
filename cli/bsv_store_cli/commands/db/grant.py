"""``bsv-store db grant``."""

from __future__ import annotations

import click

from bsv_store_cli.help import Command
from bsv_store_cli.output.formats import emit
from bsv_store_cli.output.messages import note
from bsv_store_cli.session import store_folder


@click.command(cls=Command)
@click.option("--reader", "readers", multiple=True, metavar="ROLE", help="Account that may read; repeatable.")
@click.option(
    "--writer",
    "writers",
    multiple=True,
    metavar="ROLE",
    help="Account that may do everything except change the schema; repeatable.",
)
@click.option(
    "--admin",
    "admins",
    multiple=True,
    metavar="ROLE",
    help="Account that may also upgrade the schema and grant access: becomes a member of the owner; repeatable.",
)
@click.option("--apply", is_flag=True, help="Run the statements instead of printing them.")
def grant(readers: tuple[str, ...], writers: tuple[str, ...], admins: tuple[str, ...], apply: bool) -> None:
    """Grant accounts of the Postgres server access to the catalog.

    Prints the SQL statements, for you or an administrator of the server to run; --apply runs them. There is one role
    for readers and one for writers of this store, and the accounts become members. `bsv-store sql` runs queries as the
    role of readers. Without options, only this role is created.

    \b
    Example:
      bsv-store db grant --reader bi_tool --writer anna --apply
    """  # noqa: D301 (click wants the character)
    from bsv_store.store.schema_changes import grant_access

    done = grant_access(store_folder(), readers=readers, writers=writers, admins=admins, apply=apply)
    if not apply:
        for statement in done.statements:
            emit(statement)
        note("Nothing was changed. Run the statements in the store's database, or use --apply.")
        return
    note(f"The role {done.reader_role} can read the catalog.")
    for accounts, words in ((readers, "can read"), (writers, "can read and write"), (admins, "can do everything")):
        for account in accounts:
            note(f"{account} {words}.")

"""``bsv-store serve token``."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import click

from bsv_store.vocabulary import ACCESS_SCOPES
from bsv_store_cli.help import Group, RowChoice
from bsv_store_cli.options.quantities import Duration
from bsv_store_cli.output.formats import format_option, print_rows, say
from bsv_store_cli.output.messages import note
from bsv_store_cli.output.tables import Column, cell, day_time, number_of
from bsv_store_cli.session import opened_store

if TYPE_CHECKING:
    from bsv_store.vocabulary import AccessScope

_COLUMNS = ("name", "scopes", "created_by", "created_at", "expires_at", "revoked_at")


@click.group(cls=Group)
def token() -> None:
    """Manage the tokens of clients of the server."""


@token.command()
@click.argument("name")
@click.option(
    "--scope",
    type=RowChoice(ACCESS_SCOPES),
    default="read",
    show_default=True,
    help="What the token permits: read, or sql (reading and SQL queries).",
)
@click.option(
    "--expires",
    type=Duration(),
    metavar="DURATION",
    help="Time after which the token expires, such as 90d.  [default: never]",
)
def add(name: str, scope: AccessScope, expires: timedelta | None) -> None:
    """Add a token and print it. It is stored as a hash, and cannot be shown again.

    NAME says which person or program uses it.

    \b
    Examples:
      bsv-store serve token add laptop-anna --scope sql --expires 365d
    """  # noqa: D301 (click wants the character)
    with opened_store() as store:
        added = store.admin.add_token(name, scope=scope, expires_in=expires)
    say(added.secret)
    note("Keep it: the token is not stored, and cannot be shown again.")


@token.command(name="list")
@format_option
def list_(output_format: str) -> None:
    """List the tokens, including expired and revoked ones."""
    with opened_store() as store:
        found = store.admin.tokens()
    table = [Column(name, name.replace("_", " "), day_time if name.endswith("_at") else cell) for name in _COLUMNS]
    rows = [{**{name: getattr(each, name) for name in _COLUMNS}, "scopes": ", ".join(each.scopes)} for each in found]
    print_rows(rows, output_format, columns=_COLUMNS, table=table)


@token.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def revoke(names: tuple[str, ...]) -> None:
    """Revoke tokens; a running server refuses them within seconds."""
    with opened_store() as store:
        revoked = store.admin.revoke_token(names)
    note(f"{number_of(len(revoked), 'token')} revoked")

"""``bsv-store activity``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from bsv_store.vocabulary import ACTIONS
from bsv_store_cli.help import Command, WordChoice
from bsv_store_cli.options.limit import limit_and_format_options
from bsv_store_cli.options.quantities import Duration
from bsv_store_cli.output.formats import print_rows
from bsv_store_cli.output.messages import note
from bsv_store_cli.output.tables import Column, day_time
from bsv_store_cli.session import opened_store

if TYPE_CHECKING:
    from datetime import timedelta

    from bsv_store.vocabulary import Action


def _words(details: Mapping[str, Any]) -> str:
    """The details as a phrase, such as ``fetched 12 of 14, failed 2, 3 s``."""
    from bsv_store.text import duration_text, size_text

    total = details.get("of")
    # As JSON, the names are sorted; the main count comes first, and how the run ended last.
    last = ("seconds", "interrupted", "stopped by")
    order = sorted(details, key=lambda name: (name not in ACTIONS, last.index(name) if name in last else -1))
    parts = []
    for name in order:
        value = details[name]
        if name == "seconds":
            parts.append(duration_text(max(1.0, value)))
        elif name == "size_bytes":
            parts.append(size_text(value))
        elif name.endswith("_bytes") and isinstance(value, int):
            parts.append(f"{size_text(value)} {name.removesuffix('_bytes').replace('_', ' ')}")
        elif name in ("before", "after") and isinstance(value, int):
            parts.append(f"{name} {value}")
        elif value is True:
            parts.append(name)
        elif isinstance(value, int) and name in ACTIONS:
            parts.append(f"{name} {value:,}" + (f" of {total:,}" if isinstance(total, int) else ""))
        elif isinstance(value, int) and name != "of" and value is not False:
            parts.append(f"{value:,} {name if value != 1 else name.removesuffix('s')}")
        elif isinstance(value, str):
            parts.append(f"{name} {value}")
    return ", ".join(parts)


_TABLE = (
    Column("at", "time", day_time),
    Column("user_name", "user"),
    Column("action", "action"),
    Column("subject", "subject"),
    Column("details", "details", _words),
    Column("host", "host"),
    Column("release", "release"),
)


@click.command(cls=Command)
@click.option("--user", metavar="NAME", help="Only actions of this user (login name or database role).")
@click.option("--action", type=WordChoice(list(ACTIONS)), metavar="ACTION", help=f"Only one of: {', '.join(ACTIONS)}.")
@click.option("--since", type=Duration(), metavar="DURATION", help="Maximum age of the actions, such as 12h or 7d.")
@limit_and_format_options(40, "Maximum number of actions to show, the most recent first.")
def activity(
    user: str | None, action: Action | None, since: timedelta | None, limit: int | None, output_format: str
) -> None:
    """Show who changed the store, and when.

    \b
    Examples:
      bsv-store activity --since 7d
      bsv-store activity --action deleted --user miller
    """  # noqa: D301 (click needs \b)
    with opened_store() as store:
        frame = store.admin.activity(user=user, action=action, since=since, limit=limit)
    if frame.empty:
        note("No such actions are recorded.")
    print_rows(frame.to_dict("records"), output_format, columns=tuple(frame.columns), table=_TABLE)

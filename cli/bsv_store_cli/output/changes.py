"""Printing the differences between members."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bsv_store_cli.output.formats import print_rows
from bsv_store_cli.output.tables import Column

if TYPE_CHECKING:
    from bsv_store.datasets.history.changes import MemberChanges

_COLUMNS = ("experiment_id", "reason")
_TABLE = (Column("experiment_id", "experiment"), Column("reason", "reason"))


def print_changes(changes: MemberChanges) -> None:
    """Print the changes as tables."""
    for title, members in (("Entered", changes.entered), ("Left", changes.left), ("Changed", changes.changed)):
        rows = [{"experiment_id": member.experiment_id, "reason": member.reason} for member in members]
        print_rows(rows, "table", columns=_COLUMNS, table=_TABLE, title=title)

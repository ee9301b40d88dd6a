"""``bsv-store db journal``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from bsv_store.vocabulary import JOURNAL_MODES
from bsv_store_cli.help import Command, RowChoice
from bsv_store_cli.output.formats import emit
from bsv_store_cli.output.messages import note
from bsv_store_cli.session import opened_store

if TYPE_CHECKING:
    from bsv_store.vocabulary import JournalMode


@click.command(cls=Command)
@click.argument("mode", type=RowChoice(JOURNAL_MODES), required=False)
def journal(mode: JournalMode | None) -> None:
    """Show or choose how SQLite protects the catalog.

    With the rollback journal, the default, readers and writers wait for each other. With the write-ahead log (wal),
    only writers wait; it needs a local file system, and SQLite 3.51.3 or newer for all users of the store.
    """
    with opened_store() as store:
        if mode is not None:
            store.admin.set_journal_mode(mode)
        found = store.admin.journal_mode()
    if found is None:
        note("The catalog is on Postgres, which has no journal mode.")
    else:
        emit(found)

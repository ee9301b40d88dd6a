"""``bsv-store reproduce``."""

from __future__ import annotations

import click

from bsv_store.vocabulary import PUBLISHED_TABLES, PublishedTable
from bsv_store_cli.help import Command, RowChoice
from bsv_store_cli.output.formats import format_option, print_rows
from bsv_store_cli.output.messages import note
from bsv_store_cli.output.tables import Column, cell
from bsv_store_cli.session import opened_store

_COLUMNS = ["label", "published", "ours", "difference", "reason"]


@click.command(cls=Command)
@click.argument("name", required=False, type=RowChoice(PUBLISHED_TABLES))
@format_option
def reproduce(name: PublishedTable | None, output_format: str) -> None:
    """Compare published counts of experiments with the catalog.

    Each difference is explained as far as the lists of experiments allow. Without NAME, list the tables.

    \b
    Example:
      bsv-store reproduce knox-2019-table-1
    """  # noqa: D301 (click wants the character)
    if name is None:
        columns = ["name", "words", "citation", "source"]
        rows = [{column: getattr(row, column) for column in columns} for row in PUBLISHED_TABLES.values()]
        print_rows(
            rows, output_format, columns=columns, table=[Column("name", "name", _hyphens), Column("words", "what")]
        )
        return
    with opened_store() as store:
        found = store.reproduce(name)
    rows = [{column: getattr(count, column) for column in _COLUMNS} for count in found.counts]
    table = [Column(column, column, cell, whole=column == "reason") for column in _COLUMNS]
    print_rows(rows, output_format, columns=_COLUMNS, table=table)
    note(f"{found.citation} {found.source}")


def _hyphens(name: str) -> str:
    return name.replace("_", "-")

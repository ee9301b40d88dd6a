"""``bsv-store selection``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from bsv_store_cli.help import Group, SectionedCommand
from bsv_store_cli.options.completion import complete_selections
from bsv_store_cli.options.selection import selection_options
from bsv_store_cli.output.formats import emit, format_option, print_rows
from bsv_store_cli.output.messages import note
from bsv_store_cli.output.tables import Column, cell, day_time
from bsv_store_cli.session import opened_store

if TYPE_CHECKING:
    from bsv_store.catalog.selection.saved import SavedSelection
    from bsv_store.catalog.selection.selection import Selection

_COLUMNS = ["name", "number", "selection", "note", "saved_by", "saved_at"]

_TABLE = [Column(name, name.replace("_", " "), day_time if name.endswith("_at") else cell) for name in _COLUMNS]


def _row(saved: SavedSelection) -> dict[str, Any]:
    return {**{name: getattr(saved, name) for name in _COLUMNS}, "selection": saved.selection.to_json()}


@click.group(cls=Group)
def selection() -> None:
    """Save selections under names that the whole lab can use."""


@selection.command(cls=SectionedCommand)
@click.argument("name", shell_complete=complete_selections)
@selection_options
@click.option("--note", "remark", metavar="TEXT", help="Purpose of the selection.")
@click.option("--replace", is_flag=True, help="Replace an existing one, which is kept as NAME@NUMBER.")
def save(name: str, selection: Selection, remark: str | None, replace: bool) -> None:
    """Save a selection under a NAME.

    \b
    Example:
      bsv-store selection save visual --injected-in VIS --line wild-type --note "for the 2025 paper"
    """  # noqa: D301 (click wants the character)
    with opened_store() as store:
        saved = store.catalog.save_selection(name, selection, note=remark, replace=replace)
    note(f"{saved.name}@{saved.number} is {saved.selection.to_json()}")


@selection.command(name="list")
@format_option
def list_(output_format: str) -> None:
    """List the saved selections."""
    with opened_store() as store:
        found = store.catalog.selections()
    print_rows([_row(saved) for saved in found], output_format, columns=_COLUMNS, table=_TABLE)


@selection.command()
@click.argument("name", metavar="NAME[@NUMBER]", shell_complete=complete_selections)
def show(name: str) -> None:
    """Print a saved selection as JSON, for --selection."""
    with opened_store() as store:
        emit(store.catalog.selection(name).to_json())


@selection.command()
@click.argument("name", shell_complete=complete_selections)
@format_option
def history(name: str, output_format: str) -> None:
    """List all selections that were ever saved under a name."""
    with opened_store() as store:
        found = store.catalog.selections(history=name)
    print_rows([_row(saved) for saved in found], output_format, columns=_COLUMNS, table=_TABLE)

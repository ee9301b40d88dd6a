"""Shared by commands: open the store that the global options name, and notes about a selection."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from bsv_store_cli.output.messages import note

if TYPE_CHECKING:
    from pathlib import Path

    from bsv_store.catalog.selection.selection import Selection
    from bsv_store.store.store import Store
    from bsv_store.vocabulary import SettingName


def store_folder() -> Path | None:
    """The folder given with --store, if any."""
    folder: Path | None = click.get_current_context().find_root().obj["store"]
    return folder


def setting_arguments() -> dict[SettingName, object]:
    """The settings given as global options."""
    given: dict[SettingName, object] = click.get_current_context().find_root().obj["settings"]
    return given


@contextmanager
def opened_store() -> Iterator[Store]:
    """Open the store that the global options name, and close it at the end."""
    from bsv_store.store.opening import open_store

    with open_store(store_folder()) as store:
        yield store


def require_experiments(store: Store, selection: Selection) -> tuple[int, ...]:
    """The ids of the selected experiments, ascending, at least one.

    Raises
    ------
    EmptySelectionError
        If no experiment matches. The hint says why.
    """
    from bsv_store.catalog.without_unionizes import selected_ids

    with store.database.reading() as connection:
        return selected_ids(connection, selection)


def note_mistaken_lines(selection: Selection) -> None:
    """Print a note about a line that is easily mistaken for wild type."""
    from bsv_store.catalog.selection.names import mistaken_lines

    for name in mistaken_lines(selection):
        note(
            f"{name} is the name of an allele, which Allen lists for mice that also carry a Cre line.\n"
            "For mice without a transgenic line use --line wild-type."
        )

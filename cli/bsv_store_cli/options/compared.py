"""The arguments that name the two sides of a comparison."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from bsv_store_cli.help import SectionedCommand
from bsv_store_cli.options.selection import file_content, name_of, selection_options
from bsv_store_cli.session import opened_store

if TYPE_CHECKING:
    from bsv_store.catalog.selection.selection import Selection


_IDS = re.compile(r"[0-9]+(?:[,;\s]+[0-9]+)*")


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison.

    Attributes
    ----------
    selection : Selection
    name : str or None
        Of a saved selection, as it was given.
    """

    selection: Selection
    name: str | None = None


def side_of(context: click.Context, text: str) -> Side:
    """The side that an argument names.

    It is a saved selection ``NAME[@NUMBER]``, a selection as JSON, ids ``1,2,3``, ``@FILE`` with one of the last two,
    or the options of ``bsv-store select`` in quotes.
    """
    from bsv_store.catalog.selection.selection import Selection
    from bsv_store.formats.fields import decoded
    from bsv_store.formats.id_list import ids_in_text, read_ids

    if text.startswith("-"):
        return Side(_from_options(context, text))
    if text.startswith("@"):
        body = file_content(text)
        content = decoded(body, what=name_of(text))
        is_selection = content.lstrip().startswith("{")
        return Side(Selection.from_json(content) if is_selection else Selection(ids=read_ids(body, what=name_of(text))))
    if text.startswith("{"):
        return Side(Selection.from_json(text))
    if _IDS.fullmatch(text):
        return Side(Selection(ids=ids_in_text(text)))
    with opened_store() as store:
        return Side(store.catalog.selection(text), text)


def _from_options(context: click.Context, text: str) -> Selection:
    """The selection of options in one argument, such as ``--injected-in VISp --line wild-type``."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise click.UsageError(f"{text!r} is not valid: {error}", context) from error
    try:
        with _parsed.make_context("select", words, parent=context) as inner:
            selection: Selection = _parsed.invoke(inner)
    except click.UsageError as error:
        # Its own usage lines would be those of another command.
        raise click.UsageError(f"in {text!r}: {error.format_message()}", context) from error
    return selection


@click.command("select", cls=SectionedCommand, add_help_option=False)
@selection_options
def _parsed(selection: Selection) -> Selection:
    """Parse the options of a selection."""
    return selection

"""Help on file formats, shared by the commands that export."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from bsv_store.formats.table import FileFormat

like_allen_option = click.option(
    "--like-allen",
    is_flag=True,
    help="Write the same directions as Allen's files to an .nrrd file, so that viewers align it with these files.",
)


def format_lines(formats: Sequence[FileFormat[Any]]) -> str:
    """A paragraph for a help text that lists the endings, one per line."""
    width = max(len(each.ending) for each in formats)
    # click keeps the line breaks of a paragraph that begins with this character.
    return "\n".join(["\b", *(f"{each.ending:<{width}}  {each.words}" for each in formats)])

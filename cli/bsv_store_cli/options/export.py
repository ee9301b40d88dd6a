"""Help on file formats, shared by the commands that export."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bsv_store.formats.table import FileFormat


def format_lines(formats: Sequence[FileFormat[Any]]) -> str:
    """A paragraph for a help text that lists the endings, one per line."""
    width = max(len(each.ending) for each in formats)
    # click keeps the line breaks of a paragraph that begins with this character.
    return "\n".join(["\b", *(f"{each.ending:<{width}}  {each.words}" for each in formats)])

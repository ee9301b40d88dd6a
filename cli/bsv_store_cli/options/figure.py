"""Options of all commands that draw a figure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from bsv_store.vocabulary import THEMES
from bsv_store_cli.help import RowChoice

_Command = TypeVar("_Command", bound=Callable[..., Any])


def figure_options(command: _Command) -> _Command:
    """Add ``--title``, ``--width-mm``, ``--theme``, ``--no-footer``, ``--dpi`` and ``--overwrite``."""
    for option in reversed(
        [
            click.option("--title", metavar="TEXT", help="Title.  [default: the question in words]"),
            click.option(
                "--width-mm",
                type=click.FloatRange(40, 1000),
                default=180.0,
                metavar="MM",
                show_default=True,
                help="Width; a column is about 85 mm wide, a page about 180 mm.",
            ),
            click.option(
                "--theme",
                type=RowChoice(THEMES),
                metavar="THEME",
                default="light",
                show_default=True,
                help="Colors: light or dark.",
            ),
            click.option(
                "--footer/--no-footer", default=True, help="Write notes and the fingerprint below the figure."
            ),
            click.option(
                "--dpi",
                type=click.IntRange(50, 1200),
                default=300,
                show_default=True,
                metavar="N",
                help="Resolution of PNG files.",
            ),
            click.option("--overwrite", is_flag=True, help="Replace FILE if it exists."),
        ]
    ):
        command = option(command)
    return command

"""The option ``--measure``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from bsv_store.vocabulary import MEASURES
from bsv_store_cli.help import RowChoice

_Command = TypeVar("_Command", bound=Callable[..., Any])


def measure_option(default: str = "normalized_projection_volume") -> Callable[[_Command], _Command]:
    """Add ``--measure``."""
    return click.option(
        "--measure",
        type=RowChoice(MEASURES),
        metavar="MEASURE",
        default=default.replace("_", "-"),
        show_default=True,
        help="Measure of the signal.",
    )

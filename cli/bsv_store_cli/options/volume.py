"""The options that name a kind of volume, the same for every command that takes one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from bsv_store_cli.help import WordChoice, library_name

_Command = TypeVar("_Command", bound=Callable[..., Any])

KINDS = (
    "projection_density",
    "projection_energy",
    "injection_density",
    "injection_fraction",
    "injection_energy",
    "data_mask",
)
SPACINGS = (100, 50, 25, 10)


def volume_options(command: _Command) -> _Command:
    """Add ``--kind`` and ``--spacing`` to a command."""
    kind = click.option(
        "--kind",
        default=KINDS[0],
        show_default=True,
        metavar="KIND",
        callback=library_name,
        help=f"Volumes: {', '.join(KINDS[:-1])} or {KINDS[-1]}.",
    )
    return kind(spacing_option(command))


def spacing_option(command: _Command) -> _Command:
    """Add ``--spacing`` to a command, which gets it as ``spacing_um``."""
    spacing = click.option(
        "--spacing",
        "spacing_um",
        type=WordChoice([str(spacing) for spacing in SPACINGS]),
        default=str(SPACINGS[0]),
        show_default=True,
        callback=lambda _context, _option, value: int(value),
        help="Edge of a voxel, um.",
    )
    return spacing(command)

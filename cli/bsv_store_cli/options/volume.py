"""The options that name a kind of volume, and how volumes are measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from bsv_store.vocabulary import (
    HEMISPHERE_RULES,
    MEASURED_HEMISPHERES,
    MISSING_POLICIES,
    NORMALIZATIONS,
    SPACINGS_UM,
    VOLUME_KINDS,
    VolumeKind,
)
from bsv_store_cli.help import RowChoice, WordChoice

_Command = TypeVar("_Command", bound=Callable[..., Any])

_DEFAULT_KIND: VolumeKind = "projection_density"
_DEFAULT_SPACING_UM = 100


def volume_options(command: _Command) -> _Command:
    """Add ``--kind`` and ``--spacing`` to a command."""
    kind = click.option(
        "--kind",
        type=RowChoice(VOLUME_KINDS),
        default=_DEFAULT_KIND.replace("_", "-"),
        show_default=True,
        metavar="KIND",
        help=f"Kind of volume: {', '.join(VOLUME_KINDS).replace('_', '-')}.",
    )
    return kind(spacing_option(command))


def spacing_option(command: _Command) -> _Command:
    """Add ``--spacing`` to a command, which gets it as ``spacing_um``."""
    spacing = click.option(
        "--spacing",
        "spacing_um",
        type=WordChoice([str(spacing) for spacing in SPACINGS_UM]),
        default=str(_DEFAULT_SPACING_UM),
        show_default=True,
        callback=lambda _context, _option, value: int(value),
        help="Edge of a voxel, um.",
    )
    return spacing(command)


def measurement_options(command: _Command) -> _Command:
    """Add ``--hemisphere``, repeatable, ``--normalize`` and ``--missing`` to a command that measures volumes."""
    hemisphere = click.option(
        "--hemisphere",
        "hemispheres",
        multiple=True,
        type=RowChoice(MEASURED_HEMISPHERES),
        help="Hemisphere of the structures; repeatable.  [default: both]",
    )
    normalize = click.option(
        "--normalize",
        type=RowChoice(NORMALIZATIONS),
        default="none",
        show_default=True,
        help=f"Divide mean and sum: {', '.join(NORMALIZATIONS).replace('_', '-')}.",
    )
    missing = click.option(
        "--missing",
        type=RowChoice(MISSING_POLICIES),
        default="error",
        show_default=True,
        help="Experiments whose volume is missing.",
    )
    return hemisphere(normalize(missing(command)))


hemisphere_rule_option = click.option(
    "--hemisphere-rule",
    type=RowChoice(HEMISPHERE_RULES),
    default="none",
    show_default=True,
    help=f"Transform the volume: {', '.join(HEMISPHERE_RULES).replace('_', '-')}.",
)

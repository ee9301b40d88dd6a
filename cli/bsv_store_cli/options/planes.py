"""Options of the commands that draw planes of the brain: which planes, which structures, which colors."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from bsv_store.vocabulary import COLOR_SCALES, COMPARISON_MAPS, PLANES, STATISTICS
from bsv_store_cli.help import RowChoice
from bsv_store_cli.options.completion import complete_structures

_Command = TypeVar("_Command", bound=Callable[..., Any])
_Value = TypeVar("_Value")


def group_options(command: _Command) -> _Command:
    """Add ``--group``, received as ``groups`` (None if not given), ``--minus`` and ``--statistic``."""
    return _with(
        command,
        click.option(
            "--group",
            "groups",
            type=int,
            multiple=True,
            metavar="N",
            callback=_list_or_none,
            help="Draw only this group of a version; repeatable.",
        ),
        click.option("--minus", type=int, metavar="N", help="Draw the difference of each group and this one."),
        click.option(
            "--statistic",
            type=RowChoice({**STATISTICS, **COMPARISON_MAPS}),
            default="mean",
            show_default=True,
            metavar="NAME",
            help="Statistic of a version to draw, or a map of a comparison.",
        ),
    )


def plane_options(command: _Command) -> _Command:
    """Add ``--plane``, ``--through``, ``--at-mm`` and ``--count``."""
    return _with(
        command,
        click.option(
            "--plane",
            type=RowChoice(PLANES),
            default="coronal",
            show_default=True,
            metavar="PLANE",
            help=f"{', '.join(PLANES)}.",
        ),
        click.option(
            "--through",
            multiple=True,
            metavar="STRUCTURE",
            shell_complete=complete_structures,
            callback=_list_or_none,
            help="Spread the planes over the extent of this structure; repeatable.",
        ),
        click.option(
            "--at-mm",
            metavar="MM,...",
            callback=_positions,
            help="Positions of the planes, CCF coordinates in mm, such as 5.2,6.4.  [default: where the signal is]",
        ),
        click.option("--count", type=int, metavar="N", help="Number of planes.  [default: 6, fewer with many rows]"),
    )


def structure_options(command: _Command) -> _Command:
    """Add ``--outlines`` and ``--emphasize``."""
    return _with(
        command,
        click.option(
            "--outlines",
            multiple=True,
            metavar="LEVEL|SET|STRUCTURE",
            callback=_outlines,
            help="Outline a level of the ontology (0: only the brain), a structure set, or structures; repeatable.",
        ),
        emphasize_option,
    )


def emphasize_option(command: _Command) -> _Command:
    """Add ``--emphasize``; None if not given."""
    return click.option(
        "--emphasize",
        multiple=True,
        metavar="STRUCTURE",
        shell_complete=complete_structures,
        callback=_list_or_none,
        help="Fill, edge and label this structure; repeatable.",
    )(command)


def image_options(command: _Command) -> _Command:
    """Add ``--smooth-um``, ``--region-only`` and ``--background``."""
    return _with(
        command,
        smooth_option,
        click.option(
            "--region-only",
            multiple=True,
            metavar="STRUCTURE",
            shell_complete=complete_structures,
            callback=_list_or_none,
            help="Show signal only inside this structure; repeatable.",
        ),
        click.option(
            "--background",
            metavar="template|FILE",
            help="Image in gray behind the signal: the average template of the store, or of an NRRD file.",
        ),
    )


def smooth_option(command: _Command) -> _Command:
    """Add ``--smooth-um``."""
    return click.option(
        "--smooth-um",
        type=float,
        default=0.0,
        show_default=True,
        metavar="UM",
        help="Standard deviation of a Gaussian filter, um.",
    )(command)


def scale_option(default: str) -> Callable[[_Command], _Command]:
    """Add ``--scale``, which is None if not given; the help says that the default is ``default``."""
    return click.option(
        "--scale",
        type=RowChoice(COLOR_SCALES),
        metavar="SCALE",
        help=f"Color scale: {', '.join(COLOR_SCALES)}.  [default: {default}]",
    )


def vmax_option(command: _Command) -> _Command:
    """Add ``--vmax``."""
    return click.option(
        "--vmax", type=float, metavar="X", help="Upper end of the color scale.  [default: a quantile of the values]"
    )(command)


def scale_options(default: str) -> Callable[[_Command], _Command]:
    """Add ``--scale``, ``--vmin``, ``--vmax`` and ``--shared/--per-row``.

    Parameters
    ----------
    default : str
        What the help says about the default of ``--scale``, which is None if not given.
    """

    def decorated(command: _Command) -> _Command:
        return _with(
            command,
            scale_option(default),
            click.option("--vmin", type=float, metavar="X", help="Lower end of the color scale.  [default: 0]"),
            vmax_option,
            click.option("--shared/--per-row", default=True, help="One color scale for all rows, or one for each."),
        )

    return decorated


def quantile_option(command: _Command) -> _Command:
    """Add ``--quantile``."""
    return click.option(
        "--quantile",
        type=float,
        default=0.998,
        show_default=True,
        metavar="Q",
        help="Quantile of the non-zero values at which the color scale ends.",
    )(command)


def source_of_text(text: str) -> str | int | list[int]:
    """A dataset version, an experiment id or several ids separated by commas."""
    parts = text.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        return text
    ids = [int(part) for part in parts]
    return ids[0] if len(ids) == 1 else ids


def given(name: str, value: _Value) -> _Value | None:
    """The value of an option that was given on the command line, or None if it is the default."""
    source = click.get_current_context().get_parameter_source(name)
    return None if source is ParameterSource.DEFAULT else value


def _with(command: _Command, *options: Callable[[_Command], _Command]) -> _Command:
    return functools.reduce(lambda decorated, option: option(decorated), reversed(options), command)


def _list_or_none(_context: click.Context, _option: click.Parameter, value: tuple[Any, ...]) -> list[Any] | None:
    return list(value) or None


def _positions(context: click.Context, option: click.Parameter, value: str | None) -> list[float] | None:
    if value is None:
        return None
    try:
        return [float(part) for part in value.split(",")]
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is not a list of numbers such as 5.2,6.4", context, option) from error


def _outlines(
    _context: click.Context, _option: click.Parameter, value: tuple[str, ...]
) -> int | list[str | int] | None:
    if not value:
        return None
    found: list[str | int] = [int(each) if each.isdecimal() else each for each in value]
    if len(found) == 1 and isinstance(found[0], int):
        return found[0]
    return found

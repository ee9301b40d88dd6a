"""Options and output of the commands that rank structures."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bsv_store.vocabulary import ANIMAL_WEIGHTS, MEASURED_HEMISPHERES, SUMMARY_STRUCTURE_SET_ID
from bsv_store_cli.help import RowChoice
from bsv_store_cli.options.completion import complete_structures
from bsv_store_cli.options.limit import limit_and_format_options
from bsv_store_cli.options.measure import measure_option
from bsv_store_cli.output.formats import frame_rows, print_rows
from bsv_store_cli.output.messages import note
from bsv_store_cli.output.tables import Column, count, number_of

if TYPE_CHECKING:
    import pandas as pd

_Command = TypeVar("_Command", bound=Callable[..., Any])


sorting_hemisphere_option = click.option(
    "--hemisphere",
    type=RowChoice(MEASURED_HEMISPHERES, ["both", "ipsilateral", "contralateral"]),
    default="both",
    show_default=True,
    help="Hemisphere of the target by which the structures are sorted.",
)


def weight_option_by(option: Callable[..., Callable[[_Command], _Command]]) -> Callable[[_Command], _Command]:
    """``--weight-by``, made by ``option``, such as `click.option`."""
    return option(
        "--weight-by",
        type=RowChoice(ANIMAL_WEIGHTS),
        default="none",
        show_default=True,
        help="; ".join(f"{row.name.replace('_', '-')}: {row.words}" for row in ANIMAL_WEIGHTS.values()) + ".",
    )


def weight_option(command: _Command) -> _Command:
    """Add ``--weight-by``."""
    return weight_option_by(click.option)(command)


def _target_by(option: Callable[..., Any]) -> Any:
    return option(
        "--target",
        "targets",
        multiple=True,
        metavar="ACRONYM",
        shell_complete=complete_structures,
        help="Only these targets; repeatable.",
    )


target_option = _target_by(click.option)


def target_options(command: _Command) -> _Command:
    """Add the options that choose targets: ``--target``, ``--structure-set``, ``--within``, ``--include-...``."""
    return target_options_by(click.option)(command)


def target_options_by(option: Callable[..., Any]) -> Callable[[_Command], _Command]:
    """The decorator that adds `target_options`, made by ``option`` instead of `click.option`."""
    options = (
        _target_by(option),
        option(
            "--structure-set",
            type=int,
            metavar="ID",
            help="Targets are the structures of this set; 687527670 has the major divisions."
            f"  [default: {SUMMARY_STRUCTURE_SET_ID}, the summary structures]",
        ),
        option(
            "--within",
            metavar="ACRONYM",
            shell_complete=complete_structures,
            help="Only targets inside this structure.",
        ),
        option("--include-sources", is_flag=True, help="Include the injected structures."),
        option("--include-fiber-tracts", is_flag=True, help="Include fiber tracts and ventricles."),
    )

    def decorate(command: _Command) -> _Command:
        for each in reversed(options):
            command = each(command)
        return command

    return decorate


def ranking_options(ranked: str) -> Callable[[_Command], _Command]:
    """Add ``--measure``, ``--hemisphere``, ``--weight-by``, ``--limit``, ``--all`` and ``--format``."""
    limited = limit_and_format_options(
        20, f"Maximum number of {ranked} to print.", everything=f"Print all {ranked}, also in a table."
    )

    def decorate(command: _Command) -> _Command:
        return measure_option()(sorting_hemisphere_option(weight_option(limited(command))))

    return decorate


def print_ranking(frame: pd.DataFrame, what: str, output_format: str) -> None:
    """Print ranked structures: means with standard errors, both hemispheres, ipsilateral and contralateral."""
    rows = frame_rows(frame)
    table = (
        Column("structure", what),
        Column("both", "both", right=True),
        Column("ipsilateral", "ipsilateral", right=True),
        Column("contralateral", "contralateral", right=True),
        Column("n", "n", count),
        Column("structure_name", "name"),
    )
    shown = [
        {
            **row,
            "both": _with_error(row["mean"], row["sem"]),
            "ipsilateral": _with_error(row["ipsilateral_mean"], row["ipsilateral_sem"]),
            "contralateral": _with_error(row["contralateral_mean"], row["contralateral_sem"]),
        }
        for row in rows
    ]
    print_rows(shown if output_format == "table" else rows, output_format, columns=list(frame.columns), table=table)
    is_cut = len(frame) == click.get_current_context().params.get("limit")
    rule = ANIMAL_WEIGHTS[frame.attrs["weight_by"]].rule
    weighted = f", {rule}" if rule else ""
    unit = f", {frame.attrs['unit']}" if frame.attrs["unit"] else ""
    note(
        f"{number_of(len(frame), what)}{', possibly more (--limit, --all)' if is_cut else ''}; "
        f"{frame.attrs['measure']}{unit}, mean ± SEM over n animals{weighted}"
    )


def _with_error(mean: float | None, error: float | None) -> str:
    """Mean and standard error; the error has two significant digits, and the mean as many decimals."""
    if mean is None:
        return ""
    if not error:
        return f"{mean:.3g}"
    decimals = 1 - math.floor(math.log10(error))
    if not 0 <= decimals <= 6:
        digits = math.floor(math.log10(abs(mean))) + decimals + 1 if mean else 1
        return f"{mean:.{max(1, digits)}g} ± {error:.2g}"
    return f"{mean:.{decimals}f} ± {error:.{decimals}f}"

"""The options of the commands that compute a projection matrix."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from bsv_store.vocabulary import MATRIX_ROWS, MATRIX_STATISTICS, MEASURED_HEMISPHERES, SUMMARY_STRUCTURE_SET_ID
from bsv_store_cli.help import RowChoice
from bsv_store_cli.options.completion import complete_structures
from bsv_store_cli.options.measure import measure_option
from bsv_store_cli.options.ranking import target_option

_Command = TypeVar("_Command", bound=Callable[..., Any])


def matrix_options(command: _Command) -> _Command:
    """Add the options for rows, sources, targets, hemispheres, measure and statistic of a matrix."""
    options = (
        click.option(
            "--rows",
            "matrix_rows",
            type=RowChoice(MATRIX_ROWS),
            default="sources",
            show_default=True,
            help="One row per source structure, or per experiment.",
        ),
        click.option(
            "--source",
            "sources",
            multiple=True,
            metavar="ACRONYM",
            shell_complete=complete_structures,
            help="Pool experiments by these; repeatable.",
        ),
        target_option,
        click.option(
            "--structure-set",
            type=int,
            metavar="ID",
            help="Targets are the structures of this set."
            f"  [default: {SUMMARY_STRUCTURE_SET_ID}, the summary structures]",
        ),
        click.option(
            "--hemisphere",
            "hemispheres",
            multiple=True,
            metavar="SIDE",
            type=RowChoice(MEASURED_HEMISPHERES),
            help="Hemisphere of the targets: ipsilateral, contralateral, left, right, both; repeatable."
            "  [default: ipsilateral and contralateral]",
        ),
        measure_option(),
        click.option(
            "--statistic",
            type=RowChoice(MATRIX_STATISTICS),
            default="mean",
            show_default=True,
            help="Over the experiments of a source; n is their number.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command

"""The options that say how volumes are averaged, the same for every command that averages."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click

from bsv_store.vocabulary import (
    BILATERAL_RULES,
    HEMISPHERE_RULES,
    MISSING_POLICIES,
    NORMALIZATIONS,
    RESULT_DTYPES,
    STATISTICS,
)
from bsv_store_cli.help import RowChoice, SectionOption
from bsv_store_cli.options.ranking import weight_option_by

_Command = TypeVar("_Command", bound=Callable[..., Any])


def averaging_options(section: str, *, with_weights: bool = True) -> Callable[[_Command], _Command]:
    """Add the options, in a section of the help.

    Parameters
    ----------
    with_weights : bool
        Whether there are options to weight voxels and experiments.
    """
    option = functools.partial(click.option, cls=SectionOption, section=section)
    options = [
        option(
            "--normalize",
            type=RowChoice(NORMALIZATIONS),
            default="none",
            show_default=True,
            help="What each volume is divided by.",
        ),
        option(
            "--hemisphere-rule",
            type=RowChoice(HEMISPHERE_RULES),
            metavar="RULE",
            default="none",
            show_default=True,
            help=f"How the injected hemisphere is used: {', '.join(HEMISPHERE_RULES).replace('_', '-')}.",
        ),
        option(
            "--bilateral-rule",
            type=RowChoice(BILATERAL_RULES),
            default="larger-side",
            show_default=True,
            help="Experiments injected on both sides, if the hemisphere rule needs one side.",
        ),
        option(
            "--exclude-injection",
            is_flag=True,
            help="Do not count voxels inside the injection site (injection fraction above 0).",
        ),
    ]
    if with_weights:
        options.append(
            option("--weight-by-data-mask", is_flag=True, help="Weight each voxel by the fraction of it that has data.")
        )
        options.append(weight_option_by(option))
    options += [
        option(
            "--statistic",
            "statistics",
            multiple=True,
            type=RowChoice(STATISTICS),
            metavar="NAME",
            help=f"Per voxel: {', '.join(STATISTICS)}; repeatable. The mean is always computed.",
        ),
        option(
            "--dtype",
            type=RowChoice(RESULT_DTYPES),
            default="float32",
            show_default=True,
            help="Of the result. Sums are float64 in any case.",
        ),
    ]

    def decorate(command: _Command) -> _Command:
        for each in reversed(options):
            command = each(command)
        return command

    return decorate


def missing_option(section: str, *, words: str) -> Callable[[_Command], _Command]:
    """Add ``--missing`` in a section of the help."""
    return click.option(
        "--missing",
        cls=SectionOption,
        section=section,
        type=RowChoice(MISSING_POLICIES),
        default="error",
        show_default=True,
        help=words,
    )

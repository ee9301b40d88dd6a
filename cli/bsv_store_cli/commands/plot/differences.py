"""``bsv-store plot differences``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bsv_store.vocabulary import COMPARISON_ORDERS
from bsv_store_cli.help import Command, RowChoice
from bsv_store_cli.options.dataset import REF
from bsv_store_cli.options.figure import figure_options
from bsv_store_cli.options.limit import figure_limit_options
from bsv_store_cli.output.figures import write_figure

if TYPE_CHECKING:
    from bsv_store.vocabulary import ComparisonOrder, Theme


@click.command(cls=Command)
@REF
@click.argument("target", type=click.Path(path_type=Path), metavar="FILE")
@click.option(
    "--sort-by",
    "sort_by",
    type=RowChoice(COMPARISON_ORDERS),
    default="p",
    show_default=True,
    help="What rows are sorted by.",
)
@figure_limit_options(20, "Maximum number of structures.", everything="Draw all structures.")
@click.option("--alpha", type=float, default=0.05, show_default=True, metavar="P", help="Corrected p of filled points.")
@click.option(
    "--standardized/--in-units",
    default=True,
    show_default=True,
    help="Draw effect sizes, or differences in the unit of the measure.",
)
@figure_options
def differences(
    ref: str,
    target: Path,
    sort_by: ComparisonOrder,
    limit: int | None,
    alpha: float,
    standardized: bool,
    title: str | None,
    width_mm: float,
    theme: Theme,
    footer: bool,
    dpi: int,
    overwrite: bool,
) -> None:
    """Draw a comparison by structure into FILE (.png, .pdf or .svg): differences with their intervals, and p.

    The comparison was stored by `bsv-store compare A B --name NAME`.

    \b
    Example:
      bsv-store plot differences age-in-thalamus differences.pdf --sort-by effect-size --width-mm 85
    """  # noqa: D301 (click wants the character)
    from bsv_store.reports import structure_differences

    write_figure(
        target,
        lambda store: structure_differences(
            store,
            ref,
            sort_by=sort_by,
            limit=limit,
            alpha=alpha,
            standardized=standardized,
            title=title,
            width_mm=width_mm,
            theme=theme,
            footer=footer,
        ),
        dpi=dpi,
        overwrite=overwrite,
    )

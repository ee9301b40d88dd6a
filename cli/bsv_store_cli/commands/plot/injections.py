"""``bsv-store plot injections``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bsv_store.vocabulary import INJECTION_COLORS
from bsv_store_cli.help import RowChoice, SectionedCommand
from bsv_store_cli.options.completion import complete_versions
from bsv_store_cli.options.figure import figure_options
from bsv_store_cli.options.grouping import grouping_options
from bsv_store_cli.options.selection import selection_options
from bsv_store_cli.output.figures import write_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bsv_store.averaging.grouping.grouping import Grouping
    from bsv_store.catalog.selection.selection import Selection
    from bsv_store.store.store import Store
    from bsv_store.vocabulary import InjectionColor, Theme


@click.command(cls=SectionedCommand)
@click.argument("target", type=click.Path(path_type=Path), metavar="FILE")
@selection_options
@grouping_options
@click.option(
    "--dataset",
    "ref",
    metavar="NAME[@VERSION]",
    shell_complete=complete_versions,
    help="Members and groups of this dataset version.",
)
@click.option(
    "--color",
    type=RowChoice(INJECTION_COLORS),
    help="Meaning of the color.  [default: group if there are groups, else structure]",
)
@click.option(
    "--legend-limit",
    type=click.IntRange(2),
    default=14,
    show_default=True,
    metavar="N",
    help="Maximum number of lines of the color legend.",
)
@figure_options
def injections(
    target: Path,
    selection: Selection,
    grouping: Grouping,
    ref: str | None,
    color: InjectionColor | None,
    legend_limit: int,
    title: str | None,
    width_mm: float,
    theme: Theme,
    footer: bool,
    dpi: int,
    overwrite: bool,
) -> None:
    """Draw injection sites into FILE (.png, .pdf or .svg): three planes, and the surface from above.

    The area of a symbol is proportional to the injection volume. Outlines come from the annotation, if the store has
    one.

    \b
    Example:
      bsv-store plot injections sites.pdf --injected-in VIS --color line
    """  # noqa: D301 (click wants the character)
    from bsv_store.averaging.grouping.grouping import NoGrouping
    from bsv_store.catalog.selection.selection import Selection as All
    from bsv_store.reports import injection_map

    by_grouping = None if isinstance(grouping, NoGrouping) else grouping
    if ref is not None and by_grouping is not None:
        raise click.UsageError("--dataset and --group-by cannot be combined")

    def draw(store: Store) -> Figure:
        version = None if ref is None else store.dataset(ref)
        return injection_map(
            store,
            None if version is not None and selection == All() else selection,
            color=color,
            groups=version if version is not None else by_grouping,
            legend_limit=legend_limit,
            title=title,
            width_mm=width_mm,
            theme=theme,
            footer=footer,
        )

    write_figure(target, draw, dpi=dpi, overwrite=overwrite)

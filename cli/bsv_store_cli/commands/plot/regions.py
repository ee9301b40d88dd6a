"""``bsv-store plot regions``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bsv_store_cli.help import Command
from bsv_store_cli.options.completion import complete_versions
from bsv_store_cli.options.figure import figure_options
from bsv_store_cli.options.planes import plane_options, scale_options, structure_options
from bsv_store_cli.output.figures import write_figure

if TYPE_CHECKING:
    from bsv_store.vocabulary import ColorScale, Plane, Theme


@click.command(cls=Command)
@click.argument("source", metavar="NAME[@VERSION]|TABLE.csv", shell_complete=complete_versions)
@click.argument("target", type=click.Path(path_type=Path), metavar="FILE")
@click.option("--column", metavar="NAME", help="Column of the table with the values.  [default: mean]")
@click.option("--group", "groups", type=int, multiple=True, metavar="N", help="Draw only this group; repeatable.")
@plane_options
@structure_options
@scale_options("linear")
@figure_options
def regions(
    source: str,
    target: Path,
    column: str | None,
    groups: tuple[int, ...],
    plane: Plane,
    through: list[str] | None,
    at_mm: list[float] | None,
    count: int | None,
    outlines: int | list[str | int] | None,
    emphasize: list[str] | None,
    scale: ColorScale | None,
    vmin: float | None,
    vmax: float | None,
    shared: bool,
    title: str | None,
    width_mm: float,
    theme: Theme,
    footer: bool,
    dpi: int,
    overwrite: bool,
) -> None:
    """Draw slices whose structures are filled by a value into FILE (.png, .pdf or .svg).

    The values are means of a dataset version by structure, or those of a table with a column structure or
    structure_id, such as `bsv-store targets --format csv` prints.

    \b
    Example:
      bsv-store plot regions visual@1 regions.png --at-mm 8.2,9.0
    """  # noqa: D301 (click wants the character)
    from bsv_store import reports

    write_figure(
        target,
        lambda store: reports.region_map(
            store,
            Path(source) if source.lower().endswith(".csv") else source,
            column=column,
            groups=list(groups) or None,
            plane=plane,
            through=through,
            at_mm=at_mm,
            count=count,
            outlines=outlines,
            emphasize=emphasize,
            scale=scale or "linear",
            vmin=vmin,
            vmax=vmax,
            shared=shared,
            title=title,
            width_mm=width_mm,
            theme=theme,
            footer=footer,
        ),
        dpi=dpi,
        overwrite=overwrite,
    )

"""``bsv-store plot projections``."""

from __future__ import annotations

from pathlib import Path

import click

from bsv_store_cli.help import Command
from bsv_store_cli.options.completion import complete_versions
from bsv_store_cli.output.messages import note
from bsv_store_cli.session import opened_store


@click.command(cls=Command)
@click.argument("ref", metavar="NAME[@VERSION]", shell_complete=complete_versions)
@click.argument("target", type=click.Path(path_type=Path), metavar="FILE")
@click.option("--group", "groups", type=int, multiple=True, metavar="N", help="Draw only this group; repeatable.")
@click.option("--subtitle", metavar="TEXT", help="Line of text below the title.")
@click.option("--overwrite", is_flag=True, help="Replace FILE if it exists.")
def projections(ref: str, target: Path, groups: tuple[int, ...], subtitle: str | None, overwrite: bool) -> None:
    """Draw the groups of a dataset version into FILE (.png, .pdf or .svg).

    Up to ten groups are drawn in three views with axes, more as a sheet of tiles.
    Requires Matplotlib: pip install 'bsv-store[plot]'
    """
    from bsv_store.reports import plot_groups

    with opened_store() as store:
        plot_groups(store.dataset(ref), target, groups=groups or None, subtitle=subtitle, overwrite=overwrite)
    note(f"Wrote {target}.")

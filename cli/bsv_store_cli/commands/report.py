"""``bsv-store report``."""

from __future__ import annotations

from pathlib import Path

import click

from bsv_store_cli.help import Command
from bsv_store_cli.options.completion import complete_versions
from bsv_store_cli.output.messages import note
from bsv_store_cli.session import opened_store


@click.command(cls=Command)
@click.argument("ref", metavar="NAME[@VERSION]", shell_complete=complete_versions)
@click.option(
    "-o", "--output", "target", type=click.Path(path_type=Path), metavar="FILE", required=True, help="Ends in .html."
)
@click.option("--title", metavar="TEXT", help="Heading of the page.  [default: name and number of the version]")
@click.option("--overwrite", is_flag=True, help="Replace FILE if it exists.")
def report(ref: str, target: Path, title: str | None, overwrite: bool) -> None:
    """Write the report on a dataset version as one HTML page.

    The page has the figures, the strongest structures and the members in tables that sort and filter, the numbers of
    experiments by group, those left out with the reason, outliers, the recipe in words, a draft of the methods text,
    and the provenance. It needs no network and no other file, so it can be sent by email.

    Requires Matplotlib: pip install 'bsv-store[plot]'

    \b
    Example:
      bsv-store report visual-by-AP@1 -o visual.html
    """  # noqa: D301 (click needs \b)
    from bsv_store.reports import page

    with opened_store() as store:
        page(store, ref, target, title=title, overwrite=overwrite)
    note(f"Wrote {target}.")

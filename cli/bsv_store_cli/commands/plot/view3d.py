"""``bsv-store plot 3d``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bsv_store.vocabulary import SIGNAL_STYLES, THEMES
from bsv_store_cli.help import Command, RowChoice
from bsv_store_cli.options.completion import complete_structures, complete_versions
from bsv_store_cli.options.planes import given, source_of_text
from bsv_store_cli.options.volume import volume_options
from bsv_store_cli.output.messages import note
from bsv_store_cli.session import opened_store

if TYPE_CHECKING:
    from bsv_store.vocabulary import SignalStyle, Theme, VolumeKind


@click.command("3d", cls=Command)
@click.argument("source", metavar="NAME[@VERSION]|EXPERIMENT_ID", shell_complete=complete_versions)
@click.argument("target", type=click.Path(path_type=Path), metavar="FILE")
@click.option("--group", "groups", type=int, multiple=True, metavar="N", help="Draw only this group; repeatable.")
@click.option(
    "--region",
    "regions",
    multiple=True,
    metavar="ACRONYM",
    shell_complete=complete_structures,
    help="Draw the surface of this structure; repeatable.",
)
@click.option(
    "--style", type=RowChoice(SIGNAL_STYLES), default="surface", show_default=True, help="How signal is drawn."
)
@click.option(
    "--level",
    "levels",
    type=float,
    multiple=True,
    metavar="X",
    help="Signal at the surface; repeatable.  [default: 15 % of the 99.8 % quantile, for one group also 50 %]",
)
@volume_options
@click.option("--title", metavar="TEXT", help="Title.  [default: the name]")
@click.option(
    "--theme",
    type=RowChoice(THEMES),
    metavar="THEME",
    default="dark",
    show_default=True,
    help="Colors: light or dark.",
)
@click.option("--footer/--no-footer", default=True, help="Write levels and fingerprint at the bottom.")
@click.option("--overwrite", is_flag=True, help="Replace FILE if it exists.")
def view_3d(
    source: str,
    target: Path,
    groups: tuple[int, ...],
    regions: tuple[str, ...],
    style: SignalStyle,
    levels: tuple[float, ...],
    kind: VolumeKind,
    spacing_um: int,
    title: str | None,
    theme: Theme,
    footer: bool,
    overwrite: bool,
) -> None:
    """Write a 3-D view of a dataset version or of experiments into FILE (.html), which works offline in a browser.

    Several experiment ids are separated by commas.

    \b
    Example:
      bsv-store plot 3d visual@1 visual.html --region CP
    """  # noqa: D301 (click wants the character)
    from bsv_store.reports import view_3d as write_view_3d

    with opened_store() as store:
        write_view_3d(
            store,
            source_of_text(source),
            target,
            groups=groups or None,
            regions=regions,
            style=style,
            level=levels or None,
            kind=given("kind", kind),
            spacing_um=given("spacing_um", spacing_um),
            title=title,
            theme=theme,
            footer=footer,
            overwrite=overwrite,
        )
    note(f"Wrote {target}.")

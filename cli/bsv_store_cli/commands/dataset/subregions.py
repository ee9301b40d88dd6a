"""``bsv-store dataset subregions``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bsv_store.vocabulary import MEASURED_HEMISPHERES
from bsv_store_cli.help import Command, RowChoice
from bsv_store_cli.options.completion import complete_structures
from bsv_store_cli.options.dataset import REF
from bsv_store_cli.options.subregions import ANIMAL_COLUMNS, SUBREGION_COLUMNS, subregion_options
from bsv_store_cli.output.datasets import note_empty_groups
from bsv_store_cli.output.formats import format_option
from bsv_store_cli.output.progress import progress_bar
from bsv_store_cli.output.reports import print_by_annotation
from bsv_store_cli.output.tables import Column
from bsv_store_cli.session import opened_store

if TYPE_CHECKING:
    from bsv_store.vocabulary import MeasuredHemisphere


@click.command(cls=Command)
@REF
@click.argument("structures", nargs=-1, metavar="[ACRONYM]...", shell_complete=complete_structures)
@subregion_options
@click.option("--group", "groups", type=int, multiple=True, metavar="N", help="Group; repeatable.  [default: all]")
@click.option(
    "--hemisphere",
    "hemispheres",
    multiple=True,
    type=RowChoice(MEASURED_HEMISPHERES),
    help="Repeatable. For a folded version: ipsilateral, contralateral or both.  [default: all]",
)
@click.option(
    "--over-animals",
    is_flag=True,
    help="Mean, sd and sem over the animals of each group, from their volumes; all hemispheres.",
)
@format_option
def subregions(
    ref: str,
    structures: tuple[str, ...],
    bins: dict[str, int | list[float]] | None,
    labels: Path | None,
    label_names: Path | None,
    groups: tuple[int, ...],
    hemispheres: tuple[MeasuredHemisphere, ...],
    over_animals: bool,
    output_format: str,
) -> None:
    """Show the mean of each group over subdivisions of structures.

    \b
    Examples:
      bsv-store dataset subregions visual-by-AP CP --bins AP=5 --bins ML=3 --hemisphere right
      bsv-store dataset subregions visual-by-AP --labels parts.nrrd --label-names parts.ctbl
    """  # noqa: D301 (click wants the character)
    with opened_store() as store, progress_bar() as progress:
        version = store.dataset(ref)
        frame = store.datasets.subregions(
            version,
            structures or None,
            bins=bins,
            labels=labels,
            label_names=label_names,
            groups=groups or None,
            hemisphere=hemispheres or None,
            over_animals=over_animals,
            progress=progress,
        )
    table = (Column("group_label", "group"), *SUBREGION_COLUMNS, *(ANIMAL_COLUMNS if over_animals else ()))
    print_by_annotation(frame, output_format, table=table)
    note_empty_groups(group for group in version.empty_groups if group.number in set(frame["group"]))

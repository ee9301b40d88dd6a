"""``bsv-store dataset regions``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from bsv_store.vocabulary import MEASURED_HEMISPHERES, SUMMARY_STRUCTURE_SET_ID
from bsv_store_cli.help import Command, RowChoice
from bsv_store_cli.options.completion import complete_structures
from bsv_store_cli.options.dataset import REF
from bsv_store_cli.options.subregions import ANIMAL_COLUMNS
from bsv_store_cli.output.datasets import note_empty_groups
from bsv_store_cli.output.formats import format_option
from bsv_store_cli.output.messages import note
from bsv_store_cli.output.progress import progress_bar
from bsv_store_cli.output.reports import print_by_annotation
from bsv_store_cli.output.tables import Column, count, number_of
from bsv_store_cli.session import opened_store

if TYPE_CHECKING:
    from bsv_store.vocabulary import MeasuredHemisphere

_TABLE = (
    Column("group_label", "group"),
    Column("structure", "structure"),
    Column("hemisphere", "hemisphere"),
    Column("voxels", "voxels", count),
    Column("mean", "mean"),
)


@click.command(cls=Command)
@REF
@click.option(
    "--structure",
    "structures",
    multiple=True,
    metavar="ACRONYM",
    shell_complete=complete_structures,
    help="Measure this structure; repeatable.",
)
@click.option(
    "--structure-set",
    type=int,
    metavar="ID",
    help=f"Or the structures of this set.  [default: {SUMMARY_STRUCTURE_SET_ID}, the summary structures]",
)
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
@click.option(
    "--limit",
    type=click.IntRange(1),
    metavar="N",
    help="The N structures with the largest mean in each group and hemisphere.",
)
@format_option
def regions(
    ref: str,
    structures: tuple[str, ...],
    structure_set: int | None,
    groups: tuple[int, ...],
    hemispheres: tuple[MeasuredHemisphere, ...],
    over_animals: bool,
    limit: int | None,
    output_format: str,
) -> None:
    """Show the mean of each group over structures and hemispheres, in ontology order.

    Descendants are included. Needs the annotation at the spacing of the version.

    \b
    Examples:
      bsv-store dataset regions visual-by-AP@2 --structure CP --structure TH
      bsv-store dataset regions visual-by-AP --group 0 --hemisphere right --limit 10
      bsv-store dataset regions visual-by-AP --structure CP --over-animals --hemisphere ipsilateral
    """  # noqa: D301 (click wants the character)
    with opened_store() as store, progress_bar() as progress:
        version = store.dataset(ref)
        frame = store.datasets.regions(
            version,
            structures=structures or None,
            structure_set=structure_set,
            groups=groups or None,
            hemisphere=hemispheres or None,
            over_animals=over_animals,
            limit=limit,
            progress=progress,
        )
    print_by_annotation(frame, output_format, table=(*_TABLE, *ANIMAL_COLUMNS) if over_animals else _TABLE)
    note_empty_groups(group for group in version.empty_groups if group.number in set(frame["group"]))
    structure_count, group_count = frame["structure_id"].nunique(), frame["group"].nunique()
    note(f"{number_of(structure_count, 'structure')} in {number_of(group_count, 'group')}")

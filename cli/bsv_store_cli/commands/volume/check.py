"""``bsv-store volume check``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from bsv_store.vocabulary import SPACINGS_UM, VOLUME_KINDS
from bsv_store_cli.help import RowChoice, SectionedCommand, WordChoice
from bsv_store_cli.options.selection import selection_options
from bsv_store_cli.output.formats import format_option, print_json, print_rows
from bsv_store_cli.output.messages import note
from bsv_store_cli.output.progress import progress_bar
from bsv_store_cli.output.tables import Column
from bsv_store_cli.session import opened_store

if TYPE_CHECKING:
    from bsv_store.catalog.selection.selection import Selection
    from bsv_store.vocabulary import VolumeKind

_COLUMNS = ("experiment_id", "kind", "spacing_um", "source", "problem")
_TABLE = (
    Column("experiment_id", "experiment"),
    Column("kind", "kind"),
    Column("spacing_um", "spacing (um)"),
    Column("problem", "problem", whole=True),
)


@click.command(cls=SectionedCommand)
@selection_options
@click.option(
    "--kind", "only_kind", type=RowChoice(VOLUME_KINDS), metavar="KIND", help="Check only volumes of this kind."
)
@click.option(
    "--spacing",
    "only_spacing_um",
    type=WordChoice([str(spacing) for spacing in SPACINGS_UM]),
    callback=lambda _context, _option, value: None if value is None else int(value),
    help="Check only volumes with this voxel edge, in um.",
)
@format_option
def check(selection: Selection, only_kind: VolumeKind | None, only_spacing_um: int | None, output_format: str) -> None:
    """Compare stored volumes with the catalog and with each other.

    Checks the distribution of the values, the amount and hemisphere of the signal, its distance from the injection
    coordinate, the signal in large structures, and the other volumes of the experiment. Every byte of the files is
    verified. By default all volumes are checked, including those of withdrawn and excluded experiments. The exit code
    is 1 if a volume has a problem; nothing is changed.
    """
    from bsv_store.catalog.selection.selection import Selection as AnySelection

    with opened_store() as store, progress_bar() as progress:
        report = store.volumes.check(
            None if selection == AnySelection() else selection,
            kind=only_kind,
            spacing_um=only_spacing_um,
            progress=progress,
        )
    note(report.summary())
    if output_format == "json":
        print_json(report)
    else:
        rows = [asdict(problem) for problem in report.problems]
        print_rows(rows, output_format, columns=_COLUMNS, table=_TABLE, title="Problems")
    if report.problems:
        note("Replace these volumes:\n" + "\n".join(f"  {command}" for command in report.remedies()))
        click.get_current_context().exit(1)

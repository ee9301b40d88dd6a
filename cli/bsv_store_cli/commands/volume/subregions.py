"""``bsv-store volume subregions``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bsv_store_cli.help import SectionedCommand
from bsv_store_cli.options.completion import complete_structures
from bsv_store_cli.options.selection import required_selection_options
from bsv_store_cli.options.subregions import SUBREGION_COLUMNS, subregion_options
from bsv_store_cli.options.volume import measurement_options, volume_options
from bsv_store_cli.output.formats import format_option
from bsv_store_cli.output.messages import note
from bsv_store_cli.output.progress import progress_bar
from bsv_store_cli.output.reports import print_by_annotation
from bsv_store_cli.output.tables import Column, number_of
from bsv_store_cli.session import opened_store

if TYPE_CHECKING:
    from bsv_store.catalog.selection.selection import Selection
    from bsv_store.vocabulary import MeasuredHemisphere, MissingPolicy, Normalization, VolumeKind


@click.command(cls=SectionedCommand)
@click.argument("structures", nargs=-1, metavar="[ACRONYM]...", shell_complete=complete_structures)
@subregion_options
@required_selection_options
@volume_options
@measurement_options
@format_option
def subregions(
    structures: tuple[str, ...],
    bins: dict[str, int | list[float]] | None,
    labels: Path | None,
    label_names: Path | None,
    selection: Selection,
    kind: VolumeKind,
    spacing_um: int,
    hemispheres: tuple[MeasuredHemisphere, ...],
    normalize: Normalization,
    missing: MissingPolicy,
    output_format: str,
) -> None:
    """Measure the volumes of selected experiments in subdivisions of structures.

    \b
    Example:
      bsv-store volume subregions CP --bins AP=5 --bins ML=3 --injected-in VISp --hemisphere ipsilateral
    """  # noqa: D301 (click wants the character)
    with opened_store() as store, progress_bar() as progress:
        frame = store.atlas.subregions(
            selection,
            structures or None,
            bins=bins,
            labels=labels,
            label_names=label_names,
            kind=kind,
            spacing_um=spacing_um,
            hemisphere=hemispheres or "both",
            normalize=normalize,
            missing=missing,
            progress=progress,
        )
    table = (Column("experiment_id", "experiment"), *SUBREGION_COLUMNS)
    print_by_annotation(frame, output_format, table=table)
    without = len(frame.attrs["without_volume"])
    note(f"{number_of(frame['experiment_id'].nunique(), 'experiment')}{f'; {without:,} left out' if without else ''}")

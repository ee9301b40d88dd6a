"""``bsv-store volume centroid``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from bsv_store.vocabulary import MISSING_POLICIES
from bsv_store_cli.help import RowChoice, SectionedCommand
from bsv_store_cli.options.selection import required_selection_options
from bsv_store_cli.options.volume import spacing_option
from bsv_store_cli.output.formats import format_option, frame_rows, print_rows
from bsv_store_cli.output.messages import note
from bsv_store_cli.output.progress import progress_bar
from bsv_store_cli.output.tables import Column, count, fixed, number_of
from bsv_store_cli.session import opened_store

if TYPE_CHECKING:
    from bsv_store.catalog.selection.selection import Selection
    from bsv_store.vocabulary import MissingPolicy

_TABLE = (
    Column("experiment_id", "experiment"),
    Column("primary_structure", "structure"),
    Column("centroid_ap", "AP", fixed(0)),
    Column("centroid_dv", "DV", fixed(0)),
    Column("centroid_ml", "ML", fixed(0)),
    Column("distance_um", "from coordinate (um)", fixed(0)),
    Column("left_share", "left share", fixed(3)),
    Column("voxels", "voxels", count),
)


@click.command(cls=SectionedCommand)
@required_selection_options
@spacing_option
@click.option(
    "--missing",
    type=RowChoice(MISSING_POLICIES),
    default="error",
    show_default=True,
    help="Experiments whose volume is missing.",
)
@format_option
def centroid(selection: Selection, spacing_um: int, missing: MissingPolicy, output_format: str) -> None:
    """Compute the centroid of each injection from its density, in um.

    Needs volumes of the kind injection-density. The coordinate in the experiment list is the densest voxel instead.

    \b
    Example:
      bsv-store volume centroid --injected-in VISp --missing leave-out
    """  # noqa: D301 (click wants the character)
    with opened_store() as store, progress_bar() as progress:
        frame = store.volumes.injection_centroids(selection, spacing_um=spacing_um, missing=missing, progress=progress)
    print_rows(frame_rows(frame), output_format, columns=[str(name) for name in frame.columns], table=_TABLE)
    without = len(frame.attrs["without_volume"])
    note(f"{number_of(len(frame), 'experiment')}{f'; {without:,} left out' if without else ''}")

"""``bsv-store volume mask``, ``volume masks`` and ``volume regions``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bsv_store.formats.table import IMAGE_FORMATS
from bsv_store.vocabulary import MEASURED_HEMISPHERES
from bsv_store_cli.help import Command, RowChoice, SectionedCommand
from bsv_store_cli.options.completion import complete_structures
from bsv_store_cli.options.export import format_lines, like_allen_option
from bsv_store_cli.options.selection import required_selection_options
from bsv_store_cli.options.volume import measurement_options, spacing_option, volume_options
from bsv_store_cli.output.formats import format_option
from bsv_store_cli.output.messages import note
from bsv_store_cli.output.progress import progress_bar
from bsv_store_cli.output.reports import print_by_annotation
from bsv_store_cli.output.tables import Column, count, number_of
from bsv_store_cli.session import opened_store

if TYPE_CHECKING:
    from bsv_store.catalog.selection.selection import Selection
    from bsv_store.vocabulary import MeasuredHemisphere, MissingPolicy, Normalization, VolumeKind

_STRUCTURES = click.argument(
    "structures", nargs=-1, required=True, metavar="ACRONYM...", shell_complete=complete_structures
)
_HEMISPHERE = click.option(
    "--hemisphere",
    type=RowChoice(MEASURED_HEMISPHERES, [row.name for row in MEASURED_HEMISPHERES.values() if not row.is_relative]),
    default="both",
    show_default=True,
    help="Hemisphere of the structures.",
)
_DESCENDANTS = click.option(
    "--descendants/--no-descendants", default=True, help="Include descendants (default), or not."
)
_TABLE = (
    Column("experiment_id", "experiment"),
    Column("structure", "structure"),
    Column("hemisphere", "hemisphere"),
    Column("voxels", "voxels", count),
    Column("mean", "mean"),
    Column("sum", "sum"),
)


_MASK_HELP = f"""Write the mask of a structure, or of several together, to FILE: 1 inside, 0 outside.

The ending of FILE selects the format. Needs the annotation at that spacing.

{format_lines(IMAGE_FORMATS)}

\b
Example:
  bsv-store volume mask CP --spacing 25 -o CP.nrrd
"""


@click.command(cls=Command, help=_MASK_HELP)
@_STRUCTURES
@click.option(
    "-o", "--output", "target", type=click.Path(path_type=Path), required=True, metavar="FILE", help="File to write."
)
@spacing_option
@_HEMISPHERE
@_DESCENDANTS
@like_allen_option
@click.option("--overwrite", is_flag=True, help="Replace FILE if it exists.")
def mask(
    structures: tuple[str, ...],
    target: Path,
    spacing_um: int,
    hemisphere: MeasuredHemisphere,
    descendants: bool,
    like_allen: bool,
    overwrite: bool,
) -> None:
    """Write the mask of structures to FILE."""
    with opened_store() as store:
        store.atlas.export_mask(
            structures,
            target,
            spacing_um=spacing_um,
            hemisphere=hemisphere,
            include_descendants=descendants,
            like_allen=like_allen,
            overwrite=overwrite,
        )
    note(f"Wrote {target}.")


_MASKS_HELP = f"""Write the mask of each structure to a FILE of its own in FOLDER, named ID_ACRONYM.

Needs the annotation at that spacing, which is read once. The endings select the format.

{format_lines(IMAGE_FORMATS)}

\b
Example:
  bsv-store volume masks CP TH VISp -o masks --ending .nii.gz
"""


@click.command(cls=Command, help=_MASKS_HELP)
@_STRUCTURES
@click.option(
    "-o",
    "--output",
    "folder",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FOLDER",
    help="Existing folder for the files.",
)
@click.option("--ending", default=".nrrd", show_default=True, help="Ending of the files.")
@spacing_option
@_HEMISPHERE
@_DESCENDANTS
@like_allen_option
@click.option("--overwrite", is_flag=True, help="Replace FILE if it exists.")
def masks(
    structures: tuple[str, ...],
    folder: Path,
    ending: str,
    spacing_um: int,
    hemisphere: MeasuredHemisphere,
    descendants: bool,
    like_allen: bool,
    overwrite: bool,
) -> None:
    """Write the mask of each structure to a file in FOLDER."""
    with opened_store() as store:
        written = store.atlas.export_masks(
            structures,
            folder,
            ending=ending,
            spacing_um=spacing_um,
            hemisphere=hemisphere,
            include_descendants=descendants,
            like_allen=like_allen,
            overwrite=overwrite,
        )
    note("\n".join(f"Wrote {path}." for path in written))


@click.command(cls=SectionedCommand)
@_STRUCTURES
@required_selection_options
@volume_options
@measurement_options
@format_option
def regions(
    structures: tuple[str, ...],
    selection: Selection,
    kind: VolumeKind,
    spacing_um: int,
    hemispheres: tuple[MeasuredHemisphere, ...],
    normalize: Normalization,
    missing: MissingPolicy,
    output_format: str,
) -> None:
    """Measure the volumes of selected experiments in structures.

    Mean and sum over the voxels of each structure, descendants and injection site included. Needs the annotation at the
    spacing of the volumes. Volumes in mm3 computed from the sums differ from those of unionize tables, which are 1.1025
    times as large.

    \b
    Example:
      bsv-store volume regions CP TH --injected-in VISp --hemisphere ipsilateral --hemisphere contralateral
    """  # noqa: D301 (click wants the character)
    with opened_store() as store, progress_bar() as progress:
        frame = store.atlas.signal(
            selection,
            structures,
            kind=kind,
            spacing_um=spacing_um,
            hemisphere=hemispheres or "both",
            normalize=normalize,
            missing=missing,
            progress=progress,
        )
    print_by_annotation(frame, output_format, table=_TABLE)
    without = len(frame.attrs["without_volume"])
    left_out = f"; {without:,} left out" if without else ""
    unit = f"; mean: {frame.attrs['unit']}" if normalize != "none" else ""
    note(f"{number_of(frame['experiment_id'].nunique(), 'experiment')}{left_out}{unit}")

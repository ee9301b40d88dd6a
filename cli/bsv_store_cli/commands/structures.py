"""``bsv-store structures``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bsv_store.formats.table import IMAGE_FORMATS
from bsv_store.vocabulary import MEASURED_HEMISPHERES, STRUCTURE_KEYS, SUMMARY_STRUCTURE_SET_ID
from bsv_store_cli.help import Group, RowChoice
from bsv_store_cli.options.completion import complete_structures
from bsv_store_cli.options.export import format_lines, like_allen_option
from bsv_store_cli.options.limit import limit_and_format_options
from bsv_store_cli.options.measure import measure_option
from bsv_store_cli.options.selection import ids_argument
from bsv_store_cli.options.volume import spacing_option
from bsv_store_cli.output.formats import format_option, frame_rows, print_rows, say
from bsv_store_cli.output.messages import note
from bsv_store_cli.output.reports import print_by_annotation
from bsv_store_cli.output.tables import Column, count, number_of
from bsv_store_cli.session import opened_store

if TYPE_CHECKING:
    from bsv_store.catalog.structures import StructureRow
    from bsv_store.vocabulary import Measure, MeasuredHemisphere, StructureKey

_LABELS_HELP = f"""Write the annotation as a label image, with tables for ITK-SNAP and 3D Slicer.

Labels are numbers from 1 in ontology order, because ITK-SNAP cannot show Allen's ids. The tables with the names and
Allen's colors are written beside FILE: NAME.label.txt for ITK-SNAP, NAME.ctbl for 3D Slicer. The ending of FILE selects
the format of the image.

{format_lines(IMAGE_FORMATS)}

\b
Example:
  bsv-store structures labels --structure-set 167587189 -o summary.nii.gz
"""

_COLUMNS = ["structure_id", "structure", "name", "depth"]


def _rows(found: Iterable[StructureRow]) -> list[dict[str, Any]]:
    return [{"structure_id": row.id, "structure": row.acronym, "name": row.name, "depth": row.depth} for row in found]


@click.group(cls=Group)
def structures() -> None:
    """Find structures of the ontology; show subtrees, sets and overlaps; rank the structures of an experiment."""


@structures.command()
@click.argument("text", shell_complete=complete_structures)
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Maximum number of structures to print.")
@format_option
def find(text: str, limit: int | None, output_format: str) -> None:
    """Find structures by acronym or name; if none contains the TEXT, list similar ones.

    \b
    Example:
      bsv-store structures find "visual area"
    """  # noqa: D301 (click wants the character)
    with opened_store() as store:
        found = store.atlas.find_structures(text, limit=limit)
    print_rows(_rows(found.structures), output_format, columns=_COLUMNS)
    if not found.exact:
        note("No acronym or name contains this text" + ("; these are similar." if found.structures else "."))


@structures.command()
@click.argument("references", nargs=-1, required=True, metavar="STRUCTURE...", shell_complete=complete_structures)
@click.option(
    "--by",
    type=RowChoice(STRUCTURE_KEYS),
    default="any",
    show_default=True,
    help="Whether the arguments are acronyms, ids or full names.",
)
@format_option
def show(references: tuple[str, ...], by: StructureKey, output_format: str) -> None:
    """Show structures by acronym, id or full name, in the order given.

    \b
    Example:
      bsv-store structures show CP 549 "Primary visual area"
    """  # noqa: D301 (click wants the character)
    with opened_store() as store:
        found = store.atlas.structures(references, by=by)
        acronyms = {row.id: row.acronym for row in store.atlas.structure_tree("root")}
    rows = [
        {**row, "parent": acronyms.get(each.parent_structure_id or 0), "color": f"#{each.color_hex_triplet}"}
        for row, each in zip(_rows(found), found, strict=True)
    ]
    print_rows(rows, output_format, columns=[*_COLUMNS, "parent", "color"])


@structures.command()
@click.argument("structure", metavar="ACRONYM", shell_complete=complete_structures)
@format_option
def path(structure: str, output_format: str) -> None:
    """Show the structures that contain a structure, from the root down to it.

    \b
    Example:
      bsv-store structures path VISp5
    """  # noqa: D301 (click wants the character)
    with opened_store() as store:
        found = store.atlas.structure_path(structure)
    print_rows(_rows(found), output_format, columns=_COLUMNS)


@structures.command()
@click.argument("references", nargs=-1, required=True, metavar="ACRONYM...", shell_complete=complete_structures)
@format_option
def overlap(references: tuple[str, ...], output_format: str) -> None:
    """List the pairs of structures of which one contains the other.

    \b
    Example:
      bsv-store structures overlap VIS VISp CP
    """  # noqa: D301 (click wants the character)
    with opened_store() as store:
        pairs = store.atlas.overlapping_structures(references)
    rows = [{"outer": pair.outer.acronym, "inner": pair.inner.acronym} for pair in pairs]
    print_rows(rows, output_format, columns=["outer", "inner"])
    note(f"{number_of(len(rows), 'overlap')}" if rows else "The structures do not overlap.")


@structures.command()
@click.argument("structure", metavar="ACRONYM", shell_complete=complete_structures)
@click.option("--depth", type=click.IntRange(0), metavar="N", help="Number of levels to show.")
@format_option
def tree(structure: str, depth: int | None, output_format: str) -> None:
    """Show a structure with all its descendants, in ontology order.

    \b
    Example:
      bsv-store structures tree VIS --depth 1
    """  # noqa: D301 (click wants the character)
    with opened_store() as store:
        found = store.atlas.structure_tree(structure)
    top = found[0].depth
    shown = [row for row in found if depth is None or row.depth - top <= depth]
    if output_format != "table":
        print_rows(_rows(shown), output_format, columns=_COLUMNS)
        return
    for row in shown:
        say(f"{'  ' * (row.depth - top)}{row.acronym}  {row.name} ({row.id})")


@structures.command()
@click.argument("set_id", type=int, required=False)
@format_option
def sets(set_id: int | None, output_format: str) -> None:
    """List the structure sets, or the members of one.

    \b
    Example:
      bsv-store structures sets 167587189
    """  # noqa: D301 (click wants the character)
    with opened_store() as store:
        if set_id is not None:
            print_rows(_rows(store.atlas.structure_set(set_id)), output_format, columns=_COLUMNS)
            return
        found = store.atlas.structure_sets()
    rows = [{"structure_set": row.id, "name": row.name, "members": row.members} for row in found]
    print_rows(rows, output_format, columns=["structure_set", "name", "members"])


@structures.command()
@click.argument("references", nargs=-1, metavar="[ACRONYM]...", shell_complete=complete_structures)
@click.option("--structure-set", type=int, metavar="ID", help="Or the structures of this set.")
@spacing_option
@format_option
def voxels(references: tuple[str, ...], structure_set: int | None, spacing_um: int, output_format: str) -> None:
    """Count the voxels of structures, by default of all, according to the annotation.

    Direct voxels are assigned to the structure itself, the others to its descendants.

    \b
    Example:
      bsv-store structures voxels CP VISp --spacing 25
    """  # noqa: D301 (click wants the character)
    with opened_store() as store:
        frame = store.atlas.voxel_counts(references or None, structure_set=structure_set, spacing_um=spacing_um)
    table = (
        Column("structure", "structure"),
        Column("name", "name"),
        Column("direct_voxels", "direct", count),
        Column("voxels", "voxels", count),
        Column("left_voxels", "left", count),
        Column("right_voxels", "right", count),
        Column("volume", "volume (mm3)"),
    )
    print_by_annotation(frame, output_format, table=table)


@structures.command(help=_LABELS_HELP)
@click.option(
    "-o", "--output", "target", type=click.Path(path_type=Path), required=True, metavar="FILE", help="Image to write."
)
@click.option(
    "--structure",
    "references",
    multiple=True,
    metavar="ACRONYM",
    shell_complete=complete_structures,
    help="Structure with a label; repeatable.  [default: all with voxels of their own]",
)
@click.option("--structure-set", type=int, metavar="ID", help="Or the structures of this set.")
@spacing_option
@like_allen_option
@click.option("--overwrite", is_flag=True, help="Replace FILE if it exists.")
def labels(
    target: Path,
    references: tuple[str, ...],
    structure_set: int | None,
    spacing_um: int,
    like_allen: bool,
    overwrite: bool,
) -> None:
    """Write a label image to FILE."""
    with opened_store() as store:
        written = store.atlas.export_labels(
            target,
            structures=references or None,
            structure_set=structure_set,
            spacing_um=spacing_um,
            like_allen=like_allen,
            overwrite=overwrite,
        )
    note(f"Wrote {written.image}: {number_of(len(written.labels), 'label')}.")
    note(f"Wrote {written.label_description} (ITK-SNAP) and {written.color_table} (3D Slicer).")


@structures.command()
@ids_argument
@click.option(
    "--injected/--projected", default=False, help="Inside the injection site, or outside.  [default: outside]"
)
@click.option(
    "--structure-set",
    type=int,
    metavar="ID",
    help=f"Rank the structures of this set.  [default: {SUMMARY_STRUCTURE_SET_ID}, the summary structures]",
)
@click.option(
    "--hemisphere",
    "hemispheres",
    multiple=True,
    type=RowChoice(MEASURED_HEMISPHERES, ["left", "right", "both"]),
    help="Repeatable.  [default: left and right]",
)
@measure_option()
@click.option("--threshold", type=float, default=0.01, show_default=True, help="The measure must exceed it.")
@click.option("--include-excluded", is_flag=True, help="Include experiments on the exclusion list.")
@limit_and_format_options(5, "Maximum number of structures per experiment.")
def rank(
    experiment_ids: list[int],
    injected: bool,
    include_excluded: bool,
    structure_set: int | None,
    hemispheres: tuple[MeasuredHemisphere, ...],
    measure: Measure,
    threshold: float,
    limit: int | None,
    output_format: str,
) -> None:
    """Rank the structures of experiments by their signal.

    \b
    Example:
      bsv-store structures rank 158314987 --limit 10
    """  # noqa: D301 (click wants the character)
    # Imported here, so that --help stays fast.
    from bsv_store.catalog.selection.selection import Selection

    with opened_store() as store:
        frame = store.catalog.rank_structures(
            Selection(ids=experiment_ids, include_excluded=include_excluded),
            is_injection=injected,
            structure_set=structure_set,
            hemisphere=hemispheres or ("left", "right"),
            measure=measure,
            threshold=threshold,
            limit=limit,
        )
    print_rows(frame_rows(frame), output_format, columns=[str(name) for name in frame.columns])

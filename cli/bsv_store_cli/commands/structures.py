"""``bsv-store structures``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from bsv_store.vocabulary import MEASURED_HEMISPHERES
from bsv_store_cli.help import Group, RowChoice
from bsv_store_cli.options.completion import complete_structures
from bsv_store_cli.options.limit import limit_and_format_options
from bsv_store_cli.options.measure import measure_option
from bsv_store_cli.options.selection import ids_argument
from bsv_store_cli.output.formats import format_option, frame_rows, print_rows, say
from bsv_store_cli.output.messages import note
from bsv_store_cli.session import opened_store

if TYPE_CHECKING:
    from bsv_store.catalog.structures import StructureRow
    from bsv_store.vocabulary import Measure, MeasuredHemisphere

_COLUMNS = ["structure_id", "structure", "name", "depth"]


def _rows(found: Iterable[StructureRow]) -> list[dict[str, Any]]:
    return [{"structure_id": row.id, "structure": row.acronym, "name": row.name, "depth": row.depth} for row in found]


@click.group(cls=Group)
def structures() -> None:
    """Find structures of the ontology, show subtrees and sets, rank the structures of an experiment."""


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
@ids_argument
@click.option(
    "--injected/--projected", default=False, help="Inside the injection site, or outside.  [default: outside]"
)
@click.option(
    "--structure-set",
    type=int,
    metavar="ID",
    help="Rank the structures of this set.  [default: 167587189, the summary structures]",
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

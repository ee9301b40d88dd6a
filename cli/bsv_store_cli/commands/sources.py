"""``bsv-store sources``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from bsv_store_cli.help import SectionedCommand
from bsv_store_cli.options.ranking import print_ranking, ranking_options
from bsv_store_cli.options.selection import selection_options
from bsv_store_cli.session import opened_store

if TYPE_CHECKING:
    from bsv_store.catalog.selection.selection import Selection
    from bsv_store.vocabulary import AnimalWeight, Measure, MeasuredHemisphere


@click.command(cls=SectionedCommand)
@click.argument("target", metavar="ACRONYM")
@selection_options
@click.option("--source", "sources", multiple=True, metavar="ACRONYM", help="Pool experiments by these; repeatable.")
@ranking_options("sources")
def sources(
    target: str,
    selection: Selection,
    sources: tuple[str, ...],
    measure: Measure,
    hemisphere: MeasuredHemisphere,
    weight_by: AnimalWeight,
    limit: int | None,
    output_format: str,
) -> None:
    """Rank the structures that project to a target.

    Means and standard errors are over the animals injected in each source.

    \b
    Example:
      bsv-store sources CP --line wild-type --hemisphere ipsilateral
    """  # noqa: D301 (click wants the character)
    with opened_store() as store:
        frame = store.search.sources_of(
            target,
            selection=selection,
            sources=sources or None,
            measure=measure,
            hemisphere=hemisphere,
            weight_by=weight_by,
            limit=limit,
        )
    print_ranking(frame, "source", output_format)

"""``bsv-store targets``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from bsv_store_cli.help import SectionedCommand
from bsv_store_cli.options.ranking import print_ranking, ranking_options, target_options
from bsv_store_cli.options.selection import selection_options
from bsv_store_cli.session import opened_store

if TYPE_CHECKING:
    from bsv_store.catalog.selection.selection import Selection
    from bsv_store.vocabulary import AnimalWeight, Measure, MeasuredHemisphere


@click.command(cls=SectionedCommand)
@selection_options
@target_options
@ranking_options("targets")
def targets(
    selection: Selection,
    targets: tuple[str, ...],
    structure_set: int | None,
    within: str | None,
    include_sources: bool,
    include_fiber_tracts: bool,
    measure: Measure,
    hemisphere: MeasuredHemisphere,
    weight_by: AnimalWeight,
    limit: int | None,
    output_format: str,
) -> None:
    """Rank the structures to which the selected experiments project.

    Means and standard errors are over animals; signal inside the injection site is not included.

    \b
    Example:
      bsv-store targets --injected-in VISp --line wild-type --within TH
    """  # noqa: D301 (click wants the character)
    with opened_store() as store:
        frame = store.search.targets_of(
            selection,
            targets=targets or None,
            structure_set=structure_set,
            within=within,
            include_sources=include_sources,
            include_fiber_tracts=include_fiber_tracts,
            measure=measure,
            hemisphere=hemisphere,
            weight_by=weight_by,
            limit=limit,
        )
    print_ranking(frame, "target", output_format)

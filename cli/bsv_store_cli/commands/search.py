"""``bsv-store search``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bsv_store.vocabulary import INJECTION_SCOPES, MEASURED_HEMISPHERES, SUMMARY_STRUCTURE_SET_ID
from bsv_store_cli.help import Group, RowChoice, SectionedCommand
from bsv_store_cli.options.completion import complete_structures
from bsv_store_cli.options.limit import limit_and_format_options
from bsv_store_cli.options.measure import measure_option
from bsv_store_cli.options.selection import id_argument, selection_options
from bsv_store_cli.options.volume import volume_options
from bsv_store_cli.output.experiments import experiment_columns
from bsv_store_cli.output.formats import frame_rows, print_rows
from bsv_store_cli.output.messages import note
from bsv_store_cli.output.tables import Column, cell, fixed, number_of
from bsv_store_cli.session import opened_store

if TYPE_CHECKING:
    import pandas as pd

    from bsv_store.catalog.selection.selection import Selection
    from bsv_store.vocabulary import InjectionScope, Measure, MeasuredHemisphere, VolumeKind

_Command = TypeVar("_Command", bound=Callable[..., Any])

_HEMISPHERE = click.option(
    "--hemisphere",
    type=RowChoice(MEASURED_HEMISPHERES),
    metavar="SIDE",
    default="both",
    show_default=True,
    help="Hemisphere in which signal is measured: both, left, right, ipsilateral, contralateral.",
)
_DOMAIN = click.option(
    "--domain",
    multiple=True,
    metavar="ACRONYM",
    shell_complete=complete_structures,
    help="Measure the signal in this structure; repeatable.",
)
_STRUCTURE_SET = click.option(
    "--structure-set",
    type=int,
    metavar="ID",
    help=f"Compare the structures of this set.  [default: {SUMMARY_STRUCTURE_SET_ID}, the summary structures]",
)
_LIMIT_AND_FORMAT = limit_and_format_options(20, "Maximum number of experiments to print.")

_HEADINGS = {
    "injection_overlap": "overlap",
    "projection_volume": "signal mm3",
    "normalized_projection_volume": "normalized",
    "distance_um": "distance um",
}


def _point(context: click.Context, parameter: click.Parameter, value: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(item) for item in value.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != 3:
        raise click.BadParameter(
            f"must be three numbers separated by commas, such as 9000,1500,8000; got {value!r}", context, parameter
        )
    return numbers


def _print(frame: pd.DataFrame, output_format: str) -> None:
    names = [str(name) for name in frame.columns]
    common = experiment_columns()
    # The columns of the search come last.
    own = [
        Column(name, _HEADINGS.get(name, name), fixed(2) if name == "injection_overlap" else cell)
        for name in names[names.index("injection_ml") + 1 :]
    ]
    print_rows(frame_rows(frame), output_format, columns=names, table=[*common, *own])
    is_cut = len(frame) == click.get_current_context().params.get("limit")
    note(f"{number_of(len(frame), 'experiment')}{', possibly more (--limit)' if is_cut else ''}")


@click.group(cls=Group)
def search() -> None:
    """Search experiments like the Allen web site, offline; the selection options narrow every search."""


@search.command(cls=SectionedCommand)
@click.argument("structures", nargs=-1, required=True, metavar="ACRONYM...", shell_complete=complete_structures)
@click.option(
    "--scope",
    type=RowChoice(INJECTION_SCOPES),
    default="primary",
    show_default=True,
    help="Whether the primary injection structure counts, or any.",
)
@_DOMAIN
@_HEMISPHERE
@selection_options
@_LIMIT_AND_FORMAT
def source(
    structures: tuple[str, ...],
    scope: InjectionScope,
    domain: tuple[str, ...],
    hemisphere: MeasuredHemisphere,
    selection: Selection,
    limit: int | None,
    output_format: str,
) -> None:
    """Find experiments injected in structures, those with the most signal first.

    \b
    Example:
      bsv-store search source VISp --domain TH --hemisphere ipsilateral
    """  # noqa: D301 (click wants the character)
    with opened_store() as store:
        frame = store.search.sources(
            structures,
            injection=scope,
            domain=domain or None,
            hemisphere=hemisphere,
            selection=selection,
            limit=limit,
        )
    _print(frame, output_format)


@search.command(cls=SectionedCommand)
@click.argument("structures", nargs=-1, required=True, metavar="ACRONYM...", shell_complete=complete_structures)
@measure_option("projection_volume")
@click.option("--threshold", type=float, default=0.0, show_default=True, help="The measure must exceed it.")
@_HEMISPHERE
@selection_options
@_LIMIT_AND_FORMAT
def target(
    structures: tuple[str, ...],
    measure: Measure,
    threshold: float,
    hemisphere: MeasuredHemisphere,
    selection: Selection,
    limit: int | None,
    output_format: str,
) -> None:
    """Find experiments that project to structures, the strongest first.

    \b
    Example:
      bsv-store search target CP --measure normalized-projection-volume --hemisphere ipsilateral
    """  # noqa: D301 (click wants the character)
    with opened_store() as store:
        frame = store.search.targets(
            structures, measure=measure, threshold=threshold, hemisphere=hemisphere, selection=selection, limit=limit
        )
    _print(frame, output_format)


@search.command(cls=SectionedCommand)
@click.argument("point", callback=_point, metavar="AP,DV,ML")
@selection_options
@_LIMIT_AND_FORMAT
def injection(point: tuple[float, ...], selection: Selection, limit: int | None, output_format: str) -> None:
    """Find the experiments injected nearest to a point, in um.

    \b
    Example:
      bsv-store search injection 8000,1500,8500 --line wild-type
    """  # noqa: D301 (click wants the character)
    with opened_store() as store:
        frame = store.search.injections(point, selection=selection, limit=limit)
    _print(frame, output_format)


@search.command(cls=SectionedCommand)
@id_argument("experiment_id")
@_DOMAIN
@_STRUCTURE_SET
@measure_option("projection_density")
@_HEMISPHERE
@selection_options
@_LIMIT_AND_FORMAT
def correlation(
    experiment_id: int,
    domain: tuple[str, ...],
    structure_set: int | None,
    measure: Measure,
    hemisphere: MeasuredHemisphere,
    selection: Selection,
    limit: int | None,
    output_format: str,
) -> None:
    """Find the experiments that project most similarly to one experiment.

    \b
    Example:
      bsv-store search correlation 158314987 --domain Isocortex
    """  # noqa: D301 (click wants the character)
    with opened_store() as store:
        frame = store.search.correlation(
            experiment_id,
            domain=domain or None,
            structure_set=structure_set,
            measure=measure,
            hemisphere=hemisphere,
            selection=selection,
            limit=limit,
        )
    _print(frame, output_format)


@search.command(cls=SectionedCommand)
@click.argument("point", callback=_point, metavar="AP,DV,ML")
@volume_options
@selection_options
@_LIMIT_AND_FORMAT
def point(
    point: tuple[float, ...],
    kind: VolumeKind,
    spacing_um: int,
    selection: Selection,
    limit: int | None,
    output_format: str,
) -> None:
    """Find the experiments with the largest values at a point, in um, by the volumes in the store.

    \b
    Example:
      bsv-store search point 8000,1500,8500 --line wild-type
    """  # noqa: D301 (click wants the character)
    with opened_store() as store:
        frame = store.search.point(point, selection=selection, kind=kind, spacing_um=spacing_um, limit=limit)
    _print(frame, output_format)

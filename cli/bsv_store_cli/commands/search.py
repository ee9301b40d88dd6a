"""``bsv-store search``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bsv_store.vocabulary import MEASURED_HEMISPHERES
from bsv_store_cli.help import Group, RowChoice, SectionedCommand, library_name
from bsv_store_cli.options.selection import selection_options
from bsv_store_cli.options.volume import volume_options
from bsv_store_cli.output.experiments import experiment_columns
from bsv_store_cli.output.formats import format_option, frame_rows, print_rows
from bsv_store_cli.output.messages import note
from bsv_store_cli.output.tables import Column, number_of
from bsv_store_cli.session import note_uncovered, opened_store

if TYPE_CHECKING:
    import pandas as pd

    from bsv_store.catalog.selection.selection import Selection
    from bsv_store.vocabulary import Measure, MeasuredHemisphere, VolumeKind

_Command = TypeVar("_Command", bound=Callable[..., Any])
_SIDES = RowChoice(MEASURED_HEMISPHERES)
_SIDE_OPTION = click.option(
    "--hemisphere", "side", type=_SIDES, default="both", show_default=True, help="In which the signal is measured."
)


_HEADINGS = {"projection_volume": "signal mm3", "distance_um": "distance um"}


def _point(context: click.Context, parameter: click.Parameter, value: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(item) for item in value.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != 3:
        raise click.BadParameter(f"{value!r} is not AP,DV,ML: three numbers, in um", context, parameter)
    return numbers


def _limit_option(command: _Command) -> _Command:
    option = click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="The first so many.")
    return option(command)


def _print(frame: pd.DataFrame, output_format: str) -> None:
    names = [str(name) for name in frame.columns]
    common = experiment_columns("experiment_id")
    # What each search tells beside them comes last.
    own = [Column(name, _HEADINGS.get(name, name)) for name in names[names.index("injection_ml") + 1 :]]
    print_rows(frame_rows(frame), output_format, columns=names, table=[*common, *own])
    is_cut = len(frame) == click.get_current_context().params.get("limit")
    note(f"{number_of(len(frame), 'experiment')}{', the first so many (--limit)' if is_cut else ''}")


@click.group(cls=Group)
def search() -> None:
    """Search experiments as the Allen web site does, offline; the selection options narrow every search."""


@search.command(cls=SectionedCommand)
@click.argument("structures", nargs=-1, required=True, metavar="ACRONYM...")
@click.option("--any-injected", is_flag=True, help="Secondary injection structures count too.")
@click.option("--domain", multiple=True, metavar="ACRONYM", help="Rank by the signal here; repeatable.")
@_SIDE_OPTION
@selection_options
@_limit_option
@format_option
def source(
    structures: tuple[str, ...],
    any_injected: bool,
    domain: tuple[str, ...],
    side: MeasuredHemisphere,
    selection: Selection,
    limit: int,
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
            injection="any" if any_injected else "primary",
            domain=domain or None,
            hemisphere=side,
            selection=selection,
            limit=limit,
        )
    _print(frame, output_format)


@search.command(cls=SectionedCommand)
@click.argument("targets", nargs=-1, required=True, metavar="ACRONYM...")
@click.option(
    "--by",
    default="projection_volume",
    show_default=True,
    metavar="MEASURE",
    callback=library_name,
    help="Rank by this measure.",
)
@click.option("--above", type=float, default=0.0, show_default=True, help="The measure must exceed this.")
@_SIDE_OPTION
@selection_options
@_limit_option
@format_option
def target(
    targets: tuple[str, ...],
    by: Measure,
    above: float,
    side: MeasuredHemisphere,
    selection: Selection,
    limit: int,
    output_format: str,
) -> None:
    """Find experiments that project to structures, the strongest first.

    \b
    Example:
      bsv-store search target CP --by normalized_projection_volume --hemisphere ipsilateral
    """  # noqa: D301 (click wants the character)
    with opened_store() as store:
        note_uncovered(store, selection)
        frame = store.search.targets(
            targets, measure=by, threshold=above, hemisphere=side, selection=selection, limit=limit
        )
    _print(frame, output_format)


@search.command(cls=SectionedCommand)
@click.argument("point", callback=_point, metavar="AP,DV,ML")
@selection_options
@_limit_option
@format_option
def injection(point: tuple[float, ...], selection: Selection, limit: int, output_format: str) -> None:
    """Find the experiments injected nearest to a point, in um.

    \b
    Example:
      bsv-store search injection 8000,1500,8500 --line wild-type
    """  # noqa: D301 (click wants the character)
    with opened_store() as store:
        frame = store.search.injections(point, selection=selection, limit=limit)
    _print(frame, output_format)


@search.command(cls=SectionedCommand)
@click.argument("seed", type=int, metavar="EXPERIMENT_ID")
@click.option("--domain", multiple=True, metavar="ACRONYM", help="Compare inside these only; repeatable.")
@click.option("--set", "structure_set", type=int, metavar="ID", help="Structure set.  [default: 167587189, summary]")
@click.option(
    "--by",
    default="projection_density",
    show_default=True,
    metavar="MEASURE",
    callback=library_name,
    help="Compare this measure.",
)
@_SIDE_OPTION
@selection_options
@_limit_option
@format_option
def correlation(
    seed: int,
    domain: tuple[str, ...],
    structure_set: int | None,
    by: Measure,
    side: MeasuredHemisphere,
    selection: Selection,
    limit: int,
    output_format: str,
) -> None:
    """Find the experiments that project most like one.

    \b
    Example:
      bsv-store search correlation 158314987 --domain Isocortex
    """  # noqa: D301 (click wants the character)
    with opened_store() as store:
        note_uncovered(store, selection)
        frame = store.search.correlation(
            seed,
            domain=domain or None,
            structure_set=structure_set,
            measure=by,
            hemisphere=side,
            selection=selection,
            limit=limit,
        )
    _print(frame, output_format)


@search.command(cls=SectionedCommand)
@click.argument("point", callback=_point, metavar="AP,DV,ML")
@volume_options
@selection_options
@_limit_option
@format_option
def spatial(
    point: tuple[float, ...], kind: VolumeKind, spacing_um: int, selection: Selection, limit: int, output_format: str
) -> None:
    """Find the experiments with the largest value at a point, in um, by the volumes in the store.

    \b
    Example:
      bsv-store search spatial 8000,1500,8500 --line wild-type
    """  # noqa: D301 (click wants the character)
    with opened_store() as store:
        frame = store.search.point(point, selection=selection, kind=kind, spacing_um=spacing_um, limit=limit)
    _print(frame, output_format)
    if without := frame.attrs["without_volume"]:
        note(f"{len(without):,} selected experiments have no such volume in the store.")

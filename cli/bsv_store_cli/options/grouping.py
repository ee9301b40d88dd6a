"""Options for grouping."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from bsv_store.vocabulary import AXES, BIN_METHODS, GROUPING_FIELDS, WordRow
from bsv_store_cli.help import RowChoice, SectionOption
from bsv_store_cli.options.compared import side_of
from bsv_store_cli.options.completion import complete_region

if TYPE_CHECKING:
    from bsv_store.averaging.grouping.grouping import Grouping
    from bsv_store.catalog.selection.selection import Selection
    from bsv_store.vocabulary import BinMethod

Command = Callable[..., Any]


def grouping_options(command: Command) -> Command:
    """Add the grouping options to a command, which gets one argument ``grouping``."""

    @functools.wraps(command)
    def wrapper(
        group_by: tuple[str, ...],
        bins: int | None,
        edges: str | None,
        bin_method: BinMethod | None,
        regions: tuple[str, ...],
        selections: tuple[str, ...],
        **values: Any,
    ) -> Any:
        grouping = _grouping(
            group_by, bins=bins, edges=edges, method=bin_method, regions=regions, selections=selections
        )
        return command(grouping=grouping, **values)

    for option in reversed(_OPTIONS):
        wrapper = option(wrapper)
    return wrapper


_REGION = WordRow("region", "primary injection structure, in groups of regions")

_SELECTION = WordRow("selection", "groups of experiments that are selected separately")

_option = functools.partial(click.option, cls=SectionOption, section="In which groups")

_OPTIONS = [
    _option(
        "--group-by",
        multiple=True,
        type=RowChoice({**AXES, "region": _REGION, "selection": _SELECTION, **GROUPING_FIELDS}),
        metavar="WHAT",
        help=f"Injection coordinate ({', '.join(AXES)}), region (with --region), selection (with --group), or"
        f" {', '.join(GROUPING_FIELDS).replace('_', '-')}. Two of them are crossed.  [default: one group]",
    ),
    _option(
        "--bins", type=int, metavar="N", help="Number of coordinate bins. Empty bins are not groups.  [default: 5]"
    ),
    _option(
        "--bin-method",
        type=RowChoice(BIN_METHODS, [name for name in BIN_METHODS if name != "edges"]),
        metavar="METHOD",
        help=f"{', '.join(name for name in BIN_METHODS if name != 'edges').replace('_', '-')}.  [default: equal-width]",
    ),
    _option(
        "--edges",
        metavar="UM,UM,...",
        help="Edges of the coordinate bins in um, instead of --bins. Empty bins are groups too, unless crossed.",
    ),
    _option(
        "--region",
        "regions",
        multiple=True,
        metavar="[LABEL=]ACRONYM[+ACRONYM...]",
        shell_complete=complete_region,
        help="A group for --group-by region, for example VISp or higher=VISl+VISal; repeatable.",
    ),
    _option(
        "--group",
        "selections",
        multiple=True,
        metavar="LABEL=SELECTION",
        help="A group for --group-by selection: a saved selection, ids, @FILE, JSON, or the options of select in"
        " quotes, for example 'female=--injected-in VISp --sex F'; repeatable.",
    ),
]


def _grouping(
    group_by: tuple[str, ...],
    *,
    bins: int | None,
    edges: str | None,
    method: BinMethod | None,
    regions: tuple[str, ...],
    selections: tuple[str, ...],
) -> Grouping:
    from bsv_store.averaging.grouping.grouping import (
        by_coordinate,
        by_field,
        by_region,
        by_selection,
        crossed,
        no_grouping,
    )

    coordinates = sum(key in AXES for key in group_by)
    if not coordinates and (bins is not None or edges is not None or method is not None):
        raise click.UsageError(f"--bins, --edges and --bin-method need --group-by {', '.join(AXES)}")
    if bool(regions) != ("region" in group_by):
        raise click.UsageError("--group-by region and --region need each other")
    if bool(selections) != ("selection" in group_by):
        raise click.UsageError("--group-by selection and --group need each other")
    if edges is not None and (bins is not None or method is not None):
        raise click.UsageError("--edges cannot be combined with --bins or --bin-method")
    if len(group_by) > 2:
        raise click.UsageError("at most two groupings can be crossed")
    bin_edges = None if edges is None else _numbers(edges)
    factors: list[Grouping] = []
    for key in group_by:
        if key in AXES:
            factors.append(by_coordinate(key, bins=bins, method=method, edges=bin_edges))
        elif key == "region":
            factors.append(by_region(_regions(regions)))
        elif key == "selection":
            factors.append(by_selection(_selections(selections)))
        else:
            factors.append(by_field(key))
    if not factors:
        return no_grouping()
    return factors[0] if len(factors) == 1 else crossed(factors[0], factors[1])


def _numbers(text: str) -> list[float]:
    try:
        return [float(item) for item in text.split(",")]
    except ValueError as error:
        raise click.UsageError(f"--edges must be numbers separated by commas, got {text!r}") from error


def _regions(regions: tuple[str, ...]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for text in regions:
        label, equals, acronyms = text.partition("=")
        if not equals:
            label, acronyms = text, text
        if label in groups:
            raise click.UsageError(f"the region group {label!r} is listed twice")
        groups[label] = acronyms.split("+")
    return groups


def _selections(texts: tuple[str, ...]) -> dict[str, Selection]:
    groups: dict[str, Selection] = {}
    for text in texts:
        label, equals, selection = text.partition("=")
        if not equals or not label or label.startswith("-"):
            raise click.UsageError(f"--group must be LABEL=SELECTION, got {text!r}")
        if label in groups:
            raise click.UsageError(f"the group {label!r} is listed twice")
        groups[label] = side_of(click.get_current_context(), selection).selection
    return groups

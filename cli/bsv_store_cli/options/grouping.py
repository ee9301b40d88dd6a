"""The options that make a grouping."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from bsv_store.vocabulary import AXES, GROUPING_FIELDS, WordRow
from bsv_store_cli.help import RowChoice, SectionOption

if TYPE_CHECKING:
    from bsv_store.averaging.grouping.grouping import Grouping

Command = Callable[..., Any]


def grouping_options(command: Command) -> Command:
    """Add the grouping options to a command, which gets them as one argument ``grouping``."""

    @functools.wraps(command)
    def wrapper(
        group_by: tuple[str, ...],
        bins: int | None,
        edges: str | None,
        quantiles: bool,
        regions: tuple[str, ...],
        **values: Any,
    ) -> Any:
        grouping = _grouping(group_by, bins=bins, edges=edges, quantiles=quantiles, regions=regions)
        return command(grouping=grouping, **values)

    for option in reversed(_OPTIONS):
        wrapper = option(wrapper)
    return wrapper


_REGION = WordRow("region", "primary injection structure, in groups of regions")

_option = functools.partial(click.option, cls=SectionOption, section="In which groups")

_OPTIONS = [
    _option(
        "--group-by",
        multiple=True,
        type=RowChoice({**AXES, "region": _REGION, **GROUPING_FIELDS}),
        metavar="WHAT",
        help="Injection coordinate (AP, DV, ML), region (with --region), or primary-structure, line, sex, product,"
        " injected-hemisphere, strain. Given twice, the two are crossed.  [default: one group]",
    ),
    _option("--bins", type=int, metavar="N", help="Coordinate bins; empty ones make no group.  [default: 5]"),
    _option("--quantiles", is_flag=True, help="Bins of equally many experiments instead of equal width."),
    _option(
        "--edges",
        metavar="UM,UM,...",
        help="Edges of the coordinate bins, um, instead of --bins. Each is a group, even if empty, unless crossed.",
    ),
    _option(
        "--region",
        "regions",
        multiple=True,
        metavar="[LABEL=]ACRONYM[+ACRONYM...]",
        help="A group for --group-by region, for example VISp or higher=VISl+VISal; repeatable.",
    ),
]


def _grouping(
    group_by: tuple[str, ...], *, bins: int | None, edges: str | None, quantiles: bool, regions: tuple[str, ...]
) -> Grouping:
    from bsv_store.averaging.grouping.grouping import by_coordinate, by_field, by_region, crossed, no_grouping

    coordinates = sum(key in AXES for key in group_by)
    if not coordinates and (bins is not None or edges is not None or quantiles):
        raise click.UsageError("--bins, --edges and --quantiles go with --group-by AP, DV or ML")
    if bool(regions) != ("region" in group_by):
        raise click.UsageError("--group-by region and --region go together")
    if edges is not None and (bins is not None or quantiles):
        raise click.UsageError("give --edges, or --bins and --quantiles, not both")
    if len(group_by) > 2:
        raise click.UsageError("at most two groupings can be crossed")
    options: dict[str, Any] = {}
    if edges is not None:
        options["edges"] = _numbers(edges)
    if bins is not None:
        options["bins"] = bins
    if quantiles:
        options["method"] = "quantile"
    made: list[Grouping] = []
    for key in group_by:
        if key in AXES:
            made.append(by_coordinate(key, **options))
        elif key == "region":
            made.append(by_region(_regions(regions)))
        else:
            made.append(by_field(key.replace("-", "_")))
    if not made:
        return no_grouping()
    return made[0] if len(made) == 1 else crossed(made[0], made[1])


def _numbers(text: str) -> list[float]:
    try:
        return [float(item) for item in text.split(",")]
    except ValueError as error:
        raise click.UsageError(f"--edges takes numbers separated by commas, not {text!r}") from error


def _regions(regions: tuple[str, ...]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for text in regions:
        label, equals, acronyms = text.partition("=")
        if not equals:
            label, acronyms = text, text
        if label in groups:
            raise click.UsageError(f"the region group {label!r} is given twice")
        groups[label] = acronyms.split("+")
    return groups

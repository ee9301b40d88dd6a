"""Options of the commands that measure in subdivisions of structures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from bsv_store_cli.output.tables import Column, count

_Command = TypeVar("_Command", bound=Callable[..., Any])

SUBREGION_COLUMNS = (
    Column("subregion", "subregion"),
    Column("hemisphere", "hemisphere"),
    Column("voxels", "voxels", count),
    Column("mean", "mean"),
)
ANIMAL_COLUMNS = (Column("sd", "sd"), Column("sem", "sem"), Column("n", "n", count))
"""The further columns of statistics over the animals of a group."""


def _bins(
    context: click.Context, parameter: click.Parameter, value: tuple[str, ...]
) -> dict[str, int | list[float]] | None:
    """Bins by axis: AXIS=NUMBER, or AXIS=EDGE,EDGE,..."""
    bins: dict[str, int | list[float]] = {}
    for text in value:
        axis, equals, numbers = text.partition("=")
        try:
            edges = [float(item) for item in numbers.split(",")]
        except ValueError:
            edges = []
        if not equals or not edges or (len(edges) == 1 and not edges[0].is_integer()):
            raise click.BadParameter(f"{text!r} is not AXIS=NUMBER or AXIS=EDGE,EDGE,...", context, parameter)
        if axis in bins:
            raise click.BadParameter(f"the axis {axis} is given twice", context, parameter)
        bins[axis] = int(edges[0]) if len(edges) == 1 else edges
    return bins or None


def subregion_options(command: _Command) -> _Command:
    """Add ``--bins``, ``--labels`` and ``--label-names``."""
    bins = click.option(
        "--bins",
        multiple=True,
        metavar="AXIS=N|EDGES",
        callback=_bins,
        help="Number of bins along AP, DV or ML (from the midline), or their edges in um, such as AP=4000,5000,6000; "
        "repeatable.",
    )
    labels = click.option(
        "--labels",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Label image instead of bins: .nrrd, .nii, .nii.gz or .npy.",
    )
    names = click.option(
        "--label-names",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Names of the labels: .label.txt of ITK-SNAP, .ctbl of 3D Slicer.",
    )
    return bins(labels(names(command)))

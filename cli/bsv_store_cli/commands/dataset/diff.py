"""``bsv-store dataset diff``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from bsv_store_cli.help import Command
from bsv_store_cli.options.completion import complete_versions
from bsv_store_cli.output.changes import print_changes
from bsv_store_cli.output.formats import format_option, plain, print_facts, print_json, print_rows
from bsv_store_cli.output.messages import note
from bsv_store_cli.output.tables import Column, count, fixed
from bsv_store_cli.session import opened_store

if TYPE_CHECKING:
    from bsv_store.datasets.history.compare import VersionDiff

_VOXEL_COLUMNS = ("group", "voxels", "largest", "ap_um", "dv_um", "ml_um", "first", "second", "correlation")
_COLUMNS = ("column", "rows", "largest", "structure", "hemisphere", "first", "second")
_VOXEL_TABLE = (
    Column("group", "group"),
    Column("voxels", "voxels", count),
    Column("largest", "largest"),
    Column("ap_um", "at AP", fixed(0)),
    Column("dv_um", "DV", fixed(0)),
    Column("ml_um", "ML um", fixed(0)),
    Column("first", "first"),
    Column("second", "second"),
    Column("correlation", "correlation", fixed(6)),
)


@click.command(cls=Command)
@click.argument("first", metavar="NAME[@VERSION]", shell_complete=complete_versions)
@click.argument("second", metavar="NAME[@VERSION]", shell_complete=complete_versions)
@format_option
def diff(first: str, second: str, output_format: str) -> None:
    """Show the differences between two versions.

    Compares recipe, members and voxels of the mean, or the columns of two comparisons by structure. The exit code is 1
    if anything differs. CSV has the voxels or columns only: the number of values that differ and the largest
    difference, for each group that both versions have or for each column.
    """
    with opened_store() as store:
        found = store.datasets.diff(first, second)
    if output_format == "json":
        print_json({**plain(found), "is_equal": found.is_equal})
    elif output_format == "csv":
        if found.columns:
            print_rows(_column_rows(found), "csv", columns=_COLUMNS)
        else:
            print_rows(_voxel_rows(found), "csv", columns=_VOXEL_COLUMNS)
    else:
        _print_for_people(found)
    if found.is_equal:
        note(str(found))
    else:
        click.get_current_context().exit(1)


def _print_for_people(found: VersionDiff) -> None:
    print_facts(
        [
            ("First", found.first),
            ("Second", found.second),
            ("Groups only in the first", ", ".join(found.only_first) or None),
            ("Groups only in the second", ", ".join(found.only_second) or None),
            ("Not compared", found.note),
        ]
    )
    recipe = [{"part": change.part, "first": change.first, "second": change.second} for change in found.recipe]
    print_rows(recipe, "table", columns=("part", "first", "second"), title="Recipe")
    print_changes(found.members)
    print_rows(_voxel_rows(found), "table", columns=_VOXEL_COLUMNS, table=_VOXEL_TABLE, title="Voxels of the mean")
    print_rows(_column_rows(found), "table", columns=_COLUMNS, title="Columns of the table")


def _column_rows(found: VersionDiff) -> list[dict[str, Any]]:
    return [
        {name: getattr(each, name) if each.rows or name in ("column", "rows", "largest") else None for name in _COLUMNS}
        for each in found.columns
    ]


def _voxel_rows(found: VersionDiff) -> list[dict[str, Any]]:
    rows = []
    for each in found.voxels:
        row: dict[str, Any] = {name: getattr(each, name) for name in ("voxels", "largest", "first", "second")}
        row |= dict(zip(("ap_um", "dv_um", "ml_um"), each.at_um, strict=True))
        # Without a difference there is no position.
        rows.append({**row, **({} if each.voxels else _NOWHERE), "group": each.label, "correlation": each.correlation})
    return rows


_NOWHERE: dict[str, Any] = dict.fromkeys(("ap_um", "dv_um", "ml_um", "first", "second"))

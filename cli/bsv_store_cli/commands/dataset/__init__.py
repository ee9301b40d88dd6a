"""``bsv-store dataset``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from bsv_store.datasets.share.export import VERSION_FORMATS
from bsv_store.vocabulary import COMPARISON_MAPS, STATISTICS
from bsv_store_cli.commands.dataset.cite import cite
from bsv_store_cli.commands.dataset.delete import delete
from bsv_store_cli.commands.dataset.diff import diff
from bsv_store_cli.commands.dataset.import_ import import_
from bsv_store_cli.commands.dataset.lineage import lineage
from bsv_store_cli.commands.dataset.rebuild import rebuild
from bsv_store_cli.commands.dataset.regions import regions
from bsv_store_cli.commands.dataset.stale import stale
from bsv_store_cli.commands.dataset.subregions import subregions
from bsv_store_cli.commands.dataset.tag import tag, untag
from bsv_store_cli.commands.dataset.threshold import threshold
from bsv_store_cli.help import Group, RowChoice
from bsv_store_cli.options.dataset import REF
from bsv_store_cli.options.export import format_lines, like_allen_option
from bsv_store_cli.output.comparison import print_stored_comparison
from bsv_store_cli.output.datasets import print_version
from bsv_store_cli.output.formats import format_option, print_rows
from bsv_store_cli.output.messages import note
from bsv_store_cli.output.tables import Column, count, day_time, number_of
from bsv_store_cli.session import opened_store

_COLUMNS = (
    "name",
    "number",
    "group_count",
    "member_count",
    "spacing_um",
    "size_bytes",
    "created_at",
    "created_by",
    "fingerprint",
    "tags",
    "standing",
    "ref",
)
_TABLE = (
    Column("ref", "dataset"),
    Column("tags", "tags", optional=True),
    Column("group_count", "groups"),
    Column("member_count", "experiments", count),
    Column("spacing_um", "um"),
    Column("size", "size", right=True),
    Column("created_at", "made", day_time),
    Column("created_by", "by"),
    Column("fingerprint", "fingerprint", lambda value: str(value)[:12]),
    Column("remark", "remark", optional=True),
)


@click.group(cls=Group)
def dataset() -> None:
    """List, show, measure and export dataset versions.

    A version is named NAME@3, NAME@TAG or NAME@latest; NAME alone means the latest.
    """


@dataset.command("list")
@format_option
def list_(output_format: str) -> None:
    """List all versions of all datasets; for a store on a server, also those computed on this computer."""
    from bsv_store.datasets.listing import versions_table
    from bsv_store.text import size_text

    with opened_store() as store:
        rows = versions_table(store.database).to_dicts()
    for row in rows:
        row["size"] = size_text(row["size_bytes"])
        row["remark"] = None if row["standing"] == "computed" else row["standing"]
    print_rows(rows, output_format, columns=_COLUMNS, table=_TABLE)
    local = sum(row["standing"] == "local" for row in rows)
    if not local:
        note(number_of(len(rows), "version"))
        return
    note(
        f"{number_of(len(rows) - local, 'version')} on the server, {local} only on this computer. To remove one of "
        f"these: bsv-store cache prune --average {rows[-1]['ref']} --apply"
    )


@dataset.command()
@REF
@click.option("--members", is_flag=True, help="Also list the members; CSV has the members instead of the groups.")
@format_option
def show(ref: str, members: bool, output_format: str) -> None:
    """Show a version: recipe, groups, hashes, members."""
    with opened_store() as store:
        version = store.dataset(ref)
        print_version(version, output_format, members=members)
        print_stored_comparison(version, output_format)


@dataset.command(help=f"Write a version to FILE, whose ending selects the format.\n\n{format_lines(VERSION_FORMATS)}")
@REF
@click.argument("target", type=click.Path(path_type=Path), metavar="FILE")
@click.option(
    "--statistic",
    type=RowChoice({**STATISTICS, **COMPARISON_MAPS}),
    metavar="NAME",
    default="mean",
    show_default=True,
    help=f"What an image shows: {', '.join(STATISTICS)}; of a comparison {', '.join(COMPARISON_MAPS)}.",
)
@click.option("--group", metavar="NAME|N", help="Write only the mean of this group, as a 3-D image.")
@click.option(
    "--each-group", is_flag=True, help="Write the mean of each group to a separate file: FILE-group0, FILE-group1, ..."
)
@like_allen_option
@click.option("--overwrite", is_flag=True, help="Replace FILE if it exists.")
def export(
    ref: str,
    target: Path,
    statistic: Any,
    group: str | None,
    each_group: bool,
    like_allen: bool,
    overwrite: bool,
) -> None:
    """Write a version to FILE."""
    if each_group and group is not None:
        raise click.UsageError("--group and --each-group cannot be combined")
    with opened_store() as store:
        version = store.dataset(ref)
        if each_group:
            written = version.export_groups(target, statistic=statistic, like_allen=like_allen, overwrite=overwrite)
        else:
            written = [
                version.export(target, statistic=statistic, group=group, like_allen=like_allen, overwrite=overwrite)
            ]
    for path in written:
        note(f"Wrote {path}.")


for _command in (cite, delete, diff, import_, lineage, rebuild, regions, stale, subregions, tag, threshold, untag):
    dataset.add_command(_command)

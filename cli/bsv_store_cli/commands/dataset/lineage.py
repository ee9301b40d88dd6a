"""``bsv-store dataset lineage``."""

from __future__ import annotations

import click

from bsv_store_cli.help import Command
from bsv_store_cli.options.dataset import REF
from bsv_store_cli.output.formats import format_option, print_facts, print_json, print_rows
from bsv_store_cli.output.reports import host
from bsv_store_cli.output.tables import Column, cell, day_time
from bsv_store_cli.session import opened_store

_MEMBER_COLUMNS = ("experiment_id", "group", "array_sha256", "state", "source", "fetched_at", "injection_rows")
_MEMBER_TABLE = (
    Column("experiment_id", "experiment"),
    Column("group", "group"),
    Column("state", "state"),
    Column("fetched_at", "since", day_time, optional=True),
    Column("source", "from", lambda value: host(cell(value)), optional=True),
)
_SNAPSHOT_COLUMNS = ("what", "kind", "upstream_date", "taken_at", "source", "content_sha256")
_SNAPSHOT_TABLE = (
    Column("what", "list"),
    Column("kind", "kind"),
    Column("upstream_date", "of", optional=True),
    Column("taken_at", "stored", day_time),
    Column("source", "from", lambda value: host(cell(value))),
)


@click.command(cls=Command)
@REF
@format_option
def lineage(ref: str, output_format: str) -> None:
    """Show where a version comes from.

    Lists, volumes, software and tags. Volumes that have been replaced since are marked; of a comparison by structure,
    the unionize tables. No volume is opened. CSV has the volumes or tables only.
    """
    with opened_store() as store:
        found = store.datasets.lineage(ref)
    members = [{name: getattr(member, name) for name in _MEMBER_COLUMNS} for member in found.members]
    if output_format == "json":
        print_json(found)
    elif output_format == "csv":
        print_rows(members, "csv", columns=_MEMBER_COLUMNS)
    else:
        print_facts(
            [
                ("Dataset", found.ref),
                ("Tags", ", ".join(found.tags) or None),
                ("Created", f"{found.created_at:%Y-%m-%d %H:%M:%S}Z by {found.created_by}"),
                ("Software", found.software),
                ("Fingerprint", found.fingerprint),
            ]
        )
        lists = [{name: getattr(item, name) for name in _SNAPSHOT_COLUMNS} for item in found.snapshots]
        print_rows(lists, "table", columns=_SNAPSHOT_COLUMNS, table=_SNAPSHOT_TABLE, title="Lists at that time")
        print_rows(members, "table", columns=_MEMBER_COLUMNS, table=_MEMBER_TABLE, title=found.what)

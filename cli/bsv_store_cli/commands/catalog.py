"""``bsv-store catalog``."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

import click

from bsv_store_cli.help import Group, SectionedCommand
from bsv_store_cli.options.selection import selection_options
from bsv_store_cli.output.formats import format_option, plain, print_json, print_rows
from bsv_store_cli.output.messages import note
from bsv_store_cli.output.progress import progress_bar
from bsv_store_cli.output.reports import host
from bsv_store_cli.output.tables import Column, cell, count, day_time, number_of
from bsv_store_cli.session import opened_store

if TYPE_CHECKING:
    from bsv_store.catalog.ingest import SnapshotDiff
    from bsv_store.catalog.selection.selection import Selection


@click.group(cls=Group)
def catalog() -> None:
    """Count selected experiments; list and compare what was ingested; check the catalog for damage."""


_COUNTS = {
    "lines": "line",
    "primary_structures": "primary structure",
    "products": "product",
    "sexes": "sex",
    "strains": "strain",
    "hemispheres": "injected hemisphere",
}


@catalog.command(cls=SectionedCommand)
@selection_options
@format_option
def summary(selection: Selection, output_format: str) -> None:
    """Count selected experiments by line, primary structure, product, sex, strain and hemisphere.

    \b
    Example:
      bsv-store catalog summary --injected-in VISp --line wild-type
    """  # noqa: D301 (click wants the character)
    with opened_store() as store:
        counts = store.catalog.summary(selection)
    if output_format == "json":
        print_json(counts.to_dict())
        return
    rows = [
        {"property": label, "value": "(none)" if value is None else str(value), "experiments": number}
        for name, label in _COUNTS.items()
        for value, number in getattr(counts, name)
    ]
    print_rows(rows, output_format, columns=["property", "value", "experiments"])
    note(number_of(counts.total, "experiment"))
    if counts.excluded:
        note(f"{len(counts.excluded):,} more are on the exclusion list; --include-excluded includes them.")


_SNAPSHOTS = (
    Column("snapshot", "id", right=True),
    Column("what", "what"),
    Column("kind", "kind"),
    Column("source", "source", host),
    Column("upstream_date", "list of"),
    Column("taken_at", "taken at", day_time),
    Column("rows", "rows", count),
    Column("added", "added", count),
    Column("changed", "changed", count),
    Column("withdrawn", "withdrawn", count),
)


@catalog.command()
@click.option("--all", "each", is_flag=True, help="One row for each unionize table; CSV and JSON always have that.")
@format_option
def snapshots(each: bool, output_format: str) -> None:
    """List the experiment lists, ontologies and unionize tables that were ingested, and what they changed.

    Unionize tables of one kind that were ingested one after the other take one row of the table.
    """
    with opened_store() as store:
        taken = store.catalog.snapshots()
    columns = ["what", "kind", "source", "upstream_date", "taken_at", "rows", "added", "changed", "withdrawn"]
    rows: list[dict[str, Any]] = [{"snapshot": one.id, **{key: getattr(one, key) for key in columns}} for one in taken]
    if output_format == "table" and not each:
        rows = [_together(list(run)) for _, run in groupby(rows, key=_run_of)]
    print_rows(rows, output_format, columns=["snapshot", *columns], table=_SNAPSHOTS)


def _run_of(row: dict[str, Any]) -> tuple[Any, ...]:
    """What unionize tables in the same row have in common; other snapshots have rows of their own."""
    if row["what"] == "unionizes":
        return (row["kind"], row["upstream_date"])
    return (row["snapshot"],)


def _together(rows: list[dict[str, Any]]) -> dict[str, Any]:
    first, last = rows[0], rows[-1]
    if len(rows) == 1:
        return first
    return {
        **last,
        "snapshot": f"{first['snapshot']}-{last['snapshot']}",
        "source": number_of(len(rows), "table"),
        **{key: sum(row[key] for row in rows) for key in ("rows", "added", "changed", "withdrawn")},
    }


def _exact(value: Any) -> str:
    # Numbers that differ by more than the tolerance of the comparison look different with ten digits.
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return f"{value:.10g}" if isinstance(value, float) else cell(value)


_CHANGES = (
    Column("experiment_id", "experiment"),
    Column("change", "change"),
    Column("field", "field"),
    Column("old", "old", _exact),
    Column("new", "new", _exact),
)


@catalog.command()
@click.argument("old", type=int)
@click.argument("new", type=int)
@format_option
def diff(old: int, new: int, output_format: str) -> None:
    """Show the differences between two snapshots of the experiment list.

    \b
    Example:
      bsv-store catalog diff 2 5
    """  # noqa: D301 (click wants the character)
    with opened_store() as store:
        found = store.catalog.diff(old, new)
    print_rows(
        _changes(found), output_format, columns=["experiment_id", "change", "field", "old", "new"], table=_CHANGES
    )
    note(f"{len(found.entered):,} entered, {len(found.left):,} left, {len(found.changed):,} changed")


@catalog.command()
@format_option
def verify(output_format: str) -> None:
    """Check all rows that enter results for damage.

    Each of these rows has a seal, a hash that was stored together with it. Averages check the seals of the rows that
    they read; this command checks all rows. The exit code is 1 if rows were changed, are missing, or were added by
    another program. Files of volumes and datasets are not opened.
    """
    with opened_store() as store, progress_bar() as progress:
        found = store.catalog.verify(progress=progress)
    if output_format == "json":
        print_json({**plain(found), "is_intact": found.is_intact})
    else:
        rows = [{"what": each.what, "problem": each.problem} for each in found.damage]
        print_rows(rows, output_format, columns=["what", "problem"])
    since = "" if found.sealed_since is None else f", sealed since {found.sealed_since:%Y-%m-%d %H:%M}Z"
    checked = f"{number_of(found.experiments, 'experiment')}, {number_of(found.unionize_tables, 'unionize table')}"
    note(f"Checked {checked}{since}: {'intact' if found.is_intact else 'damaged'}.")
    if not found.is_intact:
        click.get_current_context().exit(1)


def _changes(found: SnapshotDiff) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [{"experiment_id": key, "change": "entered"} for key in found.entered]
    rows += [{"experiment_id": key, "change": "left"} for key in found.left]
    rows += [
        {
            "experiment_id": experiment.experiment_id,
            "change": "changed",
            "field": field.field,
            "old": field.old,
            "new": field.new,
        }
        for experiment in found.changed
        for field in experiment.fields
    ]
    return rows

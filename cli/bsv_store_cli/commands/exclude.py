"""``bsv-store exclude``."""

from __future__ import annotations

import click

from bsv_store_cli.help import Group
from bsv_store_cli.options.selection import ids_argument
from bsv_store_cli.output.formats import format_option, print_rows
from bsv_store_cli.output.messages import note
from bsv_store_cli.output.tables import Column, cell, day_time, number_of
from bsv_store_cli.session import opened_store

_COLUMNS = ["experiment_id", "reason", "excluded_by", "excluded_at"]


@click.group(cls=Group)
def exclude() -> None:
    """Manage the exclusion list: experiments that selections leave out."""


@exclude.command()
@ids_argument
@click.option("--reason", required=True, metavar="TEXT", help="Reason; recorded in every dataset that leaves them out.")
@click.option("--replace", is_flag=True, help="Replace the reason of experiments that are on the list.")
def add(experiment_ids: list[int], reason: str, replace: bool) -> None:
    """Put experiments on the list; selections leave them out from then on.

    \b
    Examples:
      bsv-store exclude add 127867804 --reason "injection in the wrong hemisphere"
      bsv-store exclude add @failed.csv --reason "failed our quality control"
    """  # noqa: D301 (click wants the character)
    with opened_store() as store:
        changed = store.catalog.exclude(experiment_ids, reason, replace=replace)
    note(f"{number_of(len(changed), 'experiment')} put on the exclusion list")


@exclude.command(name="list")
@click.option("--history", is_flag=True, help="Include exclusions that were lifted.")
@format_option
def list_(history: bool, output_format: str) -> None:
    """List the excluded experiments with the reasons."""
    with opened_store() as store:
        found = store.catalog.exclusions(history=history)
    columns = [*_COLUMNS, "lifted_by", "lifted_at"] if history else _COLUMNS
    table = [Column(name, name.replace("_", " "), day_time if name.endswith("_at") else cell) for name in columns]
    rows = [{name: getattr(item, name) for name in columns} for item in found]
    print_rows(rows, output_format, columns=columns, table=table)


@exclude.command()
@ids_argument
def remove(experiment_ids: list[int]) -> None:
    """Take experiments off the list; the history is kept."""
    with opened_store() as store:
        lifted = store.catalog.lift_exclusion(experiment_ids)
    note(f"{number_of(len(lifted), 'experiment')} taken off the exclusion list")

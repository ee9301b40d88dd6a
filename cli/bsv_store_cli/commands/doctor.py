"""``bsv-store doctor``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from bsv_store_cli.help import Command
from bsv_store_cli.output.formats import format_option, print_json, print_rows
from bsv_store_cli.output.messages import note
from bsv_store_cli.output.tables import Column, number_of
from bsv_store_cli.session import store_folder

if TYPE_CHECKING:
    from bsv_store.store.doctor import Diagnosis

_COLUMNS = ("area", "check", "outcome", "found", "remedy")
_TABLE = (
    Column("area", "area"),
    Column("check", "check"),
    Column("outcome", "outcome"),
    Column("found", "found", whole=True),
    Column("remedy", "remedy", optional=True, whole=True),
)


@click.command(cls=Command)
@click.option("--offline", is_flag=True, help="Do not contact Allen's servers.")
@format_option
def doctor(offline: bool, output_format: str) -> None:
    """Check folder, database, environment and servers, and say how to fix what is wrong.

    Everything that the store needs is tried, and nothing is left behind. Works also for a store that cannot be opened,
    and where there is none. Exits with 1 if there is a fault; notes and warnings are not faults.
    """
    from bsv_store.store.doctor import diagnose

    diagnosis = diagnose(store_folder(), offline=offline)
    if output_format == "json":
        print_json({"path": diagnosis.path, "faults": len(diagnosis.faults), "findings": _rows(diagnosis)})
    else:
        rows = [{name: row[name] for name in _COLUMNS} for row in _rows(diagnosis)]
        print_rows(rows, output_format, columns=_COLUMNS, table=_TABLE)
    note(f"{number_of(len(diagnosis.faults), 'fault')}, {number_of(len(diagnosis.warnings), 'warning')}.")
    if diagnosis.faults:
        click.get_current_context().exit(1)


def _rows(diagnosis: Diagnosis) -> list[dict[str, Any]]:
    return [
        {
            "area": each.area,
            "check": each.check,
            "words": each.words,
            "outcome": each.outcome,
            "found": each.found,
            "remedy": each.remedy,
            "details": each.details,
        }
        for each in diagnosis.findings
    ]

"""Columns of tables of experiments; with short line names they fit a terminal of 80 columns."""

from __future__ import annotations

from typing import Any

from bsv_store.vocabulary import GROUPING_FIELDS
from bsv_store_cli.output.tables import Column, cell, fixed

# Names of single lines have at most 25 characters, those of several lines more. JSON and CSV are not shortened.
_WIDEST_LINE = 26


def _line(value: Any) -> str:
    # The views have null.
    text = cell(GROUPING_FIELDS["line"].null_label) if value is None else cell(value)
    return text if len(text) <= _WIDEST_LINE else f"{text[: _WIDEST_LINE - 1]}…"


def experiment_columns() -> tuple[Column, ...]:
    """The columns that identify an experiment and its injection."""
    return (
        Column("experiment_id", "experiment"),
        Column("primary_structure", "structure"),
        Column("transgenic_line", "line", _line),
        Column("injected_hemisphere", "injected"),
        Column("injection_volume", "mm3", fixed(4)),
        Column("injection_ap", "AP"),
        Column("injection_dv", "DV"),
        Column("injection_ml", "ML um"),
    )

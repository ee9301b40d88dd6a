"""The formats of answers, and which one a request wants."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

from starlette.exceptions import HTTPException

from bsv_store.errors import InputError
from bsv_store.text import shown

JSON = "application/json"
CSV = "text/csv"
ARROW = "application/vnd.apache.arrow.stream"
TABLE_TYPES = (JSON, CSV, ARROW)
# CSV without formulas, which is requested by its name only.
SPREADSHEET = "text/csv; for=spreadsheet"
FORMATS = {"json": JSON, "csv": CSV, "arrow": ARROW, "spreadsheet": SPREADSHEET}


def has_arrow() -> bool:
    """Whether tables can be written as Arrow IPC here."""
    return importlib.util.find_spec("pyarrow") is not None


def table_type(name: str | None, accept: str | None) -> str:
    """The format of a table that a request wants: by the parameter ``format``, or else by the header ``Accept``.

    Raises
    ------
    InputError
        If there is no such format.
    HTTPException
        406: if no format suits.
    """
    if name is not None:
        if name not in FORMATS:
            raise InputError(f"format must be one of {', '.join(FORMATS)}, got {shown(name)}")
        wanted = [FORMATS[name]]
    else:
        wanted = accepted(accept, TABLE_TYPES)
    for each in wanted:
        if each != ARROW or has_arrow():
            return each
    detail = (
        "tables cannot be sent as Arrow IPC, because pyarrow is not installed on the server"
        if ARROW in wanted
        else f"tables are available as {', '.join(TABLE_TYPES)}"
    )
    raise HTTPException(406, detail=detail)


def accepted(header: str | None, offered: Sequence[str]) -> list[str]:
    """Those of the offered media types that an ``Accept`` header accepts, the preferred ones first."""
    if header is None or not header.strip():
        return list(offered)
    ranges: list[tuple[str, float]] = []
    for part in header.lower().split(","):
        name, *options = (each.strip() for each in part.split(";"))
        quality = next((each[2:] for each in options if each.startswith("q=")), "1")
        try:
            ranges.append((name, min(1.0, float(quality))))
        except ValueError:
            ranges.append((name, 0.0))

    def quality_of(name: str) -> float:
        for pattern in (name, f"{name.partition('/')[0]}/*", "*/*"):
            found = [quality for each, quality in ranges if each == pattern]
            if found:
                return max(found)
        return 0.0

    qualities = {name: quality_of(name) for name in offered}
    return sorted((name for name in offered if qualities[name] > 0), key=lambda name: -qualities[name])

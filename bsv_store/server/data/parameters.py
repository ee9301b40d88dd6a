"""Parameters that several operations have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bsv_store.catalog.selection.selection import Selection
from bsv_store.errors import InputError
from bsv_store.server.data.formats import FORMATS
from bsv_store.server.data.operation import Parameter
from bsv_store.vocabulary import (
    HEMISPHERE_RULES,
    MEASURED_HEMISPHERES,
    MEASURES,
    MISSING_POLICIES,
    VOLUME_KINDS,
)

if TYPE_CHECKING:
    from bsv_store.server.data.operation import Call

MAX_ROWS = 100_000
"""Maximum number of rows of one answer."""

SELECTION = Parameter(
    name="selection",
    kind="string",
    words="The experiments: a selection as JSON, the name of a saved selection, or ids separated by commas. By default "
    "all experiments that are neither withdrawn nor on the exclusion list.",
    example='{"injected_in":["VISp"],"version":1}',
)
FORMAT = Parameter(
    name="format",
    kind="string",
    words="Format of the table, instead of the header Accept.",
    choices=tuple(FORMATS),
)
LIMIT = Parameter(
    name="limit", kind="integer", words="Maximum number of rows to return.", default=1_000, least=1, most=MAX_ROWS
)
OFFSET = Parameter(
    name="offset", kind="integer", words="Number of rows to leave out at the start.", default=0, least=0, most=2**53
)
SORT = Parameter(
    name="sort",
    kind="strings",
    words="Columns to sort by, the first one most; a minus before a name means descending. Missing values are last.",
    example="-injection_volume",
)
EXPERIMENT_ID = Parameter(
    name="experiment_id", kind="integer", words="Allen's id of the experiment.", example=100141219, least=1
)
REF = Parameter(name="ref", kind="string", words="A version: NAME@NUMBER, NAME@TAG, or NAME for the newest one.")
SPACING = Parameter(
    name="spacing_um", kind="integer", words="Edge of a voxel in um: 10, 25, 50 or 100.", default=100, example=100
)


def choice(name: str, rows: Mapping[str, Any], words: str, *, default: str | None = None) -> Parameter:
    """A parameter with a closed list of the vocabulary."""
    return Parameter(name=name, kind="string", words=words, choices=tuple(rows), default=default)


KIND = choice("kind", VOLUME_KINDS, "Kind of volume.", default="projection_density")
MEASURE = choice("measure", MEASURES, "Measure of the signal in a structure.")
HEMISPHERE = choice("hemisphere", MEASURED_HEMISPHERES, "Hemisphere in which the signal is measured.")
HEMISPHERES = Parameter(
    name="hemisphere",
    kind="strings",
    words="Hemispheres in which the signal is measured.",
    choices=tuple(MEASURED_HEMISPHERES),
)
HEMISPHERE_RULE = choice("hemisphere_rule", HEMISPHERE_RULES, "What is done about the injected hemisphere.")
MISSING = choice("missing", MISSING_POLICIES, "What to do about experiments whose data are not in the store.")
STRUCTURE_SET = Parameter(
    name="structure_set", kind="integer", words="Allen's id of a structure set, instead of structures.", least=1
)


def selection_of(call: Call) -> Selection | None:
    """The selection of a request; None if it has none.

    Raises
    ------
    SelectionError, InputError
        If it is not valid, or there is no saved one of that name.
    """
    text: str | None = call.values["selection"]
    if text is None or not text.strip():
        return None
    if text.lstrip().startswith("{"):
        return Selection.from_json(text)
    parts = [each.strip() for each in text.split(",")]
    if all(each.isascii() and each.isdecimal() for each in parts):
        if max(map(len, parts)) > len(str(2**63)):
            raise InputError("an experiment id in the selection has too many digits")
        return Selection(ids=[int(each) for each in parts])
    return call.store.catalog.selection(text)

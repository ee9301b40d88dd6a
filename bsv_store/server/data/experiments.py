"""Operations on experiments, selections and the catalog."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from bsv_store import check
from bsv_store.catalog.selection.criteria import CRITERIA, default_of
from bsv_store.catalog.selection.resolve import excluded_from, resolve
from bsv_store.catalog.selection.selection import Selection
from bsv_store.catalog.selection.words import selection_words
from bsv_store.catalog.tables.views import VIEWS
from bsv_store.catalog.without_unionizes import report_undecided
from bsv_store.errors import InputError
from bsv_store.server.context import context_of
from bsv_store.server.data.formats import JSON, TABLE_TYPES
from bsv_store.server.data.operation import Operation, Parameter, routes_of
from bsv_store.server.data.parameters import (
    EXPERIMENT_ID,
    FORMAT,
    HEMISPHERE,
    HEMISPHERES,
    LIMIT,
    MEASURE,
    MISSING,
    OFFSET,
    SELECTION,
    SORT,
    STRUCTURE_SET,
    choice,
    selection_of,
)
from bsv_store.server.data.replies import described as described_warnings
from bsv_store.server.data.replies import json_reply, table_reply
from bsv_store.server.data.schemas import TABLE, an_object, list_of
from bsv_store.server.data.tables import flat, table_values
from bsv_store.text import listed, shown
from bsv_store.vocabulary import MATRIX_LAYOUTS, MATRIX_ROWS, MATRIX_STATISTICS, MISSING_POLICIES

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from bsv_store.server.data.operation import Call


# -- experiments ----------------------------------------------------------------------------------------------------


def _experiments(call: Call) -> Response:
    selection = selection_of(call)
    given = call.given("missing")
    described = {each.name: each.description for each in VIEWS["experiments"].columns}
    if call.media_type == JSON and call.values["columns"] is None and call.values["sort"] is None:
        before = len(call.warnings)
        found = call.shared.selected(call.store, selection, marker=call.marker, **given)
        if found is not None:
            rows, numbers = found[0].rows, found[1]
            first = call.values["offset"]
            more = {
                "total": len(numbers),
                "descriptions": {name: described[name] for name in rows.names},
                "warnings": described_warnings(call.warnings, context_of(call.request).paths),
            }
            body = rows.answer(numbers[first : first + call.values["limit"]], more=more)
            return Response(body, media_type=JSON)
        # The ids may belong to another state of the catalog than the rows. Warnings are issued again.
        del call.warnings[before:]
    text = "" if selection is None else selection.to_json()
    frame = call.shared.kept_frame(
        call,
        ("experiments", text, repr(given)),
        lambda: call.shared.experiments(call.store, selection, marker=call.marker, **given),
    )
    names = call.values["columns"]
    if names is not None:
        _check_columns("columns", names, frame)
    page = sorted_page(call, frame)
    shown_page = page if names is None else page[names]
    return table_reply(
        call,
        shown_page,
        total=len(frame),
        more={"descriptions": {name: described[name] for name in shown_page.columns}},
    )


def sorted_page(call: Call, frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of a table that a request asks for by sort, offset and limit."""
    names: list[str] = call.values.get("sort") or []
    if names:
        columns = [name.removeprefix("-") for name in names]
        _check_columns("sort", columns, frame)
        ascending = [not name.startswith("-") for name in names]
        # Stable, so that rows with equal values stay in the order of the library.
        frame = frame.sort_values(columns, ascending=ascending, kind="stable", na_position="last")
    first = call.values.get("offset") or 0
    return frame.iloc[first : first + call.values["limit"]]


def _check_columns(name: str, columns: list[str], frame: pd.DataFrame) -> None:
    unknown = [each for each in columns if each not in frame.columns]
    if unknown or not columns or len(set(columns)) < len(columns):
        problem = f"the table has no column {shown(unknown[0])}" if unknown else f"{name} must name each column once"
        raise InputError(problem, hint=f"Columns are {listed(map(str, frame.columns))}.")


def _experiment(call: Call) -> Response:
    identifier = call.values["experiment_id"]
    details = call.store.catalog.describe(identifier)
    frame = call.store.experiments(Selection(ids=[identifier], include_excluded=True))
    table = table_values(flat(frame))
    facts = dict(zip((each["name"] for each in table["columns"]), table["rows"][0], strict=True))
    return json_reply(call, {"facts": facts, **asdict(details)})


def _summary(call: Call) -> Response:
    return json_reply(call, call.store.catalog.summary(selection_of(call)).to_dict())


# -- selections ----------------------------------------------------------------------------------------------------


def _criteria(call: Call) -> Response:
    return json_reply(call, {"criteria": criteria_rows()})


def criteria_rows() -> list[dict[str, Any]]:
    """The criteria of a selection with what a form needs: name, kind of value, choices, limits and texts."""
    return [
        {
            "name": name,
            "kind": criterion.form,
            "section": criterion.section,
            "description": _in_json(criterion.words),
            "phrase": criterion.phrase,
            "choices": [{"name": row.name, "words": str(getattr(row, "words", row.name))} for row in rows.values()]
            if (rows := criterion.rows) is not None
            else None,
            "special_values": sorted(set(criterion.spellings.values())),
            "least": _limit(criterion.range[0]) if criterion.form == "number" else None,
            "most": _limit(criterion.range[1]) if criterion.form == "number" else None,
            "default": default_of(name),
            "belongs_to": criterion.belongs_to,
            "column": criterion.column,
            "option": criterion.option or f"--{name.replace('_', '-')}",
        }
        for name, criterion in CRITERIA.items()
    ]


def _limit(number: float) -> float | None:
    return None if number in (float("inf"), float("-inf")) else number


def _in_json(words: str) -> str:
    """The help of an option, with the names of criteria in place of options."""
    for name, criterion in CRITERIA.items():
        words = words.replace(criterion.option or f"--{name.replace('_', '-')}", name)
    return words.replace("; @- reads standard input", "")


def _selection(call: Call) -> Response:
    given = selection_of(call)
    selection = Selection() if given is None else given
    before = len(call.warnings)
    policy = check.choice("missing", call.given("missing").get("missing", "leave_out"), MISSING_POLICIES).name
    found = call.shared.selected_and_excluded(call.store, selection, missing=policy, marker=call.marker)
    if found is None:
        del call.warnings[before:]
        with call.store.database.reading() as connection:
            ids = resolve(connection, selection)
            report_undecided(connection, selection, missing=policy)
            excluded = excluded_from(connection, selection)
    else:
        known, places, excluded = found
        ids = known.ids(places)
    return json_reply(call, {**selection_facts(selection, excluded), "count": len(ids), "experiment_ids": ids})


def selection_facts(selection: Selection, excluded: Mapping[int, str]) -> dict[str, Any]:
    """A selection in its forms, and the experiments that only the exclusion list leaves out, with the reasons."""
    return {
        "selection": selection.to_dict(),
        "json": selection.to_json(),
        "python": repr(selection),
        "words": selection_words(selection),
        "excluded": excluded,
    }


def _saved_selections(call: Call) -> Response:
    found = call.store.catalog.selections()
    return json_reply(
        call,
        {
            "selections": [
                {
                    "name": each.name,
                    "number": each.number,
                    "selection": each.selection.to_dict(),
                    "words": selection_words(each.selection),
                    "note": each.note,
                    "saved_by": each.saved_by,
                    "saved_at": each.saved_at,
                }
                for each in found
            ]
        },
    )


def _exclusions(call: Call) -> Response:
    return json_reply(call, {"exclusions": call.store.catalog.exclusions()})


# -- signal by structure -------------------------------------------------------------------------------------------


def _signal(call: Call) -> Response:
    given = call.given("structures", "include_descendants", "is_injection", "hemisphere", "missing")
    selection = selection_of(call)
    if selection is None:
        raise InputError("the parameter selection is missing: unionize rows of all experiments are too many")
    _check_signal_rows(call, selection)
    frame = call.store.catalog.unionizes(selection, **given)
    return table_reply(call, sorted_page(call, frame), total=len(frame))


# All rows are read for each answer, which takes some 500 bytes of memory per row.
_MAX_SIGNAL_ROWS = 300_000
# Three hemispheres, inside and outside the injection site.
_ROWS_PER_STRUCTURE = 6
_ROWS_PER_EXPERIMENT = 2_650


def _check_signal_rows(call: Call, selection: Selection) -> None:
    structures = call.values["structures"]
    rows_each = _ROWS_PER_EXPERIMENT
    if structures is not None and not call.values["include_descendants"]:
        rows_each = min(rows_each, _ROWS_PER_STRUCTURE * len(structures))
    most = _MAX_SIGNAL_ROWS // max(1, rows_each)
    before = len(call.warnings)
    count = len(call.store.select(selection))
    # Reading the rows issues them too.
    del call.warnings[before:]
    if count > most:
        raise InputError(
            f"unionize rows of {count:,} experiments are too many for one answer; with these structures, at most "
            f"{most:,} are possible",
            hint="Choose fewer experiments or structures; open_store(ADDRESS) can read all rows.",
        )


def _matrix(call: Call) -> Response:
    names = ("rows", "sources", "targets", "structure_set", "measure", "statistic", "layout", "missing")
    hemisphere = call.values["hemisphere"]
    given = call.given(*names) | ({} if hemisphere is None else {"hemisphere": hemisphere})
    frame = call.store.catalog.matrix(selection_of(call), limit=call.values["limit"], **given)
    left_out = {name: list(frame.attrs.get(name, ())) for name in ("without_unionizes", "without_hemisphere")}
    return table_reply(call, frame, more=left_out)


def _rank_structures(call: Call) -> Response:
    selection = selection_of(call)
    if selection is None:
        raise InputError("the parameter selection is missing")
    names = ("is_injection", "structures", "structure_set", "hemisphere", "measure", "threshold", "limit")
    return table_reply(call, call.store.catalog.rank_structures(selection, **call.given(*names)))


_STRUCTURES = Parameter(name="structures", kind="structures", words="Only these structures.", example="VISp,VISl")
_IS_INJECTION = Parameter(
    name="is_injection",
    kind="boolean",
    words="Rows inside the injection site (true), outside (false), or both.",
)
_TABLE: dict[str, Any] = {"media_types": TABLE_TYPES, "schema": TABLE, "is_table": True, "is_kept": True}

OPERATIONS = (
    Operation(
        path="/v1/experiments",
        answer=_experiments,
        summary="The selected experiments, one row each",
        group="catalog",
        parameters=(
            SELECTION,
            Parameter(name="columns", kind="strings", words="Only these columns, in this order."),
            SORT,
            OFFSET,
            LIMIT,
            MISSING,
            FORMAT,
        ),
        **_TABLE,
    ),
    Operation(
        path="/v1/experiments/{experiment_id}",
        answer=_experiment,
        summary="One experiment: its row, lines, injection structures, volumes and unionize tables",
        group="catalog",
        parameters=(EXPERIMENT_ID,),
        schema=an_object(
            facts={"type": "object"},
            lines=list_of("object"),
            injection_structures=list_of("object"),
            volumes=list_of("object"),
            unionize_rows={"type": "object"},
            excluded_because={"type": ["string", "null"]},
        ),
        is_kept=True,
    ),
    Operation(
        path="/v1/summary",
        answer=_summary,
        summary="Numbers of the selected experiments by line, structure, product, sex, strain and hemisphere",
        group="catalog",
        parameters=(SELECTION,),
        is_kept=True,
    ),
    Operation(
        path="/v1/criteria",
        answer=_criteria,
        summary="The criteria of selections",
        group="catalog",
        schema=an_object(criteria=list_of("object")),
        is_kept=True,
    ),
    Operation(
        path="/v1/selection",
        answer=_selection,
        summary="A selection in canonical form and in words, with the ids of its experiments",
        group="catalog",
        parameters=(SELECTION, MISSING),
        schema=an_object(
            selection={"type": "object"}, json={"type": "string"}, words={"type": "string"}, count={"type": "integer"}
        ),
        is_kept=True,
    ),
    Operation(
        path="/v1/selections",
        answer=_saved_selections,
        summary="The saved selections",
        group="catalog",
        schema=an_object(selections=list_of("object")),
        is_kept=True,
    ),
    Operation(
        path="/v1/exclusions",
        answer=_exclusions,
        summary="The exclusion list",
        group="catalog",
        schema=an_object(exclusions=list_of("object")),
        is_kept=True,
    ),
    Operation(
        path="/v1/signal",
        answer=_signal,
        summary="The unionize rows of the selected experiments",
        group="catalog",
        parameters=(
            SELECTION,
            _STRUCTURES,
            Parameter(name="include_descendants", kind="boolean", words="Also rows of all descendants of structures."),
            _IS_INJECTION,
            HEMISPHERE,
            SORT,
            OFFSET,
            LIMIT,
            MISSING,
            FORMAT,
        ),
        is_long=True,
        **_TABLE,
    ),
    Operation(
        path="/v1/matrix",
        answer=_matrix,
        summary="The projection matrix: a measure by source or experiment, and target",
        group="catalog",
        parameters=(
            SELECTION,
            choice("rows", MATRIX_ROWS, "What rows are."),
            Parameter(name="sources", kind="structures", words="Pool the experiments by these structures."),
            Parameter(name="targets", kind="structures", words="Targets, instead of a structure set."),
            STRUCTURE_SET,
            HEMISPHERES,
            MEASURE,
            choice("statistic", MATRIX_STATISTICS, "Over the experiments of a source."),
            choice("layout", MATRIX_LAYOUTS, "Shape of the table.", default="long"),
            Parameter(
                name="limit", kind="integer", words="Maximum number of targets, or of rows of the long layout.", least=1
            ),
            MISSING,
            FORMAT,
        ),
        **_TABLE,
    ),
    Operation(
        path="/v1/rank-structures",
        answer=_rank_structures,
        summary="The structures with the most signal of each experiment",
        group="catalog",
        parameters=(
            SELECTION,
            _IS_INJECTION,
            _STRUCTURES,
            STRUCTURE_SET,
            HEMISPHERES,
            MEASURE,
            Parameter(name="threshold", kind="number", words="The measure must exceed it."),
            Parameter(name="limit", kind="integer", words="Maximum number of structures per experiment.", least=1),
            FORMAT,
        ),
        **_TABLE,
    ),
)

ROUTES = routes_of(OPERATIONS)

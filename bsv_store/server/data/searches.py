"""Searches for experiments, and structures by their signal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bsv_store.errors import InputError
from bsv_store.server.data.formats import TABLE_TYPES
from bsv_store.server.data.operation import Operation, Parameter, routes_of
from bsv_store.server.data.parameters import (
    FORMAT,
    HEMISPHERE,
    KIND,
    MAX_ROWS,
    MEASURE,
    MISSING,
    SELECTION,
    SPACING,
    STRUCTURE_SET,
    choice,
    selection_of,
)
from bsv_store.server.data.replies import table_reply
from bsv_store.server.data.schemas import TABLE
from bsv_store.vocabulary import ANIMAL_WEIGHTS, INJECTION_SCOPES

if TYPE_CHECKING:
    from starlette.responses import Response

    from bsv_store.server.data.operation import Call


def _search_sources(call: Call) -> Response:
    given = call.given("injection", "domain", "hemisphere", "limit")
    return table_reply(
        call, call.store.search.sources(call.values["structures"], selection=selection_of(call), **given)
    )


def _search_targets(call: Call) -> Response:
    given = call.given("measure", "threshold", "hemisphere", "limit", "missing")
    return table_reply(
        call, call.store.search.targets(call.values["structures"], selection=selection_of(call), **given)
    )


def _search_targets_of(call: Call) -> Response:
    names = ("targets", "structure_set", "within", "include_sources", "include_fiber_tracts", "measure", "hemisphere")
    given = call.given(*names, "weight_by", "limit", "missing")
    return table_reply(call, call.store.search.targets_of(selection_of(call), **given))


def _search_sources_of(call: Call) -> Response:
    given = call.given("sources", "measure", "hemisphere", "weight_by", "limit", "missing")
    return table_reply(call, call.store.search.sources_of(call.values["target"], selection=selection_of(call), **given))


def _search_injections(call: Call) -> Response:
    given = call.given("radius_um", "limit")
    return table_reply(call, call.store.search.injections(_point(call), selection=selection_of(call), **given))


def _search_correlation(call: Call) -> Response:
    given = call.given("domain", "structure_set", "measure", "hemisphere", "limit", "missing")
    found = call.store.search.correlation(call.values["experiment_id"], selection=selection_of(call), **given)
    return table_reply(call, found)


def _search_point(call: Call) -> Response:
    given = call.given("kind", "spacing_um", "limit")
    return table_reply(call, call.store.search.point(_point(call), selection=selection_of(call), **given))


def _point(call: Call) -> list[float]:
    point: list[float] = call.values["point"]
    if len(point) != 3:
        raise InputError(f"point must be three numbers, got {len(point)}", hint="Use AP,DV,ML in um: 8000,1500,8500.")
    return point


_STRUCTURES = Parameter(
    name="structures", kind="structures", words="Structures, as acronyms or ids.", is_required=True, example="VISp"
)
_POINT = Parameter(
    name="point", kind="numbers", words="AP, DV and ML of the point in um.", is_required=True, example="8000,1500,8500"
)
_DOMAIN = Parameter(name="domain", kind="structures", words="Structures that are compared.")
_LIMIT = Parameter(
    name="limit", kind="integer", words="Maximum number of rows to return.", default=1_000, least=1, most=MAX_ROWS
)
_WEIGHT = choice("weight_by", ANIMAL_WEIGHTS, "Weight of each animal in means.")
_ALL: dict[str, Any] = {
    "media_types": TABLE_TYPES,
    "schema": TABLE,
    "is_table": True,
    "is_kept": True,
    "group": "search",
}

OPERATIONS = (
    Operation(
        path="/v1/search/sources",
        answer=_search_sources,
        summary="Experiments injected in structures, those with the most signal first",
        parameters=(
            _STRUCTURES,
            SELECTION,
            choice("injection", INJECTION_SCOPES, "Whether the primary injection structure counts, or any."),
            _DOMAIN,
            HEMISPHERE,
            _LIMIT,
            FORMAT,
        ),
        **_ALL,
    ),
    Operation(
        path="/v1/search/targets",
        answer=_search_targets,
        summary="Experiments that project to structures, the strongest first",
        parameters=(
            _STRUCTURES,
            SELECTION,
            MEASURE,
            Parameter(name="threshold", kind="number", words="The measure must exceed it."),
            HEMISPHERE,
            _LIMIT,
            MISSING,
            FORMAT,
        ),
        **_ALL,
    ),
    Operation(
        path="/v1/search/targets-of",
        answer=_search_targets_of,
        summary="Structures to which the selected experiments project, the strongest first",
        parameters=(
            SELECTION,
            Parameter(name="targets", kind="structures", words="Only these structures."),
            STRUCTURE_SET,
            Parameter(name="within", kind="structure", words="Only structures inside this one."),
            Parameter(name="include_sources", kind="boolean", words="Also the injected structures."),
            Parameter(name="include_fiber_tracts", kind="boolean", words="Also fiber tracts."),
            MEASURE,
            HEMISPHERE,
            _WEIGHT,
            _LIMIT,
            MISSING,
            FORMAT,
        ),
        **_ALL,
    ),
    Operation(
        path="/v1/search/sources-of",
        answer=_search_sources_of,
        summary="Structures that project to a target, the strongest first",
        parameters=(
            Parameter(
                name="target", kind="structure", words="The target, as acronym or id.", is_required=True, example="LP"
            ),
            SELECTION,
            Parameter(name="sources", kind="structures", words="Only these structures."),
            MEASURE,
            HEMISPHERE,
            _WEIGHT,
            _LIMIT,
            MISSING,
            FORMAT,
        ),
        **_ALL,
    ),
    Operation(
        path="/v1/search/injections",
        answer=_search_injections,
        summary="Experiments by the distance of their injection coordinate from a point",
        parameters=(
            _POINT,
            SELECTION,
            Parameter(name="radius_um", kind="number", words="Largest distance in um."),
            _LIMIT,
            FORMAT,
        ),
        **_ALL,
    ),
    Operation(
        path="/v1/search/correlation",
        answer=_search_correlation,
        summary="Experiments by the correlation of their projections with those of one experiment",
        parameters=(
            Parameter(
                name="experiment_id",
                kind="integer",
                words="The experiment.",
                is_required=True,
                example=100141219,
                least=1,
            ),
            SELECTION,
            _DOMAIN,
            STRUCTURE_SET,
            MEASURE,
            HEMISPHERE,
            _LIMIT,
            MISSING,
            FORMAT,
        ),
        is_long=True,
        **_ALL,
    ),
    Operation(
        path="/v1/search/point",
        answer=_search_point,
        summary="Experiments by the value of their volume at a point",
        parameters=(_POINT, SELECTION, KIND, SPACING, _LIMIT, FORMAT),
        is_long=True,
        **_ALL,
    ),
)

ROUTES = routes_of(OPERATIONS)

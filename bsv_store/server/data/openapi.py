"""The OpenAPI document and the page that shows it, both made from the rows of the operations."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any, Final, assert_never, get_args

from starlette.responses import Response
from starlette.routing import Route

from bsv_store._version import __version__
from bsv_store.remote.protocol import PROBLEM_TYPE
from bsv_store.reports.html_page.markup import element, joined
from bsv_store.server import allen_described
from bsv_store.server.context import context_of
from bsv_store.server.data import atlas, datasets, experiments, mirror, searches
from bsv_store.server.data.etags import with_etag
from bsv_store.server.data.examples import Examples
from bsv_store.server.data.plain import json_bytes
from bsv_store.server.data.schemas import WARNINGS
from bsv_store.server.data.tables import ColumnType
from bsv_store.server.images import described as described_images
from bsv_store.server.pages.address import address
from bsv_store.server.pages.kept import kept_content
from bsv_store.server.pages.shell import page

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.requests import Request

    from bsv_store.reports.html_page.markup import Markup
    from bsv_store.server.data.operation import Described, Group, Operation, Parameter

OPERATIONS: Final[tuple[Operation, ...]] = (
    *experiments.OPERATIONS,
    *searches.OPERATIONS,
    *atlas.OPERATIONS,
    *datasets.OPERATIONS,
    *mirror.OPERATIONS,
)
DESCRIBED: Final[tuple[Described, ...]] = (*OPERATIONS, *described_images.DESCRIBED, *allen_described.DESCRIBED)

GROUPS: Final[Mapping[Group, str]] = {
    "catalog": "Experiments, selections and signal by structure",
    "search": "Searches",
    "atlas": "Structures and the annotation",
    "volumes": "Volumes",
    "datasets": "Datasets and their versions",
    "images": "Planes of versions and volumes, and the anatomy in them",
    "server": "The server",
    "mirror": "Copies of the store on other computers, as open_store(URL) makes them",
    "allen": "Addresses of the Allen API, answered as far as the store has the data",
}

_INTRODUCTION = (
    "Read-only access to a store of the Allen Mouse Brain Connectivity Atlas. Coordinates are in um of the CCF, in the "
    "order AP, DV, ML. Lists in the query are separated by commas. Errors are problem documents (RFC 9457), whose code "
    "names the class of the error and whose hint says what to do; browsers get them as pages. Answers have an ETag: "
    "send it back in If-None-Match."
)

_SCHEMAS: Final[dict[str, Any]] = {
    "Table": {
        "type": "object",
        "required": ["columns", "rows", "total", "warnings"],
        "properties": {
            "columns": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["name", "type"],
                    "properties": {
                        "name": {"type": "string"},
                        "type": {
                            "enum": list(get_args(ColumnType)),
                        },
                    },
                },
            },
            "rows": {
                "type": "array",
                "description": "In the order of the columns. Missing values are null; integers beyond 2**53 and "
                "infinities are strings.",
                "items": {"type": "array"},
            },
            "total": {"type": "integer", "description": "Number of rows before offset and limit"},
            "warnings": WARNINGS,
        },
    },
    "Problem": {
        "type": "object",
        "required": ["type", "title", "status", "detail", "code", "hint"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "code": {"type": "string", "description": "Class of the error in bsv_store.errors"},
            "hint": {"type": ["string", "null"]},
        },
    },
}


@cache
def document() -> dict[str, Any]:
    """The OpenAPI document, for a server without a prefix."""
    paths: dict[str, dict[str, Any]] = {}
    for each in DESCRIBED:
        paths.setdefault(each.path, {})[each.method.lower()] = _described(each)
    return {
        "openapi": "3.1.0",
        "info": {"title": "bsv-store", "version": __version__, "description": _INTRODUCTION},
        "tags": [{"name": name, "description": words} for name, words in GROUPS.items()],
        "paths": paths,
        "components": {
            "schemas": _SCHEMAS,
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "Required by servers that others can reach: bsv-store serve token add",
                }
            },
        },
        "security": [{}, {"token": []}],
    }


def _described(operation: Described) -> dict[str, Any]:
    contents: dict[str, Any] = {}
    for media_type in operation.media_types:
        schema = operation.schema if media_type == "application/json" else {"type": "string", "format": "binary"}
        contents[media_type.partition(";")[0]] = {"schema": dict(schema)}
    problem = {"content": {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    found: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [operation.group],
        "parameters": [_described_parameter(each, operation) for each in operation.parameters],
        "responses": {
            "200": {"description": "The answer", "content": contents},
            "default": {"description": "A problem", **problem},
        },
    }
    if operation.method == "GET":
        found["responses"]["304"] = {"description": "The client has the answer already"}
    if operation.has_ranges:
        found["responses"]["206"] = {"description": "A part of the file", "content": contents}
    for status, words in operation.pages.items():
        html = {"text/html": {"schema": {"type": "string"}}}
        found["responses"][str(status)] = {"description": words, "content": {**html, **problem["content"]}}
    if operation.body is not None:
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": dict(operation.body)}}}
    return found


def _described_parameter(parameter: Parameter, operation: Described) -> dict[str, Any]:
    in_path = parameter.name in operation.path_names
    found: dict[str, Any] = {
        "name": parameter.name,
        "in": "path" if in_path else "query",
        "required": in_path or parameter.is_required,
        "description": parameter.words,
        "schema": _schema(parameter),
    }
    if found["schema"]["type"] == "array":
        found["style"], found["explode"] = "form", False
    if parameter.example is not None:
        found["example"] = parameter.example
    return found


def _schema(parameter: Parameter) -> dict[str, Any]:
    kind = parameter.kind
    item: dict[str, Any]
    if kind == "integer" or kind == "integers":
        item = {"type": "integer"}
        if parameter.least is not None:
            item["minimum"] = parameter.least
        if parameter.most is not None:
            item["maximum"] = parameter.most
    elif kind == "number" or kind == "numbers":
        item = {"type": "number"}
    elif kind == "boolean":
        item = {"type": "boolean"}
    elif kind == "string" or kind == "strings" or kind == "structure" or kind == "structures":
        item = {"type": "string"}
    else:
        assert_never(kind)
    if parameter.choices:
        item["enum"] = list(parameter.choices)
    found = {"type": "array", "items": item} if kind.endswith("s") else item
    if parameter.default is not None:
        found["default"] = parameter.default
    return found


def _openapi(request: Request) -> Response:
    found = {**document(), "servers": [{"url": request.scope.get("root_path", "") or "/"}]}
    return with_etag(request, Response(json_bytes(found), media_type="application/json"))


# -- the page ------------------------------------------------------------------------------------------------------


def _docs(request: Request) -> Response:
    return page(
        request,
        "API",
        element("h1", "API"),
        element("p", _INTRODUCTION, class_="lead"),
        element(
            "p",
            "The same as a document for programs: ",
            element("a", "OpenAPI 3.1", href=address(request, "/openapi.json")),
            ". Tables are available as JSON, CSV and, if pyarrow is installed on the server, Arrow IPC.",
        ),
        element(
            "ul",
            (element("li", element("a", words, href=f"#{name}")) for name, words in GROUPS.items()),
        ),
        kept_content(request, "api", lambda: _sections(request)),
        current="/docs",
        styles=("api.css",),
    )


def _sections(request: Request) -> list[Markup]:
    examples = Examples(context_of(request).store)
    return [_section(request, name, words, examples) for name, words in GROUPS.items()]


def _section(request: Request, group: Group, words: str, examples: Examples) -> Markup:
    members = (each for each in DESCRIBED if each.group == group)
    return element(
        "section",
        element("h2", words, id=group),
        (_entry(request, each, examples) for each in members),
        aria_labelledby=group,
    )


def _entry(request: Request, operation: Described, examples: Examples) -> Markup:
    path = operation.path
    example = _example(request, operation, examples)
    address_shown = element("code", f"{operation.method} {path}")
    parts = [
        element("p", operation.description) if operation.description else None,
        None if example is None else element("p", "Example: ", example),
        element("p", "Answer: ", _codes(operation.media_types)),
        _parameters(operation),
    ]
    if operation.body is not None:
        parts.append(element("p", "Body, as JSON schema:"))
        body = element("pre", element("code", json.dumps(operation.body, indent=2)))
        parts.append(element("div", body, class_="scroll", tabindex=0, role="group", aria_label="Body"))
    return element(
        "details",
        element("summary", address_shown, " ", element("span", operation.summary)),
        *parts,
        id=operation.name.replace("_", "-"),
        class_="operation",
    )


def _example(request: Request, operation: Described, examples: Examples) -> Markup | None:
    """The address of an example that a browser can show, as a link if the store has what it names."""
    if operation.method != "GET" or operation.media_types[0] != "application/json":
        return None
    values = examples.query(operation)
    if values is not None:
        found = _address(request, operation, values)
        return element("a", found, href=found)
    needed = {each.name: each.example for each in operation.parameters if _is_needed(each, operation)}
    if None in needed.values():
        return None
    return element("code", _address(request, operation, {name: str(value) for name, value in needed.items()}))


def _is_needed(parameter: Parameter, operation: Described) -> bool:
    return parameter.is_required or parameter.name in operation.path_names


def _address(request: Request, operation: Described, values: Mapping[str, str]) -> str:
    path, query = operation.path, dict(values)
    for name in operation.path_names:
        path = path.replace(f"{{{name}}}", query.pop(name))
    return address(request, path, **query)


def _parameters(operation: Described) -> Markup | None:
    if not operation.parameters:
        return None
    head = element("tr", (element("th", words, scope="col") for words in ("Parameter", "Type", "Meaning")))
    rows = (
        element(
            "tr",
            element("th", element("code", each.name), scope="row"),
            element("td", _type_words(each, operation)),
            element("td", each.words, _choices(each)),
        )
        for each in operation.parameters
    )
    table = element("table", element("thead", head), element("tbody", rows))
    return element("div", table, class_="scroll", tabindex=0, role="group", aria_label="Parameters")


def _type_words(parameter: Parameter, operation: Described) -> str:
    words = f"list of {parameter.kind}" if parameter.kind.endswith("s") else parameter.kind
    if parameter.name in operation.path_names:
        return f"{words}, in the path"
    if parameter.is_required:
        return f"{words}, required"
    return words if parameter.default is None else f"{words}, default {parameter.default}"


def _choices(parameter: Parameter) -> Markup | None:
    if not parameter.choices:
        return None
    return joined(" One of ", _codes(parameter.choices), ".")


def _codes(texts: Sequence[str]) -> Markup:
    return joined([joined(", " if place else None, element("code", each)) for place, each in enumerate(texts)])


ROUTES = [Route("/openapi.json", _openapi, name="openapi"), Route("/docs", _docs, name="docs")]

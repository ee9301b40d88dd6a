"""Targets: requests to the server, in this process: addresses, query strings and bodies of all routes."""

from __future__ import annotations

import asyncio
import json
import random
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from starlette.applications import Starlette

from bsv_store import Selection, by_coordinate, create_store, open_store
from bsv_store.errors import InputError
from bsv_store.server.application import application
from tests.datasets.world import IDS, fill
from tests.reliability.fuzzing.mutate import _NUMBERS, _TEXTS, mutate_bytes, mutate_json
from tests.reliability.fuzzing.target import Prepared, Target

_SAMPLES = {
    "experiment_id": "1",
    "ref": "test@1",
    "name": "test",
    "structure": "VISp",
    "sha256": "a" * 64,
    "key": "100um",
    "chunk": "0-64_0-64_0-64",
    "version": "1",
    "rest:path": "query.json",
}
_VALUES = (
    *("1", "1,2", "VISp", "VIS,MOp", "true", "test@1", "projection_density", "100", "AP", "left", "json", "csv", "0.5"),
    *(
        "-1",
        "0",
        "9223372036854775808",
        "1e309",
        "%00",
        "%ff",
        "%E2%80%AE",
        "..%2f..",
        "'",
        "%22",
        "[]",
        "{}",
        "*",
        "all",
    ),
)
_ALLEN = (
    "/api/v2/data/query.json?q=model::Structure,rma::criteria,[graph_id$in1],rma::include,structure_sets,"
    "rma::options[order$eqstructures.graph_order][num_rows$eq'all'][count$eqfalse]",
    "/api/v2/data/query.json?q=model::ApiConnectivity,rma::options[num_rows$eq'all']",
    "/api/v2/data/query.json?criteria=service::mouse_connectivity_injection_structure[injection_structures$eqVISp]"
    "[transgenic_lines$eq0][primary_structure_only$eqtrue][num_rows$eq3000]",
    "/api/v2/data/ProjectionStructureUnionize/query.json?criteria=[section_data_set_id$eq1]&num_rows=all",
    "/api/v2/structure_graph_download/1.json",
    "/grid_data/download/1?include=density",
    "/grid_data/download_file/1?image=projection_density&resolution=100",
)


def _sample(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return str(schema["enum"][0])
    if "items" in schema:
        return _sample(schema["items"])
    return {"integer": "1", "number": "0.5", "boolean": "true"}.get(str(schema.get("type")), "VISp")


def _seeds(app: Starlette, document: dict[str, Any]) -> Iterable[bytes]:
    described = {path for path in document.get("paths", {})}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            filled = path
            query: list[str] = []
            for parameter in operation.get("parameters", ()):
                sample = _SAMPLES.get(parameter["name"]) or _sample(parameter.get("schema", {}))
                if parameter["in"] == "path":
                    filled = filled.replace(f"{{{parameter['name']}}}", quote(sample))
                elif parameter.get("required") or len(query) < 3:
                    query.append(f"{parameter['name']}={quote(sample)}")
            body = b""
            if "requestBody" in operation:
                body = b'{"selection": {"version": 1, "injected_in": ["VIS"]}, "statement": "select 1", "limit": 5}'
            yield f"{method.upper()} {filled}{'?' if query else ''}{'&'.join(query)}\n\n".encode() + body
    for route in app.routes:
        path = str(getattr(route, "path", ""))
        if path in described:
            continue
        for name, value in _SAMPLES.items():
            path = path.replace(f"{{{name}}}", value)
        for kind in ("int", "path"):
            path = path.replace(f"{{experiment_id:{kind}}}", "1").replace(f"{{name:{kind}}}", "x")
        yield f"GET {path}\n\n".encode()
    for address in _ALLEN:
        yield f"GET {address}\n\n".encode()
    images = (
        "source=experiment&id=1&experiment_id=1&kind=projection_density&spacing_um=100&axis=AP&position=50&ref=test@1"
    )
    for name in ("info", "slice", "slice.png", "range", "position", "annotation", "outlines", "regions.csv"):
        yield f"GET /v1/images/{name}?{images}\n\n".encode()


def _split(data: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    head, _, body = data.partition(b"\n\n")
    method, _, address = head.partition(b" ")
    path, _, query = address.partition(b"?")
    return method or b"GET", path or b"/", query, body


def mutate_request(data: bytes, chance: random.Random) -> bytes:
    """Another value of a parameter, another parameter, segment of the path, method or body."""
    method, path, query, body = _split(data)
    value = chance.choice((*_VALUES, *(quote(each) for each in (*_NUMBERS, *_TEXTS)))).encode()
    match chance.randrange(9):
        case 0:
            method = chance.choice((b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS"))
        case 1 | 2:
            parts = path.split(b"/")
            parts[chance.randrange(len(parts))] = value
            path = b"/".join(parts)
        case 3:
            path = mutate_bytes(path, chance)
        case 4 | 5 if query:
            pairs = query.split(b"&")
            at = chance.randrange(len(pairs))
            pairs[at] = pairs[at].partition(b"=")[0] + b"=" + value
            if chance.random() < 0.2:
                pairs.append(chance.choice(pairs))
            query = b"&".join(pairs)
        case 6:
            names = (
                b"limit",
                b"offset",
                b"sort",
                b"ids",
                b"injected_in",
                b"line",
                b"selection",
                b"format",
                b"measure",
                b"box",
            )
            query = query + b"&" + chance.choice(names) + b"=" + value
        case 7 if body:
            body = mutate_json(body, chance)
        case _:
            query = mutate_bytes(query, chance)
    return method + b" " + path + (b"?" + query if query else b"") + b"\n\n" + body


def _prepare(scratch: Path) -> Prepared:
    folder = scratch / "served"
    with create_store(folder) as store:
        fill(store)
        store.aggregate(Selection(ids=IDS), group_by=by_coordinate("AP", edges=[3000, 8200, 9400]), name="test")
    store = open_store(folder, read_only=True)
    app = application(store)
    loop = asyncio.new_event_loop()
    metrics = app.state.context.metrics

    def run(data: bytes) -> None:
        before = metrics._errors
        status = loop.run_until_complete(_requested(app, data))
        assert metrics._errors == before, "an unexpected error"
        if status >= 400:
            raise InputError(f"status {status}")

    run(b"GET /openapi.json\n\n")
    document = json.loads(loop.run_until_complete(_body(app, b"GET /openapi.json\n\n")))
    seeds = sorted(set(_seeds(app, document)))

    def close() -> None:
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
        store.close()

    return Prepared(seeds, run, close)


async def _requested(app: Starlette, data: bytes) -> int:
    status, _ = await _answer(app, data)
    return status


async def _body(app: Starlette, data: bytes) -> bytes:
    _, body = await _answer(app, data)
    return body


async def _answer(app: Starlette, data: bytes) -> tuple[int, bytes]:
    method, path, query, body = _split(data)
    found: list[int] = []
    parts: list[bytes] = []
    finished = asyncio.Event()
    is_sent = False

    async def receive() -> dict[str, Any]:
        nonlocal is_sent
        if is_sent:
            await finished.wait()
            return {"type": "http.disconnect"}
        is_sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            found.append(message["status"])
        else:
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                finished.set()

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method.decode("latin-1"),
        "scheme": "http",
        "path": unquote_to_bytes(path).decode("utf-8", "replace"),
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        await app(scope, receive, send)
    return found[0], b"".join(parts)


SERVER: dict[str, Target] = {
    "request": Target(
        "addresses, query strings and bodies of all routes",
        _prepare,
        mutate_request,
        weight=1,
        seconds=20,
        memory_bytes=512 << 20,
    )
}

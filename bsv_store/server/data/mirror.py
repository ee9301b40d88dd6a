"""The protocol of mirrors: the catalog, files by hash, unionize rows and SQL. See `bsv_store.remote.protocol`."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from starlette.exceptions import HTTPException
from starlette.responses import Response

from bsv_store.check import finite_number, text
from bsv_store.errors import InputError, QueryError
from bsv_store.remote import protocol
from bsv_store.server.access.private_tables import refuse_private_tables
from bsv_store.server.access.scopes import require_scope
from bsv_store.server.context import context_of
from bsv_store.server.data.conditions import IMMUTABLE, REVALIDATED, accepts_gzip, is_current
from bsv_store.server.data.file_reply import file_reply
from bsv_store.server.data.formats import JSON, TABLE_TYPES
from bsv_store.server.data.operation import Operation, Parameter, routes_of
from bsv_store.server.data.plain import json_bytes
from bsv_store.server.data.replies import table_reply
from bsv_store.text import SHA256

if TYPE_CHECKING:
    from bsv_store.server.data.operation import Call

_SQL_KEYS = ("statement", "parameters", "limit", "timeout_s", "max_bytes")
_SQL_BYTES = 100_000_000

_HASH = Parameter(name="sha256", kind="string", words="SHA-256 of the bytes, 64 lower-case hexadecimal digits")


def _catalog_manifest(call: Call) -> Response:
    manifest = call.shared.copies.manifest(call.store)
    headers = {"ETag": manifest.etag, "Cache-Control": REVALIDATED}
    if is_current(call.request.headers.get("if-none-match"), manifest.etag):
        return Response(status_code=304, headers=headers)
    return Response(json_bytes(manifest.values), media_type=JSON, headers=headers)


def _catalog_copy(call: Call) -> Response:
    sha256 = _checked_hash(call)
    is_compressed = accepts_gzip(call.request.headers.get("accept-encoding"))
    file = call.shared.copies.open(sha256, compressed=is_compressed)
    if file is None:
        raise HTTPException(404, detail="the server does not have this copy of the catalog (any more)")
    headers = {"Cache-Control": IMMUTABLE, "Vary": "Accept-Encoding"}
    if is_compressed:
        headers["Content-Encoding"] = "gzip"
    return file_reply(
        call.request,
        file,
        name="the copy of the catalog",
        size_bytes=None,
        etag=f'"{sha256}-gzip"' if is_compressed else f'"{sha256}"',
        media_type="application/vnd.sqlite3",
        headers=headers,
    )


def _object(call: Call) -> Response:
    found = call.shared.files.get(call.store).get(_checked_hash(call))
    if found is None:
        raise HTTPException(404, detail="no file of the store has this hash")
    return file_reply(
        call.request,
        call.store.files.open_for_read_into(found.path),
        name=f"the file {found.path}",
        size_bytes=found.size_bytes,
        etag=f'"{found.file_sha256}"',
        media_type="application/octet-stream",
        headers={"Cache-Control": IMMUTABLE},
    )


def _checked_hash(call: Call) -> str:
    sha256: str = call.values["sha256"]
    if SHA256.fullmatch(sha256) is None:
        raise HTTPException(404, detail="the address must end with 64 lower-case hexadecimal digits")
    return sha256


def _unionize_rows(call: Call) -> Response:
    ids = sorted(set(call.values["ids"]))
    if not 1 <= len(ids) <= protocol.MAX_UNIONIZE_IDS:
        raise InputError(f"ids must be 1 to {protocol.MAX_UNIONIZE_IDS} experiment ids, got {len(ids)}")
    found = call.store.catalog.stored_unionizes(ids)
    etag = f'"{hashlib.sha256(f"{protocol.PROTOCOL} {found.content}".encode()).hexdigest()}"'
    headers = {"ETag": etag, "Cache-Control": REVALIDATED}
    if is_current(call.request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    file = io.BytesIO()
    np.lib.format.write_array(file, found.rows, allow_pickle=False)
    return Response(file.getvalue(), media_type=protocol.NPY_TYPE, headers=headers)


def _sql(call: Call) -> Response:
    require_scope(call.request, "sql")
    body = call.body
    if not isinstance(body, dict) or "statement" not in body:
        raise InputError('the body must be a JSON object, such as {"statement": "SELECT 1"}')
    if unknown := sorted(set(body) - set(_SQL_KEYS)):
        raise InputError(f"the body has unknown keys: {', '.join(unknown)}", hint=f"Valid: {', '.join(_SQL_KEYS)}.")
    limit, max_bytes = (_positive_integer(name, body.get(name)) for name in ("limit", "max_bytes"))
    timeout_s = body.get("timeout_s")
    if timeout_s is not None and finite_number("timeout_s", timeout_s) <= 0:
        raise InputError(f"timeout_s must be greater than 0, got {timeout_s!r}")
    options = context_of(call.request).options
    statement = text("statement", body["statement"], such_as="SELECT 1", error=QueryError)
    refuse_private_tables(statement)
    frame = call.store.sql(
        statement,
        body.get("parameters"),
        limit=options.sql_rows if limit is None else min(limit, options.sql_rows),
        timeout_s=options.sql_timeout_s if timeout_s is None else min(timeout_s, options.sql_timeout_s),
        max_bytes=_SQL_BYTES if max_bytes is None else min(max_bytes, _SQL_BYTES),
    )
    more = {"truncated": bool(frame.attrs["truncated"]), "store_id": call.store.config.store_id}
    reply = table_reply(call, frame, more=more)
    reply.headers["Cache-Control"] = "no-store"
    return reply


def _positive_integer(name: str, value: Any) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value
    raise InputError(f"{name} must be a positive integer, got {value!r}")


_SQL_BODY: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["statement"],
    "additionalProperties": False,
    "properties": {
        "statement": {"type": "string", "description": "One SELECT; :name marks a parameter", "minLength": 1},
        "parameters": {
            "type": ["object", "null"],
            "additionalProperties": {"type": ["string", "number", "boolean", "null"]},
        },
        "limit": {"type": ["integer", "null"], "minimum": 1, "description": "Maximum number of rows"},
        "timeout_s": {"type": ["number", "null"], "exclusiveMinimum": 0, "description": "Timeout in seconds"},
        "max_bytes": {
            "type": ["integer", "null"],
            "minimum": 1,
            "description": "Maximum size of the rows in memory, in bytes",
        },
    },
}

OPERATIONS = (
    Operation(
        path=protocol.CATALOG,
        answer=_catalog_manifest,
        summary="The manifest of the catalog",
        group="mirror",
    ),
    Operation(
        path=f"{protocol.CATALOG}/{{sha256}}",
        answer=_catalog_copy,
        summary="A copy of the catalog without unionize rows, as a SQLite file",
        group="mirror",
        parameters=(_HASH,),
        media_types=("application/vnd.sqlite3",),
        has_ranges=True,
    ),
    Operation(
        path=f"{protocol.OBJECTS}/{{sha256}}",
        answer=_object,
        summary="A file of the store by its hash; supports one byte range",
        group="mirror",
        parameters=(_HASH,),
        media_types=("application/octet-stream",),
        has_ranges=True,
    ),
    Operation(
        path=protocol.UNIONIZES,
        answer=_unionize_rows,
        summary="All unionize rows of some experiments as a NumPy file",
        group="mirror",
        parameters=(
            Parameter(
                name="ids", kind="integers", words="Experiment ids", is_required=True, example="100141219", least=1
            ),
        ),
        media_types=(protocol.NPY_TYPE,),
    ),
    Operation(
        path=protocol.SQL,
        answer=_sql,
        summary="The result of one read-only query",
        group="catalog",
        method="POST",
        body=_SQL_BODY,
        media_types=TABLE_TYPES,
        is_table=True,
        is_long=True,
    ),
)

ROUTES = routes_of(OPERATIONS)

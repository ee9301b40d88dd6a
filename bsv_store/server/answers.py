"""JSON answers that are revalidated by the state of the catalog."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from bsv_store.server.context import context_of

if TYPE_CHECKING:
    from starlette.requests import Request

    from bsv_store.store.store import Store


def json_answer(request: Request, make: Callable[[Store], Any]) -> Response:
    """What a function makes from the store, as JSON; 304 if the client has it in the present state of the catalog.

    Call it in a thread, as in a route that is a plain ``def``.

    Parameters
    ----------
    request : Request
    make : callable
        Called with the store, unless the client has the answer already. Its result must depend on the address, the
        store's catalog and the release only.
    """
    store = context_of(request).store
    # Read before: if the catalog changes in between, the next request gets the new answer.
    tag = state_tag(store)
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if is_known(request, tag):
        return Response(status_code=304, headers=headers)
    return json_response(make(store), headers=headers)


def json_response(value: Any, *, headers: dict[str, str] | None = None, status: int = 200) -> Response:
    """A value as JSON. Values that are not finite are an error, because JSON does not have them."""
    body = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    return Response(body, status_code=status, headers=headers, media_type="application/json")


def state_tag(store: Store) -> str:
    """The entity tag of what depends on the state of the catalog."""
    return f'"{hashlib.sha256(store.catalog.state().encode()).hexdigest()[:32]}"'


def is_known(request: Request, tag: str) -> bool:
    """Whether the client has the entity with this tag, by its header ``If-None-Match``."""
    given = request.headers.get("if-none-match")
    if given is None:
        return False
    return given.strip() == "*" or tag in (each.strip().removeprefix("W/") for each in given.split(","))

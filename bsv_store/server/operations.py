"""``/health``, ``/ready`` and ``/metrics``."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from bsv_store.errors import BsvStoreError
from bsv_store.server.context import context_of, shared_by_application
from bsv_store.server.problems import problem_response
from bsv_store.store.metrics import prometheus_text, unreachable_text

if TYPE_CHECKING:
    from starlette.requests import Request

    from bsv_store.server.context import Context

_NO_STORE: Final = {"Cache-Control": "no-store"}
# The state of the store counts files and rows, which takes longer than all else here.
_STORE_INTERVAL_S: Final = 15.0


async def _health(request: Request) -> Response:
    return JSONResponse({"status": "alive"}, headers=_NO_STORE)


def _ready(request: Request) -> Response:
    context = context_of(request)
    try:
        context.check_store()
    except BsvStoreError as error:
        return problem_response(context, error, status=503)
    return JSONResponse({"status": "ready"}, headers=_NO_STORE)


class _StoreText:
    """The metrics of the store itself, not older than a few seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._text = ""
        self._next = 0.0

    def of(self, context: Context) -> str:
        with self._lock:
            if time.monotonic() >= self._next:
                try:
                    self._text = prometheus_text(context.store.status())
                except BsvStoreError:
                    # This is what the metric says.
                    self._text = unreachable_text()
                self._next = time.monotonic() + _STORE_INTERVAL_S
            return self._text


def _metrics(request: Request) -> Response:
    context = context_of(request)
    store_text = shared_by_application(request.app, "store_text", _StoreText, _StoreText)
    text = context.metrics.exposition() + store_text.of(context)
    return Response(text, headers=_NO_STORE, media_type="text/plain; version=0.0.4")


ROUTES: list[BaseRoute] = [
    Route("/health", _health),
    Route("/ready", _ready),
    Route("/metrics", _metrics),
]

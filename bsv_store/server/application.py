"""The application: all routes over one store."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import JSONResponse

from bsv_store.errors import BsvStoreError
from bsv_store.remote.protocol import PROBLEM_TYPE, problem_of
from bsv_store.server.context import Context

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from bsv_store.store.store import Store

# Each module has a list ``ROUTES``. The first route that matches answers.
_MODULES: tuple[str, ...] = ("data.mirror",)


def application(store: Store) -> Starlette:
    """The web application over a store that is open for reading only."""
    routes: list[BaseRoute] = []
    for name in _MODULES:
        routes.extend(import_module(f"bsv_store.server.{name}").ROUTES)
    app = Starlette(routes=routes, exception_handlers={BsvStoreError: _problem})
    app.state.context = Context(store)
    return app


def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, BsvStoreError)
    return JSONResponse(problem_of(error, status=500), status_code=500, media_type=PROBLEM_TYPE)

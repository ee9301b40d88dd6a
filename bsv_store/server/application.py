"""The application: all routes over one store, with the middleware around them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio.to_thread
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from bsv_store.server.access.log import AccessLog
from bsv_store.server.access.middleware import AccessMiddleware
from bsv_store.server.context import Context
from bsv_store.server.data.shared import LONG_AT_A_TIME, prepare_answers
from bsv_store.server.metrics import ServerMetrics
from bsv_store.server.options import ServerOptions
from bsv_store.server.problems import HANDLERS

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from bsv_store.store.store import Store

# Each module has a list ``ROUTES``. The first route that matches answers.
_MODULES: tuple[str, ...] = (
    "operations",
    "access.login",
    "allen_routes",
    "data.mirror",
    "data.experiments",
    "data.searches",
    "data.atlas",
    "data.datasets",
    "data.openapi",
    "images.routes",
    "pages.routes",
)

# With those of long operations, as many as the database has connections in one process.
_THREADS: Final = 15 - LONG_AT_A_TIME

_CORS_EXPOSED: Final = (
    *("Content-Disposition", "Content-Range", "ETag", "Link", "Retry-After"),
    *("RateLimit", "RateLimit-Policy", "X-Request-ID"),
)


def application(store: Store, *, options: ServerOptions | None = None, folder: Path | None = None) -> Starlette:
    """The web application over a store.

    Parameters
    ----------
    store : Store
        Open for reading only. It must stay open while the application runs.
    options : ServerOptions, optional
        By default those of a server on a loopback address.
    folder : pathlib.Path, optional
        A temporary folder in which several workers of a server share their counters and copies of the catalog.
    """
    options = ServerOptions() if options is None else options
    context = Context(store, options, ServerMetrics(folder), folder)
    log = None if options.access_log is None else AccessLog(options.access_log)
    routes: list[BaseRoute] = []
    for name in _MODULES:
        routes.extend(import_module(f"bsv_store.server.{name}").ROUTES)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = _THREADS
        await run_in_threadpool(prepare_answers, app)
        yield
        context.metrics.save()
        context.close()
        if log is not None:
            log.close()

    middleware = [Middleware(AccessMiddleware, context=context, log=log)]
    if options.allow_origin:
        cors = Middleware(
            CORSMiddleware,
            allow_origins=options.allow_origin,
            allow_methods=("GET", "HEAD", "POST"),
            allow_headers=("Authorization", "Content-Type", "If-None-Match", "Range"),
            expose_headers=_CORS_EXPOSED,
        )
        middleware.insert(0, cors)
    app = Starlette(routes=routes, middleware=middleware, exception_handlers=HANDLERS, lifespan=lifespan)
    app.state.context = context
    return app

"""The middleware around all routes. It costs well below a millisecond for each request."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from typing import TYPE_CHECKING, Any, Final

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers

from bsv_store.errors import BsvStoreError, InputError
from bsv_store.server.access.authentication import authenticate, refusal
from bsv_store.server.access.buckets import buckets_in
from bsv_store.server.access.headers import DEFAULT_POLICY, SECURITY_HEADERS
from bsv_store.server.access.limits import Quota, RateLimit
from bsv_store.server.access.scopes import KEY
from bsv_store.server.allen.routes import PREFIXES
from bsv_store.server.problems import framework_problem, problem_response
from bsv_store.sources.allen.addresses import ALLEN_HOSTS

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from bsv_store.server.access.log import AccessLog
    from bsv_store.server.access.scopes import Access
    from bsv_store.server.context import Context

LOG = logging.getLogger("bsv_store.server")

MAX_ADDRESS_BYTES: Final = 16_384
MAX_HEADER_BYTES: Final = 65_536

# Answered without a token, by any name and whatever the limits, so that a supervisor can tell a busy server from a dead
# one.
_ALWAYS: Final = frozenset({"/health", "/ready"})


BODY_TIMEOUT_S: Final = 30.0
"""Within which the body of a request must arrive, because it counts as a request in progress."""


class BodyTooLargeError(Exception):
    """Raised to the route that reads the body of a request."""


class BodyTooSlowError(Exception):
    """Raised to the route that reads the body of a request."""


class AccessMiddleware:
    """Checks host, token, sizes and limits, adds security headers, counts and logs each request.

    Parameters
    ----------
    app : ASGI application
    context : Context
    log : AccessLog, optional
    """

    def __init__(self, app: ASGIApp, *, context: Context, log: AccessLog | None = None) -> None:
        self._app = app
        self._context = context
        self._log = log
        options = context.options
        self._root_path = options.root_path
        self._hosts = options.accepted_hosts
        self._is_private = options.requires_token
        rate = options.requests_per_second
        self._rate = RateLimit(rate, buckets=buckets_in(context.folder)) if rate else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            # There are no routes of web sockets.
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(self._context, scope, receive, send, is_private=self._is_private)
        path = self._set_root_path(scope)
        metrics = self._context.metrics
        metrics.in_flight += 1
        self._context.in_progress.add(1)
        try:
            refused = await self._refusal(exchange, scope, path)
            if refused is None:
                await self._app(scope, exchange.receive, exchange.send)
            else:
                await refused(scope, receive, exchange.send)
        except BodyTooLargeError:
            await exchange.answer(framework_problem(self._context, 413, headers={"Connection": "close"}))
        except BodyTooSlowError:
            await exchange.answer(framework_problem(self._context, 408, headers={"Connection": "close"}))
        except asyncio.CancelledError:
            # Only a server that stops ends requests in progress, after its timeout.
            await exchange.answer(framework_problem(self._context, 503, detail="the server is being stopped"))
        except Exception as error:  # noqa: BLE001 (whatever it is, the client gets an answer and the log the error)
            await exchange.answer(await self._failure(exchange, error))
        finally:
            metrics.in_flight -= 1
            self._context.in_progress.add(-1)
            self._record(exchange, scope)

    def _set_root_path(self, scope: Scope) -> str:
        """The path below the root path, even if a proxy has already removed that from the address."""
        path: str = scope["path"]
        root = self._root_path
        if not root:
            return path
        scope["root_path"] = root
        if path == root or path.startswith(f"{root}/"):
            return path[len(root) :] or "/"
        scope["path"] = root + path
        return path

    def _is_addressed(self, host: str, path: str) -> bool:
        """Whether the server answers to a name for a path."""
        name = _host_name(host)
        # Programs that use the server as a proxy send Allen's names. Pages of these names may only read Allen's data.
        return self._hosts is None or name in self._hosts or (name in ALLEN_HOSTS and path.startswith(PREFIXES))

    async def _refusal(self, exchange: _Exchange, scope: Scope, path: str) -> Response | None:
        context, headers = self._context, exchange.headers
        if path in _ALWAYS:
            return None
        if not self._is_addressed(headers.get("host", ""), path):
            return framework_problem(
                context, 421, hint="The administrator of the server permits names by --allow-host NAME."
            )
        if scope["method"] not in _SAFE_METHODS and self._is_of_another_site(headers):
            return framework_problem(context, 403, detail="a page of another site sent this request")
        if len(scope["raw_path"]) + len(scope["query_string"]) > MAX_ADDRESS_BYTES:
            return framework_problem(context, 414)
        if not _is_text(scope["query_string"]):
            return problem_response(context, InputError("the query string of the address is not UTF-8"))
        if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEADER_BYTES:
            return framework_problem(context, 431)
        length = headers.get("content-length")
        is_number = length is not None and length.isascii() and length.isdecimal() and len(length) <= _LENGTH_DIGITS
        if length is not None and not (is_number and int(length) <= context.options.max_body_bytes):
            return framework_problem(context, 413, headers={"Connection": "close"})
        if context.in_progress.total() > context.options.concurrency:
            return framework_problem(context, 503, headers={"Retry-After": "1"})
        try:
            scope[KEY] = exchange.access = await authenticate(context, headers, path)
        except BsvStoreError as error:
            # Attempts count too.
            return self._over_limit(exchange) or refusal(context, scope, headers, path, error)
        return self._over_limit(exchange)

    def _is_of_another_site(self, headers: Headers) -> bool:
        """Whether a browser says so: by ``Sec-Fetch-Site``, or an old one by ``Origin``. Programs send neither."""
        origin = headers.get("origin")
        if origin in self._context.options.allow_origin:
            return False
        site = headers.get("sec-fetch-site")
        if site is not None:
            return site not in ("same-origin", "none")
        if origin is None or origin == "null":
            return False
        return _host_name(origin.partition("://")[2]) != _host_name(headers.get("host", ""))

    def _over_limit(self, exchange: _Exchange) -> Response | None:
        if self._rate is None:
            return None
        quota = self._rate.take(exchange.client_key)
        exchange.quota, exchange.policy = quota, self._rate.policy
        if quota.is_within:
            return None
        return framework_problem(
            self._context,
            429,
            hint=f"Try again in {quota.retry_after_s} s.",
            headers={"Retry-After": str(quota.retry_after_s)},
        )

    async def _failure(self, exchange: _Exchange, error: Exception) -> Response:
        try:
            await run_in_threadpool(self._context.check_store)
        except BsvStoreError as cause:
            LOG.warning("request %s failed: %s", exchange.id, cause.message)
            return problem_response(self._context, cause, status=503)
        self._context.metrics.count_error()
        LOG.error("request %s failed", exchange.id, exc_info=error, extra={"request_id": exchange.id})
        return framework_problem(
            self._context,
            500,
            hint=f"The administrator finds the cause in the log of the server: request {exchange.id}.",
        )

    def _record(self, exchange: _Exchange, scope: Scope) -> None:
        route = getattr(scope.get("route"), "path", None) or "other"
        seconds = time.perf_counter() - exchange.started
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._context.metrics.count_request(method, route, exchange.status or _CLOSED, seconds, exchange.sent_bytes)
        if self._log is not None:
            self._log.write(
                id=exchange.id,
                method=scope["method"],
                path=scope["path"],
                route=route,
                status=exchange.status or _CLOSED,
                bytes=exchange.sent_bytes,
                seconds=round(seconds, 6),
                client=exchange.client,
                token=None if exchange.access is None else exchange.access.token_name,
            )


def _is_text(query: bytes) -> bool:
    try:
        query.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


_LENGTH_DIGITS: Final = 19
# The client closed the connection before it got an answer.
_CLOSED: Final = 499
_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "OPTIONS", "PUT", "DELETE", "PATCH"})


class _Exchange:
    """One request and its answer, as they pass the middleware."""

    def __init__(self, context: Context, scope: Scope, receive: Receive, send: Send, *, is_private: bool) -> None:
        self.started = time.perf_counter()
        self.id = secrets.token_hex(8)
        self.headers = Headers(scope=scope)
        self.access: Access | None = None
        self.quota: Quota | None = None
        self.policy = b""
        self.status = 0
        self.sent_bytes = 0
        self._scope = scope
        self._receive = receive
        self._send = send
        self._is_private = is_private
        self._is_body_complete = False
        self._left = context.options.max_body_bytes
        client = scope.get("client")
        self.client: str = client[0] if client else "unknown"

    @property
    def client_key(self) -> str:
        name = None if self.access is None else self.access.token_name
        return f"address {self.client}" if name is None else f"token {name}"

    async def receive(self) -> Message:
        if self._is_body_complete:
            # A wait for the end of the connection.
            return await self._receive()
        try:
            with anyio.fail_after(max(0.0, self.started + BODY_TIMEOUT_S - time.perf_counter())):
                message = await self._receive()
        except TimeoutError as error:
            raise BodyTooSlowError from error
        if message["type"] == "http.request":
            self._is_body_complete = not message.get("more_body", False)
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                raise BodyTooLargeError
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = self._completed(message.get("headers", ()))
        elif message["type"] == "http.response.body":
            self.sent_bytes += len(message.get("body", b""))
        await self._send(message)

    async def answer(self, response: Response) -> None:
        """Send an answer, unless one has begun: uvicorn then closes the connection, so that the client notices."""
        if not self.status:
            await response(self._scope, self._receive, self.send)

    def _completed(self, headers: Any) -> list[tuple[bytes, bytes]]:
        completed = [*headers, *SECURITY_HEADERS, (b"x-request-id", self.id.encode())]
        names = {name for name, _ in headers}
        if b"content-security-policy" not in names:
            completed.append((b"content-security-policy", DEFAULT_POLICY))
        if b"cache-control" not in names:
            completed.append((b"cache-control", b"no-cache"))
        elif self._is_private:
            completed = [
                (name, value.replace(b"public", b"private") if name == b"cache-control" else value)
                for name, value in completed
            ]
        if self.quota is not None:
            completed.append((b"ratelimit-policy", self.policy))
            completed.append((b"ratelimit", f'"requests";r={self.quota.remaining};t={self.quota.reset_s}'.encode()))
        return completed


def _host_name(value: str) -> str:
    """The name in a Host header, in lower case, without port, brackets and final dot; empty if it is not valid."""
    name, separator, rest = value[1:].partition("]") if value.startswith("[") else value.partition(":")
    port = rest.removeprefix(":") if separator == "]" else rest
    return name.rstrip(".").lower() if not port or (port.isascii() and port.isdecimal()) else ""

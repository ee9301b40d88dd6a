"""Transfers over HTTP, with retries and resumption; an incomplete body is never accepted.

Retried: connection failures, timeouts, 429 and 5xx, incomplete bodies, and web pages or reported failures in place of
data. A body that its reader refuses is retried once, because the network may have damaged it; if the same bytes come
again, the object itself is invalid. Not retried: 404, other 4xx, redirects that are not followed, bodies above the
limit, the deadline, a certificate that is not valid, and a host that never responded and has refused several
connections in a row.

The body of a redirect is not read, and other bodies are decompressed in blocks, so that memory is bounded. One deadline
applies to the whole request: connections, headers, redirects, bodies and trailers.
"""

from __future__ import annotations

import http.client
import io
import logging
import os
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, TypeVar
from urllib.parse import urlsplit
from weakref import WeakSet

from bsv_store.errors import (
    EnvelopeError,
    FormatError,
    FrameError,
    NoSpaceError,
    NotFoundUpstreamError,
    UnreachableUpstreamError,
    UpstreamError,
)
from bsv_store.formats.fields import looks_like_html
from bsv_store.sources.allen import credentials, events
from bsv_store.sources.allen.addresses import API_URL_VARIABLE, DOWNLOAD_URL_VARIABLE
from bsv_store.sources.allen.decoding import BodyDecoder
from bsv_store.sources.allen.gate import Clock, HostGate
from bsv_store.sources.allen.reasons import certificate_hint, network_reason, unreachable_reason
from bsv_store.sources.allen.redirects import MAX_REDIRECTS, RedirectError, redirect_target, require_same_origin
from bsv_store.sources.allen.resume import PartialBody
from bsv_store.sources.allen.retry import MAX_BACKOFF_S, MAX_PAUSE_S, RetryPolicy, retry_after_s
from bsv_store.text import shown
from bsv_store.volumes.files import is_no_space

if TYPE_CHECKING:
    import requests

    from bsv_store.sources.allen.connections import Connections

T = TypeVar("T")

_CHUNK_BYTES = 256 * 1024
_SNIFF_BYTES = 256
_REFUSAL_BYTES = 64 * 1024
_TRANSIENT = frozenset((408, 425, 429))
_ABSENT = frozenset((404, 410))
# If a host has never responded, it is not tried again after this many failed connections of all threads, for this time.
_MAX_CONNECTION_FAILURES = 3
_GIVEN_UP_S = 30.0

RETRY_HINT = "Run the command again later: complete downloads are kept, incomplete ones start over."
NETWORK_HINT = (
    f"Check the network, and the address in {API_URL_VARIABLE} or {DOWNLOAD_URL_VARIABLE} if it is set. {RETRY_HINT}"
)


def ignore_bytes(_count: int) -> None:
    """Do nothing: the default of callbacks that count received bytes."""


@dataclass(slots=True)
class Request:
    """A request for one object.

    Attributes
    ----------
    url : str
    what : str
        Name of the object in messages, for example "projection_density at 100 um of experiment 5".
    limit_bytes : int
        A longer body is refused.
    sink : BinaryIO
        Receives the body; empty, readable, seekable.
    on_bytes : callable
        Called with the number of received bytes, and with 0 while waiting. It may raise to stop the transfer.
    can_resume : bool
        Request the bytes without compression, so that an incomplete body can be resumed.
    deadline_factor : float
        Factor applied to the deadline.
    headers : mapping of str to str
        Further headers.
    part : (int, int), optional
        First byte and end of the part to request; the server must send exactly this part.
    body : bytes, optional
        JSON that is posted; None sends a GET.
    same_origin : bool
        Follow redirects only to the same scheme, host and port, as requests with a token need.
    on_refusal : callable, optional
        Called with the status, the headers and the start of the body of each response that is neither a redirect nor
        successful. It may raise an error, which ends the request; otherwise the usual rules for the status apply.
    on_headers : callable, optional
        Called with the headers of each successful response.
    """

    url: str
    what: str
    limit_bytes: int
    sink: BinaryIO = field(default_factory=io.BytesIO)
    on_bytes: Callable[[int], None] = ignore_bytes
    can_resume: bool = False
    deadline_factor: float = 1.0
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    part: tuple[int, int] | None = None
    body: bytes | None = None
    same_origin: bool = False
    on_refusal: Callable[[int, Mapping[str, str], bytes], None] | None = None
    on_headers: Callable[[Mapping[str, str]], None] | None = None


class UntrustedServerError(UnreachableUpstreamError):
    """The certificate of a server is not valid, or cannot be checked. The hint says what to do."""


class _RetryError(Exception):
    """An attempt that failed for a reason that may be temporary."""

    def __init__(self, reason: str, hint: str = RETRY_HINT, *, is_unreachable: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint
        self.is_unreachable = is_unreachable


_transfers: WeakSet[Transfer] = WeakSet()


class Transfer:
    """Gets objects over HTTP. Safe to share between threads, and with a forked process; each has its own connections.

    Parameters
    ----------
    policy : RetryPolicy
    user_agent : str
    logins : mapping of str to (str, str)
        User name and password by host.
    clock : Clock
    """

    def __init__(
        self,
        policy: RetryPolicy,
        *,
        user_agent: str,
        logins: Mapping[str, tuple[str, str]] | None = None,
        clock: Clock | None = None,
    ) -> None:
        # stamina logs a warning for each retry, which Python prints unless logging is configured.
        if not (logger := logging.getLogger("stamina")).handlers:
            logger.addHandler(logging.NullHandler())
        self._policy = policy
        self._user_agent = user_agent
        self._logins = logins or {}
        self._clock = clock or Clock()
        self._connections: Connections | None = None
        self._begin()
        self._reached: set[str] = set()
        self._connection_failures: Counter[str] = Counter()
        self._given_up: dict[str, tuple[float, str]] = {}
        _transfers.add(self)

    def _begin(self) -> None:
        """Create what a child process must not inherit: sessions, locks and the slots of running requests."""
        self._gate = HostGate(self._policy.connections, self._clock)
        self._local = threading.local()
        self._sessions: list[requests.Session] = []
        self._lock = threading.Lock()

    def get(self, request: Request, read: Callable[[BinaryIO], T]) -> tuple[T, str]:
        """Get an object; returns the result of ``read`` and the final address, after redirects.

        ``read`` is called with the body, positioned at its start.

        Raises
        ------
        NotFoundUpstreamError
            If the server does not have the object.
        UnreachableUpstreamError
            If the server cannot be reached.
        UpstreamError
            If the transfer fails, or ``read`` refuses the body. The message names the object and the address.
        NoSpaceError
            If the disk is full.
        """
        import stamina

        policy = self._policy
        longest = policy.deadline_s * request.deadline_factor
        state = _State(request, self._clock.now() + longest, PartialBody(request.sink, request.part))
        attempts = stamina.retry_context(
            on=_RetryError,
            attempts=policy.attempts,
            timeout=longest,
            wait_initial=policy.backoff_s,
            wait_max=MAX_BACKOFF_S,
            wait_jitter=policy.backoff_s,
        )
        try:
            for attempt in attempts:
                with attempt:
                    state.attempts += 1
                    return self._logged(state, read), state.source
        except _RetryError as error:
            events.download_failed(request.url, state.attempts, state.named(error.reason))
            if error.is_unreachable:
                raise self._unreachable(state, error.reason) from error
            raise UpstreamError(state.message(error.reason), hint=error.hint) from error
        raise AssertionError("stamina ends with a result or an error")

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            for session in self._sessions:
                session.close()
            self._sessions.clear()
            self._local = threading.local()

    def abort(self) -> None:
        """Abort all transfers: the threads that wait for them get an error."""
        with self._lock:
            if self._connections is not None:
                self._connections.abort()

    def _logged(self, state: _State, read: Callable[[BinaryIO], T]) -> T:
        """One attempt, with a record if it fails."""
        try:
            return self._once(state, read)
        except _RetryError as error:
            events.attempt_failed(state.request.url, state.attempts, state.named(error.reason))
            raise
        except UpstreamError as error:
            events.download_failed(state.request.url, state.attempts, state.named(error.message))
            raise

    def _once(self, state: _State, read: Callable[[BinaryIO], T]) -> T:
        import requests
        import urllib3.exceptions

        def check() -> None:
            state.request.on_bytes(0)
            self._check_deadline(state)

        check()
        host = urlsplit(state.request.url).netloc
        self._check_given_up(state, host)
        if problem := credentials.missing_certificates(state.request.url):
            raise UntrustedServerError(
                state.message(problem), hint=credentials.MISSING_CERTIFICATES_HINT, reason=problem
            )
        try:
            with self._gate.slot(host, check), self._exchange(state) as response:
                self._check_status(state, response, host)
                self._receive(state, response)
        except RedirectError as error:
            raise UpstreamError(state.message(str(error)), hint=NETWORK_HINT) from error
        except (requests.RequestException, urllib3.exceptions.HTTPError, http.client.HTTPException, OSError) as error:
            if isinstance(error, OSError) and is_no_space(error):
                # Retrying would not help.
                raise NoSpaceError(
                    state.message("no space left for the download"),
                    hint="Free some disk space and run the command again.",
                ) from error
            # The partial body is kept: the next attempt may resume it.
            check()
            if reason := unreachable_reason(error, urlsplit(state.source).netloc):
                if (hint := certificate_hint(error)) is not None:
                    # Another attempt would get the same certificate.
                    raise UntrustedServerError(state.message(reason), hint=hint, reason=reason) from error
                self._note_unreachable(state, host, reason, error)
                raise _RetryError(reason, NETWORK_HINT, is_unreachable=True) from error
            raise _RetryError(network_reason(error), NETWORK_HINT) from error
        return self._read(state, read)

    @contextmanager
    def _exchange(self, state: _State) -> Iterator[requests.Response]:
        """The response to a request, after redirects; its connection is shut down at the deadline."""
        state.source = state.request.url
        session = self._session()
        assert self._connections is not None
        with self._connections.limited(max(0.0, state.deadline - self._clock.now())):
            for _ in range(MAX_REDIRECTS + 1):
                with self._send(session, state) as response:
                    self._reached.add(urlsplit(state.request.url).netloc)
                    target = redirect_target(state.source, response.status_code, response.headers)
                    if target is None:
                        yield response
                        return
                self._check_deadline(state)
                if state.request.same_origin:
                    require_same_origin(state.source, target)
                state.source = target
        raise RedirectError(f"more than {MAX_REDIRECTS} redirects")

    def _send(self, session: requests.Session, state: _State) -> requests.Response:
        # Volumes are compressed already, and only a body that is not compressed on the way can be resumed.
        headers = {"Accept-Encoding": "identity" if state.request.can_resume else "gzip"}
        headers.update(state.request.headers)
        headers.update(state.body.request_headers())
        if state.request.body is not None:
            headers["Content-Type"] = "application/json"
        remaining = max(0.1, state.deadline - self._clock.now())
        timeout = (
            min(self._policy.connect_timeout_s, remaining),
            min(self._policy.read_timeout_s, remaining),
        )
        return session.request(
            "GET" if state.request.body is None else "POST",
            state.source,
            data=state.request.body,
            headers=headers,
            timeout=timeout,
            stream=True,
            allow_redirects=False,
            proxies=credentials.proxies(state.source),
            auth=self._logins.get(urlsplit(state.source).netloc),
        )

    def _check_given_up(self, state: _State, host: str) -> None:
        with self._lock:
            until, reason = self._given_up.get(host, (0.0, ""))
        if self._clock.now() < until:
            raise self._unreachable(state, reason)

    def _note_unreachable(self, state: _State, host: str, reason: str, cause: Exception) -> None:
        """Raise if the host must not be tried again."""
        with self._lock:
            if host in self._reached:
                return
            self._connection_failures[host] += 1
            if self._connection_failures[host] < _MAX_CONNECTION_FAILURES:
                return
            self._given_up[host] = (self._clock.now() + _GIVEN_UP_S, reason)
        raise self._unreachable(state, reason) from cause

    def _unreachable(self, state: _State, reason: str) -> UnreachableUpstreamError:
        return UnreachableUpstreamError(state.message(reason), hint=NETWORK_HINT, reason=reason)

    def _check_status(self, state: _State, response: requests.Response, host: str) -> None:
        status = response.status_code
        if status in (200, 206):
            if state.request.on_headers is not None:
                state.request.on_headers(response.headers)
            return
        if state.request.on_refusal is not None:
            start = response.raw.read(_REFUSAL_BYTES, decode_content=True)
            state.request.on_refusal(status, response.headers, start)
        # The reason phrase is arbitrary text from the server.
        phrase = shown(response.reason or "").strip("'")
        reason = f"the server responded with {status} {phrase}".rstrip()
        if status in _ABSENT:
            raise NotFoundUpstreamError(
                state.message(reason),
                hint="Exclude the experiment, or request another kind." if state.request.can_resume else NETWORK_HINT,
            )
        if status == 416:
            state.body.restart()
            raise _RetryError(reason)
        if status < 500 and status not in _TRANSIENT:
            raise UpstreamError(state.message(reason), hint=credentials.refusal_hint(status, host) or NETWORK_HINT)
        if (pause := retry_after_s(response.headers.get("Retry-After"))) is not None:
            if pause > min(MAX_PAUSE_S, state.deadline - self._clock.now()):
                raise UpstreamError(
                    state.message(f"{reason} and asked to wait {pause:.0f} s"), hint=f"After that time: {RETRY_HINT}"
                )
            events.asked_to_wait(host, pause)
            self._gate.pause(host, pause)
        raise _RetryError(reason)

    def _receive(self, state: _State, response: requests.Response) -> None:
        request, body = state.request, state.body
        if refusal := body.begin(response.status_code, response.headers, keep=request.can_resume):
            raise _RetryError(refusal)
        encoding = response.headers.get("Content-Encoding", "")
        try:
            decoder = BodyDecoder(encoding)
        except ValueError as error:
            raise _RetryError(f"the server sent the encoding {shown(encoding)}, which was not requested") from error
        try:
            # read1 returns the bytes received so far, so the deadline is checked even if the body comes byte by byte.
            while data := response.raw.read1(_CHUNK_BYTES, decode_content=False):
                for block in decoder.blocks(data):
                    body.write(block)
                    if body.size > request.limit_bytes:
                        raise UpstreamError(
                            state.message(f"the body must be at most {request.limit_bytes} bytes"),
                            hint="It is probably not the requested object. Check the address of the API.",
                        )
                request.on_bytes(len(data))
                self._check_deadline(state)
        except zlib.error as error:
            raise _RetryError(f"the body is not valid {encoding}: {error}") from error
        except ValueError as error:
            # From http.client, on a connection that was closed or damaged.
            raise _RetryError(network_reason(error), NETWORK_HINT) from error
        # At the deadline the connection is shut down, which may look like the end of the body.
        self._check_deadline(state)
        if body.is_short():
            raise _RetryError(f"the body ends after {body.size} of {body.total} bytes")
        if not decoder.is_complete:
            raise _RetryError(f"the compressed body is truncated after {body.size} bytes")

    def _read(self, state: _State, read: Callable[[BinaryIO], T]) -> T:
        sink = state.request.sink
        try:
            sink.seek(0)
            if looks_like_html(sink.read(_SNIFF_BYTES)):
                raise EnvelopeError(f"{state.request.what}: the server sent a web page instead of data")
            sink.seek(0)
            return read(sink)
        except FrameError as error:
            raise UpstreamError(state.message(error.message), hint=error.hint) from error
        except FormatError as error:
            digest = _digest(sink)
            seen, state.refused = state.refused, digest
            # A refused body is not resumed: the error may be in its first part.
            state.body.restart()
            if digest == seen and not isinstance(error, EnvelopeError):
                raise UpstreamError(
                    state.message(f"{error.message} (the same bytes were received twice)"),
                    hint="Allen's own file is invalid: exclude the experiment, or request another kind or spacing.",
                ) from error
            raise _RetryError(error.message) from error

    def _check_deadline(self, state: _State) -> None:
        if self._clock.now() > state.deadline:
            longest = self._policy.deadline_s * state.request.deadline_factor
            raise UpstreamError(
                state.message(f"incomplete after {longest:g} s ({state.body.size} bytes received)"),
                hint=RETRY_HINT,
            )

    def _session(self) -> requests.Session:
        from bsv_store.sources.allen.connections import AbortableAdapter, Connections, plain_session

        if not hasattr(self._local, "session"):
            session = plain_session(self._user_agent)
            with self._lock:
                self._connections = self._connections or Connections()
                for scheme in ("http://", "https://"):
                    session.mount(scheme, AbortableAdapter(self._connections))
                self._sessions.append(session)
            self._local.session = session
        current: requests.Session = self._local.session
        return current


def _begin_in_child() -> None:
    for transfer in list(_transfers):
        transfer._begin()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_in_child)


@dataclass(slots=True)
class _State:
    """A request in progress."""

    request: Request
    deadline: float
    body: PartialBody
    source: str = ""
    attempts: int = 0
    refused: int | None = None

    def named(self, reason: str) -> str:
        """The reason with the object at its beginning."""
        return reason if reason.startswith(self.request.what) else f"{self.request.what}: {reason}"

    def message(self, reason: str) -> str:
        url = self.request.url
        redirected = f", redirected to {self.source}" if self.source not in ("", url) else ""
        times = "once" if self.attempts == 1 else f"{self.attempts} times"
        return f"{self.named(reason)}; requested {url}{redirected} {times}"


def _digest(sink: BinaryIO) -> int:
    sink.seek(0)
    value = 0
    while block := sink.read(_CHUNK_BYTES):
        value = zlib.crc32(block, value)
    return value

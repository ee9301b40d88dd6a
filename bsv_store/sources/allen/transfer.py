"""One object over HTTP: asked for again while that can help, resumed where it can be, never whole if it is not.

What is asked for again: no connection, no answer in time, 429 and 5xx, a cut body, a web page or a reported failure
where data should be, and once more a body that its reader refuses, for the network may have damaged it; the same bytes
twice are upstream's own. What is not: 404, other 4xx, redirect loops, a body above its limit, the deadline.
"""

from __future__ import annotations

import io
import logging
import os
import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, BinaryIO, TypeVar
from urllib.parse import urlsplit

from bsv_store.errors import (
    EnvelopeError,
    FormatError,
    FrameError,
    NoSpaceError,
    NotFoundUpstreamError,
    UpstreamError,
)
from bsv_store.formats.fields import looks_like_html
from bsv_store.sources.allen.addresses import API_URL_VARIABLE, DOWNLOAD_URL_VARIABLE
from bsv_store.sources.allen.gate import Clock, HostGate
from bsv_store.sources.allen.resume import PartialBody
from bsv_store.volumes.files import is_no_space

if TYPE_CHECKING:
    import requests

    from bsv_store.sources.allen.connections import Connections

T = TypeVar("T")

_CHUNK_BYTES = 256 * 1024
_SNIFF_BYTES = 256
_MAX_REDIRECTS = 5
_MAX_BACKOFF_S = 8.0
_LONGEST_PAUSE_S = 120.0
_TRANSIENT = frozenset((408, 425, 429))
_ABSENT = frozenset((404, 410))

AGAIN_HINT = "Run the same again later: what has come whole is kept, a download that was cut begins anew."
NETWORK_HINT = (
    f"Check the network, and the address in {API_URL_VARIABLE} or {DOWNLOAD_URL_VARIABLE} if it is set. {AGAIN_HINT}"
)


def ignore_bytes(_count: int) -> None:
    """Nobody counts the bytes that arrive."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long and how often to try.

    Attributes
    ----------
    connect_timeout_s, read_timeout_s : float
        Longest silence of the other side.
    deadline_s : float
        Longest time for one object, all attempts together; a body that drips keeps every timeout.
    attempts : int
    backoff_s : float
        First wait between two attempts; it doubles, and is jittered so that many clients do not come back at once.
    connections : int
        Requests to one host at a time.
    """

    connect_timeout_s: float = 10.0
    read_timeout_s: float = 60.0
    deadline_s: float = 600.0
    attempts: int = 4
    backoff_s: float = 1.0
    connections: int = 4


@dataclass(slots=True)
class Order:
    """One object that is wanted.

    Attributes
    ----------
    url : str
    what : str
        Names the object in errors, for example "projection_density at 100 um of experiment 5".
    limit_bytes : int
        A longer body is refused.
    sink : BinaryIO
        Where the body goes; empty, readable, seekable.
    on_bytes : callable
        Told of bytes as they arrive; called with 0 while waiting. An exception from it gives the transfer up.
    can_resume : bool
        Ask for the bytes as they are, so that a cut body can be continued.
    deadline_factor : float
        So many times the usual deadline.
    """

    url: str
    what: str
    limit_bytes: int
    sink: BinaryIO = field(default_factory=io.BytesIO)
    on_bytes: Callable[[int], None] = ignore_bytes
    can_resume: bool = False
    deadline_factor: float = 1.0


class _AgainError(Exception):
    """An attempt that failed in a way that the next one may not."""

    def __init__(self, reason: str, hint: str = AGAIN_HINT) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint


class Transfer:
    """Gets objects over HTTP. Safe to share between threads, each of which has connections of its own.

    Parameters
    ----------
    patience : Patience
    user_agent : str
    clock : Clock
    """

    def __init__(self, patience: Patience, *, user_agent: str, clock: Clock | None = None) -> None:
        # Where nobody has set up logging, Python prints warnings, and stamina warns of each retry.
        if not (logger := logging.getLogger("stamina")).handlers:
            logger.addHandler(logging.NullHandler())
        self._patience = patience
        self._user_agent = user_agent
        self._clock = clock or Clock()
        self._gate = HostGate(patience.connections, self._clock)
        self._local = threading.local()
        self._sessions: list[requests.Session] = []
        self._connections: Connections | None = None
        self._lock = threading.Lock()

    def get(self, order: Order, read: Callable[[BinaryIO], T]) -> T:
        """What ``read`` makes of the object's body, which it gets from its start.

        Raises
        ------
        NotFoundUpstreamError
            If the server says that there is no such object.
        UpstreamError
            If it cannot be had, or is refused by ``read``. The message names the object and the address.
        NoSpaceError
            If the disk has no room for it.
        """
        import stamina

        patience = self._patience
        longest = patience.deadline_s * order.deadline_factor
        work = _Work(order, self._clock.now() + longest, PartialBody(order.sink))
        attempts = stamina.retry_context(
            on=_AgainError,
            attempts=patience.attempts,
            timeout=longest,
            wait_initial=patience.backoff_s,
            wait_max=_MAX_BACKOFF_S,
            wait_jitter=patience.backoff_s,
        )
        try:
            for attempt in attempts:
                with attempt:
                    work.attempts += 1
                    return self._once(work, read)
        except _AgainError as error:
            raise UpstreamError(work.message(error.reason), hint=error.hint) from error
        raise AssertionError("stamina ends with a result or an error")

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            for session in self._sessions:
                session.close()
            self._sessions.clear()
            self._local = threading.local()

    def cut(self) -> None:
        """End all transfers under way, with an error in the threads that wait for them."""
        with self._lock:
            if self._connections is not None:
                self._connections.cut()

    def _once(self, work: _Work, read: Callable[[BinaryIO], T]) -> T:
        import requests
        import urllib3.exceptions

        def keep_waiting() -> None:
            work.order.on_bytes(0)
            self._check_deadline(work)

        keep_waiting()
        host = urlsplit(work.order.url).netloc
        try:
            with self._gate.turn(host, keep_waiting), self._open(work) as response:
                self._check_status(work, response, host)
                self._receive(work, response)
        except requests.TooManyRedirects as error:
            raise UpstreamError(work.message("the server redirects without end"), hint=NETWORK_HINT) from error
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            if isinstance(error, OSError) and is_no_space(error):
                # No other attempt would have more room.
                raise NoSpaceError(
                    work.message("no space left for the download"), hint="Free some room and run the same again."
                ) from error
            # What has arrived stays in the partial body: the next attempt may go on from there.
            keep_waiting()
            raise _AgainError(_network_reason(error), NETWORK_HINT) from error
        return self._read(work, read)

    def _open(self, work: _Work) -> requests.Response:
        headers = {"Accept-Encoding": "identity"} if work.order.can_resume else {}
        headers.update(work.body.request_headers())
        remaining = max(0.1, work.deadline - self._clock.now())
        timeout = (
            min(self._patience.connect_timeout_s, remaining),
            min(self._patience.read_timeout_s, remaining),
        )
        return self._session().get(work.order.url, headers=headers, timeout=timeout, stream=True)

    def _check_status(self, work: _Work, response: requests.Response, host: str) -> None:
        status = response.status_code
        if status in (200, 206):
            return
        reason = f"the server answers {status} {response.reason}"
        if status in _ABSENT:
            raise NotFoundUpstreamError(
                work.message(reason), hint="The Allen API does not have it: leave it out, or ask for another kind."
            )
        if status == 416:
            work.body.restart()
            raise _AgainError(reason)
        if status < 500 and status not in _TRANSIENT:
            raise UpstreamError(work.message(reason), hint=NETWORK_HINT)
        if (pause := _retry_after_s(response.headers.get("Retry-After"))) is not None:
            if pause > min(_LONGEST_PAUSE_S, work.deadline - self._clock.now()):
                raise UpstreamError(
                    work.message(f"{reason} and asks to wait {pause:.0f} s"), hint=f"After that time: {AGAIN_HINT}"
                )
            self._gate.close_for(host, pause)
        raise _AgainError(reason)

    def _receive(self, work: _Work, response: requests.Response) -> None:
        order, body = work.order, work.body
        if refusal := body.begin(response.status_code, response.headers, keep=order.can_resume):
            raise _AgainError(refusal)
        # read1 returns what has arrived, so that the deadline is looked at even if a body drips byte by byte.
        while data := response.raw.read1(_CHUNK_BYTES, decode_content=True):
            body.write(data)
            order.on_bytes(len(data))
            if body.size > order.limit_bytes:
                raise UpstreamError(
                    work.message(f"the body is longer than {order.limit_bytes} bytes"),
                    hint="This is not what was asked for: check the address of the API.",
                )
            self._check_deadline(work)
        if body.is_short():
            raise _AgainError(f"the body ends after {body.size} of {body.total} bytes")

    def _read(self, work: _Work, read: Callable[[BinaryIO], T]) -> T:
        sink = work.order.sink
        try:
            sink.seek(0)
            if looks_like_html(sink.read(_SNIFF_BYTES)):
                raise EnvelopeError(f"{work.order.what}: the server sends a web page, not data")
            sink.seek(0)
            return read(sink)
        except FrameError as error:
            raise UpstreamError(work.message(error.message), hint=error.hint) from error
        except FormatError as error:
            digest = _digest(sink)
            seen, work.refused = work.refused, digest
            # Nothing of a refused body is continued: its beginning may be what is wrong.
            work.body.restart()
            if digest == seen and not isinstance(error, EnvelopeError):
                raise UpstreamError(
                    work.message(f"{error.message} (the same bytes came twice)"),
                    hint="Allen's own file is faulty: do without it, or ask for another kind or spacing.",
                ) from error
            raise _AgainError(error.message) from error

    def _check_deadline(self, work: _Work) -> None:
        if self._clock.now() > work.deadline:
            longest = self._patience.deadline_s * work.order.deadline_factor
            raise UpstreamError(
                work.message(f"it is not here after {longest:g} s ({work.body.size} bytes are)"),
                hint=AGAIN_HINT,
            )

    def _session(self) -> requests.Session:
        import requests

        from bsv_store.sources.allen.connections import Connections, CuttableAdapter

        # A child process must not talk over its parent's connections.
        if getattr(self._local, "process", None) != os.getpid():
            session = requests.Session()
            session.max_redirects = _MAX_REDIRECTS
            session.headers["User-Agent"] = self._user_agent
            with self._lock:
                self._connections = self._connections or Connections()
                for scheme in ("http://", "https://"):
                    session.mount(scheme, CuttableAdapter(self._connections))
                self._sessions.append(session)
            self._local.session, self._local.process = session, os.getpid()
        current: requests.Session = self._local.session
        return current


@dataclass(slots=True)
class _Work:
    """An order under way."""

    order: Order
    deadline: float
    body: PartialBody
    attempts: int = 0
    refused: int | None = None

    def message(self, reason: str) -> str:
        what, url = self.order.what, self.order.url
        start = reason if reason.startswith(what) else f"{what}: {reason}"
        return f"{start}; asked {url} {'once' if self.attempts == 1 else f'{self.attempts} times'}"


def _digest(sink: BinaryIO) -> int:
    sink.seek(0)
    value = 0
    while block := sink.read(_CHUNK_BYTES):
        value = zlib.crc32(block, value)
    return value


def _network_reason(error: Exception) -> str:
    import requests
    import urllib3.exceptions

    if isinstance(error, requests.exceptions.SSLError):
        return f"no secure connection: {error}"
    if isinstance(error, requests.ConnectTimeout):
        return "no connection in time"
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
        return "no answer in time"
    cause = error
    while isinstance(cause.args[0] if cause.args else None, Exception):
        cause = cause.args[0]
    return f"the connection failed: {getattr(cause, 'reason', None) or cause}"


def _retry_after_s(header: str | None) -> float | None:
    """Seconds that a Retry-After header asks for: a number, or an HTTP date; None where it says nothing usable."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - datetime.now(UTC)).total_seconds())

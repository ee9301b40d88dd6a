"""Faults that the server can produce on demand, to test clients."""

from __future__ import annotations

import functools
import gzip
import itertools
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal
from urllib.parse import unquote

from bsv_store.server.allen import wire
from bsv_store.server.allen.messages import BINARY, HTML, JSON, Request
from bsv_store_synthetic.replies import Reply, page

MakeReply = Callable[[], Reply]


class Fault(ABC):
    """A way to send a faulty reply. Subclasses are frozen dataclasses."""

    @abstractmethod
    def apply(self, request: Request, make: MakeReply) -> Reply:
        """The faulty reply; ``make`` computes the correct one if it is needed."""


@dataclass(frozen=True, slots=True)
class Status(Fault):
    """An HTTP error, optionally with Retry-After: seconds, or an HTTP date as a string."""

    code: int
    retry_after: int | str | None = None

    def apply(self, request: Request, make: MakeReply) -> Reply:
        """An HTML page with this status."""
        headers = () if self.retry_after is None else (("Retry-After", str(self.retry_after)),)
        return replace(page(self.code, "Service trouble"), headers=headers)


@dataclass(frozen=True, slots=True)
class Truncate(Fault):
    """The correct Content-Length, but the connection is closed after ``after`` bytes of the body."""

    after: int

    def apply(self, request: Request, make: MakeReply) -> Reply:
        """The correct reply, cut off."""
        return replace(make(), cut_after=self.after)


@dataclass(frozen=True, slots=True)
class CutChunks(Fault):
    """A chunked body that ends after ``after`` bytes without its last chunk."""

    after: int

    def apply(self, request: Request, make: MakeReply) -> Reply:
        """The correct reply in chunks, cut off."""
        return replace(make(), cut_after=self.after, chunked=True)


@dataclass(frozen=True, slots=True)
class WrongLength(Fault):
    """A Content-Length that is wrong by ``difference`` bytes; the whole body is sent and the connection closed."""

    difference: int

    def apply(self, request: Request, make: MakeReply) -> Reply:
        """The correct reply with the wrong length."""
        reply = make()
        return replace(reply, declared_length=max(0, len(reply.body) + self.difference), honors_range=False)


@dataclass(frozen=True, slots=True)
class Html(Fault):
    """A web page with status 200 where data were expected."""

    text: str = "The service is under maintenance"

    def apply(self, request: Request, make: MakeReply) -> Reply:
        """An HTML page with status 200."""
        return page(200, self.text)


@dataclass(frozen=True, slots=True)
class Failure(Fault):
    """An RMA envelope with ``success`` false and the message as a string."""

    message: str = "Data::Error: the database is not available"

    def apply(self, request: Request, make: MakeReply) -> Reply:
        """The envelope, with status 200 like Allen's."""
        return Reply(200, wire.failure(self.message), JSON)


@dataclass(frozen=True, slots=True)
class CutJson(Fault):
    """Only the first part of the body, with the Content-Length of that part."""

    keep: float = 0.5

    def apply(self, request: Request, make: MakeReply) -> Reply:
        """The first part of the correct body."""
        reply = make()
        return replace(reply, body=reply.body[: int(len(reply.body) * self.keep)], honors_range=False)


@dataclass(frozen=True, slots=True)
class Drip(Fault):
    """The correct body, sent slowly."""

    bytes_per_second: float

    def apply(self, request: Request, make: MakeReply) -> Reply:
        """The correct reply, sent slowly."""
        return replace(make(), bytes_per_second=self.bytes_per_second)


@dataclass(frozen=True, slots=True)
class Gate(Fault):
    """The correct reply, after the event is set (or the server is closed)."""

    event: threading.Event

    def apply(self, request: Request, make: MakeReply) -> Reply:
        """The correct reply, held back."""
        return replace(make(), gate=self.event)


@dataclass(frozen=True, slots=True)
class Hang(Fault):
    """No reply until the server is closed."""

    def apply(self, request: Request, make: MakeReply) -> Reply:
        """A reply that never starts."""
        return Reply(200, b"", BINARY, gate=threading.Event(), cut_after=0)


@dataclass(frozen=True, slots=True)
class RedirectLoop(Fault):
    """A redirect to the same address."""

    def apply(self, request: Request, make: MakeReply) -> Reply:
        """302 to the requested address."""
        return Reply(302, b"", HTML, (("Location", request.target),))


@dataclass(frozen=True, slots=True)
class Redirect(Fault):
    """A redirect to any address, or to the same path on another server if the address ends in a slash."""

    location: str
    code: int = 302

    def apply(self, request: Request, make: MakeReply) -> Reply:
        """The status and the address."""
        target = self.location[:-1] + request.target if self.location.endswith("/") else self.location
        return Reply(self.code, b"", HTML, (("Location", target),))


@dataclass(frozen=True, slots=True)
class EndlessRedirect(Fault):
    """A redirect to the same address, with an endless body or a small gzip body that expands a thousandfold."""

    gzipped: bool = False

    def apply(self, request: Request, make: MakeReply) -> Reply:
        """302 with that body."""
        start = f"HTTP/1.1 302 Found\r\nLocation: {request.target}\r\nContent-Type: {HTML}\r\n"
        if self.gzipped:
            body = _gzip_of_zeros()
            head = f"{start}Content-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n"
            return Reply(302, b"", HTML, stream=lambda: (head.encode(), body))
        block = b"10000\r\n" + bytes(0x10000) + b"\r\n"
        head = f"{start}Transfer-Encoding: chunked\r\n\r\n"
        return Reply(302, b"", HTML, stream=lambda: itertools.chain([head.encode()], itertools.repeat(block)))


@functools.cache
def _gzip_of_zeros() -> bytes:
    return gzip.compress(bytes(256 * 1024 * 1024), 1)


_DRIPS = 1000
DripPart = Literal["status", "headers", "chunk extension", "trailers"]


@dataclass(frozen=True, slots=True)
class DripAround(Fault):
    """A response with 1,000 extra bytes, sent one by one, in its status line, headers, chunk extension or trailers."""

    part: DripPart
    pause_s: float = 0.02

    def apply(self, request: Request, make: MakeReply) -> Reply:
        """The correct body, with slow bytes before or after it."""
        reply = make()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {reply.content_type}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        body = b"%x\r\n%s\r\n" % (len(reply.body), reply.body)
        if self.part == "status":
            start, drip = b"HTTP/1.1 200 ", b"O"
        elif self.part == "headers":
            start, drip = b"HTTP/1.1 200 OK\r\nX-Slow: ", b"a"
        elif self.part == "chunk extension":
            start, drip = head + b"1;slow=", b"a"
        else:
            start, drip = head + body + b"0\r\nX-Slow: ", b"a"

        def pieces() -> Iterator[bytes]:
            yield start
            yield from itertools.repeat(drip, _DRIPS)

        return replace(reply, stream=pieces, pause_s=self.pause_s)


@dataclass(frozen=True, slots=True)
class IgnoreRange(Fault):
    """The whole body with status 200 although a part was requested."""

    def apply(self, request: Request, make: MakeReply) -> Reply:
        """The correct reply in full."""
        return replace(make(), honors_range=False)


@dataclass(frozen=True, slots=True)
class WrongRange(Fault):
    """A part that starts ``shift`` bytes late; Content-Range says so if ``honest``."""

    shift: int = 1
    honest: bool = True

    def apply(self, request: Request, make: MakeReply) -> Reply:
        """The correct reply with a shifted part."""
        return replace(make(), range_shift=self.shift, range_honest=self.honest)


@dataclass(frozen=True, slots=True)
class Substitute(Fault):
    """Another body: given, or computed from the correct one."""

    body: bytes | Callable[[bytes], bytes]
    content_type: str | None = None

    def apply(self, request: Request, make: MakeReply) -> Reply:
        """The other body with status 200."""
        if isinstance(self.body, bytes):
            return Reply(200, self.body, self.content_type or BINARY)
        reply = make()
        return replace(reply, body=self.body(reply.body), content_type=self.content_type or reply.content_type)


@dataclass
class Rule:
    """Which requests get a fault.

    Attributes
    ----------
    match : str or callable
        A part of the request line (percent-encoded or decoded), or a test of the request.
    fault : Fault
    times : int or None
        Maximum number of faults; None means no limit.
    hits : int
        Number of faults so far.
    """

    match: str | Callable[[Request], bool]
    fault: Fault
    times: int | None = 1
    hits: int = 0

    def applies(self, request: Request) -> bool:
        """Whether the request matches and the rule is not used up."""
        if self.times is not None and self.hits >= self.times:
            return False
        if callable(self.match):
            return self.match(request)
        return self.match in request.line or self.match in unquote(request.line)


@dataclass
class FaultList:
    """Rules in order of precedence. Safe to share between threads."""

    _rules: list[Rule] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, rule: Rule) -> Rule:
        """Append a rule, and return it."""
        with self._lock:
            self._rules.append(rule)
        return rule

    def clear(self) -> None:
        """Remove all rules: all replies are correct again."""
        with self._lock:
            self._rules.clear()

    def take(self, request: Request) -> Fault | None:
        """The fault of the first rule that applies, which counts as a hit; None if no rule applies."""
        with self._lock:
            for rule in self._rules:
                if rule.applies(request):
                    rule.hits += 1
                    return rule.fault
        return None

    @property
    def rules(self) -> tuple[Rule, ...]:
        """All rules, used up or not."""
        with self._lock:
            return tuple(self._rules)

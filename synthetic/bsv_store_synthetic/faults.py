"""What can go wrong between a client and Allen's servers, on demand."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from urllib.parse import unquote

from bsv_store_synthetic import wire
from bsv_store_synthetic.replies import BINARY, HTML, JSON, Reply, Request, page

MakeReply = Callable[[], Reply]


class Fault(ABC):
    """One way to answer wrongly. Subclasses are frozen values."""

    @abstractmethod
    def apply(self, request: Request, make: MakeReply) -> Reply:
        """The faulty reply; ``make`` computes the right one, if that is needed."""


@dataclass(frozen=True, slots=True)
class Status(Fault):
    """An HTTP error, with Retry-After where given: seconds, or an HTTP date as text."""

    code: int
    retry_after: int | str | None = None

    def apply(self, request: Request, make: MakeReply) -> Reply:
        """HTML page of that status."""
        headers = () if self.retry_after is None else (("Retry-After", str(self.retry_after)),)
        return replace(page(self.code, "Service trouble"), headers=headers)


@dataclass(frozen=True, slots=True)
class Truncate(Fault):
    """The right Content-Length, but the connection is cut after so many bytes of the body."""

    after: int

    def apply(self, request: Request, make: MakeReply) -> Reply:
        """The right reply, cut."""
        return replace(make(), cut_after=self.after)


@dataclass(frozen=True, slots=True)
class CutChunks(Fault):
    """A chunked body that ends after so many bytes without its last chunk."""

    after: int

    def apply(self, request: Request, make: MakeReply) -> Reply:
        """The right reply in chunks, cut."""
        return replace(make(), cut_after=self.after, chunked=True)


@dataclass(frozen=True, slots=True)
class WrongLength(Fault):
    """A Content-Length that is wrong by so many bytes; the whole body is sent and the connection closed."""

    difference: int

    def apply(self, request: Request, make: MakeReply) -> Reply:
        """The right reply with the wrong length."""
        reply = make()
        return replace(reply, declared_length=max(0, len(reply.body) + self.difference), honors_range=False)


@dataclass(frozen=True, slots=True)
class Html(Fault):
    """A web page with status 200 where data were expected."""

    text: str = "The service is under maintenance"

    def apply(self, request: Request, make: MakeReply) -> Reply:
        """HTML page of status 200."""
        return page(200, self.text)


@dataclass(frozen=True, slots=True)
class Failure(Fault):
    """An RMA envelope with ``success`` false and the message as a string."""

    message: str = "Data::Error: the database is not available"

    def apply(self, request: Request, make: MakeReply) -> Reply:
        """The envelope, with status 200 as upstream."""
        return Reply(200, wire.failure(self.message), JSON)


@dataclass(frozen=True, slots=True)
class CutJson(Fault):
    """A body that ends early but whole in the eyes of HTTP: only this part of it is sent."""

    keep: float = 0.5

    def apply(self, request: Request, make: MakeReply) -> Reply:
        """The first part of the right body."""
        reply = make()
        return replace(reply, body=reply.body[: int(len(reply.body) * self.keep)], honors_range=False)


@dataclass(frozen=True, slots=True)
class Drip(Fault):
    """The right body, slowly."""

    bytes_per_second: float

    def apply(self, request: Request, make: MakeReply) -> Reply:
        """The right reply in drips."""
        return replace(make(), bytes_per_second=self.bytes_per_second)


@dataclass(frozen=True, slots=True)
class Gate(Fault):
    """The right reply, once the event is set (or the server closed)."""

    event: threading.Event

    def apply(self, request: Request, make: MakeReply) -> Reply:
        """The right reply behind the gate."""
        return replace(make(), gate=self.event)


@dataclass(frozen=True, slots=True)
class Hang(Fault):
    """No answer at all until the server is closed."""

    def apply(self, request: Request, make: MakeReply) -> Reply:
        """A reply that never starts."""
        return Reply(200, b"", BINARY, gate=threading.Event(), cut_after=0)


@dataclass(frozen=True, slots=True)
class RedirectLoop(Fault):
    """A redirect to the same address."""

    def apply(self, request: Request, make: MakeReply) -> Reply:
        """302 to where the client came from."""
        return Reply(302, b"", HTML, (("Location", request.target),))


@dataclass(frozen=True, slots=True)
class IgnoreRange(Fault):
    """The whole body with 200 although a part was asked for."""

    def apply(self, request: Request, make: MakeReply) -> Reply:
        """The right reply, whole."""
        return replace(make(), honors_range=False)


@dataclass(frozen=True, slots=True)
class WrongRange(Fault):
    """A part that starts so many bytes late; ``honest`` if Content-Range says so."""

    shift: int = 1
    honest: bool = True

    def apply(self, request: Request, make: MakeReply) -> Reply:
        """The right reply with a shifted part."""
        return replace(make(), range_shift=self.shift, range_honest=self.honest)


@dataclass(frozen=True, slots=True)
class Substitute(Fault):
    """Another body: given, or made from the right one."""

    body: bytes | Callable[[bytes], bytes]
    content_type: str | None = None

    def apply(self, request: Request, make: MakeReply) -> Reply:
        """Status 200 with the other body."""
        if isinstance(self.body, bytes):
            return Reply(200, self.body, self.content_type or BINARY)
        reply = make()
        return replace(reply, body=self.body(reply.body), content_type=self.content_type or reply.content_type)


@dataclass
class Rule:
    """When a fault strikes.

    Attributes
    ----------
    match : str or callable
        A part of the request line (percent-encoded or decoded), or a test of the request.
    fault : Fault
    times : int or None
        How often at most; None for always.
    hits : int
        How often it struck.
    """

    match: str | Callable[[Request], bool]
    fault: Fault
    times: int | None = 1
    hits: int = 0

    def strikes(self, request: Request) -> bool:
        """Whether the request matches and the rule is not used up."""
        if self.times is not None and self.hits >= self.times:
            return False
        if callable(self.match):
            return self.match(request)
        return self.match in request.line or self.match in unquote(request.line)


@dataclass
class FaultList:
    """Rules in order of precedence, for any number of threads."""

    _rules: list[Rule] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, rule: Rule) -> Rule:
        """The rule, now the last of the list."""
        with self._lock:
            self._rules.append(rule)
        return rule

    def clear(self) -> None:
        """Forget all rules: the server behaves again."""
        with self._lock:
            self._rules.clear()

    def take(self, request: Request) -> Fault | None:
        """The fault of the first rule that strikes, which counts as a hit; None if none does."""
        with self._lock:
            for rule in self._rules:
                if rule.strikes(request):
                    rule.hits += 1
                    return rule.fault
        return None

    @property
    def rules(self) -> tuple[Rule, ...]:
        """All rules, used up or not."""
        with self._lock:
            return tuple(self._rules)

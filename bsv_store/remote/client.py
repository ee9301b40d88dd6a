"""HTTP client of a store on a server: requests with retries, errors as they are in a folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any, BinaryIO, Final, TypeVar

from bsv_store._version import __version__
from bsv_store.documents import json_value
from bsv_store.errors import (
    BsvStoreError,
    FormatError,
    NotFoundUpstreamError,
    ScopeError,
    StoreError,
    StoreUnreachableError,
    TokenError,
    UpstreamError,
)
from bsv_store.remote.protocol import PROBLEM_TYPE, error_of
from bsv_store.remote.token import TOKEN_VARIABLE, Token, require_safe_scheme, token_for, tokens_file
from bsv_store.sources.allen.retry import RetryPolicy
from bsv_store.sources.allen.transfer import Request, Transfer, UntrustedServerError, ignore_bytes

T = TypeVar("T")

_POLICY: Final = RetryPolicy(connect_timeout_s=5.0, read_timeout_s=65.0, deadline_s=130.0, attempts=4, backoff_s=0.25)
# A transfer may take longer by a factor of one for each of these.
_BYTES_FOR_DEADLINE = 64 * 1024 * 1024
_JSON_LIMIT = 16 * 1024 * 1024
# Repeated by the transfer, so a problem document of these is only the last word if all attempts fail.
_REPEATED = frozenset((408, 425, 429, 502, 503, 504))

UNREACHABLE_HINT = "Check the network and the address of the store."


class NotModifiedError(Exception):
    """The server has nothing newer than what If-None-Match named."""


class ServerRefusalError(StoreError):
    """A response that is not what the protocol says."""


class AbsentOnServerError(ServerRefusalError):
    """The server does not have, or no longer has, what was requested."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A JSON response.

    Attributes
    ----------
    value : object
    etag : str or None
    """

    value: Any
    etag: str | None


class Client:
    """Client of one store on a server. Safe to share between threads, with a fork, and to pickle without its token.

    Parameters
    ----------
    url : str
        Base address, without a slash at the end.
    token : Token, optional
        Sent only to the origin of the base address.

    Raises
    ------
    InputError
        If the address must not be used without encryption.
    """

    def __init__(self, url: str, token: Token | None = None, *, policy: RetryPolicy = _POLICY) -> None:
        require_safe_scheme(url)
        self.url = url
        self._token = token
        self._policy = policy
        self._transfer = Transfer(policy, user_agent=f"bsv-store/{__version__} (python-requests)")

    def __repr__(self) -> str:
        return f"Client({self.url!r})"

    def __reduce__(self) -> tuple[Callable[[str], Client], tuple[str]]:
        return client_for, (self.url,)

    def json(
        self,
        path: str,
        what: str,
        *,
        etag: str | None = None,
        body: object = None,
        limit_bytes: int = _JSON_LIMIT,
    ) -> Answer:
        """The JSON value at a path.

        Parameters
        ----------
        path : str
            After the base address.
        what : str
            Name of the object in messages.
        etag : str, optional
            Raise NotModifiedError if the value still has it.
        body : object, optional
            JSON to post.
        limit_bytes : int
            A longer body is refused.

        Raises
        ------
        NotModifiedError
        StoreUnreachableError
            If the server cannot be reached, or fails.
        BsvStoreError
            The error that the server reports.
        """
        headers = {"Accept": "application/json", **({} if etag is None else {"If-None-Match": etag})}
        found: dict[str, str | None] = {}
        request = self._request(path, what, BytesIO(), limit_bytes, headers)
        request.body = None if body is None else json.dumps(body, allow_nan=False).encode()
        request.on_headers = lambda received: found.update(etag=received.get("ETag"))
        value = self._get(request, lambda sink: _parsed(sink, what))
        return Answer(value, found.get("etag"))

    def stream(
        self,
        path: str,
        what: str,
        read: Callable[[BinaryIO], T],
        *,
        sink: BinaryIO | None = None,
        limit_bytes: int,
        part: tuple[int, int] | None = None,
        body: object = None,
        on_bytes: Callable[[int], None] = ignore_bytes,
    ) -> T:
        """The result of ``read`` for the body at a path; an interrupted body is resumed.

        Parameters
        ----------
        path, what, body
            As for `json`.
        read : callable
            Called with the whole body at its start. FormatError requests it once more.
        sink : BinaryIO, optional
            Receives the body: empty, readable and seekable. By default it is in memory.
        limit_bytes : int
            A longer body is refused.
        part : (int, int), optional
            First byte and end of the part to request instead of the whole body.
        on_bytes : callable
            Called with the number of received bytes. It may raise to stop the transfer.

        Raises
        ------
        StoreUnreachableError, BsvStoreError
            As for `json`.
        """
        request = self._request(path, what, BytesIO() if sink is None else sink, limit_bytes, {})
        request.part = part
        request.can_resume = body is None
        request.body = None if body is None else json.dumps(body, allow_nan=False).encode()
        request.on_bytes = on_bytes
        request.deadline_factor = 1.0 + limit_bytes / _BYTES_FOR_DEADLINE
        return self._get(request, read)

    @contextmanager
    def patient(self, seconds: float) -> Iterator[Client]:
        """A client for requests whose reply may take this long to begin."""
        needed = seconds + self._policy.connect_timeout_s
        if needed <= self._policy.read_timeout_s:
            yield self
            return
        policy = replace(self._policy, read_timeout_s=needed, deadline_s=self._policy.deadline_s + needed)
        client = Client(self.url, self._token, policy=policy)
        try:
            yield client
        finally:
            client.close()

    def close(self) -> None:
        """Close all connections."""
        self._transfer.close()

    def abort(self) -> None:
        """Abort all transfers: the threads that wait for them get an error."""
        self._transfer.abort()

    def _request(self, path: str, what: str, sink: BinaryIO, limit_bytes: int, headers: Mapping[str, str]) -> Request:
        own = dict(headers)
        if self._token is not None:
            own["Authorization"] = self._token.header()
        return Request(f"{self.url}{path}", what, limit_bytes, sink, headers=own, same_origin=True)

    def _get(self, request: Request, read: Callable[[BinaryIO], T]) -> T:
        reported: list[BsvStoreError] = []

        def refuse(status: int, headers: Mapping[str, str], start: bytes) -> None:
            if status == 304:
                raise NotModifiedError
            if status == 401:
                raise self._token_error(request.what)
            problem = _problem(headers, start)
            if status == 404 and problem is not None:
                raise AbsentOnServerError(problem.message, hint=problem.hint)
            if problem is not None:
                reported.append(problem)
                if status not in _REPEATED:
                    raise problem
            if status == 403:
                raise ScopeError(f"the server refuses {request.what} with this token; asked {self.url}")

        request.on_refusal = refuse
        try:
            value, _ = self._transfer.get(request, read)
        except NotFoundUpstreamError as error:
            raise AbsentOnServerError(
                error.message, hint=f"Check that {self.url} is the address of a bsv-store server."
            ) from error
        except UntrustedServerError as error:
            raise StoreUnreachableError(error.message, hint=error.hint) from error
        except UpstreamError as error:
            if reported:
                raise reported[-1] from error
            raise StoreUnreachableError(error.message, hint=UNREACHABLE_HINT) from error
        return value

    def _token_error(self, what: str) -> TokenError:
        if self._token is not None:
            return TokenError(
                f"the server does not accept this token for {what}; asked {self.url}",
                hint="It may be misspelled, expired, revoked or replaced: ask the administrator for a new one.",
            )
        return TokenError(
            f"the server requires a token for {what}; asked {self.url}",
            hint=f'Set {TOKEN_VARIABLE}, or write it into {tokens_file()} (mode 0600): "{self.url}" = "TOKEN"',
        )


def client_for(url: str) -> Client:
    """A client with the token that is configured for the address, or was given in this process."""
    return Client(url, token_for(url))


def _parsed(sink: BinaryIO, what: str) -> Any:
    text = sink.read()
    try:
        # The request had a limit of its own.
        return json_value(text, max_bytes=len(text))
    except ValueError as error:
        raise FormatError(f"{what}: the server did not send JSON") from error


def _problem(headers: Mapping[str, str], start: bytes) -> BsvStoreError | None:
    if not headers.get("Content-Type", "").startswith(PROBLEM_TYPE):
        return None
    try:
        value = json_value(start)
    except ValueError:
        return None
    return error_of(value) if isinstance(value, dict) else None

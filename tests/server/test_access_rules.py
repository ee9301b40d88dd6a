"""Who a request comes from and what it may do, without a server: tokens, cookies, rates, policies."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import itertools
import json
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

from bsv_store.catalog.access_tokens import AccessToken
from bsv_store.errors import BusyError, InputError, ScopeError, TokenError
from bsv_store.server.access import log as log_module
from bsv_store.server.access.authentication import authenticate
from bsv_store.server.access.buckets import buckets_in
from bsv_store.server.access.cookie import cookie_token, delete_cookie, is_secure, set_cookie
from bsv_store.server.access.headers import SECURITY_HEADERS, content_security_policy
from bsv_store.server.access.limits import Quota, RateLimit
from bsv_store.server.access.log import AccessLog
from bsv_store.server.access.scopes import KEY, LOCAL_USER, Access, require_scope
from bsv_store.server.access.tokens import KnownTokens
from bsv_store.vocabulary import ACCESS_SCOPES
from tests.processes import Child
from tests.server.taking import take_often

if TYPE_CHECKING:
    from bsv_store.vocabulary import AccessScope

NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)


def token(name: str, *, expires_at: datetime | None = None, revoked_at: datetime | None = None) -> AccessToken:
    sha256 = hashlib.sha256(name.encode()).hexdigest()
    return AccessToken(name, ("read", "sql"), NOW, "anna", expires_at, revoked_at, sha256)


TOKENS = (
    token("expired", expires_at=NOW - HOUR),
    token("revoked", revoked_at=NOW - HOUR),
    token("anna:1", expires_at=NOW + HOUR),
)


def access(path: str = "/experiments", *, required: bool = True, **headers: str) -> Access | None:
    """What a request with these headers may do."""
    context: Any = SimpleNamespace(options=SimpleNamespace(requires_token=required), tokens=KnownTokens(lambda: TOKENS))
    given = Headers({name.replace("_", "-"): value for name, value in headers.items()})
    return asyncio.run(authenticate(context, given, path))


def request(scheme: str = "http", host: str = "lab.org", **scope: Any) -> Request:
    headers = [(b"host", host.encode())]
    values = {"type": "http", "scheme": scheme, "headers": headers, "path": "/", "query_string": b"", **scope}
    return Request(values)


# -- tokens -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        "Bearer anna:1",
        "bearer anna:1",
        "BEARER  anna:1 ",
        f"Basic {base64.b64encode(b'anybody:anna:1').decode()}",
        f"BASIC {base64.b64encode(b':anna:1').decode()}",
    ],
)
@pytest.mark.parametrize("required", [True, False])
def test_a_token_is_taken_from_the_header(value: str, required: bool) -> None:
    assert access(authorization=value, required=required) == Access("anna:1", ("read", "sql"))


@pytest.mark.parametrize(
    "value",
    [
        "Bearer anna",
        "Bearer",
        "Bearer anna:1 x",
        "Bearer expired",
        "Bearer revoked",
        "Basic anna:1",
        "Basic !",
        f"Basic {base64.b64encode(b'anna:1').decode()}",
        f"Basic {base64.b64encode(b'anybody:anna:1').decode()}!",
        f"Basic !{base64.b64encode(b'anybody:anna:1').decode()}",
        "Basic /w==",
    ],
)
@pytest.mark.parametrize("required", [True, False])
def test_a_token_that_is_not_valid_is_refused_even_where_none_is_required(value: str, required: bool) -> None:
    with pytest.raises(TokenError, match="the token is not valid"):
        access(authorization=value, required=required)


def test_a_local_user_may_do_everything() -> None:
    assert access(required=False) is LOCAL_USER
    assert access(required=False, authorization="Digest x") is LOCAL_USER
    assert Access(None, tuple(row.name for row in ACCESS_SCOPES.values())) == LOCAL_USER


def test_a_cookie_of_another_local_server_is_ignored() -> None:
    assert access(required=False, cookie="bsv_store_token=wrong") is LOCAL_USER


def test_a_missing_token_is_an_error() -> None:
    with pytest.raises(TokenError, match="requires a token"):
        access()
    with pytest.raises(TokenError, match="requires a token"):
        access(authorization="Digest anna:1")


def test_a_token_is_taken_from_the_cookie() -> None:
    assert access(cookie="a=b; bsv_store_token=anna:1") == Access("anna:1", ("read", "sql"))
    with pytest.raises(TokenError, match="not valid"):
        access(cookie="bsv_store_token=revoked")
    # The header wins.
    with pytest.raises(TokenError, match="not valid"):
        access(cookie="bsv_store_token=anna:1", authorization="Bearer x")


@pytest.mark.parametrize(
    ("path", "is_open"),
    [
        *[(each, True) for each in ("/favicon.ico", "/login", "/logout", "/assets/style.css")],
        *[(each, False) for each in ("/", "/assets", "/login/", "/loginx", "/x/assets/", "/favicon")],
    ],
)
def test_only_the_form_and_its_assets_need_no_token(path: str, is_open: bool) -> None:
    if is_open:
        assert access(path) is None
        # Not even a wrong one matters.
        assert access(path, authorization="Bearer x") is None
    else:
        with pytest.raises(TokenError):
            access(path)


def test_a_token_ends_when_it_expires() -> None:
    end = NOW + HOUR
    limited = token("x", expires_at=end)
    assert limited.is_valid(end - timedelta(microseconds=1))
    assert not limited.is_valid(end)
    assert token("x").is_valid(datetime.max.replace(tzinfo=UTC))
    assert not token("x", expires_at=end, revoked_at=NOW).is_valid(NOW)
    assert not token("x", revoked_at=NOW).is_valid(NOW - HOUR)


def test_a_secret_that_is_no_text_matches_nothing() -> None:
    assert not token("x").matches("\udc80")


def test_a_valid_token_is_found_beside_a_revoked_one_with_the_same_secret() -> None:
    known = KnownTokens(lambda: (token("a", revoked_at=NOW), token("a")))
    found = asyncio.run(known.find("a"))
    assert found is not None
    assert found.revoked_at is None


def test_tokens_are_read_again_after_two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now, reads = 100.0, 0

    def read() -> tuple[AccessToken, ...]:
        nonlocal reads
        reads += 1
        return ()

    monkeypatch.setattr("time.monotonic", lambda: now)
    known = KnownTokens(read)

    async def reads_at(*times: float) -> list[int]:
        nonlocal now
        found = []
        for each in times:
            now = each
            await known.find("x")
            found.append(reads)
        return found

    assert asyncio.run(reads_at(100.0, 101.9, 102.0, 102.1, 103.0, 104.2)) == [1, 1, 1, 2, 2, 3]


def test_while_the_catalog_is_locked_tokens_are_used_for_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    is_locked = False

    def read() -> tuple[AccessToken, ...]:
        if is_locked:
            raise BusyError("locked")
        return (token("a"),)

    monkeypatch.setattr("time.monotonic", lambda: now)
    known = KnownTokens(read)

    async def run() -> None:
        nonlocal now, is_locked
        assert await known.find("a") is not None
        is_locked = True
        now = 160.0
        assert await known.find("a") is not None
        now = 160.1
        with pytest.raises(BusyError):
            await known.find("a")

    asyncio.run(run())


@pytest.mark.parametrize("scope", [*ACCESS_SCOPES])
def test_a_scope_is_needed(scope: AccessScope) -> None:
    others = [row.name for row in ACCESS_SCOPES.values() if row.name != scope]
    allowed: dict[str, Any] = {KEY: Access("anna", [scope])}
    require_scope(request(**allowed), scope)
    for held in (Access("anna", others), None):
        with pytest.raises(ScopeError, match=f"'{scope}'"):
            require_scope(request(**dict[str, Any]({KEY: held})), scope)
    with pytest.raises(ScopeError):
        require_scope(request(), scope)


# -- cookies ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"cookie": "other=x"}, None),
        ({"cookie": "bsv_store_token="}, None),
        ({"cookie": "bsv_store_token=x"}, "x"),
        ({"cookie": "bsv_store_token=x", "sec-fetch-site": "same-origin"}, "x"),
        ({"cookie": "bsv_store_token=x", "sec-fetch-site": "none"}, "x"),
        ({"cookie": "bsv_store_token=x", "sec-fetch-site": "cross-site"}, None),
        ({"cookie": "bsv_store_token=x", "sec-fetch-site": "same-site"}, None),
    ],
)
def test_the_cookie_counts_only_if_no_other_site_caused_the_request(
    headers: Mapping[str, str], expected: str | None
) -> None:
    assert cookie_token(Headers(headers)) == expected


def cookie(change: Callable[[Request, Response], None], asked: Request) -> dict[str, str]:
    """The attributes of the cookie that an answer sets."""
    response = Response()
    change(asked, response)
    parts = (part.strip().partition("=") for part in response.headers["set-cookie"].split(";"))
    return {name.lower(): value for name, _, value in parts}


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        (None, range(2_592_000, 2_592_001)),
        (timedelta(days=400), range(2_592_000, 2_592_001)),
        (timedelta(days=1), range(86_340, 86_401)),
        (-HOUR, range(1)),
    ],
)
def test_the_browser_keeps_a_token_as_long_as_it_is_valid_and_at_most_30_days(
    left: timedelta | None, expected: range
) -> None:
    end = None if left is None else datetime.now(UTC) + left
    found = cookie(lambda asked, response: set_cookie(asked, response, "x", end), request("https"))
    assert found["bsv_store_token"] == "x"
    assert int(found["max-age"]) in expected


def test_no_script_and_no_other_site_gets_the_cookie() -> None:
    found = cookie(lambda asked, response: set_cookie(asked, response, "x", None), request("https", root_path="/bsv"))
    assert {"httponly", "secure"} <= set(found)
    assert (found["samesite"], found["path"]) == ("strict", "/bsv")
    plain = cookie(lambda asked, response: set_cookie(asked, response, "x", None), request(host="localhost"))
    assert "secure" not in plain
    assert plain["path"] == "/"


def test_the_cookie_is_deleted_with_the_attributes_that_it_was_set_with() -> None:
    found = cookie(delete_cookie, request("https", root_path="/bsv"))
    assert found["max-age"] == "0"
    assert {"httponly", "secure"} <= set(found)
    assert (found["samesite"], found["path"]) == ("strict", "/bsv")
    assert "secure" not in cookie(delete_cookie, request(host="127.0.0.1"))


@pytest.mark.parametrize(
    ("scheme", "host", "expected"),
    [
        ("https", "localhost", True),
        ("http", "lab.org", True),
        ("http", "localhost:8765", False),
        ("http", "[::1]", False),
    ],
)
def test_the_cookie_needs_https_but_on_this_computer(scheme: str, host: str, expected: bool) -> None:
    assert is_secure(request(scheme, host)) is expected


# -- limits -----------------------------------------------------------------------------------------------------------


def test_a_client_may_send_the_requests_of_five_seconds_at_once() -> None:
    now = 50.0
    limit = RateLimit(0.5, clock=lambda: now)
    assert (limit.burst, limit.policy) == (3, b'"requests";q=3;w=6')
    assert limit.take("a") == Quota(True, 2, 0, 2)
    assert limit.take("a") == Quota(True, 1, 0, 4)
    assert limit.take("a") == Quota(True, 0, 0, 6)
    assert limit.take("a") == Quota(False, 0, 2, 6)
    now += 1.0
    assert limit.take("a") == Quota(False, 0, 1, 5)
    now += 1.0
    assert limit.take("a") == Quota(True, 0, 0, 6)
    assert limit.take("b") == Quota(True, 2, 0, 2)


def test_a_slow_rate_still_permits_one_request() -> None:
    limit = RateLimit(0.01, clock=lambda: 0.0)
    assert (limit.burst, limit.policy) == (1, b'"requests";q=1;w=100')
    assert limit.take("a").is_within
    assert limit.take("a") == Quota(False, 0, 100, 100)


def test_as_many_clients_are_remembered_as_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bsv_store.server.access.buckets.LocalBuckets.MAX_CLIENTS", 2)
    limit = RateLimit(1.0, clock=lambda: 0.0)
    assert [limit.take(client).remaining for client in "abab"] == [4, 4, 3, 3]
    assert [limit.take(client).remaining for client in "cba"] == [4, 2, 4]


def test_workers_share_the_limit_of_a_client(tmp_path: Path) -> None:
    now = 100.0
    workers = [RateLimit(2.0, clock=lambda: now, buckets=buckets_in(tmp_path)) for _ in range(3)]
    taken = [workers[number % 3].take("anna") for number in range(11)]
    assert [each.is_within for each in taken] == [True] * 10 + [False]
    assert taken[9] == Quota(True, 0, 0, 5)
    assert workers[0].take("ben").remaining == 9
    now += 1.0
    assert [worker.take("anna").is_within for worker in workers] == [True, True, False]


def test_workers_forget_the_client_that_asked_longest_ago(tmp_path: Path) -> None:
    seconds = itertools.count(1.0)
    limit = RateLimit(1e-6, clock=lambda: next(seconds), buckets=buckets_in(tmp_path))
    names = [f"client {number}" for number in range(20_000)]
    assert all(limit.take(name).is_within for name in names)
    # Of those that asked last, hardly one was forgotten.
    assert sum(limit.take(name).is_within for name in names[-1_000:]) < 10
    assert limit.take(names[0]).is_within
    (file,) = tmp_path.iterdir()
    assert file.stat().st_size == 1024 * 8 * 24


def test_processes_that_take_at_the_same_time_do_not_exceed_the_limit(tmp_path: Path) -> None:
    children = [Child(take_often, tmp_path) for _ in range(3)]
    outputs = [child.communicate(timeout=60) for child in children]
    assert [err for _, err in outputs] == [""] * 3
    assert sum(int(out) for out, _ in outputs) == 500


# -- headers ----------------------------------------------------------------------------------------------------------


def test_the_policy_of_pages_is_that_of_the_server_alone() -> None:
    plain = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
    assert content_security_policy() == plain
    more = content_security_policy({"worker-src": ("blob:",), "default-src": ("data:",)})
    assert more == plain.replace("'self'; base", "'self' data:; base") + "; worker-src 'self' blob:"


def test_security_headers_are_these() -> None:
    assert dict(SECURITY_HEADERS) == {
        b"x-content-type-options": b"nosniff",
        b"x-frame-options": b"DENY",
        b"referrer-policy": b"same-origin",
        b"cross-origin-opener-policy": b"same-origin",
        b"cross-origin-resource-policy": b"same-origin",
        b"permissions-policy": b"camera=(), geolocation=(), microphone=()",
    }


# -- the access log ---------------------------------------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The time of the access log."""
    found = SimpleNamespace(seconds=1000.0)
    monkeypatch.setattr(log_module, "time", SimpleNamespace(monotonic=lambda: found.seconds))
    return found


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]


def test_a_line_has_the_time_and_the_fields(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_text('{"earlier": 1}\n')
    log = AccessLog(str(path))
    log.write(path="/\u00fc\n", status=200)
    log.close()
    earlier, found = lines(path)
    assert earlier == {"earlier": 1}
    at = datetime.fromisoformat(found.pop("at"))
    assert found == {"path": "/\u00fc\n", "status": 200}
    assert abs(at - datetime.now(UTC)) < timedelta(minutes=5)
    assert at.microsecond % 1000 == 0
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(log._descriptor)


def test_others_cannot_read_the_log(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    AccessLog(str(path)).close()
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_log_that_was_renamed_is_opened_again_within_a_second(tmp_path: Path, clock: SimpleNamespace) -> None:
    path = tmp_path / "access.log"
    log = AccessLog(str(path))
    numbers = iter(range(10))

    def write_at(seconds: float) -> None:
        clock.seconds = seconds
        log.write(number=next(numbers))

    path.rename(tmp_path / "1")
    write_at(1000.0)
    write_at(1000.9)
    before = log._descriptor
    write_at(1001.0)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(before)
    path.rename(tmp_path / "2")
    path.touch()
    write_at(1001.9)
    write_at(1002.0)
    before = log._descriptor
    # The same file is not opened again.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AccessLog, "_opened", None)
        write_at(1003.0)
    assert log._descriptor == before
    log.close()
    assert [[each["number"] for each in lines(tmp_path / name)] for name in ("1", "2", "access.log")] == [
        [0, 1],
        [2, 3],
        [4, 5],
    ]


def test_a_log_that_cannot_be_written_is_complained_about_once_a_minute(
    tmp_path: Path, clock: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "folder" / "access.log"
    with pytest.raises(InputError, match="cannot be written: No such file"):
        AccessLog(str(path))
    path.parent.mkdir()
    log = AccessLog(str(path))
    path.unlink()
    path.parent.rmdir()
    counts = []
    for clock.seconds in (1001.0, 1002.0, 1059.9, 1061.0, 1119.9, 1121.0):
        log.write(number=1)
        counts.append(len(caplog.records))
    log.close()
    assert counts == [1, 1, 1, 2, 2, 3]
    assert {record.name for record in caplog.records} == {"bsv_store.server"}


def test_the_log_may_be_standard_output(capfd: pytest.CaptureFixture[str], clock: SimpleNamespace) -> None:
    log = AccessLog("-")
    log.write(number=1)
    clock.seconds += 10
    log.write(number=2)
    log.close()
    log.write(number=3)
    assert [json.loads(line)["number"] for line in capfd.readouterr().out.splitlines()] == [1, 2, 3]

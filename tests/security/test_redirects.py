"""Redirects lead to no other scheme or host, and tokens of remote stores follow none."""

from __future__ import annotations

import pytest

from bsv_store.sources.allen.redirects import RedirectError, redirect_target, require_same_origin
from tests.security.source import calls, keywords

ASKED = "https://lab.example/bsv/v1/catalog"
ELSEWHERE = (
    "http://lab.example/bsv/v1/catalog",
    "http://lab.example:443/",
    "https://evil.example/",
    "https://lab.example.evil.example/",
    "https://lab.example@evil.example/",
    "https://evil.example#@lab.example/",
    "https://evil.example\\@lab.example/",
    "https:\\\\evil.example/",
    "//evil.example/x",
    "///evil.example/x",
    "\\\\evil.example\\x",
    "https://lab.example:8443/",
    "https://lab.example:0/",
    "https://lab.example:99999/",
    "https://[::1]/",
    "https://127.0.0.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://0x7f000001/",
    "https://lab\u3002example/",
    "https://l\u0430b.example/",
    "https://lab.example\u2024/",
    "https:///evil.example",
    "https://",
    "file:///etc/passwd",
    "ftp://lab.example/x",
    "gopher://lab.example/x",
    "ldap://lab.example/x",
    "data:text/plain,x",
    "javascript:alert(1)",
    "jar:https://lab.example!/x",
    "unix:///var/run/docker.sock",
    "https://lab.example/\r\nSet-Cookie: a=b",
    "https://lab.example/ x",
    "https://lab.example/\0",
    "https://lab.example/" + "x" * 5000,
)
# Paths of the same server to every client.
PATHS = (
    "///evil.example/x",
    "\\\\evil.example\\x",
    "https:\\\\evil.example/",
    "https:///evil.example",
    "https://",
)
HERE = ("/bsv/v1/other", "other", "?a=1", "https://lab.example/x", "https://LAB.example:443/x", "//lab.example/x")


@pytest.mark.parametrize("location", ELSEWHERE)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_leads_elsewhere(location: str, status: int) -> None:
    try:
        target = _followed(status, location)
    except RedirectError as error:
        reason = str(error)
        assert reason.isprintable()
    else:
        # Not a host to any client: a path of the same server.
        assert location in PATHS
        assert target is not None
        assert target.startswith("https://lab.example/")


def _followed(status: int, location: str) -> str | None:
    """The address that a client of a remote store would ask next."""
    target = redirect_target(ASKED, status, {"Location": location})
    if target is not None:
        require_same_origin(ASKED, target)
    return target


@pytest.mark.parametrize("location", HERE)
def test_redirects_within_the_server_are_followed(location: str) -> None:
    target = redirect_target(ASKED, 302, {"Location": location})
    assert target is not None
    assert target.lower().startswith("https://lab.example")
    require_same_origin(ASKED, target)


def test_no_request_follows_redirects_by_itself_or_reads_the_environment() -> None:
    # requests would follow to any host, with the user's netrc.
    checked = 0
    for path, name, call in calls():
        if name in ("requests.get", "requests.post", "requests.request", "requests.head", "urllib.request.urlopen"):
            pytest.fail(f"{path} calls {name}")
        if name.endswith(("session.get", "session.post", "session.request", "session.send", "_session.get")):
            value = keywords(call).get("allow_redirects")
            assert value is not None, path
            assert getattr(value, "value", True) is False, path
            checked += 1
    assert checked, "no request was found: have the names of the sessions changed?"

"""Whether a server can be reached, with one small request."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from bsv_store.sources.allen import addresses, credentials
from bsv_store.sources.allen.reasons import network_reason, unreachable_reason
from bsv_store.text import shown

_FIRST_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Reach:
    """Result of a request to a server.

    Attributes
    ----------
    url : str
        The requested address.
    seconds : float
        Time until the response.
    status : int or None
        None if there was no response.
    problem : str or None
        Why the server cannot be used; None if it can.
    proxy : str or None
        Host of the proxy.
    """

    url: str
    seconds: float
    status: int | None
    problem: str | None
    proxy: str | None


def reach_api(base: str, *, timeout_s: float) -> Reach:
    """Ask the API for one structure."""
    query = "model::Structure,rma::criteria,[graph_id$in1],rma::options[num_rows$eq1]"
    return _reach(f"{base}/api/v2/data/query.json?q={quote(query, safe='$:,')}", timeout_s, is_expected=_is_envelope)


def reach_file_server(base: str, *, timeout_s: float) -> Reach:
    """Ask the file server for the first bytes of the annotation at 100 um."""
    return _reach(addresses.annotation_url(base, 100), timeout_s, is_expected=lambda start: start.startswith(b"NRRD"))


def _is_envelope(start: bytes) -> bool:
    return start.lstrip().startswith(b"{") and b'"success"' in start


def _reach(url: str, timeout_s: float, *, is_expected: Callable[[bytes], bool]) -> Reach:
    import requests
    import urllib3.exceptions

    host = urlsplit(url).netloc
    proxies = credentials.proxies(url)
    used = proxies.get(urlsplit(url).scheme) or proxies.get("all")
    proxy = urlsplit(used).hostname if used else None
    status, problem = None, None
    started = time.perf_counter()
    try:
        with requests.Session() as session:
            session.trust_env = False
            session.verify = credentials.certificates()
            auth = credentials.logins([url]).get(host)
            with session.get(
                url, timeout=timeout_s, stream=True, allow_redirects=False, proxies=proxies, auth=auth
            ) as response:
                status = response.status_code
                start = response.raw.read(_FIRST_BYTES, decode_content=True) if status == 200 else b""
        if 300 <= status < 400:
            problem = f"redirects to {shown(urlsplit(response.headers.get('Location', '')).netloc)}"
        elif status != 200:
            problem = f"responds with {status} {shown(response.reason or '')}"
        elif not is_expected(start):
            problem = "responds with something else than data, as a login page of a network does"
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        problem = unreachable_reason(error, host) or network_reason(error)
    return Reach(url, time.perf_counter() - started, status, problem, proxy)

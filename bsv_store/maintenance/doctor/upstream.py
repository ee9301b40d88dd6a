"""Checks of Allen's servers, or of a mirror: proxies, certificates, and whether they can be reached."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

from bsv_store.errors import BsvStoreError
from bsv_store.maintenance.doctor.finding import Detail, Finding
from bsv_store.sources.allen import addresses, credentials
from bsv_store.sources.allen.reachability import Reach, reach_api, reach_file_server
from bsv_store.text import masked
from bsv_store.vocabulary import DoctorCheck

TIMEOUT_S = 5.0
_SLOW_S = 3.0
_PROXY_VARIABLES = ("https_proxy", "http_proxy", "all_proxy", "no_proxy")


def upstream_findings(store: Path | None, *, offline: bool) -> Iterator[Finding]:
    """Check the servers that the settings name; ``offline`` opens no connection."""
    yield _proxy()
    checks: tuple[tuple[DoctorCheck, Callable[[], Reach]], ...] = (
        ("api", lambda: reach_api(addresses.api_url(store=store), timeout_s=TIMEOUT_S)),
        ("file_server", lambda: reach_file_server(addresses.download_url(store=store), timeout_s=TIMEOUT_S)),
    )
    if offline:
        for check, _ in checks:
            yield Finding(check, "note", "not tried: offline")
        return
    with ThreadPoolExecutor(len(checks)) as pool:
        yield from pool.map(lambda each: _reached(*each), checks)


def _reached(check: DoctorCheck, reach: Callable[[], Reach]) -> Finding:
    try:
        found = reach()
    except BsvStoreError as error:
        return Finding(check, "fault", error.message, error.hint)
    details: dict[str, Detail] = {
        "url": found.url,
        "seconds": round(found.seconds, 3),
        "status": found.status,
        "proxy": found.proxy,
    }
    through = f" through the proxy {found.proxy}" if found.proxy else ""
    if found.problem is not None:
        return Finding(
            check,
            "warning",
            f"{urlsplit(found.url).netloc}{through}: {found.problem}",
            "Reading the store works without it. To fetch, check the network, the proxy and the address "
            "(bsv-store config show).",
            details,
        )
    text = f"responds after {found.seconds:.2f} s{through}"
    if found.seconds > _SLOW_S:
        return Finding(check, "note", f"slow: {text}", "Downloads will take long.", details)
    return Finding(check, "ok", text, None, details)


def _proxy() -> Finding:
    used = {name: masked(value) for name in _PROXY_VARIABLES if (value := _variable(name))}
    certificates = credentials.certificates()
    details = {**used, "certificates": certificates if isinstance(certificates, str) else "certifi"}
    if isinstance(certificates, str) and not Path(certificates).exists():
        return Finding(
            "proxy",
            "fault",
            f"the certificates {certificates} do not exist",
            credentials.MISSING_CERTIFICATES_HINT,
            details,
        )
    found = ", ".join(f"{name}={value}" for name, value in used.items()) or "no proxy"
    return Finding("proxy", "ok", found, None, details)


def _variable(name: str) -> str | None:
    return os.environ.get(name) or os.environ.get(name.upper())

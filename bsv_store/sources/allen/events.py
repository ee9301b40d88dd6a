"""Log records about downloads."""

from __future__ import annotations

import logging

from bsv_store.text import number_of

_LOG = logging.getLogger(__name__)


def attempt_failed(url: str, attempt: int, reason: str) -> None:
    """Log a failed attempt that is repeated; the reason names the object."""
    fields = {"event": "attempt failed", "url": url, "attempt": attempt}
    _LOG.info("attempt %d failed: %s", attempt, reason, extra=fields)


def download_failed(url: str, attempts: int, reason: str) -> None:
    """Log a download that failed and is not repeated; the reason names the object."""
    fields = {"event": "download failed", "url": url, "attempts": attempts}
    _LOG.warning("failed after %s: %s", number_of(attempts, "attempt"), reason, extra=fields)


def asked_to_wait(host: str, seconds: float) -> None:
    """Log that a server asked clients to wait."""
    _LOG.info("%s asked to wait %.0f s", host, seconds, extra={"event": "wait", "server": host, "wait_s": seconds})

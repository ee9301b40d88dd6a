"""When requests are retried."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MAX_BACKOFF_S = 8.0
MAX_PAUSE_S = 120.0


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Timeouts, retries and the number of connections.

    Attributes
    ----------
    connect_timeout_s, read_timeout_s : float
        Maximum time without a response.
    deadline_s : float
        Maximum time for one object, all attempts together. The timeouts alone do not stop a very slow body.
    attempts : int
        Maximum number of attempts.
    backoff_s : float
        First delay between two attempts. It doubles with each attempt; jitter spreads the retries of many clients.
    connections : int
        Maximum number of simultaneous requests to one host.
    """

    connect_timeout_s: float = 10.0
    read_timeout_s: float = 60.0
    deadline_s: float = 600.0
    attempts: int = 4
    backoff_s: float = 1.0
    connections: int = 4


def retry_after_s(header: str | None) -> float | None:
    """The delay in seconds of a Retry-After header, which is a number or an HTTP date; None if it is not valid."""
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

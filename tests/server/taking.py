"""What other processes do with a limit on requests; not a test module, which they would import again."""

from __future__ import annotations

import sys
from pathlib import Path

from bsv_store.server.access.buckets import buckets_in
from bsv_store.server.access.limits import RateLimit


def take_often(folder: Path) -> None:
    """Print how many of 400 requests of one client are permitted, of 500 that all processes may send."""
    limit = RateLimit(100.0, clock=lambda: 1.0, buckets=buckets_in(folder))
    sys.stdout.write(str(sum(limit.take("anna").is_within for _ in range(400))))

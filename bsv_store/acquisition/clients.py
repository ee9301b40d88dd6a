"""Clients of the Allen API for calls that may work offline."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from bsv_store.sources.allen import AllenClient

CONNECTIONS = 4


def client_unless(
    offline: bool, api_url: str | None = None, *, store: Path, connections: int = CONNECTIONS
) -> AbstractContextManager[AllenClient | None]:
    """A client for a ``with`` statement, which gives None if ``offline``. The settings of the store apply."""
    return nullcontext() if offline else AllenClient(api_url=api_url, store=store, connections=connections)

"""Clients of the Allen API as a call asks for them."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from bsv_store.sources.allen import AllenClient

_CONNECTIONS = 4


def client_unless(
    offline: bool, api_url: str | None = None, *, connections: int = _CONNECTIONS
) -> AbstractContextManager[AllenClient | None]:
    """A client in a ``with`` statement, or None for one who works offline."""
    return nullcontext() if offline else AllenClient(api_url=api_url, connections=connections)

"""Client of the Allen API: addresses, transfers with retries, and replies as checked values."""

from __future__ import annotations

from bsv_store.sources.allen.addresses import API_URL, API_URL_VARIABLE
from bsv_store.sources.allen.client import AllenClient, Reply, max_connections

__all__ = ["API_URL", "API_URL_VARIABLE", "AllenClient", "Reply", "max_connections"]

"""A small synthetic atlas behind a loopback server, and a store that knows its catalog. No test needs Postgres."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bsv_store_synthetic import SyntheticAtlas
from bsv_store_synthetic.routes import ReplyCache
from tests.catalogs import ATLAS, REPLIES, filled_catalog
from tests.conftest import DatabaseKind

catalog = filled_catalog


@pytest.fixture
def database() -> DatabaseKind:
    """SQLite alone: what comes over the network does not depend on the database."""
    return "sqlite"


@pytest.fixture
def atlas() -> SyntheticAtlas:
    return ATLAS


@pytest.fixture
def reply_cache() -> ReplyCache:
    return REPLIES


@pytest.fixture(autouse=True)
def _retries_at_once(patience: Callable[..., None]) -> None:
    """Let the clients that a store opens retry without waiting."""
    patience(backoff_s=0, read_timeout_s=10)

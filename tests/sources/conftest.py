"""A small synthetic atlas behind a loopback server, and a store that knows its catalog. No test needs Postgres."""

from __future__ import annotations

import pytest

from tests.catalogs import filled_catalog, known_replies, retries_at_once, small_atlas
from tests.conftest import DatabaseKind

catalog, atlas, reply_cache = filled_catalog, small_atlas, known_replies
_retries_at_once = retries_at_once


@pytest.fixture
def database() -> DatabaseKind:
    """SQLite alone: what comes over the network does not depend on the database."""
    return "sqlite"

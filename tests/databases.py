"""On which databases a test runs: on both, or on SQLite in ``make test`` and on Postgres in ``make test-postgres``.

Tests of SQL, transactions, locks, migrations and rights run on both. In the folders and modules of `SQLITE_FIRST`, most
tests concern what happens before rows are written or after they are read, and have the same result on Postgres. A
module or test there that depends on the database has the mark `both_databases`.
"""

from __future__ import annotations

from typing import Final

import pytest

SQLITE_FIRST: Final = frozenset(
    {
        "acquisition",
        "atlas",
        "catalog/ingest",
        "cli",
        "compat",
        "datasets",
        "maintenance/test_gc.py",
        "maintenance/test_quota.py",
        "maintenance/test_trash.py",
        "plausibility",
        "remote",
        "reports",
        "reproduce",
        "server",
        "test_vocabulary.py",
        "volumes",
    }
)
"""Folders and modules of tests/ whose tests run on Postgres in ``make test-postgres`` only."""

repeated = pytest.mark.repeated
both_databases = pytest.mark.both_databases
sqlite_first = pytest.mark.parametrize("database", ["sqlite", pytest.param("postgres", marks=repeated)], indirect=True)
"""The mark for single tests in other folders."""


def mark_repeated(item: pytest.Function) -> None:
    """Mark a test on Postgres that only repeats the one on SQLite."""
    *folders, _ = parts = item.nodeid.partition("::")[0].removeprefix("tests/").split("/")
    callspec = getattr(item, "callspec", None)
    is_on_postgres = callspec is not None and callspec.params.get("database") == "postgres"
    is_first = not SQLITE_FIRST.isdisjoint({parts[0], "/".join(folders), "/".join(parts)})
    if is_on_postgres and is_first and item.get_closest_marker("both_databases") is None:
        item.add_marker(repeated)

"""On which databases a test runs."""

from __future__ import annotations

import pytest

# For tests of files, on which the database has no influence: on Postgres only in the long run.
sqlite_first = pytest.mark.parametrize(
    "database", ["sqlite", pytest.param("postgres", marks=pytest.mark.long)], indirect=True
)

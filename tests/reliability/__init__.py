"""Proof that the tests would notice broken promises."""

import pytest

# Their assertions are those of tests, and say what differed.
pytest.register_assert_rewrite(
    *(f"tests.reliability.{name}" for name in ("killing", "jobs", "kill_jobs", "machine", "tracked_store", "together"))
)

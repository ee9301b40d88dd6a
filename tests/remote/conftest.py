"""Fixtures of a lab's store and a computer that reads it over the network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.remote.lab import Laptop, laptop


@pytest.fixture
def lab(_filled_sqlite: Path) -> Path:
    """The folder of a store with seven experiments; read-only."""
    return _filled_sqlite


@pytest.fixture
def here(lab: Path, tmp_path: Path) -> Iterator[Laptop]:
    """A computer with an empty cache."""
    with laptop(lab, tmp_path / "cache") as found:
        yield found

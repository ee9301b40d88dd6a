"""A store with the golden experiments, made once: the tests that use it only read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bsv_store import Store, create_store
from tests.compat.golden import fill_catalog, make_bsv_cache


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory, golden: Path, data: Path) -> Iterator[tuple[Store, Path]]:
    """A store with the golden experiments, adopted from a Brain Street View cache, and that cache."""
    folder = tmp_path_factory.mktemp("golden")
    cache = make_bsv_cache(golden, folder / "cache")
    with create_store(folder / "store") as store:
        fill_catalog(store, data)
        report = store.adopt(cache)
        assert (report.volumes, report.unionizes, report.refused) == (13, 13, ())
        yield store, cache

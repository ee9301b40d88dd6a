"""A store with lists and tables, but without volumes, and a server that has them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bsv_store import create_store
from bsv_store_synthetic import SyntheticAtlas, SyntheticServer


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """Address of a synthetic atlas."""
    with SyntheticServer(SyntheticAtlas(experiments=3)) as running:
        yield running.url


@pytest.fixture(scope="session")
def lists(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a store to be copied."""
    folder = tmp_path_factory.mktemp("reliability") / "store"
    with create_store(folder) as store:
        store.sync_structures(api_url=server_url)
        store.sync_experiments(api_url=server_url)
        store.sync_unionizes(api_url=server_url)
    return folder

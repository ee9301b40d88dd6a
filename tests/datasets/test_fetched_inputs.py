"""A selection is resolved again after its inputs were downloaded, because they may decide what it selects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bsv_store import Selection
from bsv_store_synthetic import SyntheticAtlas, SyntheticServer
from tests.databases import sqlite_first

if TYPE_CHECKING:
    from bsv_store import Store

ATLAS = SyntheticAtlas(experiments=24)
# By its coordinate the injection is on the left; by its unionize table most of it is on the right.
MIDLINE = next(
    each
    for each in ATLAS.experiment_ids
    if ATLAS.experiment(each).injection_ml < 5_700 and ATLAS.experiment(each).injected_hemisphere == "right"
)
LEFT = next(each for each in ATLAS.experiment_ids if ATLAS.experiment(each).injected_hemisphere == "left")


@pytest.fixture
def atlas() -> SyntheticAtlas:
    return ATLAS


@sqlite_first
def test_an_average_has_what_the_downloaded_tables_select(store: Store, server: SyntheticServer) -> None:
    store.sync_structures(api_url=server.url)
    store.sync_experiments(api_url=server.url)
    selection = Selection(ids=[MIDLINE, LEFT], injected_hemisphere="left")
    assert set(store.select(selection)) == {MIDLINE, LEFT}
    store.fetch_inputs(selection, api_url=server.url)
    version = store.aggregate(selection, name="left")
    assert version.members["experiment_id"].tolist() == [LEFT]
    assert store.select(selection) == (LEFT,)

"""A selection is resolved again after its inputs were downloaded, because they may decide what it selects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bsv_store import Selection
from bsv_store_synthetic import SyntheticAtlas, SyntheticServer

if TYPE_CHECKING:
    from bsv_store import Store

ATLAS = SyntheticAtlas(experiments=24)


@pytest.fixture
def atlas() -> SyntheticAtlas:
    return ATLAS


def test_an_average_has_what_the_downloaded_tables_select(store: Store, server: SyntheticServer) -> None:
    store.sync_structures(api_url=server.url)
    store.sync_experiments(api_url=server.url)
    experiments = [ATLAS.experiment(each) for each in ATLAS.experiment_ids]
    # By its coordinate the injection is on the left; by its unionize table most of it is on the right.
    midline = next(each.id for each in experiments if each.injection_ml < 5_700 and each.injected_hemisphere == "right")
    left = next(each.id for each in experiments if each.injected_hemisphere == "left")
    selection = Selection(ids=[midline, left], injected_hemisphere="left")
    assert set(store.select(selection)) == {midline, left}
    store.fetch_inputs(selection, api_url=server.url)
    version = store.aggregate(selection, name="left")
    assert version.members["experiment_id"].tolist() == [left]
    assert store.select(selection) == (left,)

"""What was found damaged and has been replaced since is no longer reported as damaged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.maintenance.test_verify import flip, path_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from bsv_store import Store
    from bsv_store_synthetic import SyntheticServer

REPLACE: dict[str, Callable[[Store, str], object]] = {
    "annotation/100": lambda store, url: store.sync_annotation(spacing_um=100, refresh=True, download_url=url),
    "template/100": lambda store, url: store.sync_template(spacing_um=100, refresh=True, download_url=url),
    "version/visual@1": lambda store, _: store.datasets.rebuild("visual@1"),
}


def _damaged(store: Store) -> int:
    upkeep = store.status().upkeep
    assert upkeep is not None
    return upkeep.verification.damaged


@pytest.mark.parametrize("key", REPLACE)
def test_what_was_replaced_is_not_counted_as_damaged(whole: Store, server: SyntheticServer, key: str) -> None:
    flip(path_of(whole, key))
    assert [each.object for each in whole.admin.verify(deep=True).damage] == [key]
    assert _damaged(whole) == 1
    REPLACE[key](whole, server.url)
    assert _damaged(whole) == 0
    assert whole.admin.verify(deep=True).is_intact

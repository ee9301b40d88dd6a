"""The formulas in docs/averages.md give what the store computes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bsv_store import Selection, Store, by_coordinate, create_store
from bsv_store.averaging.guide import tables, updated
from bsv_store.vocabulary import HEMISPHERE_RULES, HemisphereRule
from bsv_store_synthetic import SyntheticAtlas, SyntheticServer

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "averages.md").read_text(encoding="utf-8")
COMPARISONS = (DOCS / "comparisons.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("averages") / "store"
    with SyntheticServer(SyntheticAtlas(experiments=4)) as server, create_store(folder) as made:
        made.sync_structures(api_url=server.url)
        made.sync_experiments(api_url=server.url)
        made.sync_unionizes(api_url=server.url)
        for kind in ("projection_density", "injection_fraction", "data_mask"):
            made.fetch(Selection(), kind=kind, api_url=server.url)
        yield made


MASKS: dict[str, dict[str, Any]] = {
    "none": {},
    "masks": {"exclude_injection": True, "weight_by_data_mask": True},
    "overlap": {"exclude_injection": True, "weight_by": "injection_overlap"},
}


@pytest.mark.parametrize("masks", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("rule", HEMISPHERE_RULES)
def test_plain_numpy_gives_the_same_mean(store: Store, rule: HemisphereRule, masks: dict[str, Any]) -> None:
    names: dict[str, Any] = {}
    (snippet,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    exec(snippet, names)
    version = store.aggregate(
        Selection(),
        name="all",
        group_by=by_coordinate("AP", bins=2),
        normalize="injection_volume",
        hemisphere_rule=rule,
        **masks,
    )
    for group in version.groups:
        expected = names["group_mean"](store, version, group.number)
        np.testing.assert_allclose(version.mean[group.number], expected, rtol=1e-6, atol=1e-12)


def test_the_tables_are_current() -> None:
    for page in (PAGE, COMPARISONS):
        assert updated(page) == page, "run: python -m bsv_store.averaging.guide docs/averages.md docs/comparisons.md"
    assert all(f"<!-- table: {name} -->" in PAGE + COMPARISONS for name in tables())

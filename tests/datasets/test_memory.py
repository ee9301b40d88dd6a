"""Memory does not grow with the number of experiments: the whole atlas stays small."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.memory import ATLAS, AVERAGES, fill, measure

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("memory")]

# 200 groups are 960 MB of results, and the file is made in memory: that is bounded by the groups, and no less.
BOUND_MB = dict.fromkeys(AVERAGES, 400.0) | {"200 groups": 1000.0}


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with as many experiments as the atlas has, and volumes like the real ones."""
    if not Path("/proc/self/status").exists():
        pytest.skip("the largest resident memory is read from /proc, which is not here")
    folder = tmp_path_factory.mktemp("atlas")
    fill(folder, ATLAS)
    return folder / "store"


@pytest.mark.parametrize("what", AVERAGES)
def test_aggregating_the_whole_atlas_stays_small(atlas: Path, what: str) -> None:
    assert measure(atlas, what)["peak_mb"] < BOUND_MB[what]

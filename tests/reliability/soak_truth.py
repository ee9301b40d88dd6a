"""The right answers of the soak, computed before it starts from the synthetic atlas and on another store."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bsv_store import Selection, create_store
from bsv_store.vocabulary import VolumeKind
from bsv_store_synthetic import SyntheticAtlas, SyntheticServer

ATLAS: Final = SyntheticAtlas(experiments=8)
KINDS: Final[tuple[VolumeKind, ...]] = ("projection_density", "injection_density")
# Positions of the experiments of averages; the last experiment is excluded now and then.
SUBSETS: Final = ((0, 1), (1, 2, 3), (0, 4), (2, 5, 6), (3, 4, 5, 6), (0, 1, 2, 3, 4, 5, 6))
# What depends on when a row was stored.
_UNSTABLE = ("id",)


class Truth:
    """The right answers, stored in a folder.

    Parameters
    ----------
    folder : pathlib.Path
        See `write_truth`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        values: dict[str, Any] = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
        self.ids: list[int] = values["ids"]
        self.contents: list[str] = values["contents"]
        self.injected: list[tuple[str, list[int]]] = [(each[0], each[1]) for each in values["injected"]]
        self.unionize_sums = {int(key): (each[0], each[1]) for key, each in values["unionize_sums"].items()}
        self._unionizes = pd.read_pickle(folder / "unionizes.pkl")

    def subset(self, number: int) -> list[int]:
        """The experiments of an average."""
        return [self.ids[place] for place in SUBSETS[number]]

    def volume(self, experiment: int, kind: VolumeKind) -> NDArray[np.float32]:
        """The voxels of an experiment."""
        return _loaded(self._folder / f"{kind}-{experiment}.npy")

    def mean(self, number: int) -> NDArray[np.float32]:
        """The voxels of an average."""
        return _loaded(self._folder / f"mean-{number}.npy")

    def has_unionizes(self, ids: list[int], found: pd.DataFrame) -> bool:
        """Whether these are the unionize rows of some experiments, value for value."""
        expected = self._unionizes[self._unionizes["experiment_id"].isin(ids)]
        return bool(_comparable(found).equals(_comparable(expected)))


@lru_cache(maxsize=64)
def _loaded(path: Path) -> NDArray[np.float32]:
    found: NDArray[np.float32] = np.load(path, mmap_mode="r")
    return found


def _comparable(rows: pd.DataFrame) -> pd.DataFrame:
    rows = rows.drop(columns=[name for name in _UNSTABLE if name in rows])
    return rows.sort_values(list(rows.columns)).reset_index(drop=True)


def write_truth(folder: Path, server: SyntheticServer) -> None:
    """Compute the right answers, and make a cache folder of Brain Street View that can be adopted."""
    folder.mkdir(parents=True)
    ids = list(ATLAS.experiment_ids)
    for each in ids:
        for kind in KINDS:
            np.save(folder / f"{kind}-{each}.npy", ATLAS.volume(each, kind))
    for each in ids[:2]:
        cached = folder / "cache" / str(each)
        cached.mkdir(parents=True)
        (cached / "density.raw").write_bytes(ATLAS.volume(each).tobytes(order="F"))
    with create_store(folder / "store") as store:
        url = server.url
        store.sync_structures(api_url=url)
        store.sync_experiments(api_url=url)
        store.sync_unionizes(api_url=url)
        store.fetch(Selection(), api_url=url)
        contents = []
        for number, places in enumerate(SUBSETS):
            version = store.aggregate(Selection(ids=[ids[place] for place in places]), name="known")
            contents.append(version.content_sha256)
            mean = np.mean([ATLAS.volume(ids[place]).astype(np.float64) for place in places], axis=0)
            np.testing.assert_allclose(version.mean[0], mean, rtol=1e-6, atol=1e-12)
            np.save(folder / f"mean-{number}.npy", version.mean)
        unionizes = store.catalog.unionizes(Selection())
        unionizes.to_pickle(folder / "unionizes.pkl")
        sums = store.sql(
            "SELECT experiment_id, count(*) AS n, sum(projection_volume) AS total FROM unionize GROUP BY experiment_id"
        )
        acronyms = sorted({ATLAS.experiment(each).primary_structure_acronym for each in ids})
        injected = [(acronym, list(store.select(Selection(injected_in=acronym)))) for acronym in acronyms]
    values = {
        "ids": ids,
        "contents": contents,
        "injected": injected,
        "unionize_sums": {int(row.experiment_id): (int(row.n), float(row.total)) for row in sums.itertuples()},
    }
    (folder / "truth.json").write_text(json.dumps(values), encoding="utf-8")

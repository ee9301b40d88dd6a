"""A chain: Allen's (synthetic) servers, a store, a server, a second store, a server, a laptop. No bit may change.

Servers are killed at random times and started again, and files in the laptop's cache are damaged.
"""

from __future__ import annotations

import random
import socket
import threading
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from bsv_store import Selection, by_coordinate, by_field, create_store, open_store
from bsv_store.errors import BsvStoreWarning, SelectionError, StoreUnreachableError, UpstreamError
from bsv_store_synthetic import SyntheticAtlas, SyntheticServer
from tests.cli.interrupted import serve
from tests.processes import Child

if TYPE_CHECKING:
    from bsv_store import Store


@dataclass(frozen=True)
class Size:
    """How much passes through the chain."""

    experiments: int
    selections: int
    averages: int
    # Mean time between two deaths of a server.
    life_s: float
    damages: int


SMALL = Size(experiments=6, selections=25, averages=2, life_s=4.0, damages=2)
LARGE = Size(experiments=200, selections=1_000, averages=20, life_s=4.0, damages=60)


class MortalServer:
    """``bsv-store serve`` on a fixed port, killed at random times and started again."""

    def __init__(self, folder: Path, seed: int, life_s: float) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            self.port = taken.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.deaths = 0
        self._arguments = ("--store", folder, "serve", "--port", self.port)
        self._random = random.Random(seed)
        self._life_s = life_s
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._end.is_set():
            with Child(serve, self._arguments) as process:
                try:
                    _wait_until_ready(self.url, process)
                    if not self._end.wait(self._random.expovariate(1 / self._life_s)):
                        self.deaths += 1
                finally:
                    process.kill()

    def __enter__(self) -> MortalServer:
        self._thread.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._end.set()
        self._thread.join()


def _wait_until_ready(url: str, process: Child) -> None:
    while process.returncode is None:
        try:
            if requests.get(f"{url}/health", timeout=5).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.05)
    raise AssertionError(f"the server ended with {process.returncode}")


def _retried(step: Any, *arguments: Any, **options: Any) -> Any:
    """Call again, while the server is away or has just died."""
    for _ in range(200):
        try:
            with warnings.catch_warnings():
                # Of a server that cannot be reached.
                warnings.simplefilter("ignore", BsvStoreWarning)
                return step(*arguments, **options)
        except (UpstreamError, StoreUnreachableError):
            time.sleep(0.1)
    raise AssertionError(f"{step} failed 200 times")


def _fill(store: Store, url: str, count: int) -> None:
    """Bring a store to the state of the one behind an address, however often its server dies."""
    _retried(store.sync_structures, api_url=url)
    _retried(store.sync_experiments, api_url=url)
    _retried(store.sync_unionizes, api_url=url)
    _retried(store.sync_annotation, download_url=url)
    for _ in range(200):
        if len(store.select(Selection(with_volume="projection_density", with_unionizes=True))) == count:
            return
        _retried(store.fetch, store.select(), api_url=url)
        _retried(store.sync_unionizes, api_url=url)
    raise AssertionError("the store is still incomplete")


def _selections(atlas: SyntheticAtlas, count: int, seed: int) -> list[Selection]:
    """Questions of all kinds about the experiments of an atlas."""
    draw = random.Random(seed)
    acronyms = [structure.acronym for structure in atlas.structures]
    primaries = sorted({atlas.experiment(each).primary_structure_acronym for each in atlas.experiment_ids})
    made = []
    for _ in range(count):
        criteria: dict[str, Any] = {}
        if draw.random() < 0.4:
            criteria["injected_in"] = draw.sample(primaries, k=min(3, len(primaries)))
        if draw.random() < 0.3:
            criteria["line"] = draw.choice(["wild-type", "any-cre"])
        if draw.random() < 0.3:
            criteria["min_injection_volume"] = draw.random() * 0.3
        if draw.random() < 0.4:
            criteria |= {"projecting_to": draw.choice(acronyms), "target_threshold": draw.random() * 0.01}
        if draw.random() < 0.2:
            criteria["injected_hemisphere"] = draw.choice(["left", "right"])
        if draw.random() < 0.2:
            criteria |= {"near": [draw.uniform(3000, 9000), draw.uniform(1500, 5000), 7000.0], "radius_um": 3000.0}
        made.append(Selection(**criteria))
    return made


def _recipes(ids: tuple[int, ...], count: int, seed: int) -> list[dict[str, Any]]:
    draw = random.Random(seed)
    made = []
    for _ in range(count):
        made.append(
            {
                "selection": sorted(draw.sample(ids, k=draw.randint(2, min(len(ids), 12)))),
                "group_by": draw.choice([None, by_coordinate("AP", bins=2), by_field("sex")]),
                "normalize": draw.choice(["none", "injection_volume"]),
                "hemisphere_rule": draw.choice(["none", "subtract_contralateral", "fold_ipsilateral"]),
                "statistics": draw.choice(["mean", ["mean", "sd"], ["mean", "n"]]),
            }
        )
    return made


def _answer(store: Store, selection: Selection) -> object:
    """The ids, or why there is no answer, such as for a target that is not measured."""
    try:
        return store.select(selection)
    except SelectionError as error:
        return error.message


def _facts(store: Store, ids: tuple[int, ...], selections: list[Selection]) -> dict[str, Any]:
    """What readers of a store see, as hashes and values."""
    return {
        "selections": [_answer(store, each) for each in selections],
        "experiments": store.experiments().drop(columns=["source"], errors="ignore").to_json(),
        "unionizes": store.catalog.unionizes(ids[:20]).to_json(),
        "matrix": store.catalog.matrix().to_json(),
    }


def _volumes(store: Store, ids: tuple[int, ...]) -> list[str]:
    return [str(_retried(store.volumes.describe, each)["array_sha256"]) for each in ids]


def _damage(folder: Path, draw: random.Random) -> None:
    """Flip a bit of a cached file, or cut it."""
    files = sorted(each for each in (folder / "objects").rglob("*.h5") if each.stat().st_size)
    if not files:
        return
    file = draw.choice(files)
    data = bytearray(file.read_bytes())
    if draw.random() < 0.3:
        data = data[: draw.randrange(len(data))]
    else:
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    file.chmod(0o600)
    file.write_bytes(data)


@pytest.mark.parametrize(
    "size", [pytest.param(SMALL, id="small"), pytest.param(LARGE, id="large", marks=pytest.mark.long)]
)
def test_a_chain_of_stores_and_servers_passes_on_every_bit(
    size: Size, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setenv("BSV_STORE_CACHE", str(cache))
    atlas = SyntheticAtlas(experiments=size.experiments)
    ids = atlas.experiment_ids
    selections = _selections(atlas, size.selections, seed=1)
    recipes = _recipes(ids, size.averages, seed=2)
    with SyntheticServer(atlas) as allen, create_store(tmp_path / "a") as first:
        _fill(first, allen.url, len(ids))
    with MortalServer(tmp_path / "a", 3, size.life_s) as server, create_store(tmp_path / "b") as second:
        _fill(second, server.url, len(ids))
    with (
        open_store(tmp_path / "a") as first,
        open_store(tmp_path / "b") as second,
        MortalServer(tmp_path / "b", 4, size.life_s) as server,
        _retried(open_store, server.url) as laptop,
    ):
        expected = _facts(first, ids, selections)
        assert _facts(second, ids, selections) == expected
        assert _retried(_facts, laptop, ids, selections) == expected
        arrays = _volumes(first, ids)
        assert _volumes(second, ids) == arrays
        assert _volumes(laptop, ids) == arrays
        draw = random.Random(5)
        for number, recipe in enumerate(recipes):
            results = [store.aggregate(name=f"average-{number}", **recipe) for store in (first, second)]
            for _ in range(max(1, size.damages // len(recipes))):
                _damage(cache, draw)
            results.append(_retried(laptop.aggregate, name=f"local-{number}", **recipe))
            assert len({each.fingerprint for each in results}) == 1, recipe
            assert len({each.content_sha256 for each in results}) == 1, recipe
            means = [each.statistic("mean").tobytes() for each in results]
            assert means[1:] == means[:-1], recipe
        for _ in range(size.damages):
            _damage(cache, draw)
        assert _volumes(laptop, ids) == arrays
        assert server.deaths or size is SMALL

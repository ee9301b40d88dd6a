"""brainglobe-heatmap takes the values by region, and draws each where the annotation has it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bsv_store import create_store, reports, to_brainglobe
from bsv_store_synthetic import SyntheticAtlas, SyntheticServer
from tests.integration.environments import HEATMAP

pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")
pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("foreign")]

SCRIPT = Path(__file__).with_name("peer_heatmap.py")
STRUCTURES = ("SSp", "CP", "TH")
ROOT: dict[str, Any] = {
    "id": 997,
    "acronym": "root",
    "name": "root",
    "structure_id_path": [997],
    "rgb_triplet": [255, 255, 255],
}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, float], dict[str, Any]]:
    """The values, and the patches that were drawn for them."""
    if not HEATMAP.is_there:
        pytest.skip("brainglobe-heatmap has no environment here: `make test-integration` makes it, or says why not")
    folder = tmp_path_factory.mktemp("heatmap")
    with SyntheticServer(SyntheticAtlas(experiments=12)) as server, create_store(folder / "store") as store:
        store.sync_structures(api_url=server.url)
        store.sync_experiments(api_url=server.url)
        store.sync_annotation(download_url=server.url)
        store.sync_unionizes(api_url=server.url)
        found = reports.region_values(store, store.select(), structures=STRUCTURES, measure="projection_volume")
        ids = np.where(store.atlas.annotation() > 0, ROOT["id"], 0).astype(np.uint32)
        structures: list[dict[str, Any]] = [ROOT]
        for number, acronym in enumerate(STRUCTURES, 1):
            ids[store.atlas.mask(acronym)] = number
            structures.append(
                {**ROOT, "id": number, "acronym": acronym, "name": acronym, "structure_id_path": [997, number]}
            )
    largest = max(value for value in found.values() if isinstance(value, float))
    values = {acronym: value / largest for acronym, value in found.items() if isinstance(value, float)}
    np.save(folder / "annotation.npy", to_brainglobe(ids))
    (folder / "structures.json").write_text(json.dumps(structures))
    (folder / "values.json").write_text(json.dumps(values))
    (folder / "home").mkdir()
    done = subprocess.run(
        [HEATMAP.python, SCRIPT, folder],
        env={**os.environ, "HOME": str(folder / "home"), "MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    return values, json.loads((folder / "drawn.json").read_text())


def test_every_region_is_drawn_in_the_color_of_its_value(drawn: tuple[dict[str, float], dict[str, Any]]) -> None:
    values, found = drawn
    assert set(values) == set(STRUCTURES)
    for acronym in STRUCTURES:
        (patch,) = found["regions"][acronym]
        assert patch["color"][:3] == pytest.approx(found["colors"][acronym])
    # From white to dark red.
    lightness = {acronym: sum(color) for acronym, color in found["colors"].items()}
    assert sorted(values, key=values.__getitem__) == sorted(lightness, key=lightness.__getitem__, reverse=True)


def test_regions_lie_where_they_are(drawn: tuple[dict[str, float], dict[str, Any]]) -> None:
    regions = drawn[1]["regions"]
    middle = {acronym: np.mean([regions[acronym][0][end] for end in ("low", "high")], axis=0) for acronym in STRUCTURES}
    # From the midline: thalamus, caudoputamen, cortex; the cortex is the most dorsal.
    across = {acronym: abs(middle[acronym][0]) for acronym in STRUCTURES}
    assert across["TH"] < across["CP"] < across["SSp"]
    assert middle["SSp"][1] < min(middle["CP"][1], middle["TH"][1])

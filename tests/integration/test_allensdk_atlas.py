"""AllenSDK's look-ups, voxel counts, masks, labels and centroids beside ours, on the real ontology and annotation."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bsv_store import Store, create_store

from .environments import ALLENSDK

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("real-annotation")]

EXPERIMENT = 158375425


@dataclass(frozen=True)
class Peer:
    """Our store, and what AllenSDK says of the same data."""

    store: Store
    folder: Path
    found: dict[str, Any]


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Iterator[Peer]:
    if not ALLENSDK.is_there:
        pytest.skip("AllenSDK has no environment here: `make test-integration` makes it, or says why not")
    cache = data / "allensdk_cache"
    folder = tmp_path_factory.mktemp("allensdk_atlas")
    with create_store(folder / "store") as store:
        store.ingest_structures(cache / "structures.json")
        store.ingest_experiments(cache / "experiments.json")
        store.ingest_annotation(cache / "annotation/ccf_2017/annotation_25.nrrd")
        store.adopt(cache, experiment_ids=[EXPERIMENT])
        np.save(folder / "annotation.npy", store.atlas.annotation())
        np.save(folder / "injection_density.npy", store.volume(EXPERIMENT, kind="injection_density"))
        np.save(folder / "injection_fraction.npy", store.volume(EXPERIMENT, kind="injection_fraction"))
        script = Path(__file__).with_name("allensdk_atlas.py")
        done = subprocess.run(
            [ALLENSDK.python, script, cache / "structures.json", folder],
            env={name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        yield Peer(store, folder, json.loads((folder / "results.json").read_text()))


def test_structures_are_looked_up_alike(peer: Peer) -> None:
    atlas, found = peer.store.atlas, peer.found
    assert [row.acronym for row in atlas.structures([672, 385, 1, 672], by="id")] == found["by id"]
    assert [row.id for row in atlas.structures(["VISp", "CP", "VISp"], by="acronym")] == found["by acronym"]
    assert [row.id for row in atlas.structures(["Caudoputamen", "root"], by="name")] == found["by name"]
    assert atlas.acronym_map() == found["acronyms"]
    assert {str(key): name for key, name in atlas.name_map().items()} == found["names"]
    assert {str(key): list(color) for key, color in atlas.color_map().items()} == found["colors"]
    pairs = ((385, 669), (669, 385), (385, 385))
    assert [atlas.descends_from(*pair) for pair in pairs] == found["descends"]
    # It returns the structures that contain another one, we the pairs.
    assert sorted({pair.outer.id for pair in atlas.overlapping_structures([669, 385, 672])}) == found["overlaps"]


def test_voxels_are_counted_alike(peer: Peer) -> None:
    counts = peer.store.atlas.voxel_counts().set_index("structure_id")
    for name, column in (("total", "voxels"), ("direct", "direct_voxels")):
        theirs = {int(key): value for key, value in peer.found[name].items()}
        assert {key: theirs.get(key, 0) for key in counts.index} == counts[column].to_dict()
    mask = np.load(peer.folder / "mask.npy").astype(bool)
    ((row, ours),) = peer.store.atlas.masks([669])
    assert row.acronym == "VIS"
    np.testing.assert_array_equal(ours, mask)


def test_label_images_divide_the_brain_alike(peer: Peer, tmp_path: Path) -> None:
    written = peer.store.atlas.export_labels(tmp_path / "labels.npy")
    ours, theirs = np.load(written.image), np.load(peer.folder / "labels.npy")
    np.testing.assert_array_equal(ours > 0, theirs > 0)
    # One of our labels for each of theirs.
    pairs = np.unique(np.stack([ours.reshape(-1), theirs.reshape(-1)]), axis=1)
    assert np.unique(pairs[0]).size == np.unique(pairs[1]).size == pairs.shape[1]


def test_the_centroid_differs_by_half_a_voxel_and_the_weights(peer: Peer) -> None:
    (row,) = peer.store.volumes.injection_centroids([EXPERIMENT]).itertuples()
    ours = np.array([row.centroid_ap, row.centroid_dv, row.centroid_ml])
    # It takes the lower corners of voxels, and weights by density times fraction, although the density counts only the
    # part of a voxel inside the injection.
    weight = np.load(peer.folder / "injection_density.npy").astype(float)
    weight *= np.load(peer.folder / "injection_fraction.npy")
    inner = np.argwhere(weight > 0).T @ weight[weight > 0] / weight.sum() * 100
    np.testing.assert_allclose(peer.found["centroid"], inner, rtol=1e-6)
    assert np.abs(ours - 50 - inner).max() < 100

"""Stores that know a synthetic atlas, and AllenSDK caches with right and wrong volumes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bsv_store.vocabulary import VolumeKind
from bsv_store_synthetic import SyntheticAtlas, wire, wire_volumes

if TYPE_CHECKING:
    from bsv_store import Store

ATLAS = SyntheticAtlas(experiments=12)
Array = NDArray[np.float32]


def fill_catalog(store: Store, folder: Path, *, tables: tuple[int, ...] = (), annotation: bool = False) -> None:
    """Ingest structures and experiments, the unionize tables of some, and the annotation."""
    cache = folder / f"catalog-{len(tables)}-{annotation}"
    cache.mkdir()
    (cache / "structures.json").write_text(json.dumps(wire.structure_rows(structure_sets=True)))
    rows = [row for i in ATLAS.experiment_ids for row in wire.connectivity_rows(ATLAS.experiment(i))]
    (cache / "experiments.json").write_text(json.dumps(rows))
    if annotation:
        (cache / "annotation_100.nrrd").write_bytes(wire_volumes.annotation_nrrd(100))
    report = store.adopt(cache)
    assert not report.refused
    for i in tables:
        add_table(store, folder, i)


def add_table(store: Store, folder: Path, experiment_id: int) -> None:
    """Ingest the unionize table of an experiment."""
    file = folder / f"{experiment_id}.json"
    rows = wire.unionize_rows(ATLAS, experiment_id)
    file.write_text(json.dumps({"success": True, "id": 0, "msg": rows, "num_rows": len(rows), "start_row": 0}))
    store.ingest_unionizes(file)


def write_cache(
    folder: Path, experiment_id: int, volumes: Mapping[str, Array], *, spacing_um: int = 100, dtype: Any = "f4"
) -> Path:
    """An AllenSDK cache with these volumes of one experiment, by kind."""
    own = folder / f"experiment_{experiment_id}"
    own.mkdir(parents=True)
    for kind, array in volumes.items():
        (own / f"{kind}_{spacing_um}.nrrd").write_bytes(wire_volumes.nrrd(array, spacing_um, dtype=dtype))
    return folder


def true_volume(experiment_id: int, kind: VolumeKind = "projection_density") -> Array:
    return ATLAS.volume(experiment_id, kind)


def mirrored(array: Array) -> Array:
    return np.ascontiguousarray(array[..., ::-1])


def lateral(side: str) -> int:
    """An experiment with one injection, far from the midline."""
    for i in ATLAS.experiment_ids:
        one = ATLAS.experiment(i)
        if one.injected_hemisphere == side and min(one.injection_volumes) == 0 and abs(one.injection_ml - 5700) > 1500:
            return i
    raise AssertionError(f"no experiment is injected far on the {side}")

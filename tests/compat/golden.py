"""The golden experiments as a Brain Street View cache and as a store."""

from __future__ import annotations

import csv
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bsv_store import Store


def make_bsv_cache(golden: Path, folder: Path) -> Path:
    """Write what Brain Street View would have cached after downloading the golden experiments."""
    for source in sorted((golden / "wire").iterdir()):
        target = folder / source.name
        target.mkdir(parents=True)
        if (source / "density.zip").exists():
            with zipfile.ZipFile(source / "density.zip") as archive:
                (target / "density.raw").write_bytes(archive.read("density.raw"))
        if (source / "unionize.json").exists():
            inside = [
                {**row, "experimentID": int(source.name)} for row in wire_injection_rows(golden, int(source.name))
            ]
            (target / "injectionSummary_all.json").write_text(json.dumps(inside))
    return folder


def wire_injection_rows(golden: Path, experiment_id: int) -> list[dict[str, Any]]:
    """The rows inside the injection, as the API would send them."""
    rows = json.loads((golden / "wire" / str(experiment_id) / "unionize.json").read_text())["msg"]
    return [row for row in rows if row["is_injection"]]


def fill_catalog(store: Store, data: Path) -> Store:
    """Take in the real ontology and the real CSV catalog."""
    store.ingest_structures(data / "allensdk_cache" / "structures.json")
    store.ingest_experiments(data / "allenAtlasProjection_info.csv")
    return store


def cases(golden: Path) -> dict[str, dict[str, Any]]:
    """Experiment ids and arguments of each case."""
    found: dict[str, dict[str, Any]] = json.loads((golden / "expected" / "cases.json").read_text())["cases"]
    return found


def wire_volume(golden: Path, experiment_id: int) -> NDArray[np.float64]:
    """The density grid as it came over the wire, float64, axes [ap, dv, ml]."""
    with zipfile.ZipFile(golden / "wire" / str(experiment_id) / "density.zip") as archive:
        flat = np.frombuffer(archive.read("density.raw"), "<f4")
    return flat.reshape((132, 80, 114), order="F").astype(np.float64)


def wire_root(golden: Path, experiment_id: int) -> dict[int, float]:
    """Injection volume by hemisphere id."""
    rows = json.loads((golden / "wire" / str(experiment_id) / "unionize.json").read_text())["msg"]
    return {
        row["hemisphere_id"]: row["projection_volume"]
        for row in rows
        if row["is_injection"] and row["structure_id"] == 997
    }


def reference(golden: Path, groups: list[list[int]], *, normalize: bool) -> NDArray[np.float64]:
    """Contralateral subtraction volume by volume, on the side with the larger injection."""
    result = np.zeros((132, 80, 114, len(groups)))
    for number, members in enumerate(groups):
        for experiment_id in members:
            root = wire_root(golden, experiment_id)
            volume = wire_volume(golden, experiment_id) / (root[3] if normalize else 1.0)
            difference = volume - volume[:, :, ::-1]
            if root.get(1, 0.0) > root.get(2, 0.0):
                difference[:, :, 57:] = 0
            else:
                difference[:, :, :57] = 0
            result[..., number] += difference / len(members)
    return result


def listed_volume(data: Path, experiment_id: int) -> float:
    """Injection volume of an experiment in the real list, mm3."""
    with (data / "allenAtlasProjection_info.csv").open(newline="") as file:
        return next(float(row["injection-volume"]) for row in csv.DictReader(file) if int(row["id"]) == experiment_id)


def structure_of(data: Path) -> dict[int, str]:
    """Acronym of the primary structure by experiment id, from the real list."""
    with (data / "allenAtlasProjection_info.csv").open(newline="") as file:
        return {int(row["id"]): row["structure-abbrev"] for row in csv.DictReader(file)}

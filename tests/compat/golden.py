"""The golden experiments as a Brain Street View cache and as a store."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

from bsv_store.store import Store


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

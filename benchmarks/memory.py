"""Peak memory of averages over many experiments: ``python -m benchmarks.memory [--experiments N]``.

A few generated volumes are published once and linked for many experiments, because generating distinct ones would take
an hour. Reading and adding linked volumes costs the same.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.generate import FIRST_ID, Volumes, make_lists, write_catalog
from benchmarks.ours import peak_mb
from bsv_store import Selection, Store, by_coordinate, create_store, open_store
from bsv_store.catalog.ingest import ingest_unionizes
from bsv_store.catalog.records import ROOT_STRUCTURE_ID, UNIONIZE_FIELDS, UnionizeTable
from bsv_store.catalog.volumes import record_volume
from bsv_store.volumes.library import publish_volume
from bsv_store.volumes.volume import Volume

ATLAS = 2_917
DISTINCT = 12
CHECKOUT = Path(__file__).resolve().parents[1]

AVERAGES: dict[str, dict[str, Any]] = {
    "one group": {},
    "5 groups, normalized, subtracted": {
        "bins": 5,
        "normalize": "injection_volume",
        "hemisphere_rule": "subtract_contralateral",
    },
    "5 groups, all statistics": {"bins": 5, "statistics": ("mean", "sd", "sem", "min", "max", "n")},
    "200 groups": {"bins": 200},
}


def fill(folder: Path, experiments: int) -> None:
    """Create a store with this number of experiments, their root injection rows and their volumes."""
    with create_store(folder / "store") as store:
        make_lists(store, folder, write_catalog(folder / "catalog.csv", experiments))
        _add_injections(store, experiments)
        _add_volumes(store, experiments)


def _add_injections(store: Store, experiments: int) -> None:
    ids = np.repeat(FIRST_ID + np.arange(experiments), 2)
    values = {
        "experiment_id": ids,
        "structure_id": np.full(ids.size, ROOT_STRUCTURE_ID),
        "hemisphere_id": np.tile([2, 3], experiments),
        "is_injection": np.ones(ids.size),
        "id": np.arange(1, ids.size + 1),
        "projection_volume": np.full(ids.size, 0.2),
    }
    columns = {
        name: np.asarray(values.get(name, np.zeros(ids.size))).astype(dtype) for _, name, dtype in UNIONIZE_FIELDS
    }
    table = UnionizeTable(columns, frozenset({"injection"}))
    # The volumes are made up, so they differ from those of the list.
    ingest_unionizes(store.database, table, source="made up", kind="file", replace=True)


def _add_volumes(store: Store, experiments: int) -> None:
    volumes = Volumes()
    published = [
        publish_volume(
            store.files,
            Volume("projection_density", volumes.volume(number)),
            experiment_id=FIRST_ID + number,
            source="made up",
        )
        for number in range(min(DISTINCT, experiments))
    ]
    with store.database.writing() as connection:
        for number in range(experiments):
            original = published[number % len(published)]
            name = original.path.replace(str(original.experiment_id), str(FIRST_ID + number))
            if number >= len(published):
                os.link(store.path / original.path, store.path / name)
            record_volume(connection, replace(original, experiment_id=FIRST_ID + number, path=name))


def aggregate(store: Store, what: str) -> int:
    """Compute one of the averages; returns its number of groups."""
    parts = dict(AVERAGES[what])
    bins = parts.pop("bins", None)
    grouping = None if bins is None else by_coordinate("AP", bins=bins)
    version = store.aggregate(Selection(), name="memory", group_by=grouping, **parts)
    assert version.was_computed
    return len(version.groups)


def measure(store: Path, what: str) -> dict[str, Any]:
    """Number of groups and peak resident memory (MB) of a separate process that computes one average."""
    command = [sys.executable, "-m", "benchmarks.memory", "--store", str(store), "--average", what]
    path = os.pathsep.join([str(CHECKOUT), str(CHECKOUT / "cli"), str(CHECKOUT / "synthetic")])
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--experiments", type=int, default=ATLAS)
    parser.add_argument("--store", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--average", choices=list(AVERAGES), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.average:
        with open_store(arguments.store) as store:
            groups = aggregate(store, arguments.average)
        print(json.dumps({"groups": groups, "peak_mb": peak_mb()}))
        return
    with tempfile.TemporaryDirectory(prefix="bsv-benchmark-") as folder:
        fill(Path(folder), arguments.experiments)
        for what in AVERAGES:
            found = measure(Path(folder) / "store", what)
            print(f"{arguments.experiments:,} experiments, {what}: {found['groups']} groups, {found['peak_mb']:.0f} MB")


if __name__ == "__main__":
    main()

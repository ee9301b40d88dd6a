"""Benchmarks of the catalog at the size of the atlas: loading, searches, the matrix, and one command as a process.

``python -m benchmarks.catalog [--full] [--databases sqlite,postgres]``
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.catalog_data import FIRST_EXPERIMENT, UNIONIZE_SET, fill_lists, fill_unionizes
from bsv_store import Selection, Store, create_store
from bsv_store.catalog.database.bulk import refresh_statistics_after

FULL, SMALL = 2_917, 100
CHECKOUT = Path(__file__).resolve().parents[1]
_REPEATS = 5

Results = dict[str, dict[str, float]]


def run(*, full: bool = False, databases: tuple[str, ...] = ("sqlite", "postgres")) -> dict[str, Results]:
    """Results by database and task: wall and CPU seconds of this process (``wall_s``, ``cpu_s``), rates, sizes."""
    return {kind: _run_on(kind, FULL if full else SMALL) for kind in databases}


def _run_on(kind: str, experiments: int) -> Results:
    with tempfile.TemporaryDirectory(prefix="bsv-benchmark-") as folder, database(kind) as url:
        with create_store(Path(folder) / "store", database=url) as store:
            results = _load(store, experiments)
            results.update(_query(store))
        results["select as a process"] = _process(Path(folder) / "store")
    # Peak memory of this process so far, loading included.
    results["memory"] = {"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
    return results


@contextmanager
def database(kind: str) -> Iterator[str | None]:
    """The URL of a new database on a temporary server; None for SQLite."""
    if kind == "sqlite":
        yield None
        return
    from tests.postgres import PostgresServer

    with PostgresServer() as server:
        yield server.create_database("benchmark")


def _load(store: Store, experiments: int) -> Results:
    fill_lists(store.database, experiments)
    loaded = fill_unionizes(store.database, experiments)
    start = time.perf_counter()
    refresh_statistics_after(store.database, loaded.rows)
    analyzed = time.perf_counter() - start
    return {
        "load": {
            "rows": loaded.rows,
            "wall_s": loaded.wall_s,
            "cpu_s": loaded.cpu_s,
            "rows_per_s": loaded.rows / loaded.wall_s,
            "rows_per_cpu_s": loaded.rows / loaded.cpu_s,
        },
        "statistics": {"wall_s": analyzed},
    }


def _query(store: Store) -> Results:
    catalog = store.catalog
    tasks: dict[str, Callable[[], Any]] = {
        "source search": lambda: store.search.sources("S9"),
        "target search": lambda: store.search.targets("S200", threshold=0.01),
        "target search, density, ipsilateral": lambda: store.search.targets(
            "S200", measure="projection_density", threshold=0.9, hemisphere="ipsilateral"
        ),
        "injection search": lambda: store.search.injections((8000, 1500, 8500), limit=50),
        "correlation search": lambda: store.search.correlation(FIRST_EXPERIMENT, limit=50),
        "select by target": lambda: store.select(Selection(projecting_to="S200", target_threshold=0.01)),
        "matrix, all sources x 840": lambda: catalog.matrix(
            structure_set=UNIONIZE_SET, hemisphere="both", measure="projection_volume"
        ),
        "matrix, all sources x 316 x 2 sides": lambda: catalog.matrix(),
        "target search, SQL": lambda: store.sql(
            "SELECT experiment_id FROM unionize WHERE structure_id = 10200 AND is_injection = FALSE"
            " AND hemisphere_id = 3 AND projection_volume > 0.05"
        ),
    }
    return {name: _timed(task) for name, task in tasks.items()}


def _timed(task: Callable[[], Any]) -> dict[str, float]:
    """The best of several runs, after one that fills the caches."""
    task()
    best: dict[str, float] = {}
    for _ in range(_REPEATS):
        wall, cpu = time.perf_counter(), time.process_time()
        task()
        spent = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
        best = {name: min(value, best.get(name, value)) for name, value in spent.items()}
    return best


def _process(store: Path) -> dict[str, float]:
    path = os.pathsep.join([str(CHECKOUT), str(CHECKOUT / "cli"), str(CHECKOUT / "synthetic")])
    command = [sys.executable, "-m", "bsv_store_cli.main", "--store", str(store)]
    command += ["select", "--injected-in", "S9", "--ids-only"]

    def once() -> None:
        subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, check=True, capture_output=True)

    return {"wall_s": _timed(once)["wall_s"]}


def table(results: dict[str, Results]) -> str:
    """The results as text."""
    lines = [f"{'database':<10}{'task':<40}figures"]
    for kind, tasks in results.items():
        for task, figures in tasks.items():
            shown = ", ".join(f"{name} {value:,.4g}" for name, value in figures.items())
            lines.append(f"{kind:<10}{task:<40}{shown}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help=f"{FULL:,} experiments instead of {SMALL}")
    parser.add_argument("--databases", default="sqlite,postgres")
    arguments = parser.parse_args()
    print(table(run(full=arguments.full, databases=tuple(arguments.databases.split(",")))))


if __name__ == "__main__":
    main()

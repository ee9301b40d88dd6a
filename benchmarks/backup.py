"""The database part of backups: ``python -m benchmarks.backup [--full] [--databases sqlite,postgres]``.

The store has no volumes, so only the database is copied: a first snapshot, a second one of the unchanged store, and a
restored store. On Postgres, CPU times do not include the server's part. Memory is the peak of the process up to the end
of the task.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.catalog import FULL, SMALL, Results, database, table
from benchmarks.catalog_data import fill_lists, fill_unionizes
from benchmarks.notes import note
from bsv_store import create_store
from bsv_store.catalog.database.bulk import refresh_statistics_after
from bsv_store.store.restoring import restore_store


def run(*, full: bool = False, databases: tuple[str, ...] = ("sqlite", "postgres")) -> dict[str, Results]:
    """Results by database and task: seconds (``wall_s``, ``cpu_s``), and the size of the database or its copies."""
    return {kind: _run_on(kind, FULL if full else SMALL) for kind in databases}


def _run_on(kind: str, experiments: int) -> Results:
    with tempfile.TemporaryDirectory(prefix="bsv-benchmark-") as name, database(kind) as url:
        folder = Path(name)
        target = folder / "backups"
        results: Results = {}
        with create_store(folder / "store", database=url) as store:
            note(f"{experiments:,} experiments on {kind}")
            fill_lists(store.database, experiments)
            rows = fill_unionizes(store.database, experiments).rows
            refresh_statistics_after(store.database, rows)
            results["filled"] = {"rows": rows, "peak_mb": _peak_mb()}
            back_up = partial(store.admin.backup, target)
            for task in ("first backup", "unchanged since the last backup"):
                results[task] = _timed(back_up)
                results[task]["target_mb"] = sum(path.stat().st_size for path in target.rglob("*")) / 1e6
        results["restore to SQLite"] = _timed(partial(restore_store, target, folder / "restored"))
        return results


def _timed(task: Callable[[], object]) -> dict[str, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    task()
    return {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu, "peak_mb": _peak_mb()}


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.backup", description=__doc__)
    parser.add_argument("--full", action="store_true", help=f"{FULL:,} experiments instead of {SMALL}")
    parser.add_argument("--databases", default="sqlite,postgres")
    arguments = parser.parse_args()
    print(table(run(full=arguments.full, databases=tuple(arguments.databases.split(",")))))


if __name__ == "__main__":
    main()

"""The speed of verifying a store, beside reading and hashing the same bytes: ``python -m benchmarks.verify [--full]``.

The files are in the page cache for all tasks, so the ratios are those of the work, not of the disk. Each round measures
all tasks one after the other, because other programs use the machine; the best time of each counts. The floor is
`hashlib.sha256` over each file, with nothing checked and no database. Ratios are of CPU seconds with one thread, which
other programs affect least. "files" is a deep verification of the files alone: the time of one that reads the files but
not the unionize tables, less that of one that has nothing left to read.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from pathlib import Path

from sqlalchemy import delete

from benchmarks.generate import Volumes, make_store, write_cache, write_catalog
from benchmarks.notes import note
from bsv_store import Store, open_store
from bsv_store.catalog.database.models import Verification

SMALL, FULL = 100, 1_000
_ROUNDS = 5

FLOOR = "read and hash"
WHOLE = "verify --deep"
REST = "verify --deep, nothing left to read"
FILES = "verify --deep, files"

Results = dict[str, dict[str, float]]


def run(*, full: bool = False) -> Results:
    """Seconds, and for deep tasks the speed relative to reading and hashing."""
    count = FULL if full else SMALL
    folder = Path(tempfile.mkdtemp(prefix="bsv-benchmark-"))
    try:
        note(f"a store of {count:,} experiments")
        cache = write_cache(folder / "cache", count, Volumes())
        make_store(folder / "store", cache, write_catalog(folder / "list.csv", count))
        shutil.rmtree(cache)
        with open_store(folder / "store") as store:
            return _measured(store, count)
    finally:
        shutil.rmtree(folder)


def _measured(store: Store, count: int) -> Results:
    threads = min(4, os.cpu_count() or 1)
    paths = sorted(path for name in ("volumes", "datasets") for path in (store.path / name).rglob("*.*"))
    size_bytes = sum(path.stat().st_size for path in paths)
    deep = partial(store.admin.verify, deep=True, workers=1)

    def verify_files() -> object:
        _forget_files(store)
        return deep(since=timedelta(days=1))

    tasks: dict[str, Callable[[], object]] = {
        FLOOR: lambda: _hash_all(paths, 1),
        WHOLE: deep,
        # What the run before has verified is skipped.
        REST: partial(deep, since=timedelta(days=1)),
        FILES: verify_files,
        f"read and hash, {threads} threads": lambda: _hash_all(paths, threads),
        f"verify --deep, {threads} threads": partial(deep, workers=threads),
        "verify": store.admin.verify,
    }
    wall, cpu = dict.fromkeys(tasks, float("inf")), dict.fromkeys(tasks, float("inf"))
    for _ in range(_ROUNDS):
        for name, task in tasks.items():
            _measure(name, task, wall, cpu)
    _measure("verify --decode", partial(store.admin.verify, decode=True, workers=threads), wall, cpu)
    wall[FILES], cpu[FILES] = wall[FILES] - wall[REST], cpu[FILES] - cpu[REST]
    results: Results = {}
    for name in wall:
        results[name] = {"experiments": count, "size_bytes": size_bytes, "wall_s": wall[name], "cpu_s": cpu[name]}
    for name in (WHOLE, FILES):
        results[name]["relative_speed"] = cpu[FLOOR] / cpu[name]
    return results


def _measure(name: str, task: Callable[[], object], wall: dict[str, float], cpu: dict[str, float]) -> None:
    start = time.perf_counter(), time.process_time()
    task()
    wall[name] = min(wall.get(name, float("inf")), time.perf_counter() - start[0])
    cpu[name] = min(cpu.get(name, float("inf")), time.process_time() - start[1])


def _forget_files(store: Store) -> None:
    with store.database.writing() as connection:
        connection.execute(delete(Verification).where(Verification.object_key.like("volume/%")))


def _hash_all(paths: list[Path], threads: int) -> None:
    if threads == 1:
        for path in paths:
            hashlib.sha256(path.read_bytes()).hexdigest()
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda path: hashlib.sha256(path.read_bytes()).hexdigest(), paths))


def table(results: Results) -> str:
    """The results as a Markdown table."""
    lines = ["| task | experiments | s | CPU s | relative to reading and hashing |", "|---|---|---|---|---|"]
    for name, values in results.items():
        relative = f"{values['relative_speed']:.0%}" if "relative_speed" in values else ""
        lines.append(
            f"| {name} | {values['experiments']:,.0f} | {values['wall_s']:.2f} | {values['cpu_s']:.2f} | {relative} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.verify", description=__doc__)
    parser.add_argument("--full", action="store_true", help="1,000 experiments instead of 100")
    print(table(run(full=parser.parse_args().full)))


if __name__ == "__main__":
    main()

"""The speed of verifying a store, beside reading and hashing the same bytes: ``python -m benchmarks.verify [--full]``.

The files are in the page cache for all tasks, so the ratios are those of the work, not of the disk. Each round measures
all tasks one after the other, because other programs use the machine; the best time of each counts. The floor is
`hashlib.sha256` over each file, by the same number of threads, with nothing checked and no database.
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
from pathlib import Path

from benchmarks.generate import Volumes, make_store, write_cache, write_catalog
from benchmarks.notes import note
from bsv_store import Store, open_store

SMALL, FULL = 100, 1_000
_ROUNDS = 5

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
    tasks: dict[str, Callable[[], object]] = {
        "read and hash, 1 thread": lambda: _hash_all(paths, 1),
        "verify --deep, 1 thread": lambda: store.admin.verify(deep=True, workers=1),
        f"read and hash, {threads} threads": lambda: _hash_all(paths, threads),
        f"verify --deep, {threads} threads": lambda: store.admin.verify(deep=True, workers=threads),
        "verify": store.admin.verify,
    }
    best = dict.fromkeys(tasks, float("inf"))
    for _ in range(_ROUNDS):
        for name, task in tasks.items():
            start = time.perf_counter()
            task()
            best[name] = min(best[name], time.perf_counter() - start)
    start = time.perf_counter()
    store.admin.verify(decode=True, workers=threads)
    best["verify --decode"] = time.perf_counter() - start
    results: Results = {}
    for name, seconds in best.items():
        results[name] = {"experiments": count, "size_bytes": size_bytes, "seconds": seconds}
    for each in ("1 thread", f"{threads} threads"):
        floor = best[f"read and hash, {each}"]
        results[f"verify --deep, {each}"]["relative_speed"] = floor / best[f"verify --deep, {each}"]
    return results


def _hash_all(paths: list[Path], threads: int) -> None:
    if threads == 1:
        for path in paths:
            hashlib.sha256(path.read_bytes()).hexdigest()
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda path: hashlib.sha256(path.read_bytes()).hexdigest(), paths))


def table(results: Results) -> str:
    """The results as a Markdown table."""
    lines = ["| task | experiments | s | GB/s | relative to reading and hashing |", "|---|---|---|---|---|"]
    for name, values in results.items():
        rate = values["size_bytes"] / values["seconds"] / 1e9
        relative = f"{values['relative_speed']:.0%}" if "relative_speed" in values else ""
        shown = f"{rate:.2f}" if name != "verify" else ""
        lines.append(f"| {name} | {values['experiments']:,.0f} | {values['seconds']:.2f} | {shown} | {relative} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.verify", description=__doc__)
    parser.add_argument("--full", action="store_true", help="1,000 experiments instead of 100")
    print(table(run(full=parser.parse_args().full)))


if __name__ == "__main__":
    main()

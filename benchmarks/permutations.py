"""Permutation tests of all voxels, beside matrix products and a loop: ``python -m benchmarks.permutations [--full]``.

300 animals, 100 of them in the first group. The values are dense, which is the slowest case, or as sparse as real
volumes: voxels in which few animals have signal. The bare product is that of as many relabelings with as many voxels,
in blocks of the same size; the loop is NumPy's mean and variance of the two groups, timed for a few relabelings. All
use one BLAS thread at a time where threadpoolctl is installed. Memory is measured in a process of its own, and includes
the values.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.ours import peak_mb
from bsv_store.statistics import compare_voxels
from bsv_store.statistics.extra import one_blas_thread

CHECKOUT = Path(__file__).resolve().parents[1]
ANIMALS = 300
SMALL = (20_000, 1_000)
# Voxels and relabelings: about half of the voxels of the brain at 100 um, and all of them.
FULL = ((226_000, 10_000), (500_000, 10_000))
_LOOPED = 3
_BLOCK = (240, 4096)

Results = dict[str, dict[str, float]]


def run(*, full: bool) -> Results:
    """Seconds, ratios and memory, by the number of voxels and the test."""
    found: Results = {}
    for voxels, permutations in FULL if full else (SMALL,):
        command = [sys.executable, "-m", "benchmarks.permutations", "--child", str(voxels), str(permutations)]
        done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True)
        found |= json.loads(done.stdout.splitlines()[-1])
    return found


def _measured(voxels: int, permutations: int) -> Results:
    values, in_a = _values(voxels), np.arange(ANIMALS) % 3 == 0
    covariate = np.random.default_rng(1).normal(size=(ANIMALS, 1))
    product = _timed(lambda: _product(values, permutations))
    looped = _timed(lambda: _loop(values, in_a, _LOOPED))
    looped = {name: seconds * permutations / _LOOPED for name, seconds in looped.items()}
    name = f"{voxels:,} voxels, {permutations:,} relabelings"
    found = {f"{name}: bare product": product, f"{name}: loop": looped}
    tests: dict[str, dict[str, Any]] = {
        "student": {},
        "welch": {"statistic": "welch"},
        "one covariate": {"covariates": covariate},
    }
    for what, options in tests.items():
        Path("/proc/self/clear_refs").write_text("5")
        times = _timed(partial(compare_voxels, values, in_a, seed=1, permutations=permutations, **options))
        found[f"{name}: {what}"] = _with_ratios(times, product, looped)
    values *= (
        np.random.default_rng(2).random(values.shape, np.float32) < np.linspace(0, 1, voxels, dtype=np.float32) ** 6
    )
    Path("/proc/self/clear_refs").write_text("5")
    times = _timed(lambda: compare_voxels(values, in_a, seed=1, permutations=permutations))
    found[f"{name}: student, sparse"] = _with_ratios(times, product, looped)
    return found


def _with_ratios(times: dict[str, float], product: dict[str, float], looped: dict[str, float]) -> dict[str, float]:
    return {
        **times,
        "peak_mb": peak_mb(),
        "cpu_to_product": times["cpu_s"] / product["cpu_s"],
        "loop_to_cpu": looped["cpu_s"] / times["cpu_s"],
    }


def _values(voxels: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).random((ANIMALS, voxels), np.float32)


def _timed(task: Callable[[], Any]) -> dict[str, float]:
    start, cpu = time.perf_counter(), time.process_time()
    task()
    return {"wall_s": time.perf_counter() - start, "cpu_s": time.process_time() - cpu}


def _product(values: NDArray[np.float32], permutations: int) -> None:
    rows, columns = _BLOCK
    labels = np.random.default_rng(3).random((rows, ANIMALS), np.float32)
    with one_blas_thread():
        for first in range(0, values.shape[1], columns):
            part = np.ascontiguousarray(values[:, first : first + columns])
            for start in range(0, permutations, rows):
                labels[: permutations - start] @ part


def _loop(values: NDArray[np.float32], in_a: NDArray[np.bool_], permutations: int) -> None:
    random = np.random.default_rng(4)
    with one_blas_thread():
        for _ in range(permutations):
            labels = random.permutation(in_a)
            a, b = values[labels], values[~labels]
            pooled = a.var(axis=0) * len(a) + b.var(axis=0) * len(b)
            np.abs((a.mean(axis=0) - b.mean(axis=0)) / np.sqrt(pooled)).max()


def table(results: Results) -> str:
    """The results as text."""
    lines = [f"{'permutation tests':<58}figures"]
    for what, figures in results.items():
        lines.append(f"{what:<58}{', '.join(f'{name} {value:,.3g}' for name, value in figures.items())}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="all voxels of the brain, and 10,000 relabelings")
    parser.add_argument("--child", type=int, nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child is not None:
        print(json.dumps(_measured(*arguments.child)))
    else:
        print(table(run(full=arguments.full)))


if __name__ == "__main__":
    main()

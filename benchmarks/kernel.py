"""The inner loop of averages at 100 um, beside simple loops: ``python -m benchmarks.kernel [--real FILE]``.

CPU milliseconds per volume of adding volumes in memory to one sum, and of reading and hashing their bytes. The volumes
are scattered voxels, generated blobs, and with ``--real`` copies of a real volume, which have its clustering. The loop
of Numba is measured if Numba is installed, that of bsv-store-fast if it is; all sums are compared to the last bit.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from benchmarks.generate import GRID, ScatteredVolumes, Volumes, VolumeSource, WarpedVolumes
from bsv_store.averaging.kernel import compiled
from bsv_store.averaging.kernel.scatter import Part, add_parts

COUNT = 24
_REPEATS = 15
_DIVISOR = 0.3

Listed = tuple[NDArray[np.uint32], NDArray[np.float32]]
Loop = Callable[[Sequence[Listed], NDArray[np.float64]], None]


def run(real: Path | None = None) -> dict[str, dict[str, float]]:
    """Milliseconds per volume, by input and loop."""
    sources: dict[str, VolumeSource] = {"scattered": ScatteredVolumes(), "blobs": Volumes()}
    if real is not None:
        sources["real, warped"] = WarpedVolumes(real, mirror=True)
    return {
        what: _measured([_listed(source.volume(number)) for number in range(COUNT)]) for what, source in sources.items()
    }


def _listed(volume: NDArray[np.float32]) -> Listed:
    flat = volume.reshape(-1)
    index = np.flatnonzero(flat).astype(np.uint32)
    return index, flat[index]


def _measured(volumes: list[Listed]) -> dict[str, float]:
    loops: dict[str, Loop] = {"hash": _hash, "NumPy": _with_numpy, "take, add, put": _take_put}
    if compiled.loops is not None:
        loops["bsv-store-fast"] = _ours
    if (numba_loop := _numba()) is not None:
        loops["Numba"] = numba_loop
    found: dict[str, list[float]] = {name: [] for name in loops}
    sums: dict[str, NDArray[np.float64]] = {}
    for _ in range(_REPEATS):
        for name, loop in loops.items():
            # Written once, so that the loops do not wait for memory.
            sums[name] = np.full(GRID.size, 0.0)
            start = time.process_time()
            loop(volumes, sums[name])
            found[name].append(1e3 * (time.process_time() - start) / len(volumes))
    for name in loops:
        assert name == "hash" or np.array_equal(sums[name], sums["NumPy"]), f"{name} gives other bits"
    voxels = sum(index.size for index, _ in volumes) / len(volumes)
    return {"voxels": voxels, **{name: min(times) for name, times in found.items()}}


def _hash(volumes: Sequence[Listed], _total: NDArray[np.float64]) -> None:
    for index, values in volumes:
        xxhash.xxh3_128_digest(index.data)
        xxhash.xxh3_128_digest(values.data)


def _ours(volumes: Sequence[Listed], total: NDArray[np.float64]) -> None:
    add_parts([Part(total, index, values, _DIVISOR) for index, values in volumes])


def _with_numpy(volumes: Sequence[Listed], total: NDArray[np.float64]) -> None:
    loops, compiled.loops = compiled.loops, None
    try:
        _ours(volumes, total)
    finally:
        compiled.loops = loops


def _take_put(volumes: Sequence[Listed], total: NDArray[np.float64]) -> None:
    for index, values in volumes:
        places = index.astype(np.intp)
        part = total.take(places)
        part += np.divide(values, _DIVISOR, dtype=np.float64)
        total[places] = part


def _numba() -> Loop | None:
    try:
        import numba
    except ImportError:
        return None

    def add(total: Any, index: Any, values: Any, divisor: float) -> None:
        for place in range(index.size):
            total[index[place]] += np.float64(values[place]) / divisor

    fast = numba.njit(error_model="numpy")(add)

    def loop(volumes: Sequence[Listed], total: NDArray[np.float64]) -> None:
        for index, values in volumes:
            fast(total, index, values, _DIVISOR)

    loop([_listed(np.ones(8, np.float32))], np.zeros(8))
    return loop


def table(results: dict[str, dict[str, float]]) -> str:
    """The results as text."""
    lines = [f"{'input':<16}CPU ms per volume"]
    for what, figures in results.items():
        parts = ", ".join(f"{name} {value:,.3g}" for name, value in figures.items())
        lines.append(f"{what:<16}{parts}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--real", type=Path, help="NRRD file of a projection density at 100 um")
    print(table(run(parser.parse_args().real)))


if __name__ == "__main__":
    main()

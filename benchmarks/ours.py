"""Measure calls of bsv-store in a separate process.

Usage: python -m benchmarks.ours STORE CALL RUNS IDS_FILE OPTIONS RESULT. Prints one JSON object.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def main() -> None:
    store, call, runs, ids_file, options, result = sys.argv[1:]
    ids = json.loads(Path(ids_file).read_text())
    run = {
        "compat": _compat,
        "numpy": _compat_with_numpy,
        "aggregate": _aggregate,
        "again": _again,
        "loop": _numpy_loop,
        "compiled": _compiled_loop,
    }[call]
    # Lazy imports must not be part of the measurement.
    run(store, ids[:2], json.loads(options))()
    seconds, cpu_seconds = [], []
    mean: NDArray[Any] = np.zeros(0)
    for _ in range(int(runs)):
        prepared = run(store, ids, json.loads(options))
        # The previous result must not count as memory of this call.
        mean = np.zeros(0)
        start, cpu_start = time.perf_counter(), time.process_time()
        with contextlib.redirect_stdout(io.StringIO()):
            mean = prepared()
        seconds.append(time.perf_counter() - start)
        cpu_seconds.append(time.process_time() - cpu_start)
    np.save(result, mean)
    print(json.dumps({"seconds": seconds, "cpu_seconds": cpu_seconds, "peak_mb": peak_mb()}))


def peak_mb() -> float:
    """Peak resident memory of this process, MB; not from getrusage, whose value a child inherits from its parent."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


def _compat(store: str, ids: list[int], options: dict[str, Any]) -> Callable[[], NDArray[Any]]:
    """The function with Brain Street View's signature: open the store, look up, read, average."""
    from bsv_store import open_store
    from bsv_store.compat import fetch_connectivity_data

    arguments = {"normalization_method": "none", "subtract_other_hemisphere": False, **options}

    def call() -> NDArray[Any]:
        with open_store(store) as opened:
            return fetch_connectivity_data(ids, "", "", store=opened, offline=True, export_metadata=False, **arguments)[
                0
            ]

    return call


def _compat_with_numpy(store: str, ids: list[int], options: dict[str, Any]) -> Callable[[], NDArray[Any]]:
    """The same without the compiled loops of bsv-store-fast."""
    from bsv_store.averaging.kernel import compiled

    compiled.loops = None
    return _compat(store, ids, options)


def _recipe(ids: list[int], options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    from bsv_store import Selection, by_coordinate

    parts: dict[str, Any] = {}
    if options.get("grouping_method"):
        parts["group_by"] = by_coordinate(options["grouping_method"], bins=5)
    if options.get("normalization_method", "none") != "none":
        parts["normalize"] = "injection_volume"
    if options.get("subtract_other_hemisphere"):
        parts["hemisphere_rule"] = "subtract_contralateral"
    return Selection(ids=ids), parts


def _aggregate(store: str, ids: list[int], options: dict[str, Any]) -> Callable[[], NDArray[Any]]:
    """Compute, write and commit a new version of a dataset."""
    from bsv_store import open_store

    selection, parts = _recipe(ids, options)
    name = f"bench-{uuid.uuid4().hex}"

    def call() -> NDArray[Any]:
        with open_store(store) as opened:
            version = opened.aggregate(selection, name=name, **parts)
            assert version.was_computed
            return np.zeros(0)

    return call


def _again(store: str, ids: list[int], options: dict[str, Any]) -> Callable[[], NDArray[Any]]:
    """Request the same average again, which the store returns without computing."""
    from bsv_store import open_store

    selection, parts = _recipe(ids, options)
    name = f"again-{len(ids)}"
    with open_store(store) as opened:
        opened.aggregate(selection, name=name, **parts)

    def call() -> NDArray[Any]:
        with open_store(store) as opened:
            assert not opened.aggregate(selection, name=name, **parts).was_computed
            return np.zeros(0)

    return call


def _files(store: str, ids: list[int]) -> list[tuple[Path, Any]]:
    """The files of the volumes, with their layouts."""
    from bsv_store import open_store
    from bsv_store.catalog.volumes import find_volumes

    with open_store(store) as opened, opened.database.reading() as connection:
        found = find_volumes(connection, ids, kind="projection_density", spacing_um=100)
        return [(opened.path / file.path, file.layout) for file in found.values()]


def _numpy_loop(store: str, ids: list[int], _options: dict[str, Any]) -> Callable[[], NDArray[Any]]:
    """Read the same bytes and add them in a simple fast loop of NumPy, without any check."""
    files = _files(store, ids)

    def call() -> NDArray[Any]:
        total = np.zeros(_VOXELS)
        for path, layout in files:
            image = path.read_bytes()
            index = np.frombuffer(image, "<u4", layout.value_count, layout.index_offset).astype(np.intp)
            values = np.frombuffer(image, "<f4", layout.value_count, layout.value_offset)
            part = total.take(index)
            part += values
            total[index] = part
        return total

    return call


def _compiled_loop(store: str, ids: list[int], _options: dict[str, Any]) -> Callable[[], NDArray[Any]]:
    """The lower bound: read the same bytes, hash them, and divide and add them in one loop compiled by Numba."""
    import numba  # type: ignore[import-not-found,unused-ignore]
    import xxhash

    def add(total: Any, index: Any, values: Any, divisor: float) -> None:
        for place in range(index.size):
            total[index[place]] += np.float64(values[place]) / divisor

    compiled = numba.njit(error_model="numpy")(add)
    files = _files(store, ids)
    buffer = bytearray(max(path.stat().st_size for path, _ in files))
    view = memoryview(buffer)
    # Compiled before the measurement.
    compiled(np.zeros(1), np.frombuffer(view[:4], "<u4"), np.frombuffer(view[:4], "<f4"), 1.0)

    def call() -> NDArray[Any]:
        total = np.zeros(_VOXELS)
        for path, layout in files:
            with path.open("rb", buffering=0) as stream:
                size = stream.readinto(view)
            xxhash.xxh3_128_digest(view[:size])
            index = np.frombuffer(view, "<u4", layout.value_count, layout.index_offset)
            values = np.frombuffer(view, "<f4", layout.value_count, layout.value_offset)
            compiled(total, index, values, 0.3)
        return total

    return call


_VOXELS = 132 * 80 * 114


if __name__ == "__main__":
    main()

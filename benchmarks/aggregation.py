"""Averaging against Brain Street View, side by side in one run: ``python -m benchmarks.aggregation [--full]``."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.generate import VolumeSource, WarpedVolumes, experiment_ids, make_store, write_cache, write_catalog
from benchmarks.notes import note
from tests.integration.environments import BRAIN_STREET_VIEW, bsv_catalog

CHECKOUT = Path(__file__).resolve().parents[1]
PEER = BRAIN_STREET_VIEW.client
SIZES, FULL_SIZES = (100, 300, 1000), (100, 300, 1000, 2917)

_NORMALIZED = {"normalization_method": "injectionVolume", "subtract_other_hemisphere": False}
_PLAIN = {"normalization_method": "none", "subtract_other_hemisphere": False}
_SUBTRACTED = {"normalization_method": "injectionVolume", "subtract_other_hemisphere": True, "grouping_method": "AP"}


# What some calls need besides bsv-store.
_REQUIRED = {"compiled": "numba", "numpy": "bsv_store_fast"}


@dataclass(frozen=True)
class Task:
    """One average to measure, and the implementations that compute it.

    Attributes
    ----------
    ours : tuple of str
        Calls of ``benchmarks.ours``.
    sizes : tuple of int
        Numbers of experiments.
    compare : bool
        Run Brain Street View too, and compare the averages.
    """

    what: str
    options: dict[str, Any]
    ours: tuple[str, ...]
    sizes: tuple[int, ...] = FULL_SIZES
    compare: bool = True
    cold: bool = False


TASKS = (
    Task("normalized", _NORMALIZED, ("compat", "numpy", "aggregate", "again", "loop", "compiled")),
    Task("not normalized", _PLAIN, ("compat", "aggregate")),
    Task("normalized, cold page cache", _NORMALIZED, ("compat",), sizes=(300,), cold=True),
    # Not compared: Brain Street View treats every injection as being on the right.
    Task("five groups, subtracted", _SUBTRACTED, ("compat", "aggregate"), compare=False),
    Task("every volume returned", {**_NORMALIZED, "load_all": True}, ("compat",), sizes=(100,)),
)


@dataclass
class Measurement:
    """Seconds and peak memory of one call at one size."""

    what: str
    experiments: int
    program: str
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    peak_mb: float = 0.0

    @property
    def median(self) -> float:
        """Median of the runs, s."""
        return statistics.median(self.seconds)

    @property
    def median_cpu(self) -> float:
        """Median of the CPU time of the runs, all threads together, s."""
        return statistics.median(self.cpu_seconds)

    def to_dict(self) -> dict[str, Any]:
        """The measurement as plain values, for the JSON file."""
        return {**asdict(self), "median_s": self.median, "median_cpu_s": self.median_cpu}


class Bench:
    """The generated data, and the implementations to measure.

    Parameters
    ----------
    folder : pathlib.Path
        Where the data are generated, unless an earlier run has done so.
    count : int
        Number of experiments.
    volumes : VolumeSource, optional
    """

    def __init__(self, folder: Path, count: int, volumes: VolumeSource | None = None) -> None:
        self.folder = folder
        self.peer = _peer_python(count)
        note(f"generating {count:,} experiments in {folder}")
        self.cache = write_cache(folder / "cache", count, volumes)
        self.catalog = write_catalog(folder / "catalog.csv", count)
        self.store = folder / "store"
        if not self.store.exists():
            note("adopting them into a store")
            make_store(self.store, self.cache, self.catalog)

    def run(self, task: Task, size: int) -> list[Measurement]:
        """Measure all implementations in alternation, so that load on the machine affects all of them."""
        note(f"{size:,} experiments, {task.what}")
        ids = self.folder / f"ids-{size}.json"
        ids.write_text(json.dumps(experiment_ids(size)))
        calls = [call for call in task.ours if _REQUIRED.get(call) is None or find_spec(_REQUIRED[call]) is not None]
        found = {call: Measurement(task.what, size, f"bsv-store {call}") for call in calls}
        theirs = Measurement(task.what, size, PEER)
        # Brain Street View takes minutes for 1,000 experiments or more, so it is run only once there.
        rounds = 5 if size <= 300 else 3
        for turn in range(rounds):
            for call, measurement in found.items():
                command = [sys.executable, "-m", "benchmarks.ours", str(self.store), call]
                self._measure(measurement, command, ids, task, self.store)
            if "numpy" in calls:
                self._compare_loops()
            if self.peer is not None and task.compare and turn < (3 if size <= 300 else 1):
                command = [str(self.peer), str(CHECKOUT / "benchmarks" / "peer_bsv.py"), str(self.cache)]
                self._measure(theirs, command, ids, task, self.cache)
                self._compare(task)
        return [*found.values(), *([theirs] if theirs.seconds else [])]

    def _measure(self, into: Measurement, command: list[str], ids: Path, task: Task, files: Path) -> None:
        result = self.folder / ("theirs.npy" if into.program == PEER else f"{into.program.split()[-1]}.npy")
        runs = 1 if task.cold or into.program == PEER else 2
        if task.cold:
            _forget(files)
        done = _output([*command, str(runs), str(ids), json.dumps(task.options), str(result)])
        into.seconds += done["seconds"]
        into.cpu_seconds += done["cpu_seconds"]
        into.peak_mb = max(into.peak_mb, done["peak_mb"])

    def _compare_loops(self) -> None:
        found, expected = np.load(self.folder / "compat.npy"), np.load(self.folder / "numpy.npy")
        assert np.array_equal(found, expected), "the compiled loops give other bits than NumPy"

    def _compare(self, task: Task) -> None:
        ours, theirs = np.load(self.folder / "compat.npy"), np.load(self.folder / "theirs.npy")
        difference = np.abs(theirs.reshape(ours.shape) - ours).max() / np.abs(ours).max()
        note(f"  largest difference from {PEER}: {difference:.1e} of the maximum")
        in_float64 = task.options["normalization_method"] != "none"
        assert difference <= (1e-15 if in_float64 else 1e-6), "the results differ"


def run(folder: Path, *, full: bool = False, volumes: VolumeSource | None = None) -> list[Measurement]:
    """All measurements, smallest size first."""
    sizes = FULL_SIZES if full else SIZES
    bench = Bench(folder, sizes[-1], volumes)
    return [each for size in sizes for task in TASKS if size in task.sizes for each in bench.run(task, size)]


def _forget(folder: Path) -> None:
    """Drop files from the page cache, as far as the system allows."""
    os.sync()
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)


def _output(command: list[str]) -> dict[str, Any]:
    """The JSON object that a measuring process printed."""
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def _peer_python(count: int) -> Path | None:
    """An interpreter with Brain Street View and a catalog of our experiments; None if it cannot be installed."""
    note(f"installing {PEER} into a separate environment")
    if reason := BRAIN_STREET_VIEW.make():
        note(f"{reason}: measuring without it")
        return None
    write_catalog(bsv_catalog(), count)
    return BRAIN_STREET_VIEW.python


def table(results: Iterator[Measurement] | list[Measurement]) -> str:
    """The results as text, with the ratios to Brain Street View and to the loops at the same size.

    The loop is compiled by Numba if that is installed, otherwise of NumPy.
    """
    results = list(results)
    peers = {(r.what, r.experiments): r.median for r in results if r.program == PEER}
    loops = {r.experiments: r.median for r in results if r.program == "bsv-store loop"}
    loops |= {r.experiments: r.median for r in results if r.program == "bsv-store compiled"}
    lines = [
        f"{'experiments':>11}  {'what':<28} {'program':<20} {'seconds':>8} {'CPU s':>8} {'ms/volume':>9} {'peak MB':>7}"
        f" {'vs BSV':>9} {'vs loop':>11}"
    ]
    for r in results:
        peer = peers.get((r.what, r.experiments)) if r.program != PEER else None
        loop = loops.get(r.experiments) if "cold" not in r.what and r.program in _COMPARABLE_WITH_LOOP else None
        lines.append(
            f"{r.experiments:>11,}  {r.what:<28} {r.program:<20} {r.median:>8.3f} {r.median_cpu:>8.3f}"
            f" {1e3 * r.median / r.experiments:>9.3f} {r.peak_mb:>7.0f} {f'{peer / r.median:.1f} x' if peer else '':>9}"
            f" {f'{r.median / loop:.2f} x' if loop else '':>11}"
        )
    return "\n".join(lines)


_COMPARABLE_WITH_LOOP = ("bsv-store compat", "bsv-store numpy", "bsv-store aggregate")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="up to 2,917 experiments instead of 1,000")
    parser.add_argument("--keep", type=Path, help="folder in which to keep the generated data (20 GB at full size)")
    parser.add_argument(
        "--real", type=Path, help="make the volumes from this NRRD file of a projection density at 100 um"
    )
    arguments = parser.parse_args()
    volumes = WarpedVolumes(arguments.real) if arguments.real else None
    folder = arguments.keep or Path(tempfile.mkdtemp(prefix="bsv-store-bench-"))
    try:
        print(table(run(folder, full=arguments.full, volumes=volumes)))
    finally:
        if arguments.keep is None:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()

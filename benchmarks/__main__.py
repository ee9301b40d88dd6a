"""Measures our paths and Brain Street View's side by side, as ratios in one run: ``python -m benchmarks [--full]``."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import venv
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import catalog
from benchmarks.generate import experiment_ids, make_store, write_cache, write_catalog

CHECKOUT = Path(__file__).resolve().parents[1]
PEERS = CHECKOUT / ".venv-peers"

NORMALIZED = {"normalization_method": "injectionVolume", "subtract_other_hemisphere": False}
PLAIN = {"normalization_method": "none", "subtract_other_hemisphere": False}


@dataclass
class Measurement:
    """Median seconds and peak memory of one call at one size."""

    what: str
    experiments: int
    who: str
    seconds: float
    peak_mb: float
    runs: int


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--full", action="store_true", help="up to 2,917 experiments instead of 1,000")
    parser.add_argument("--json", type=Path, default=CHECKOUT / "build" / "benchmarks.json", help="where results go")
    parser.add_argument("--keep", type=Path, help="keep the generated data here (20 GB at full size)")
    arguments = parser.parse_args()
    folder = arguments.keep or Path(tempfile.mkdtemp(prefix="bsv-store-bench-"))
    try:
        results = run(folder, (100, 300, 1000, 2917) if arguments.full else (100, 300, 1000))
    finally:
        if arguments.keep is None:
            shutil.rmtree(folder)
    note("the catalog, on both databases")
    of_catalog = catalog.run(full=arguments.full)
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    machine = {"cores": os.cpu_count(), "python": platform.python_version(), "numpy": np.__version__}
    arguments.json.write_text(
        json.dumps({"machine": machine, "aggregation": [asdict(r) for r in results], "catalog": of_catalog}, indent=1)
    )
    print_table(results)
    print(catalog.table(of_catalog))


def run(folder: Path, sizes: tuple[int, ...]) -> list[Measurement]:
    """All measurements, smallest size first."""
    peer = peer_python(sizes[-1])
    count = sizes[-1]
    note(f"generating {count:,} experiments in {folder}")
    cache = write_cache(folder / "cache", count)
    catalog_file = write_catalog(folder / "catalog.csv", count)
    if not (folder / "store").exists():
        note("adopting them into a store")
        make_store(folder / "store", cache, catalog_file)
    results = []
    for size in sizes:
        ids = folder / f"ids-{size}.json"
        ids.write_text(json.dumps(experiment_ids(size)))
        for what, options in (("normalized", NORMALIZED), ("not normalized", PLAIN)):
            results += one_size(folder, cache, ids, size, what, options, peer)
    return results


def one_size(
    folder: Path, cache: Path, ids: Path, size: int, what: str, options: dict[str, Any], peer: Path | None
) -> list[Measurement]:
    """Ours and the peer's, alternating, so that a noisy machine is noisy for both."""
    note(f"{size:,} experiments, {what}")
    runs = 5 if size <= 300 else 3
    results = []
    for call in ("compat", "aggregate", "again", "loop"):
        if what != "normalized" and call in ("again", "loop"):
            continue
        done = measure(
            [sys.executable, "-m", "benchmarks.ours"],
            [str(folder / "store"), call, str(runs), str(ids), json.dumps(options), str(folder / "ours.npy")],
        )
        results.append(
            Measurement(what, size, f"bsv-store {call}", statistics.median(done["seconds"]), done["peak_mb"], runs)
        )
        if call == "compat":
            mean = np.load(folder / "ours.npy")
    if peer is not None:
        peer_runs = 3 if size <= 300 else 1
        done = measure(
            [str(peer), str(CHECKOUT / "benchmarks" / "peer_bsv.py")],
            [str(cache), str(peer_runs), str(ids), json.dumps(options), str(folder / "peer.npy")],
        )
        results.append(
            Measurement(what, size, "Brain Street View", statistics.median(done["seconds"]), done["peak_mb"], peer_runs)
        )
        theirs = np.load(folder / "peer.npy")
        difference = np.abs(np.asarray(theirs).reshape(mean.shape) - mean).max() / np.abs(mean).max()
        note(f"  largest difference from Brain Street View: {difference:.1e} of the maximum")
        assert difference < (1e-12 if what == "normalized" else 1e-6), "the results differ"
    return results


def measure(command: list[str], arguments: list[str]) -> dict[str, Any]:
    """What a measuring process printed."""
    done = subprocess.run([*command, *arguments], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def peer_python(count: int) -> Path | None:
    """An interpreter with Brain Street View and a catalog of our experiments; None where it cannot be had."""
    python = PEERS / "bin" / "python"
    if not python.exists():
        note("installing Brain Street View into an environment of its own")
        venv.create(PEERS, with_pip=True)
        done = subprocess.run([python, "-m", "pip", "install", "--quiet", "brain-street-view", "ipython"], check=False)
        if done.returncode != 0:
            shutil.rmtree(PEERS)
            note("Brain Street View cannot be installed here: measuring without it")
            return None
    done = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    )
    # The wheel lacks the catalog that its loader looks for beside the package.
    write_catalog(Path(done.stdout.strip()) / "docs" / "allenAtlasProjection_info.csv", count)
    return python


def print_table(results: list[Measurement]) -> None:
    """Print all measurements, with the ratio to Brain Street View at the same size."""
    peers = {(r.what, r.experiments): r.seconds for r in results if r.who == "Brain Street View"}
    headings = ("what", "who", "seconds", "ms/volume", "peak MB", "BSV takes")
    print("{:>11}  {:<16} {:<22} {:>9} {:>10} {:>8} {:>10}".format("experiments", *headings))
    for r in results:
        peer = peers.get((r.what, r.experiments))
        ratio = f"{peer / r.seconds:.1f} x" if peer and r.who != "Brain Street View" else ""
        print(
            f"{r.experiments:>11,}  {r.what:<16} {r.who:<22} {r.seconds:>9.3f} {1e3 * r.seconds / r.experiments:>10.3f}"
            f" {r.peak_mb:>8.0f} {ratio:>10}"
        )


def note(text: str) -> None:
    """Say where we are, on standard error."""
    print(text, file=sys.stderr)


if __name__ == "__main__":
    main()

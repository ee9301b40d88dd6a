"""Fetching from loopback, compared with a bare downloader: ``python -m benchmarks.fetch [--full]``.

The bare downloader requests the same bodies over the same number of connections and writes each to a separate file,
with fsync, rename and fsync of the folder. It does nothing else: no decompression, no checks, no catalog. The server
runs in a separate process.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from benchmarks.generate import experiment_ids, make_catalog, write_catalog
from benchmarks.ours import peak_mb

CHECKOUT = Path(__file__).resolve().parents[1]
FULL, SMALL = 2_917, 100
WORKERS = 4
# MB/s of all connections together; 0 means no limit.
LINES = {"no limit": 0.0, "at 5 MB/s": 5.0}
_BODIES = 48
_REPEATS = 3

Results = dict[str, dict[str, float]]


def run(*, full: bool = False) -> Results:
    """Medians of both downloaders, run in alternation: without a limit, and at the bandwidth of a typical lab.

    At full size, also of a run that continues after an interrupted one.
    """
    count = FULL if full else SMALL
    results: Results = {}
    with tempfile.TemporaryDirectory(prefix="bsv-benchmark-") as folder:
        empty = Path(folder) / "empty"
        make_catalog(empty, write_catalog(Path(folder) / "catalog.csv", count))
        for line, rate in LINES.items():
            with _server(rate) as url:
                runs = [_pair(Path(folder), empty, url, count) for _ in range(1 if full else _REPEATS)]
                bare, ours = (_medians([run[place] for run in runs]) for place in (0, 1))
                ours["share_of_bare_rate"] = bare["wall_s"] / ours["wall_s"]
                results |= {f"bare downloader, {line}": bare, f"bsv-store, {line}": ours}
                if full and not rate:
                    results["bsv-store, interrupted at a third"] = _resumed(Path(folder), empty, url, count)
    return results


def _pair(folder: Path, empty: Path, url: str, count: int) -> tuple[dict[str, float], dict[str, float]]:
    """One run of each downloader, with the same bodies and on the same disk."""
    target = folder / "target"
    bare = _child("bare", target, url, count)
    shutil.rmtree(target)
    shutil.copytree(empty, target)
    ours = _child("ours", target, url, count)
    shutil.rmtree(target)
    return bare, ours


def _medians(runs: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(each[name] for each in runs) for name in runs[0]}


def _child(what: str, target: Path, url: str, count: int) -> dict[str, float]:
    command = _command(what, target, url, count)
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def _command(what: str, target: Path, url: str, count: int) -> list[str]:
    return [sys.executable, "-m", "benchmarks.fetch", "--child", what, str(target), url, str(count)]


def _resumed(folder: Path, empty: Path, url: str, count: int) -> dict[str, float]:
    """The results of a second run after the first was interrupted with a third of the volumes stored."""
    target = folder / "target"
    shutil.copytree(empty, target)
    with subprocess.Popen(_command("ours", target, url, count), cwd=CHECKOUT, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and sum(1 for _ in target.glob("volumes/*/*/*.h5")) < count // 3:
            time.sleep(0.2)
        process.send_signal(signal.SIGINT)
    again = _child("ours", target, url, count)
    assert again["present"] + again["fetched"] + again["recovered"] == count
    shutil.rmtree(target)
    return again


@contextmanager
def _server(mb_per_second: float) -> Iterator[str]:
    command = [sys.executable, "-m", "benchmarks.static_server", str(_BODIES), str(mb_per_second)]
    with subprocess.Popen(command, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        yield process.stdout.readline().strip()
        process.stdin.close()


# -- the measured processes ---------------------------------------------------------------------------------------


def _bare(target: Path, url: str, count: int) -> dict[str, float]:
    import requests

    target.mkdir()
    local = threading.local()

    def download(experiment_id: int) -> int:
        if not hasattr(local, "session"):
            local.session = requests.Session()
        size = 0
        temporary = target / f"{experiment_id}.tmp"
        address = f"{url}/grid_data/download/{experiment_id}?include=density"
        with local.session.get(address, stream=True, timeout=60) as response, temporary.open("xb") as file:
            response.raise_for_status()
            for data in response.iter_content(256 * 1024):
                size += file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target / f"{experiment_id}.zip")
        folder = os.open(target, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
        return size

    with ThreadPoolExecutor(WORKERS) as pool:
        size = sum(pool.map(download, experiment_ids(count)))
    return {"downloaded_mb": size / 1e6}


def _ours(target: Path, url: str, count: int) -> dict[str, float]:
    from bsv_store import Selection, open_store

    with open_store(target) as store:
        report = store.fetch(Selection(ids=experiment_ids(count)), api_url=url, workers=WORKERS)
    assert not report.failed, report.failed[:3]
    return {
        "downloaded_mb": report.downloaded_bytes / 1e6,
        "fetched": len(report.fetched),
        "recovered": len(report.recovered),
        "present": len(report.present),
    }


def _measured(what: str, target: str, url: str, count: str) -> None:
    # Lazy imports must not be part of the measurement.
    import bsv_store.acquisition.fetch
    import bsv_store.sources.allen.connections  # noqa: F401

    wall, cpu = time.perf_counter(), time.process_time()
    figures = {"bare": _bare, "ours": _ours}[what](Path(target), url, int(count))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    done = figures.get("fetched", int(count))
    rate = {"wall_s": wall, "cpu_s": cpu, "per_s": done / wall, "cpu_ms_each": 1e3 * cpu / done}
    print(json.dumps({**rate, "peak_mb": peak_mb(), **figures}))


def table(results: Results) -> str:
    """The results as text."""
    return "\n".join(
        f"fetch     {task:<40}" + ", ".join(f"{name} {value:,.4g}" for name, value in figures.items())
        for task, figures in results.items()
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help=f"{FULL:,} experiments instead of {SMALL}")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        _measured(*arguments.child)
    else:
        print(table(run(full=arguments.full)))


if __name__ == "__main__":
    main()

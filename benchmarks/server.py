"""The server under 50 simultaneous clients: ``python -m benchmarks.server [--full] [--experiments N]``.

The server runs with two workers, as ``bsv-store serve`` starts it, over a store of the synthetic atlas. Clients, in a
process of their own, keep their connections and send the next request when the last one is answered, so that the server
is always saturated. Files by hash are compared with the same files from a bare static file server: Starlette's
``StaticFiles`` with the same number of uvicorn workers. All processes share the cores of the machine.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from benchmarks.load import load
from benchmarks.notes import note
from bsv_store import Selection, by_coordinate, create_store, open_store
from bsv_store_synthetic import SyntheticAtlas, SyntheticServer

CHECKOUT = Path(__file__).resolve().parents[1]
FULL, SMALL = 1_000, 100
CLIENTS, WORKERS = 50, 2
_VOLUMES = 60
_PATH = os.pathsep.join([str(CHECKOUT), str(CHECKOUT / "cli"), str(CHECKOUT / "synthetic")])

Results = dict[str, dict[str, float]]


def run(*, full: bool = False, experiments: int | None = None) -> Results:
    """Times and rates by what is requested; of memory, the growth of all workers."""
    with tempfile.TemporaryDirectory(prefix="bsv-benchmark-") as folder:
        store = Path(folder) / "store"
        prepare(store, experiments or (FULL if full else SMALL))
        return measure(store, requests=20_000 if full else 2_000)


def prepare(folder: Path, experiments: int) -> None:
    """Fill a store from the synthetic atlas: all tables, some volumes, two of them at 25 um, and two averages."""
    with SyntheticServer(SyntheticAtlas(experiments=experiments)) as server, create_store(folder) as store:
        store.sync_structures(api_url=server.url)
        store.sync_experiments(api_url=server.url)
        store.sync_unionizes(api_url=server.url)
        store.sync_annotation(download_url=server.url)
        ids = store.select()[:_VOLUMES]
        store.fetch(ids, api_url=server.url)
        store.fetch(ids[:2], spacing_um=25, api_url=server.url)
        store.aggregate(ids, name="groups", group_by=by_coordinate("AP", bins=2))
        store.aggregate(ids[:2], name="fine", spacing_um=25)


def measure(folder: Path, *, requests: int) -> Results:
    """All figures, from one server."""
    with open_store(folder, read_only=True) as store:
        ids = store.select(Selection(with_volume="projection_density"))
        large, other = store.select(Selection(with_volume="projection_density", with_volume_spacing_um=25))
        acronyms = sorted(set(store.experiments()["primary_structure"]))
        files = [store.volumes.describe(each) for each in ids]
    objects = [f"/v1/objects/{each['file_sha256']}" for each in files]
    results: Results = {}
    with _server(folder) as (url, process):
        results["first slice at 25 um, 1 client"] = _first_slices(url, other)
        wide = _searches(acronyms, 400)
        results["search, each question once"] = load(url, wide, requests=len(wide)).figures()
        questions = {
            "search": _searches(acronyms, 20),
            "slice of a version, 100 um": _slices_of_version(),
            "slice of a volume, 25 um": _slices_of_volume({"experiment": large, "spacing_um": 25}),
            "slice of a version, 25 um": _slices_of_volume({"version": "fine@1", "group": 0}),
        }
        for name, targets in questions.items():
            # The first pass fills the caches of both workers, or most of them.
            results[f"{name}, first"] = load(url, targets, requests=2 * len(targets)).figures()
            results[name] = load(url, targets, requests=requests).figures()
        ours = load(url, objects, requests=requests).figures()
        with _static(folder) as bare:
            paths = [f"/{Path(str(each['path'])).relative_to(folder)}" for each in files]
            static = load(bare, paths, requests=requests).figures()
            again = load(url, objects, requests=requests).figures()
        best = max(ours, again, key=lambda each: each["requests_per_s"])
        results["volume by hash"] = best | {"share_of_static": best["requests_per_s"] / static["requests_per_s"]}
        results["volume from a static server"] = static
        results["memory"] = _memory(url, process.pid, [*_searches(acronyms, 20), *objects[:5]], requests * 5)
    return results


def _searches(acronyms: Sequence[str], count: int) -> list[str]:
    questions = []
    for number in range(count):
        selection = Selection(
            injected_in=acronyms[number % len(acronyms)],
            min_injection_volume=round(1e-4 * (number // len(acronyms)), 6),
        )
        questions.append(f"/v1/experiments?{urlencode({'selection': selection.to_json(), 'limit': 100})}")
    return questions


def _slices_of_version() -> list[str]:
    planes = {"coronal": range(30, 100, 3), "sagittal": range(20, 90, 3), "horizontal": range(10, 70, 3)}
    return [
        f"/v1/images/slice?{urlencode({'version': 'groups@1', 'group': number % 2, 'plane': plane, 'index': index})}"
        for plane, indices in planes.items()
        for number, index in enumerate(indices)
    ]


def _first_slices(url: str, experiment_id: int) -> dict[str, float]:
    """Times of the first requests for planes of a volume and a version that the server has not read before, ms."""
    found = {}
    sources: dict[str, dict[str, str | int]] = {
        "volume": {"experiment": experiment_id, "spacing_um": 25},
        "version": {"version": "fine@1", "group": 0},
    }
    for what, source in sources.items():
        for plane in ("coronal", "sagittal"):
            query = urlencode({**source, "plane": plane, "index": 200})
            one = load(url, [f"/v1/images/slice?{query}"], clients=1, requests=1)
            found[f"{what}_{plane}_ms"] = one.figures()["max_ms"]
    return found


def _slices_of_volume(source: Mapping[str, object]) -> list[str]:
    planes = {"coronal": range(120, 400, 7), "sagittal": range(80, 360, 7), "horizontal": range(40, 280, 7)}
    return [
        f"/v1/images/slice?{urlencode({**source, 'plane': plane, 'index': index})}"
        for plane, indices in planes.items()
        for index in indices
    ]


def _memory(url: str, pid: int, targets: Sequence[str], requests: int) -> dict[str, float]:
    """Memory of the server and its workers before and after many requests."""
    load(url, targets, requests=1_000)
    before = _rss_mb(pid)
    load(url, targets, requests=requests)
    return {"requests": float(requests), "before_mb": before, "after_mb": _rss_mb(pid)}


def _rss_mb(pid: int) -> float:
    """Resident memory of a process and its children, without what they share, MB (Linux only)."""
    children = [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    total = 0
    for each in (pid, *children):
        for line in Path(f"/proc/{each}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total / 1024


@contextmanager
def _server(folder: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    command = [sys.executable, "-m", "bsv_store_cli.main", "--store", str(folder)]
    command += ["serve", "--port", "0", "--workers", str(WORKERS)]
    with _running(command) as (process, url):
        yield url, process


@contextmanager
def _static(folder: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "benchmarks.server", "--static", str(folder)]
    with _running(command) as (_, url):
        yield url


@contextmanager
def _running(command: list[str]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    environment = {**os.environ, "PYTHONPATH": _PATH}
    options: dict[str, Any] = {"stdout": subprocess.PIPE, "text": True, "start_new_session": True}
    with subprocess.Popen(command, cwd=CHECKOUT, env=environment, **options) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            found = re.search(r"https?://\S+", line)
            if found is None:
                raise SystemExit(f"{' '.join(command)} printed {line!r}, which has no address")
            yield process, found[0].rstrip("/.")
        finally:
            # The workers of the static server end with it.
            os.killpg(process.pid, signal.SIGTERM)


def _serve_static(folder: str) -> None:
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_static_worker, args=(folder, listening), daemon=True) for _ in range(WORKERS)]
    for worker in workers:
        worker.start()
    print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
    for worker in workers:
        worker.join()


def _static_worker(folder: str, listening: socket.socket) -> None:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.routing import Mount
    from starlette.staticfiles import StaticFiles

    app = Starlette(routes=[Mount("/", StaticFiles(directory=folder))])
    uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False)).run(sockets=[listening])


def table(results: Results) -> str:
    """The results as text."""
    lines = [f"{'request':<32}figures"]
    for what, figures in results.items():
        shown = ", ".join(f"{name} {value:,.4g}" for name, value in figures.items())
        lines.append(f"{what:<32}{shown}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.server", description=__doc__)
    parser.add_argument("--full", action="store_true", help=f"{FULL} experiments instead of {SMALL}")
    parser.add_argument("--experiments", type=int, metavar="N", help="number of experiments")
    parser.add_argument("--static", metavar="FOLDER", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.static:
        _serve_static(arguments.static)
        return
    note(f"{CLIENTS} clients, {WORKERS} workers, {os.cpu_count()} cores")
    print(table(run(full=arguments.full, experiments=arguments.experiments)))


if __name__ == "__main__":
    main()

"""Short commands as processes, compared with the imports that they need: ``python -m benchmarks.startup``.

The commands alternate with ``import sqlalchemy`` and ``import pandas``, so that other load on the machine affects all
of them. Times are CPU seconds (user and system) and wall seconds; the ratio is that of the CPU time to the CPU time of
``import sqlalchemy`` in the same round. Bytecode is cached, as in an installation.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.catalog import CHECKOUT, database
from bsv_store import Selection, create_store
from bsv_store_synthetic import SyntheticAtlas, SyntheticServer

_ROUNDS = 9
_BASELINE = "import sqlalchemy"
_IMPORTS = ("pass", "import click", _BASELINE, "import sqlalchemy.orm", "import pandas")
COMMANDS: dict[str, tuple[str, ...]] = {
    "--help": ("--help",),
    "status": ("status",),
    "select": ("select", "--injected-in", "VISp", "--line", "wild-type"),
    "sql 'select 1'": ("sql", "select 1"),
    "dataset list": ("dataset", "list"),
}

Results = dict[str, dict[str, float]]


def run(*, databases: Sequence[str] = ("sqlite", "postgres"), rounds: int = _ROUNDS) -> dict[str, Results]:
    """Medians by database and process: ``cpu_s``, ``wall_s`` and ``ratio`` to ``import sqlalchemy``."""
    return {kind: _run_on(kind, rounds) for kind in databases}


def _run_on(kind: str, rounds: int) -> Results:
    with tempfile.TemporaryDirectory(prefix="bsv-benchmark-") as folder, database(kind) as url:
        store = Path(folder) / "store"
        _fill(store, url)
        environment = {
            **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
            "PYTHONPATH": os.pathsep.join([str(CHECKOUT), str(CHECKOUT / "cli"), str(CHECKOUT / "synthetic")]),
            "PYTHONPYCACHEPREFIX": str(Path(folder) / "bytecode"),
            "BSV_STORE": str(store),
        }
        processes = {code: [sys.executable, "-c", code] for code in _IMPORTS}
        for name, arguments in COMMANDS.items():
            processes[f"bsv-store {name}"] = [sys.executable, "-m", "bsv_store_cli.main", *arguments]
        # The first round fills the caches.
        times = [{name: _spent(command, environment) for name, command in processes.items()} for _ in range(rounds + 1)]
        return {name: _medians(name, times[1:]) for name in processes}


def _fill(path: Path, url: str | None) -> None:
    selection = Selection(injected_in="VISp")
    with SyntheticServer(SyntheticAtlas(experiments=24)) as server, create_store(path, database=url) as store:
        store.sync_structures(api_url=server.url)
        store.sync_experiments(api_url=server.url)
        store.sync_unionizes(selection, api_url=server.url)
        store.fetch(selection, api_url=server.url)
        store.aggregate(selection, name="visual")


def _spent(command: Sequence[str], environment: Mapping[str, str]) -> tuple[float, float]:
    """CPU and wall seconds of a process."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, env=environment, check=True, capture_output=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def _medians(name: str, rounds: Sequence[Mapping[str, tuple[float, float]]]) -> dict[str, float]:
    return {
        "cpu_s": statistics.median(each[name][0] for each in rounds),
        "wall_s": statistics.median(each[name][1] for each in rounds),
        "ratio": statistics.median(each[name][0] / each[_BASELINE][0] for each in rounds),
    }


def table(results: Mapping[str, Results]) -> str:
    """The results as text."""
    lines = [f"{'database':<10}{'process':<28}{'CPU s':>8}{'wall s':>8}{'ratio':>8}"]
    for kind, processes in results.items():
        for name, figures in processes.items():
            lines.append(
                f"{kind:<10}{name:<28}{figures['cpu_s']:>8.3f}{figures['wall_s']:>8.3f}{figures['ratio']:>8.2f}"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.startup", description=__doc__)
    parser.add_argument("--databases", default="sqlite,postgres")
    parser.add_argument("--rounds", type=int, default=_ROUNDS)
    options = parser.parse_args()
    print(table(run(databases=options.databases.split(","), rounds=options.rounds)))

"""Long mixed use of one store by many processes and a server, with faults.

    python -m tests.reliability.soak --minutes 120 --database postgres

Twelve processes fetch, adopt, average, read, delete, back up and so on; two of them are clients of a server with two
workers. Meanwhile processes are killed, files are damaged, downloads fail, and Postgres and the server are restarted.
Each answer is compared with a value known in advance. At the end, everything that was acknowledged must be there, and
the resources of the processes, such as memory and descriptors, must not have grown.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, Literal

from bsv_store import create_store
from bsv_store.owner import process_owner
from bsv_store_synthetic import SyntheticServer, faults
from bsv_store_synthetic.faults import Rule
from tests.postgres import PostgresServer
from tests.processes import Child
from tests.reliability.soak_end import check_end
from tests.reliability.soak_growth import Growth
from tests.reliability.soak_processes import PROCESSES, STOP_S, SoakProcess, SoakServer
from tests.reliability.soak_report import Report
from tests.reliability.soak_truth import ATLAS, write_truth
from tests.reliability.soak_worker import Places
from tests.servers import free_port

DatabaseKind = Literal["sqlite", "postgres"]

_OF_SERVER: Final = ("kill server", "restart server", "kill server worker")
# Clients must be able to use it in between.
_SETTLED_S: Final = 20.0


def _kill_all(processes: Iterable[Child | SoakProcess]) -> None:
    for each in processes:
        each.kill()


class Soak:
    """A soak on a store of its own.

    Parameters
    ----------
    folder : pathlib.Path
        New; everything is in it.
    database : DatabaseKind
    seed : int
        Of the operations and faults. Their interleaving differs from run to run.
    """

    def __init__(self, folder: Path, database: DatabaseKind, seed: int) -> None:
        self._database = database
        self._seed = seed
        self._random = random.Random(seed)
        self._folder = folder
        self._postgres: PostgresServer | None = None
        self._offsets: Counter[str] = Counter()
        self._logged: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.report = Report()

    def run(self, *, seconds: float | None = None, operations: int | None = None) -> Report:
        """Run for a time or a number of operations."""
        with ExitStack() as stack:
            upstream = stack.enter_context(SyntheticServer(ATLAS))
            places = self._prepare(stack, upstream)
            growth = Growth(places, self._postgres)
            server = SoakServer(places)
            # It has no effect on a process that ended and was waited for.
            stack.callback(lambda: server.process.kill())
            processes = [SoakProcess(places, number, self._seed) for number in range(PROCESSES)]
            stack.callback(lambda: _kill_all(each.child for each in processes))
            self._drive(places, upstream, server, processes, growth, seconds, operations)
            upstream.faults.clear()
            places.stop.touch()
            for each in processes:
                self._end(each)
            self._read_logs(places)
            code = server.stop()
            if code != 0:
                self.report.lost.append(f"the server ended with {code}")
            growth.check(self.report)
            check_end(places, upstream, self._logged, self.report)
        return self.report

    def _prepare(self, stack: ExitStack, upstream: SyntheticServer) -> Places:
        truth, work_folder = self._folder / "truth", self._folder / "work"
        for name in ("logs", "tmp"):
            (work_folder / name).mkdir(parents=True)
        write_truth(truth, upstream)
        url = None
        if self._database == "postgres":
            self._postgres = stack.enter_context(PostgresServer(survives_kills=True))
            url = self._postgres.create_database("soak")
        with create_store(self._folder / "store", database=url) as store:
            # For repairs of the annotation.
            store.admin.configure("download_url", upstream.url)
            store.sync_structures(api_url=upstream.url)
            store.sync_experiments(api_url=upstream.url)
            store.sync_unionizes(api_url=upstream.url)
        server = f"http://127.0.0.1:{free_port()}"
        return Places(self._folder / "store", truth, work_folder, upstream.url, server, process_owner())

    # -- while it runs ------------------------------------------------------------------------------------------------

    def _drive(
        self,
        places: Places,
        upstream: SyntheticServer,
        server: SoakServer,
        processes: list[SoakProcess],
        growth: Growth,
        seconds: float | None,
        operations: int | None,
    ) -> None:
        begun = time.monotonic()
        actions = self._faults(places, upstream, server, processes)
        names = list(actions)
        interval = 1.0 if seconds is None else max(1.0, min(5.0, seconds / 300))
        pending: list[str] = []
        next_fault = begun + interval
        while True:
            elapsed = time.monotonic() - begun
            done = elapsed / seconds if seconds is not None else self.report.total / (operations or 1)
            if done >= 1:
                return
            server.is_settled(0)
            growth.sample(server, processes, elapsed)
            self._read_logs(places)
            for each in processes:
                code = each.child.returncode
                if code is not None:
                    _, errors = each.child.communicate(STOP_S)
                    self.report.wrong.append(f"{each.name} ended with {code}: {errors[-2000:]}")
                    return
            if time.monotonic() >= next_fault:
                next_fault = time.monotonic() + self._random.uniform(0.5, 2) * interval
                if not pending:
                    pending = self._random.sample(names, len(names))
                name = pending.pop()
                # Later, its processes must live long enough to show growth.
                if name not in _OF_SERVER or (done < 0.4 and server.is_settled(_SETTLED_S)):
                    actions[name]()
                    self.report.faults[name] += 1
            upstream.requests.clear()
            time.sleep(interval / 2)

    def _faults(
        self, places: Places, upstream: SyntheticServer, server: SoakServer, processes: list[SoakProcess]
    ) -> dict[str, Callable[[], object]]:
        mortal = [each for each in processes if each.is_mortal]

        def damage(folder: str) -> None:
            files = [path for path in (places.store / folder).rglob("*.h5") if path.is_file()]
            if files:
                with contextlib.suppress(OSError):
                    _flip(self._random.choice(files), self._random)

        def fail_upstream() -> None:
            fault = self._random.choice(
                [
                    faults.Status(503, retry_after=0),
                    faults.Truncate(2000),
                    faults.Html(),
                    faults.CutJson(),
                    faults.WrongLength(7),
                ]
            )
            upstream.faults.add(Rule(lambda _request: True, fault, times=self._random.randrange(1, 8)))

        def kill_server_worker() -> None:
            workers = server.workers()
            if workers:
                os.kill(self._random.choice(workers), signal.SIGKILL)

        found: dict[str, Callable[[], object]] = {
            "kill": lambda: self._random.choice(mortal).kill(),
            "kill two": lambda: _kill_all(self._random.sample(mortal, 2)),
            "damage a volume": lambda: damage("volumes"),
            "damage a result": lambda: damage("datasets"),
            "fail downloads": fail_upstream,
            "kill server worker": kill_server_worker,
            "kill server": lambda: server.restart(kill=True),
            "restart server": lambda: server.restart(kill=False),
        }
        if self._postgres is not None:
            found["kill Postgres"] = self._restart_postgres
        return found

    def _restart_postgres(self) -> None:
        assert self._postgres is not None
        self._postgres.kill()
        self._postgres.start()

    def _end(self, process: SoakProcess) -> None:
        try:
            _, errors = process.child.communicate(STOP_S)
        except subprocess.TimeoutExpired:
            process.child.kill()
            self.report.wrong.append(f"{process.name} did not stop within {STOP_S:.0f} s")
            return
        if process.child.returncode != 0:
            self.report.wrong.append(f"{process.name} ended with {process.child.returncode}: {errors[-2000:]}")

    def _read_logs(self, places: Places) -> None:
        for path in sorted((places.work / "logs").glob("*.jsonl")):
            with path.open("rb") as file:
                file.seek(self._offsets[path.name])
                lines = file.read().splitlines(keepends=True)
            for line in lines:
                if not line.endswith(b"\n"):
                    break
                self._offsets[path.name] += len(line)
                self._note(path.stem, json.loads(line))

    def _note(self, name: str, line: dict[str, Any]) -> None:
        if "done" in line:
            self.report.operations[line["done"]] += 1
            if line["error"] is not None:
                self.report.errors[f"{line['done']}: {line['error']}"] += 1
            if line["wrong"] is not None:
                self.report.wrong.append(f"{name}, {line['done']}: {line['wrong']}")
        elif "begin" not in line:
            self._logged[name].append(line)


def _flip(path: Path, chosen: random.Random) -> None:
    """Flip a bit of a file in place."""
    with path.open("r+b") as file:
        place = chosen.randrange(path.stat().st_size)
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 1 << chosen.randrange(8)]))


@contextmanager
def _new_folder(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        keep.mkdir(parents=True)
        yield keep
        return
    folder = Path(tempfile.mkdtemp(prefix="bsv-store-soak-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    """Run a soak; 1 if something was lost or wrong, or has grown."""
    parser = argparse.ArgumentParser(prog="python -m tests.reliability.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=120.0)
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="postgres")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="a new folder for everything; by default a temporary one")
    arguments = parser.parse_args()
    with _new_folder(arguments.keep) as folder:
        report = Soak(folder / "soak", arguments.database, arguments.seed).run(seconds=arguments.minutes * 60)
    sys.stdout.write(f"{report.text()}\n")
    return int(bool(report.wrong or report.lost or report.grown))


if __name__ == "__main__":
    # Child processes find the classes by the name of this module.
    from tests.reliability import soak

    sys.exit(soak.main())

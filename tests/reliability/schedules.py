"""Run seeded schedules of several processes on one store: ``python -m tests.reliability.schedules SEED``.

Prints the steps of schedules that fail; ``--steps`` prints those of all. The same seed gives the same steps.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.postgres import OWNER

if TYPE_CHECKING:
    from tests.reliability.scheduled_model import World
    from tests.reliability.scheduler import StoreCopies

CHECKOUT = Path(__file__).resolve().parents[2]
_MEMORY = Path("/dev/shm")
_EDITIONS = 2
_EXPERIMENTS = 4


@dataclass(frozen=True)
class Outcome:
    """The outcome of one schedule.

    Attributes
    ----------
    seed : int
    failures : list of str
    steps : list of str
        Of a failure, or if they were asked for.
    digest : str
        Of the steps.
    """

    seed: int
    failures: list[str]
    steps: list[str]
    digest: str


def run_schedules(
    seeds: range,
    *,
    database: str | None = None,
    steps: bool = False,
    timeout: float | None = None,
    answers: Path | None = None,
) -> list[Outcome]:
    """Run schedules in a process of their own, from which the actors are forked.

    Parameters
    ----------
    seeds : range
    database : str, optional
        URL of an administrator's connection to a Postgres server; SQLite by default.
    steps : bool
        Also return the steps of schedules without a failure.
    answers : pathlib.Path, optional
        A file with the expected answers, which do not depend on seeds and database; created if it does not exist.
    """
    command = [sys.executable, "-m", "tests.reliability.schedules", str(seeds.start), "--count", str(len(seeds))]
    command += ["--json", *(["--steps"] if steps else []), *([] if database is None else ["--postgres", database])]
    command += [] if answers is None else ["--answers", str(answers)]
    done = subprocess.run(
        command, cwd=CHECKOUT, env=_environment(), capture_output=True, text=True, check=False, timeout=timeout
    )
    lines = done.stdout.splitlines()
    if done.returncode not in (0, 1) or len(lines) != len(seeds):
        raise AssertionError(f"{' '.join(command)} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return [Outcome(**json.loads(line)) for line in lines]


def _environment() -> dict[str, str]:
    paths = [str(CHECKOUT), str(CHECKOUT / "cli"), str(CHECKOUT / "synthetic")]
    # The order of sets of texts depends on the seed of their hashes.
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONHASHSEED": "0",
        "OPENBLAS_NUM_THREADS": "1",
        # Memory that is freed is used again, since a new page is expensive.
        "GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=1073741824:glibc.malloc.trim_threshold=1073741824",
        "BSV_STORE_PROGRESS": "off",
    }


# -- in the process from which the actors are forked ------------------------------------------------------------------


@contextmanager
def stage(folder: Path, postgres: str | None, known: Path | None = None) -> Iterator[tuple[World, StoreCopies, Any]]:
    """The filled store, the values it is compared with, and the shared numbers of the processes."""
    from bsv_store_synthetic import SyntheticAtlas, SyntheticServer
    from tests.reliability import actors

    shared = actors.Shared()
    actors.prepare(shared)
    with ExitStack() as stack:
        copies: FolderCopies = FolderCopies(folder / "template")
        if postgres is not None:
            copies = stack.enter_context(PostgresCopies(folder / "template", postgres))
        with SyntheticServer(SyntheticAtlas(experiments=_EXPERIMENTS)) as server:
            copies.prepare_template()
            ids = _fill(folder / "template", copies.url, server.url)
            upstream = _upstream(ids, server.url)
        actors.replace_upstream(upstream, shared, lambda _name, _value: None)
        world = _world(copies, folder / "answers", shared, ids, upstream, known)
        # Objects that the garbage collector ignores are not copied into the forked processes.
        gc.collect()
        gc.freeze()
        gc.disable()
        yield world, copies, shared


def _fill(template: Path, database: str | None, url: str) -> tuple[int, ...]:
    from bsv_store import create_store

    with create_store(template, database=database) as store:
        store.sync_structures(api_url=url)
        store.sync_experiments(api_url=url)
        ids = store.select()
        store.sync_unionizes(ids, api_url=url)
        store.fetch(ids[:2], api_url=url, workers=1)
        store.aggregate(ids[:1], name="base")
        store.aggregate(ids[:2], name="base")
        store.datasets.tag("base@1", "old")
    return ids


def _upstream(ids: tuple[int, ...], url: str) -> Any:
    from bsv_store.sources.allen import AllenClient
    from bsv_store.volumes.volume import Volume
    from tests.reliability.actors import Upstream

    volumes: dict[tuple[int, int], Any] = {}
    with AllenClient(api_url=url) as client:
        for each in ids:
            reply = client.volume(each)
            array = reply.value.array.copy()  # type: ignore[union-attr]
            # The next edition differs in one voxel.
            array.flat[array.argmax()] *= 0.5
            array.flags.writeable = False
            volumes[each, 0] = reply
            volumes[each, 1] = replace(reply, value=Volume(reply.value.kind, array))
        subsets = [each for size in range(1, len(ids) + 1) for each in itertools.combinations(ids, size)]
        unionizes = {subset: client.unionizes(subset) for subset in subsets}
        return Upstream(url, volumes, unionizes, client.experiments())


def _world(copies: Any, folder: Path, shared: Any, ids: tuple[int, ...], upstream: Any, known: Path | None) -> World:
    """The expected answers, computed in a store of their own without other processes, or read from a file."""
    from bsv_store import open_store
    from tests.reliability.scheduled_model import World

    copies.copy(folder)
    with open_store(folder) as store:
        if known is not None and known.exists():
            contents, means = json.loads(known.read_text(encoding="utf-8"))
        else:
            contents, means = _answers(store, shared, ids, upstream.url)
            if known is not None:
                known.write_text(json.dumps((contents, means)), encoding="utf-8")
        shared.edition = _EDITIONS - 1
        _warm_up(store, ids, upstream, folder.with_name("warm"))
    copies.remove(folder)
    shutil.rmtree(folder.with_name("warm"), ignore_errors=True)
    editions = {}
    for (each, edition), reply in upstream.volumes.items():
        sha256 = hashlib.sha256(reply.value.array.tobytes()).hexdigest()
        editions[sha256] = each, edition
    shared.edition = 0
    return World(ids, upstream, editions, {key: tuple(asked) for key, asked in contents.items()}, means)


def _answers(
    store: Any, shared: Any, ids: tuple[int, ...], url: str
) -> tuple[dict[str, tuple[int, ...]], dict[str, str]]:
    """Compute every answer of a schedule; see the attributes of `World`."""
    from tests.reliability.scheduled_jobs import BASE, QUESTIONS

    contents, means = {}, {}
    questions = sorted({*QUESTIONS, *BASE.values()})
    for chosen in itertools.product(range(_EDITIONS), repeat=3):
        for each, edition in zip(ids, chosen, strict=False):
            shared.edition = edition
            store.fetch([each], refresh=True, workers=1, api_url=url)
        for number, question in enumerate(questions):
            asked = tuple(ids[each] for each in question)
            version = store.aggregate(asked, name=f"answer-{number}")
            contents[version.content_sha256] = asked
            means[version.content_sha256] = hashlib.sha256(version.mean.tobytes()).hexdigest()
    return contents, means


def _warm_up(store: Any, ids: tuple[int, ...], upstream: Any, backup: Path) -> None:
    """Import and compile in this process what the forked ones need, by doing everything once."""
    from tests.reliability.scheduled_jobs import JOBS, Job, Place, attempted

    place = Place(ids, upstream.url, backup)
    everything: list[tuple[str, Mapping[str, Any]]] = [
        ("fetch", {"positions": (0, 3), "refresh": True}),
        ("fetch", {"positions": (0, 1, 2, 3), "refresh": False}),
        ("aggregate", {"positions": (0, 1), "name": "base"}),
        ("aggregate", {"positions": (1, 2), "name": "new"}),
        ("tag", {"ref": "new@1", "tag": "paper", "move": True}),
        ("read", {"ref": "new@1"}),
        ("untag", {"name": "new", "tag": "paper"}),
        ("delete", {"ref": "new@1", "force": False}),
        ("delete", {"ref": "new@1", "force": False}),
        ("sync", {"positions": (0, 1)}),
        ("sync_experiments", {}),
        ("exclude", {"position": 3}),
        ("lift", {"position": 3}),
        ("backup", {}),
        ("repair", {}),
        ("verify", {}),
        ("quota", {}),
        ("collect", {}),
    ]
    assert {name for name, _ in everything} == set(JOBS)
    for name, arguments in everything:
        attempted(store, place, Job(name, arguments))
    store.admin.claims()
    store.catalog.exclusions()


class FolderCopies:
    """Copies of a store on SQLite."""

    url: str | None = None

    def __init__(self, template: Path) -> None:
        self._template = template

    def copy(self, folder: Path) -> None:
        """Copy the template."""
        shutil.copytree(self._template, folder)

    def remove(self, folder: Path) -> None:
        """Remove a copy."""
        shutil.rmtree(folder, ignore_errors=True)

    def is_waiting(self, _actor: int) -> bool:
        """False: actors on SQLite report themselves that they wait."""
        return False

    def set_clock(self, seconds: float) -> None:
        """Actors on SQLite see the shared number."""

    def prepare_template(self) -> None:
        """Prepare the database of the template."""


class PostgresCopies(FolderCopies):
    """Copies of a store on a Postgres server, each with a database of its own.

    Parameters
    ----------
    template : pathlib.Path
        Folder of the store to copy.
    administrator : str
        URL of the server for an account that may create databases. The account of the stores is that of
        `tests.postgres`.
    """

    def __init__(self, template: Path, administrator: str) -> None:
        from sqlalchemy import make_url

        super().__init__(template)
        self._administrator = make_url(administrator)
        self._names = {template: f"schedules_{os.getpid()}"}
        self.url = self._url(template)
        self._connection: Any = None
        self._clock: Any = None
        self._folder = template

    def _url(self, folder: Path) -> str:
        url = self._administrator.set(username=OWNER, database=self._names[folder])
        return url.render_as_string(hide_password=False)

    def _connected(self, folder: Path) -> Any:
        import psycopg

        return psycopg.connect(self._url(folder).replace("+psycopg", "", 1), autocommit=True)

    def __enter__(self) -> PostgresCopies:
        import psycopg

        url = self._administrator.set(drivername="postgresql").render_as_string(hide_password=False)
        self._connection = psycopg.connect(url, autocommit=True)
        self._execute("CREATE DATABASE {} OWNER {}", self._names[self._template], OWNER)
        return self

    def __exit__(self, *_error: object) -> None:
        for name in self._names.values():
            self._execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)
        self._connection.close()

    def _execute(self, statement: str, *names: str) -> None:
        from psycopg import sql

        self._connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    def prepare_template(self) -> None:
        """Give the template a clock that can be set."""
        from tests.reliability.actors import CLOCK_SQL

        with self._connected(self._template) as connection:
            connection.execute(CLOCK_SQL)

    def copy(self, folder: Path) -> None:
        """Copy the folder and the database of the template."""
        from tests.reliability import actors
        from tests.stores import rename_database

        super().copy(folder)
        before = self._names[self._template]
        name = self._names[folder] = f"{before}_{folder.parent.name}"
        self._execute("CREATE DATABASE {} OWNER {} TEMPLATE {} STRATEGY file_copy", name, OWNER, before)
        self._folder = folder
        actors.in_child(lambda: rename_database(folder, before, name))

    def remove(self, folder: Path) -> None:
        """Remove a copy and its database."""
        super().remove(folder)
        if self._clock is not None:
            self._clock.close()
            self._clock = None
        if folder in self._names:
            self._execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", self._names.pop(folder))

    def set_clock(self, seconds: float) -> None:
        """Set the clock of the copy, in whole seconds."""
        from psycopg import sql

        from tests.reliability.actors import CLOCK_SCHEMA

        if self._clock is None:
            self._clock = self._connected(self._folder)
        sequence = sql.Identifier(CLOCK_SCHEMA, "seconds").as_string()
        self._clock.execute("SELECT setval(%s, %s)", [sequence, round(seconds)])

    def is_waiting(self, actor: int) -> bool:
        """Whether a connection of an actor waits for a lock."""
        found = self._connection.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = %s AND application_name = %s AND wait_event_type = 'Lock'",
            [self._names[self._folder], f"actor {actor}"],
        )
        return bool(found.fetchone()[0])


def main() -> int:
    """Run the schedules of some seeds; 1 if one fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.reliability.schedules", description=__doc__)
    parser.add_argument("seed", type=int, help="the first seed")
    parser.add_argument("--count", type=int, default=1, help="number of seeds")
    parser.add_argument("--postgres", metavar="URL", help="a Postgres server, as its administrator")
    parser.add_argument("--answers", type=Path, metavar="FILE", help="the expected answers, created if missing")
    parser.add_argument("--steps", action="store_true", help="print the steps of all schedules")
    parser.add_argument("--json", action="store_true", help="print a line of JSON for each schedule")
    arguments = parser.parse_args()
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.execve(sys.executable, [sys.executable, "-m", "tests.reliability.schedules", *sys.argv[1:]], _environment())
    return _run_all(arguments)


def _run_all(arguments: argparse.Namespace) -> int:
    from tests.reliability import actors
    from tests.reliability.scheduler import Schedule

    warnings.simplefilter("ignore")
    is_failed = False
    with ExitStack() as stack:
        base = _MEMORY if _MEMORY.is_dir() else None
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bsv-schedules-", dir=base)))
        world, copies, shared = stack.enter_context(stage(folder, arguments.postgres, arguments.answers))
        helper = stack.enter_context(closing(actors.Helper()))
        start, seeds = time.perf_counter(), range(arguments.seed, arguments.seed + arguments.count)
        for seed in seeds:
            result = Schedule(world, copies, shared, folder / "schedule", seed, helper).run()
            is_failed |= bool(result.failures)
            digest = hashlib.sha256("\n".join(result.steps).encode()).hexdigest()
            shown = result.steps if arguments.steps or result.failures else []
            if arguments.json:
                _say(json.dumps({"seed": seed, "failures": result.failures, "steps": shown, "digest": digest}))
            else:
                for line in [*shown, *(f"seed {seed}: {each}" for each in result.failures)]:
                    _say(line)
        if not arguments.json:
            used = os.times()
            cpu = used.user + used.system + used.children_user + used.children_system
            _say(
                f"{len(seeds)} schedules, {time.perf_counter() - start:.1f} s, {cpu:.1f} s of CPU with the preparation"
            )
    return int(is_failed)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

"""Kill jobs at checkpoints, before statements and at random times, and check what is left.

Instead of killing the process, its connections to Postgres can be cut at a checkpoint.
"""

from __future__ import annotations

import ast
import functools
import importlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import uuid
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Engine, event, make_url

import bsv_store.checkpoints
from bsv_store import open_store
from bsv_store.config import read_store_config
from bsv_store.config.store_file import STORE_FILE
from bsv_store.errors import BsvStoreError, BsvStoreWarning
from bsv_store.volumes.files import temporary_owner
from bsv_store_synthetic import SyntheticServer
from tests.processes import Child
from tests.reliability.kill_jobs import BY_NAME, Job, World
from tests.reliability.stores import Facts, fill_full, fill_lists
from tests.stores import Templates, copied_store, copy_store

if TYPE_CHECKING:
    from tests.postgres import PostgresServer

CHECKOUT = Path(__file__).resolve().parents[2]
_SOURCES = ("bsv_store", "alembic", "migrations", "cli")
_TIMEOUT_S = 300
# Time to start a process, and how much slower it is than the first run of its job.
_START_S, _SLOWER = 0.1, 1.5
# Volumes that an average was computed from were removed, as was asked for.
_OF_INPUTS = ("changed_inputs",)


# -- checkpoints ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Site:
    """A call of `checkpoint` in the source."""

    path: str
    line: int
    name: str

    def __str__(self) -> str:
        return f"{self.name} ({self.path}:{self.line})"


@functools.cache
def sites() -> frozenset[Site]:
    """All calls of `checkpoint` in the source."""
    found = set()
    for folder in _SOURCES:
        for path in (CHECKOUT / folder).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            if "checkpoint(" not in text:
                continue
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "checkpoint":
                    (name,) = node.args
                    assert isinstance(name, ast.Constant), f"{path}:{node.lineno}: the name must be a literal"
                    found.add(Site(path.relative_to(CHECKOUT).as_posix(), node.lineno, str(name.value)))
    return frozenset(found)


@contextmanager
def observed() -> Iterator[list[Site]]:
    """The checkpoints that this process reaches, in their order."""
    reached: list[Site] = []
    real = bsv_store.checkpoints.checkpoint
    for site in sites():
        if site.path.startswith("bsv_store/"):
            # One that is imported later would keep the function that observes.
            importlib.import_module(site.path.removesuffix(".py").replace("/", "."))

    def observe(name: str) -> None:
        caller = sys._getframe(1)
        path = Path(caller.f_code.co_filename).resolve().relative_to(CHECKOUT).as_posix()
        reached.append(Site(path, caller.f_lineno, name))
        real(name)

    with pytest.MonkeyPatch.context() as patch:
        for module in list(sys.modules.values()):
            if getattr(module, "checkpoint", None) is real:
                patch.setattr(module, "checkpoint", observe)
        yield reached


# -- what is killed, and when -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kill:
    """The moment at which a process is killed, or loses its connections to Postgres.

    Attributes
    ----------
    point : str or None
        A checkpoint, with ``@N``.
    is_cut : bool
        The process loses its connections instead.
    statement : int or None
        Number of the SQL statement before which it dies.
    after_s : float or None
        Time after its start.
    number : signal.Signals
    """

    point: str | None = None
    statement: int | None = None
    after_s: float | None = None
    number: signal.Signals = signal.SIGKILL
    is_cut: bool = False

    def __str__(self) -> str:
        if self.point is not None:
            return f"{self.point}, connections cut" if self.is_cut else self.point
        if self.statement is not None:
            return f"statement {self.statement}"
        return f"{self.number.name} after {self.after_s:.3f} s"


def work(job: str, world: World, statement: int | None) -> None:
    """In a process of its own: do a job, and write a line after each step."""
    from tests.client_defaults import client_defaults

    client_defaults()["backoff_s"] = 0.01
    warnings.simplefilter("ignore")
    if statement is not None:
        _die_before(statement)
    for _ in BY_NAME[job].run(world):
        sys.stdout.write("step\n")
        sys.stdout.flush()


def _die_before(number: int) -> None:
    executed = 0

    def on_statement(*_: Any) -> None:
        nonlocal executed
        executed += 1
        if executed == number:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(Engine, "before_cursor_execute", on_statement)


@dataclass(frozen=True)
class Whole:
    """A job that was not killed.

    Attributes
    ----------
    states : tuple of Facts
        Before the first step, and after each.
    reached : tuple of Site
    statements : int
    seconds : float
    """

    states: tuple[Facts, ...]
    reached: tuple[Site, ...]
    statements: int
    seconds: float

    def points(self) -> dict[Site, Kill]:
        """Where to kill the job once at each checkpoint."""
        count: Counter[str] = Counter()
        found: dict[Site, Kill] = {}
        for site in self.reached:
            count[site.name] += 1
            found.setdefault(site, Kill(f"{site.name}@{count[site.name]}"))
        return found

    def each(self, name: str) -> list[Kill]:
        """Each time that a checkpoint is reached."""
        return [Kill(f"{name}@{number}") for number in range(1, 1 + sum(site.name == name for site in self.reached))]

    def draw(self, draw: random.Random) -> Kill:
        """Any checkpoint at any count, or any statement."""
        if draw.random() < 0.4 and self.statements:
            return Kill(statement=draw.randint(1, self.statements))
        return draw.choice(self.each(draw.choice(sorted({site.name for site in self.reached}))))


def draw_time(whole: Whole, draw: random.Random) -> Kill:
    """Any time while the job runs, most often by SIGKILL."""
    number = draw.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
    return Kill(after_s=draw.uniform(0, _START_S + whole.seconds * _SLOWER), number=number)


# -- worlds -----------------------------------------------------------------------------------------------------------


@dataclass
class Worlds:
    """Copies of prepared stores on one database, and what a job does to them if it is not killed.

    Parameters
    ----------
    folder : pathlib.Path
    database : str
    server : SyntheticServer
    templates : Templates
    request : pytest.FixtureRequest
    stack : contextlib.ExitStack
        Closed after the last test.
    """

    folder: Path
    database: str
    server: SyntheticServer
    templates: Templates
    request: pytest.FixtureRequest
    stack: ExitStack
    _served: str | None = None
    _prepared: dict[str, tuple[Path, str | None]] = field(default_factory=dict)
    _whole: dict[str, Whole] = field(default_factory=dict)

    @property
    def _postgres(self) -> PostgresServer:
        return self.request.getfixturevalue("postgres")  # type: ignore[no-any-return]

    def whole(self, job: Job) -> Whole:
        """What the job does."""
        if job.name not in self._whole:
            with self.world(job) as world, counted_statements() as count, observed() as reached:
                states, trace, statements, seconds = [job.facts(world)], list[Site](), 0, 0.0
                steps = _quietly(job.run(world))
                while True:
                    # Only the step itself, without the reads of its result.
                    before, executed, start = len(reached), count(), time.monotonic()
                    is_over = next(steps, steps) is steps
                    trace += reached[before:]
                    statements += count() - executed
                    seconds += time.monotonic() - start
                    if is_over:
                        break
                    states.append(job.facts(world))
            self._whole[job.name] = Whole(tuple(states), tuple(trace), statements, seconds)
        return self._whole[job.name]

    @contextmanager
    def world(self, job: Job) -> Iterator[World]:
        """A copy of what the job starts from."""
        template, name = self._prepared[job.name] if job.name in self._prepared else self._prepare(job)
        folder = self.folder / uuid.uuid4().hex
        with ExitStack() as stack:
            _copy_beside(template, folder)
            if (template / "store").exists():
                stack.enter_context(copied_store(template / "store", folder / "store", self.request, database=name))
            world = World(folder, self.server.url)
            kinds = {"no": None, "same": self.database, "other": {"sqlite": "postgres"}.get(self.database)}
            if kinds[job.new_database] == "postgres":
                empty = f"test_{uuid.uuid4().hex}"
                world = replace(world, database=self._postgres.create_database(empty))
                stack.callback(self._postgres.drop_database, empty)
            if job.name == "network":
                patch = stack.enter_context(pytest.MonkeyPatch.context())
                patch.setenv("BSV_STORE_CACHE", str(world.cache))
                world = replace(world, served=self._serve(template / "store"))
            yield world

    def cut_connections(self, world: World) -> None:
        """Close all connections to the databases of a world, as its server does when it ends them."""
        stores = [each for each in (world.store, world.other) if (each / STORE_FILE).exists()]
        urls = {world.database, *(read_store_config(each).database for each in stores)} - {None, "sqlite"}
        names = [make_url(url).database for url in urls if url is not None]
        with self._postgres.connect() as administration:
            administration.execute(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = ANY(%s)", [names]
            )

    def _serve(self, location: Path) -> str:
        """The address of a server with a store, which runs until the end of the tests."""
        if self._served is None:
            from tests.server.serving import serving

            store = self.stack.enter_context(open_store(location, read_only=True))
            self._served = self.stack.enter_context(serving(store))
            with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as cache:
                # The server makes a copy of its catalog now, not in the job that is observed.
                patch.setenv("BSV_STORE_CACHE", cache)
                with open_store(self._served) as store:
                    store.select()
        return self._served

    def _prepare(self, job: Job) -> tuple[Path, str | None]:
        folder = self.folder / f"prepared-{job.name}"
        folder.mkdir()
        name = None
        if job.template != "none":
            fill = {"lists": fill_lists, "full": fill_full}[job.template]
            template, name = self.templates.template(fill, self.database, self.request, self.server.url)
            if name is None:
                shutil.copytree(template, folder / "store")
            else:
                own = f"test_{uuid.uuid4().hex}"
                copy_store(template, folder / "store", self._postgres, database=name, copy=own)
                name = own
        job.prepare(World(folder, self.server.url))
        self._prepared[job.name] = folder, name
        return folder, name


def _copy_beside(template: Path, folder: Path) -> None:
    shutil.copytree(template, folder, ignore=lambda path, _names: {"store"} if Path(path) == template else set())


@contextmanager
def counted_statements() -> Iterator[Callable[[], int]]:
    """The number of SQL statements so far."""
    executed = 0

    def on_statement(*_: Any) -> None:
        nonlocal executed
        executed += 1

    event.listen(Engine, "before_cursor_execute", on_statement)
    try:
        yield lambda: executed
    finally:
        event.remove(Engine, "before_cursor_execute", on_statement)


def _quietly(steps: Iterator[None]) -> Iterator[None]:
    """The steps, without warnings about leftovers of the kill."""
    while True:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", BsvStoreWarning)
            try:
                next(steps)
            except StopIteration:
                return
        yield


# -- trials -----------------------------------------------------------------------------------------------------------


def try_kills(worlds: Worlds, job: Job, kills: list[Kill], what: str) -> int:
    """Kill a job, and perhaps its recovery; check what is left, and that the next run completes it.

    Returns
    -------
    int
        How many of the processes were killed; the others had ended before.
    """
    whole = worlds.whole(job)
    final = whole.states[-1]
    what = f"{what}: {job.name} on {worlds.database}, killed at {', then at '.join(map(str, kills))}"
    with worlds.world(job) as world:
        old = _temporaries(world)
        killed = 0
        found: Facts | None = whole.states[0]
        for number, kill in enumerate(kills):
            done, was_killed = _cut(job, worlds, world, kill) if kill.is_cut else _run(job, world, kill, what)
            killed += was_killed
            earlier, found = found, _between(job, world, what)
            if found is None or earlier is None:
                continue
            if number == 0:
                low, high = whole.states[done], whole.states[min(done + 1, len(whole.states) - 1)]
                assert found >= low & high, (what, "lost", sorted((low & high) - found))
                assert found <= low | high, (what, "risen", sorted(found - low - high))
                assert not job.is_atomic or found in (low, high), (what, "half", sorted(found ^ low))
            else:
                assert found >= earlier & final, (what, "lost", sorted((earlier & final) - found))
        for name in _temporaries(world) - old:
            assert temporary_owner(name) is not None, (what, "not recognizable", name)
        asked = set() if job.asks_once is None else job.asks_once(world)
        worlds.server.requests.clear()
        try:
            for _ in _quietly(job.run(world)):
                pass
        except BsvStoreError as error:
            raise AssertionError(f"{what}: the next run fails: {error!r}") from error
        again = {part for part in asked if worlds.server.requests.count(part)}
        assert not again, (what, "requested again", again)
        assert job.facts(world) == final, (what, sorted(job.facts(world) ^ final))
        _check_clean(job, world, what)
    return killed


def _run(job: Job, world: World, kill: Kill, what: str) -> tuple[int, bool]:
    """The number of steps that were acknowledged, and whether the process was killed."""
    with Child(work, job.name, world, kill.statement, kill_at=kill.point) as child:
        if kill.after_s is not None:
            time.sleep(kill.after_s)
            # It may have ended.
            with suppress(ProcessLookupError):
                child.send_signal(kill.number)
        output, errors = child.communicate(timeout=_TIMEOUT_S)
        ended = child.returncode
    assert ended is not None
    # An interrupt before the process has begun is written elsewhere.
    is_interrupt = kill.number == signal.SIGINT and ended == 1 and ("KeyboardInterrupt" in errors or not errors)
    assert ended in (0, -kill.number) or is_interrupt, (what, ended, errors)
    return output.count("step"), ended != 0


def _cut(job: Job, worlds: Worlds, world: World, kill: Kill) -> tuple[int, bool]:
    """As `_run`, for a job of this process that loses its connections."""
    assert kill.point is not None
    point, _, count = kill.point.partition("@")
    reached = done = 0

    def cut(name: str) -> None:
        nonlocal reached
        reached += name == point
        if name == point and reached == int(count):
            worlds.cut_connections(world)

    bsv_store.checkpoints.set_hook(cut)
    try:
        for _ in _quietly(job.run(world)):
            done += 1
    except BsvStoreError:
        # Any other error is not clean.
        pass
    finally:
        bsv_store.checkpoints.set_hook(None)
    return done, reached >= int(count)


def _between(job: Job, world: World, what: str) -> Facts | None:
    """The facts between a kill and the next run; None if the store cannot be opened until then."""
    location = getattr(world, job.store)
    try:
        with open_store(location) as store:
            damage = [each for each in store.admin.verify(deep=True).findings if each.is_damage]
            assert not damage or job.is_damaged, (what, damage)
    except job.refused:
        pass
    try:
        return job.facts(world)
    except job.refused:
        return None


def _check_clean(job: Job, world: World, what: str) -> None:
    if job.name == "downgrade":
        # It is of an earlier release.
        return
    with open_store(getattr(world, job.store)) as store:
        store.admin.collect_garbage(apply=True, grace=timedelta(0))
        left = [each for each in store.admin.verify(deep=True).findings if each.kind not in _OF_INPUTS]
        assert not left, (what, left)
        assert not _temporaries_of(store.path), what


def _temporaries(world: World) -> set[str]:
    return {name for location in (world.store, world.other) for name in _temporaries_of(location)}


def _temporaries_of(location: Path) -> set[str]:
    folder = location / "tmp"
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()

"""A seeded scheduler of several processes on one store.

`tests.reliability.actors` has the processes, `scheduled_jobs` their jobs, and `scheduled_model` the expected result.
All choices come from the seed: the number of actors and their jobs (`scheduled_plans`), which one continues after each
stop, which one is killed, and when the clocks jump.
"""

from __future__ import annotations

import contextlib
import random
import shutil
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from bsv_store import Store, open_store
from bsv_store.errors import BusyError
from tests.reliability.actors import Actor, Helper, Message, Shared, Stopping
from tests.reliability.scheduled_ends import collected, damage, rerun
from tests.reliability.scheduled_jobs import Job, Place, attempted, may_refuse
from tests.reliability.scheduled_model import LEASE_S, Model, Result, Running, World
from tests.reliability.scheduled_plans import planned

_MAX_PASSES = 1000
# Probability at each step that the volumes upstream change, if they do.
_CHANGE = 0.1
# An actor that waited for others is likely to wait again.
_WAITING_WEIGHT = 0.2
_MAX_STEPS = 5000
# Waits of each actor without progress of another one, after which the clocks jump, and such jumps in a row.
_MAX_WAITS = 6
_IDLE_JUMP_S = 61.0
_MAX_IDLE_JUMPS = 8


class StoreCopies(Protocol):
    """Copies of the filled store."""

    def copy(self, folder: Path) -> None:
        """Make a copy in a new folder."""

    def remove(self, folder: Path) -> None:
        """Remove it."""

    def set_clock(self, seconds: float) -> None:
        """Set the clock of its database, if that is not the shared number."""

    def is_waiting(self, actor: int) -> bool:
        """Whether the database lets an actor wait for others."""


class Schedule:
    """One schedule.

    Parameters
    ----------
    world : World
    copies : StoreCopies
    shared : Shared
    folder : pathlib.Path
        For the store and its backups; it must not exist.
    seed : int
    helper : Helper
        A process that checks the store.
    """

    def __init__(
        self, world: World, copies: StoreCopies, shared: Shared, folder: Path, seed: int, helper: Helper
    ) -> None:
        self._helper = helper
        self._world = world
        self._copies = copies
        self._shared = shared
        self._folder = folder
        self._random = random.Random(seed)
        self._plan = planned(self._random, seed)
        self._place = Place(world.ids, world.upstream.url, folder / "backup", timedelta(days=self._plan.settings.hosts))
        self._running: list[Running] = []
        self._left: list[Job] = []
        self._started = self._waits = self._idle_jumps = 0
        self._was_held = False
        self.result = Result(seed)
        self._model = Model(world, self._place, self._plan, self.result)

    @property
    def _store(self) -> Path:
        return self._folder / "store"

    def run(self) -> Result:
        """Run all actors to their ends, and check the store."""
        self._shared.seconds, self._shared.edition = 0.0, 0
        self._folder.mkdir()
        self._copies.copy(self._store)
        try:
            if self._plan.damage:
                self._helper.call(damage, self._store, self._plan.damage, self._place)
            self._say(f"plan {self._plan}")
            for script in self._plan.scripts:
                self._start(script)
            self._act()
            if not self.result.failures:
                self._check()
        except Exception as error:  # noqa: BLE001 (a failure of the schedule)
            self.result.fail(f"{type(error).__name__}: {error}")
        finally:
            for each in self._running:
                if each.actor.is_alive:
                    each.actor.kill()
            self._copies.remove(self._store)
            shutil.rmtree(self._folder, ignore_errors=True)
        return self.result

    def _say(self, text: str) -> None:
        self.result.steps.append(text)

    # -- steps --------------------------------------------------------------------------------------------------------

    def _start(self, script: list[Job]) -> None:
        number = self._started
        self._started += 1

        def body(stopping: Stopping) -> None:
            with _opened(self._store, stopping) as store:
                for job in script:
                    stopping.stop(str(job), attempted(store, self._place, job), kind="result")

        self._say(f"{number} begins: {'; '.join(map(str, script))}")
        running = Running(Actor(number, self._plan.settings, self._world.upstream, self._shared, body), script)
        self._running.append(running)
        self._listen(running)

    def _act(self) -> None:
        for _ in range(_MAX_STEPS):
            alive = [each for each in self._running if each.actor.is_alive]
            if not alive or self.result.failures:
                return
            self._unblock(alive)
            self._disturb()
            if self._waits > _MAX_WAITS * len(alive) and not any(each.is_held for each in alive):
                self._waits = 0
                self._idle_jumps += 1
                self._jump(_IDLE_JUMP_S)
                if self._idle_jumps > _MAX_IDLE_JUMPS:
                    self.result.fail(f"all wait: {[(each.actor.number, each.actor.at) for each in alive]}")
            chosen = self._chosen(alive)
            if chosen is not None:
                self._step(chosen)
            else:
                self._waits += 1
        self.result.fail(f"not done after {_MAX_STEPS} steps")

    def _chosen(self, alive: list[Running]) -> Running | None:
        able = [each for each in alive if not each.is_blocked and each.actor.is_alive]
        if not able:
            return None
        held = [each for each in able if each.is_held]
        able = [each for each in able if not each.is_held]
        if held and (not able or self._waits > _MAX_WAITS * len(able)):
            self._say(f"{held[0].actor.number} is held no longer")
            held[0].is_held, able = False, held[:1]
            self._waits = 0
        weights = [_WAITING_WEIGHT if each.is_waiting else 1.0 for each in able]
        return self._random.choices(able, weights)[0]

    def _disturb(self) -> None:
        """Let the clocks jump, or the Allen API change."""
        self._shared.seconds += 0.001
        if self._random.random() < self._plan.jump:
            self._jump(self._random.choice(self._plan.jumps))
        if self._plan.changes and self._shared.edition == 0 and self._random.random() < _CHANGE:
            self._say("the Allen API changes")
            self._shared.edition = 1

    def _jump(self, seconds: float) -> None:
        self.result.jumps += 1
        self._say(f"the clocks jump by {seconds:.0f} s")
        self._shared.seconds += seconds
        self._copies.set_clock(self._shared.seconds)

    def _step(self, running: Running) -> None:
        if self.result.kills < self._plan.kills and self._random.random() < self._plan.kill:
            self._kill(running)
            return
        self._shared.seconds += 0.001
        passes = 0
        # What may happen at each step ends a run without stops, so that it happens anywhere.
        disturbances = self._plan.kill + self._plan.jump + self._plan.changes * _CHANGE
        while passes < _MAX_PASSES and self._random.random() < self._plan.stay * (1 - disturbances):
            passes += 1
        running.actor.go_on(passes)
        self._listen(running)

    def _kill(self, running: Running) -> None:
        self.result.kills += 1
        self._say(f"{running.actor.number} is killed at {running.actor.at}")
        running.actor.kill()
        if not self._plan.settings.hosts:
            # Others see that it has ended.
            self._model.end_claims(running.actor.number)
        job = running.current
        if job is not None and job.name == "aggregate" and running.has_number:
            self._model.interrupted[job.arguments["name"]] += 1
        rest = running.script[running.job :]
        if rest and self._random.random() < 0.5:
            self._start(rest)
        else:
            self._left += rest

    # -- what actors say ----------------------------------------------------------------------------------------------

    def _listen(self, running: Running) -> None:
        """Wait until an actor stops, ends, or waits in the database."""
        while True:
            message = self._message(running)
            if running.is_blocked:
                return
            if message is None:
                self._say(f"{running.actor.number} ends")
                if running.current is not None:
                    self.result.fail(f"actor {running.actor.number} ended in {running.current}")
                return
            self._heard(running, message)
            if message.kind in ("stop", "result"):
                return

    def _message(self, running: Running) -> Message | None:
        for _ in range(3000):
            running.is_blocked = False
            with contextlib.suppress(TimeoutError):
                return running.actor.wait(0.02)
            if self._copies.is_waiting(running.actor.number):
                running.is_blocked = True
                running.actor.at = "blocked"
                self._say(f"{running.actor.number} waits in the database")
                return None
        raise AssertionError(f"actor {running.actor.number} is silent after {running.actor.at}")

    def _unblock(self, alive: Iterable[Running]) -> None:
        """Receive the messages of actors that no longer wait in the database."""
        for each in alive:
            if each.is_blocked and not self._copies.is_waiting(each.actor.number):
                each.is_blocked = False
                self._listen(each)

    def _heard(self, running: Running, message: Message) -> None:
        number, model, job = running.actor.number, self._model, running.current
        if message.name.startswith("wait:"):
            self._waits += 1
        elif not message.name.startswith("read:"):
            self._waits = self._idle_jumps = 0
        if message.kind in ("stop", "pass"):
            running.actor.at = message.name
            self._say(f"{number} {message.name}")
            if message.name == self._plan.settings.hold and not self._was_held:
                self._was_held = running.is_held = True
            if message.name == "write:begin" and running.claimed_at is None:
                running.claimed_at = self._shared.seconds
            elif message.name == "fetch:recorded":
                self._model.end_claims(number)
            self._model.follow(running, message.name)
        elif message.kind == "result":
            assert job is not None
            running.actor.at = "result"
            outcome, value = message.value
            # Without times, process ids and folders, which differ each time.
            shown = value[0] if outcome == "refused" else value.get("ref") if job.name == "aggregate" else ""
            self._say(f"{number} {outcome} {job} {shown}")
            self._model.acknowledge(running, job, outcome, value)
            running.job += 1
            running.begun, running.pending, running.has_number = len(self.result.steps), None, False
            running.claimed_at = None
            self._model.end_claims(number)
        elif message.name == "requested":
            model.note_request(running, message.value[0], self._shared.seconds)
            self._say(f"{number} requests {message.value[0]} of edition {message.value[1]}")
        elif message.name == "stored":
            self._say(f"{number} stored {[each[0] for each in message.value]}")
            for experiment_id, sha256 in message.value:
                self._model.note_stored(number, experiment_id, sha256)
        else:
            self.result.fail(f"actor {number} crashed: {message.value}")

    # -- the end ------------------------------------------------------------------------------------------------------

    def _check(self) -> None:
        if self._plan.settings.hosts:
            # No one can know that the owners of claims have ended.
            self._jump(2 * LEASE_S)
        left = self._left
        is_damaged = self._plan.damage is not None
        found = self._helper.call(rerun, self._store, self._place, left, is_damaged=is_damaged)
        # The claims of killed actors expire.
        self._jump(2 * LEASE_S)
        found["problems"] |= self._helper.call(collected, self._store, self._place, self._model.snapshots[:1])
        for what, problems in found["problems"].items():
            if problems:
                self.result.fail(f"{what}: {problems}")
        names = frozenset(each.name for each in self._plan.jobs)
        for job, (outcome, value) in zip(left, found["reruns"], strict=True):
            if outcome == "refused" and not may_refuse(job, value[0], names, is_damaged=False, is_late=False):
                self.result.fail(f"run again, {job}: {value[0]}: {value[1]}")
        self._model.check_versions(found["before"]["versions"])
        for each in found["after"]["versions"]:
            self._model.check_version(each, "at the end")
        self._model.check_tags(found["before"]["versions"])
        if set(found["before"]["excluded"]) != self._model.excluded:
            self.result.fail(f"excluded are {found['before']['excluded']}, not {sorted(self._model.excluded)}")
        self._model.check_volumes(found["after"]["volumes"])
        self._model.check_requests()


def _opened(path: Path, stopping: Stopping) -> Store:
    while True:
        try:
            return open_store(path)
        except BusyError:
            # The clocks jumped while it waited.
            stopping.stop("wait:store")

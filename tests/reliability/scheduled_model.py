"""The expected content of the store after a schedule, and the right answers of its jobs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.reliability.actors import Actor, Upstream
from tests.reliability.scheduled_jobs import BASE, Job, Place, may_refuse
from tests.reliability.scheduled_plans import Plan

# Of the claims of the library.
LEASE_S = 60.0
# What was about to be committed, by the checkpoint in its transaction.
_IN_TRANSACTION = ("tag:written", "untag:removed", "delete:removed", "version:inserted")


@dataclass(frozen=True)
class World:
    """The initial state of each schedule, and the right answers.

    Attributes
    ----------
    ids : tuple of int
        Four experiments.
    upstream : Upstream
    editions : mapping
        Experiment and edition by the SHA-256 of the voxels.
    contents : mapping
        The experiments by the hash of the content of their average, in any editions.
    means : mapping
        The SHA-256 of the mean of a version by the hash of its content.
    """

    ids: tuple[int, ...]
    upstream: Upstream
    editions: Mapping[str, tuple[int, int]]
    contents: Mapping[str, tuple[int, ...]]
    means: Mapping[str, str]


@dataclass
class Commit:
    """A version that an actor committed."""

    name: str
    positions: tuple[int, ...]
    step: int
    actor: int


@dataclass
class Running:
    """An actor and what it is doing."""

    actor: Actor
    script: list[Job]
    job: int = 0
    begun: int = 0
    pending: str | None = None
    has_number: bool = False
    is_held: bool = False
    is_blocked: bool = False
    # The time of its first transaction that writes, from which on it may have claims.
    claimed_at: float | None = None

    @property
    def current(self) -> Job | None:
        """Its job."""
        return self.script[self.job] if self.job < len(self.script) else None

    @property
    def is_waiting(self) -> bool:
        """Whether others must continue first."""
        return self.is_blocked or self.actor.at.startswith("wait:")


@dataclass
class Result:
    """The course and result of a schedule.

    Attributes
    ----------
    seed : int
    steps : list of str
    failures : list of str
    kills, jumps : int
        How many actors were killed, and how often the clocks jumped.
    """

    seed: int
    steps: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    kills: int = 0
    jumps: int = 0

    def fail(self, text: str) -> None:
        """Note a failure."""
        self.failures.append(text)


@dataclass
class Model:
    """What must be in the store, from what the actors said in the order of their commits.

    Whatever differs from it is a failure of the result.
    """

    world: World
    place: Place
    plan: Plan
    result: Result
    tags: dict[str, dict[str, int]] = field(default_factory=lambda: {"base": {"old": 1}})
    deleted: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    commits: list[Commit] = field(default_factory=list)
    # Versions that were acknowledged: reference, when the job began, and what it returned.
    acknowledged: list[tuple[str, int, dict[str, Any]]] = field(default_factory=list)
    excluded: set[int] = field(default_factory=set)
    requests: Counter[str] = field(default_factory=Counter)
    # Volumes that actors have requested and not yet recorded: actor, and the time until which its claim is valid.
    in_flight: dict[str, dict[int, float]] = field(default_factory=lambda: defaultdict(dict))
    stored: dict[int, int] = field(default_factory=dict)
    interrupted: Counter[str] = field(default_factory=Counter)
    snapshots: list[str] = field(default_factory=list)

    def note_stored(self, number: int, experiment_id: int, sha256: str) -> None:
        """Note that an actor stored a volume, which must not be older than the one before."""
        edition = self.world.editions[sha256][1]
        before = self.stored.get(experiment_id, 0)
        if edition < before and not self.is_removing:
            self.result.fail(f"actor {number} replaced volume {experiment_id} by the edition of a request before")
        self.stored[experiment_id] = max(edition, before)

    def note_request(self, running: Running, name: str, seconds: float) -> None:
        """Note that an actor requests an object. Two do so only if the lease of the first claim has ended."""
        self.requests[name] += 1
        number, since = running.actor.number, running.claimed_at
        # An actor notices only later that its lease has ended, and that another one has claimed the object.
        if not name.startswith("volume/") or since is None or seconds >= since + LEASE_S:
            return
        for other, until in self.in_flight[name].items():
            if other != number and seconds < until:
                self.result.fail(f"actor {number} requested {name}, on which actor {other} has a claim")
        self.in_flight[name][number] = since + LEASE_S

    def end_claims(self, number: int) -> None:
        """Note that an actor may have released its claims."""
        for claims in self.in_flight.values():
            claims.pop(number, None)

    @property
    def is_removing(self) -> bool:
        """Whether volumes may be removed, so that an older file without a row may be used again."""
        return self.plan.damage is not None or any(job.name == "quota" for job in self.plan.jobs)

    def follow(self, running: Running, name: str) -> None:
        """Record the commit of an actor."""
        job = running.current
        if job is None:
            return
        if name in _IN_TRANSACTION or (job.name in ("exclude", "lift") and name == "write:begin"):
            running.pending = name
        elif name == "number:recorded":
            running.has_number = True
        elif name == "write:ended" and running.pending is not None:
            running.pending, running.has_number = None, False
            arguments, step = job.arguments, len(self.result.steps)
            if job.name == "aggregate":
                self.commits.append(Commit(arguments["name"], arguments["positions"], step, running.actor.number))
            elif job.name == "tag":
                dataset, _, version = arguments["ref"].partition("@")
                self.tags.setdefault(dataset, {})[arguments["tag"]] = int(version)
            elif job.name == "untag":
                self.tags[arguments["name"]].pop(arguments["tag"])
            elif job.name == "delete":
                dataset, _, version = arguments["ref"].partition("@")
                self.deleted[arguments["ref"]].append(step)
                kept = {tag: of for tag, of in self.tags.get(dataset, {}).items() if of != int(version)}
                self.tags[dataset] = kept
            elif job.name == "exclude":
                self.excluded.add(self.world.ids[arguments["position"]])
            elif job.name == "lift":
                self.excluded.discard(self.world.ids[arguments["position"]])
        elif name == "write:begin":
            running.pending = None

    def acknowledge(self, running: Running, job: Job, outcome: str, value: Any) -> None:
        """Note and check what a job returned."""
        if outcome == "refused":
            self._refused(running, job, value)
            return
        is_damaged = self.plan.damage is not None
        if job.name == "aggregate":
            self.acknowledged.append((value["ref"], running.begun, value))
            self.check_version(value, f"actor {running.actor.number}")
            if value["ids"] != self.place.chosen(job.arguments["positions"]):
                self.result.fail(f"actor {running.actor.number} got an average of {value['ids']}")
        elif job.name == "read":
            for each in value:
                self._check_read(running.actor.number, each)
        elif job.name in ("verify", "repair") and value and not is_damaged:
            self.result.fail(f"actor {running.actor.number} found damage: {value}")
        elif job.name == "backup":
            if value["problems"] and not is_damaged:
                self.result.fail(f"actor {running.actor.number} backed up damage: {value['problems']}")
            elif not value["problems"]:
                self.snapshots.append(value["snapshot"])

    def _refused(self, running: Running, job: Job, error: tuple[str, str]) -> None:
        names = frozenset(each.name for each in self.plan.jobs)
        is_damaged, is_late = self.plan.damage is not None, self.result.jumps > 0
        if not may_refuse(job, error[0], names, is_damaged=is_damaged, is_late=is_late):
            self.result.fail(f"actor {running.actor.number}, {job}: {error[0]}: {error[1]}")
        elif running.has_number and job.name == "aggregate":
            self.interrupted[job.arguments["name"]] += 1

    def check_version(self, found: Mapping[str, Any], what: str) -> None:
        """A version has the average of its experiments."""
        expected = self.world.contents.get(found["content"])
        if expected != found["ids"]:
            self.result.fail(f"{what}: {found['ref']} of {found['ids']} has the content of {expected}")

    def _check_read(self, number: int, found: Mapping[str, Any]) -> None:
        what = f"actor {number} read"
        self.check_version(found, what)
        if self.world.means.get(found["content"]) != found["mean"]:
            self.result.fail(f"{what} a wrong mean of {found['ref']}")
        if self.world.editions.get(found["voxels"], (None, 0))[0] != self.world.ids[0]:
            self.result.fail(f"{what} a wrong volume")
        if found["rows"] != len(self.world.ids):
            self.result.fail(f"{what} {found['rows']} experiments")

    def check_versions(self, versions: list[dict[str, Any]]) -> None:
        """Nothing acknowledged is lost, no number is given twice, and none is left out."""
        present = {each["ref"]: each for each in versions}
        for each in versions:
            self.check_version(each, "stored")
        given: dict[str, str] = {}
        for ref, begun, value in self.acknowledged:
            if given.setdefault(ref, value["fingerprint"]) != value["fingerprint"]:
                self.result.fail(f"{ref} was given twice")
            if ref in present:
                if present[ref]["fingerprint"] != value["fingerprint"]:
                    self.result.fail(f"{ref} is another version than the one that was acknowledged")
            elif not any(step >= begun for step in self.deleted.get(ref, [])):
                self.result.fail(f"{ref} was acknowledged and is lost")
        computed = Counter(ref for ref, _, value in self.acknowledged if value["was_computed"])
        if repeated := [ref for ref, count in computed.items() if count > 1]:
            self.result.fail(f"computed twice under one number: {repeated}")
        for number in BASE:
            ref = f"base@{number}"
            if ref not in present and not self.deleted.get(ref):
                self.result.fail(f"{ref} is lost")
        if undead := [ref for ref in self.deleted if self.deleted[ref] and ref in present]:
            self.result.fail(f"deleted, but there: {undead}")
        self._check_commits(present)
        self._check_numbers(present)

    def _check_commits(self, present: Mapping[str, dict[str, Any]]) -> None:
        for commit in self.commits:
            ids = self.place.chosen(commit.positions)
            is_there = any(ref.partition("@")[0] == commit.name and each["ids"] == ids for ref, each in present.items())
            is_deleted = any(
                ref.partition("@")[0] == commit.name and any(step > commit.step for step in steps)
                for ref, steps in self.deleted.items()
            )
            if not is_there and not is_deleted:
                self.result.fail(f"actor {commit.actor} committed {commit.name} of {ids}, which is lost")

    def _check_numbers(self, present: Mapping[str, object]) -> None:
        known: dict[str, set[int]] = defaultdict(set)
        known["base"] |= set(BASE)
        for ref in [*present, *self.deleted, *(ref for ref, _, _ in self.acknowledged)]:
            name, _, number = ref.partition("@")
            known[name].add(int(number))
        for name, numbers in known.items():
            missing = set(range(1, max(numbers, default=0) + 1)) - numbers
            if len(missing) > self.interrupted[name]:
                self.result.fail(f"the dataset {name} has no version {sorted(missing)} and has {sorted(numbers)}")

    def check_tags(self, versions: Iterable[dict[str, Any]]) -> None:
        """The versions have the tags that were set last."""
        found: dict[str, dict[str, int]] = defaultdict(dict)
        for each in versions:
            name, _, number = each["ref"].partition("@")
            for tag in each["tags"]:
                found[name][tag] = int(number)
        expected = {name: tags for name, tags in self.tags.items() if tags}
        if dict(found) != expected:
            self.result.fail(f"the tags are {dict(found)}, not {expected}")

    def check_volumes(self, volumes: Mapping[int, str]) -> None:
        """Each stored volume is there, and is the one that was stored last."""
        for experiment_id, sha256 in volumes.items():
            of, edition = self.world.editions.get(sha256, (None, 0))
            if of != experiment_id:
                self.result.fail(f"the volume of {experiment_id} is one of {of}")
            elif edition < self.stored.get(experiment_id, 0) and not self.is_removing:
                self.result.fail(f"the volume of {experiment_id} is not the one that was stored last")
        if not self.is_removing:
            lost = (set(self.stored) | set(self.world.ids[:2])) - set(volumes)
            if lost:
                self.result.fail(f"stored volumes are lost: {sorted(lost)}")

    def check_requests(self) -> None:
        """Each volume is requested once, unless the owner of its claim died or its lease expired."""
        refreshes = any(job.name == "fetch" and job.arguments["refresh"] for job in self.plan.jobs)
        if self.result.jumps or refreshes or self.is_removing:
            return
        for name, count in self.requests.items():
            if name.startswith("volume/") and count > 1 + self.result.kills:
                self.result.fail(f"{name} was requested {count} times, with {self.result.kills} kills")

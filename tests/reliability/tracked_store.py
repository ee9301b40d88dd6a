"""A store beside its model: calls are made, the content of the store is observed, and both are compared."""

from __future__ import annotations

import copy
import hashlib
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bsv_store import DatasetVersion, Selection, open_store
from bsv_store.errors import DamagedFileError
from tests.reliability.calls import Call, Outcome, made_here, made_in_child
from tests.reliability.model import (
    EDITIONS,
    Edition,
    Facts,
    Key,
    Refused,
    array_sha256,
    editions_by_sha256,
    injected_side,
    listed,
    truth,
    volume_of,
)
from tests.reliability.model_answers import Inputs, Question, answer, gather, sample

if TYPE_CHECKING:
    from bsv_store import Store
    from bsv_store.volumes.stored_object import StoredObject

Damage = Literal["missing", "wrong size", "wrong bytes"]
How = int | str
"""0 or 1: one of two open stores in this process; 'child': another process; else a checkpoint at which it is killed."""

_FOLDERS = ("volumes", "datasets", "tmp", "trash")
_KNOWN_NAMES = {"store.toml", "catalog.db", "catalog.db-journal", "folder.id", *_FOLDERS}
_ROOT_VOLUMES = (
    "SELECT experiment_id, projection_volume FROM unionize"
    " WHERE structure_id = 997 AND hemisphere_id = 3 AND is_injection"
)


@dataclass(frozen=True)
class Version:
    """A version of a dataset.

    Attributes
    ----------
    mean_sha256 : str
        Of the array as it was read first.
    is_import, is_checked : bool
        An import that is not checked answers no question.
    """

    question: Question
    inputs: Inputs
    fingerprint: str
    content: str
    mean_sha256: str
    is_import: bool = False
    is_checked: bool = True

    @property
    def identity(self) -> tuple[str, str]:
        """The hashes of the inputs and of the result."""
        return self.fingerprint, self.content


@dataclass(frozen=True)
class Deleted:
    """A version in the trash, with its tags; ``damage`` is that of its file."""

    version: Version
    tags: tuple[str, ...]
    is_damaged: bool = False


@dataclass(frozen=True)
class Born:
    """A version that a call may add to a dataset."""

    name: str
    question: Question
    inputs: Inputs
    imported: Version | None = None
    wanted: int = 0
    is_checked: bool = True
    tags: tuple[str, ...] = ()


@dataclass
class Expected:
    """The expected effects of a call.

    Attributes
    ----------
    after : dict
        The facts after it.
    free : mapping of key to set
        Values that facts may also have after it; None means that there is no such fact.
    healed : set of str
        Objects that must not be damaged after it.
    may_heal : bool
        Whether others may be repaired, or removed.
    born : Born or None
    errors : tuple of type
        It must fail with one of these, and change nothing.
    may_fail : tuple of type
        It may also fail with one of these, after a part of the work.
    """

    after: Facts
    free: dict[Key, set[Any]] = field(default_factory=dict)
    healed: set[str] = field(default_factory=set)
    may_heal: bool = False
    born: Born | None = None
    errors: tuple[type[BaseException], ...] = ()
    may_fail: tuple[type[BaseException], ...] = ()


@dataclass
class State:
    """The state of a store in the model.

    Attributes
    ----------
    facts : dict
    given : dict
        The version numbers of each dataset that were ever seen, with the identities of the versions.
    shared : set
        Versions that were exported.
    """

    facts: Facts
    given: dict[str, dict[int, tuple[str, str]]] = field(default_factory=dict)
    shared: set[tuple[str, int]] = field(default_factory=set)

    def copy(self) -> State:
        """An independent copy."""
        return State(dict(self.facts), copy.deepcopy(self.given), set(self.shared))

    def versions(self, name: str | None = None) -> dict[tuple[str, int], Version]:
        """All versions, or those of a dataset."""
        return {
            (key[1], key[2]): value
            for key, value in sorted(self.facts.items(), key=str)
            if key[0] == "version" and name in (None, key[1])
        }

    def tags(self, name: str, number: int) -> tuple[str, ...]:
        """The tags of a version."""
        return tuple(
            sorted(key[2] for key, value in self.facts.items() if key[:2] == ("tag", name) and value == number)
        )

    def last_number(self, name: str) -> int:
        """The highest number that was given."""
        return max(self.given.get(name, {}), default=0)


def object_key(key: Key) -> str | None:
    """The store's name for the object of a fact; None if it has no file."""
    if key[0] == "volume":
        return f"volume/{key[1]}/100/{key[2]}"
    return f"version/{key[1]}@{key[2]}" if key[0] == "version" else None


class TrackedStore:
    """A store and its expected state.

    Parameters
    ----------
    location : pathlib.Path
    state : State
    """

    def __init__(self, location: Path, state: State) -> None:
        self.location = location
        self.state = state
        self.actors: list[Store] = [open_store(location), open_store(location)]
        self.damaged: dict[str, Damage] = {}
        # Numbers that a killed process may have given.
        self.burned: Counter[str] = Counter()
        self.was_killed = False
        self.opened = 0
        # Since the last call of `check_lists`.
        self.is_changed = True

    def close(self) -> None:
        """Close both open stores."""
        for each in self.actors:
            each.close()

    def reopen(self) -> None:
        """Close both open stores, and open them again."""
        self.close()
        self.actors = [open_store(self.location), open_store(self.location)]
        self.opened += 1

    # -- calls --------------------------------------------------------------------------------------------------------

    def make(self, call: Call, expected: Expected, how: How = 0) -> Outcome:
        """Make a call, compare its effects with the model, and update the model."""
        for key in self.unmoved():
            # The file may become that of a version with the same result.
            expected.free.setdefault(key, set()).add(None)
        if isinstance(how, int):
            outcome = made_here(self.actors[how], call)
        else:
            outcome = made_in_child(self.location, call, kill_at=None if how == "child" else how)
        self.was_killed |= outcome.was_killed
        self.is_changed = True
        what = f"{call} ({how})"
        self._check_error(what, expected, outcome)
        must_be_done = outcome.error is None and not outcome.was_killed
        after = self.state.facts if expected.errors else expected.after
        partial = outcome.was_killed or (outcome.error is not None and not expected.errors)
        self._settle(what, expected, after, must_be_done=must_be_done, is_partial=partial)
        if outcome.was_killed and expected.born is not None:
            self.burned[expected.born.name] += 1
        return outcome

    @staticmethod
    def _check_error(what: str, expected: Expected, outcome: Outcome) -> None:
        if outcome.was_killed:
            return
        if expected.errors:
            assert outcome.error is not None, f"{what} must fail with {expected.errors}"
            assert issubclass(outcome.error, expected.errors), f"{what}: {outcome.error.__name__}: {outcome.message}"
        elif outcome.error is not None:
            assert issubclass(outcome.error, expected.may_fail), f"{what}: {outcome.error.__name__}: {outcome.message}"

    def _settle(self, what: str, expected: Expected, after: Facts, *, must_be_done: bool, is_partial: bool) -> None:
        before = self.state.facts
        seen = self.observe()
        facts: Facts = {}
        born = expected.born
        for key in sorted(before.keys() | after.keys() | seen.keys(), key=str):
            allowed = [after.get(key), *expected.free.get(key, ())]
            if is_partial:
                allowed.append(before.get(key))
            found = seen.get(key)
            match = next((each for each in allowed if _agrees(each, found)), _NOTHING)
            if match is _NOTHING and key[0] == "version" and key not in before and born is not None:
                match, born = self._birth(what, born, key, found), None
            assert match is not _NOTHING, f"{what}: {key} is {found}, not one of {allowed}"
            if match is not None:
                facts[key] = match
        if born is not None and must_be_done:
            raise AssertionError(f"{what}: no version was added")
        self.state.facts = facts
        if expected.born is not None and born is None and expected.born.imported is not None:
            self._take_tags(what, expected.born, seen)
        self._check_numbers(what)
        self._check_damage(what, expected, must_be_done=must_be_done)

    def _take_tags(self, what: str, born: Born, seen: Mapping[Key, Any]) -> None:
        number = self.state.last_number(born.name)
        for tag in born.tags:
            key = "tag", born.name, tag
            assert seen.get(key) is not None, f"{what}: the tag {tag} was not imported"
            self.state.facts.setdefault(key, number)

    def _birth(self, what: str, born: Born, key: Key, found: Any) -> Version:
        """The new version, after all about it was compared with the model."""
        _, name, number = key
        last = self.state.last_number(name)
        first = max(last + 1, born.wanted)
        assert name == born.name, f"{what} added {key}"
        # A lost version that is computed again may have its number again.
        is_same = number == last and self.state.given[name].get(number) == found
        is_next = first <= number <= max(last + 1 + self.burned[name], born.wanted)
        assert is_same or is_next, f"{what}: {key} follows {last}"
        version = self.actors[0].datasets.get(f"{name}@{number}")
        check_members(version, born.inputs)
        mean = check_values(version, born.question, born.inputs)
        made = Version(
            born.question,
            born.inputs,
            found[0],
            found[1],
            mean,
            is_import=born.imported is not None,
            is_checked=born.is_checked,
        )
        if born.imported is not None:
            assert born.imported.identity == made.identity, what
            assert born.imported.mean_sha256 == mean, what
        standing = version.origin.standing
        wanted = (
            "computed" if not made.is_import else "imported, checked" if made.is_checked else "imported, not checked"
        )
        assert standing == wanted, f"{what}: {standing}, not {wanted}"
        self.burned[name] = 0
        return made

    def _check_numbers(self, what: str) -> None:
        """A number never stands for two results."""
        for (name, number), version in self.state.versions().items():
            before = self.state.given.setdefault(name, {}).setdefault(number, version.identity)
            assert before == version.identity, f"{what}: {name}@{number} was given to two results"

    def _check_damage(self, what: str, expected: Expected, *, must_be_done: bool) -> None:
        now = self.find_damage()
        new = {key: value for key, value in now.items() if self.damaged.get(key) != value}
        if expected.may_heal:
            # `repair` moves a damaged file away before it replaces it.
            new = {key: value for key, value in new.items() if not (value == "missing" and key in self.damaged)}
        assert not new, f"{what} damaged {new}"
        if must_be_done:
            left = expected.healed & now.keys()
            assert not left, f"{what} did not repair {left}"
        if not (expected.may_heal or expected.healed):
            kept = {key for key in self.damaged if key in self.objects()}
            assert kept == now.keys(), f"{what} repaired {kept - now.keys()}"
        self.damaged = now

    # -- observation --------------------------------------------------------------------------------------------------

    def observe(self) -> dict[Key, Any]:
        """The content of the store by its own account; of versions the hashes."""
        self.opened += 1
        store = self.actors[self.opened % 2]
        facts: dict[Key, Any] = {}
        everything = Selection(include_withdrawn=True, include_excluded=True)
        frame = store.experiments(everything)
        columns = (frame["experiment_id"], frame["injection_volume"], frame["withdrawn"])
        for identifier, volume, withdrawn in zip(*(each.tolist() for each in columns), strict=True):
            facts["listed", identifier] = _edition(identifier, volume), bool(withdrawn)
        for row in store.sql(_ROOT_VOLUMES).itertuples():
            facts["table", int(row.experiment_id)] = _edition(int(row.experiment_id), row.projection_volume)
        sides = dict(zip(frame["experiment_id"].tolist(), frame["injected_hemisphere"].tolist(), strict=True))
        assert sides == {each: injected_side(facts, each) for each in sides}
        for each in store.catalog.exclusions():
            facts["excluded", each.experiment_id] = each.reason
        for saved in store.catalog.selections():
            facts["saved", saved.name] = saved.selection.to_json()
        stored = {each.key: each for each in store.catalog.files()}
        for file in stored.values():
            if file.kind == "volume":
                _, kind, _, identifier = file.key.split("/")
                edition = editions_by_sha256()[file.array_sha256]
                assert file.array_sha256 == array_sha256(int(identifier), edition, kind), file
                facts["volume", kind, int(identifier)] = edition
        versions = store.datasets.versions()
        for row in versions.itertuples():
            name, number = str(row.name), int(row.number)
            facts["version", name, number] = row.fingerprint, stored[f"version/{name}@{number}"].array_sha256
            for tag in row.tags.split(", ") if isinstance(row.tags, str) else ():
                facts["tag", name, tag] = number
        for item in store.admin.trash():
            if found := re.fullmatch(r"version/(\w+)@(\d+)", item.what):
                facts["deleted", found[1], int(found[2])] = True
        return facts

    def objects(self) -> dict[str, StoredObject]:
        """All files that the catalog names, by key."""
        return {each.key: each for each in self.actors[0].catalog.files()}

    def find_damage(self) -> dict[str, Damage]:
        """The objects whose files are not what was stored."""
        found: dict[str, Damage] = {}
        for key, each in self.objects().items():
            damage = self._damage_of(each)
            if damage is not None:
                found[key] = damage
        return found

    def _damage_of(self, each: StoredObject) -> Damage | None:
        path = self.location / each.path
        if not path.is_file():
            return "missing"
        content = path.read_bytes()
        if len(content) != each.size_bytes:
            return "wrong size"
        return None if hashlib.sha256(content).hexdigest() == each.file_sha256 else "wrong bytes"

    def files(self, *folders: str) -> list[Path]:
        """The files in these folders of the store, without the records of numbers."""
        found = [path for name in folders or _FOLDERS for path in (self.location / name).rglob("*") if path.is_file()]
        return sorted(path for path in found if ".numbers" not in path.parts)

    def unlisted(self) -> dict[str, Path]:
        """The files of volumes and results that the catalog does not name, by relative path."""
        named = {each.path for each in self.objects().values()}
        found = {path.relative_to(self.location).as_posix(): path for path in self.files("volumes", "datasets")}
        return {path: each for path, each in found.items() if path not in named}

    def unmoved(self) -> set[Key]:
        """The deleted versions whose file is still in its place, because the deletion was interrupted."""
        if not self.was_killed:
            return set()
        items = [each.what for each in self.actors[0].admin.trash() if each.file is None]
        found = [re.fullmatch(r"version/(\w+)@(\d+)", each) for each in items]
        return {("deleted", each[1], int(each[2])) for each in found if each is not None}

    def orphan_ids(self, kind: str) -> set[int]:
        """The experiments of which there are volume files that the catalog does not name."""
        folder = f"volumes/{kind}/"
        return {int(Path(each).name.partition(".")[0]) for each in self.unlisted() if each.startswith(folder)}

    # -- invariants ---------------------------------------------------------------------------------------------------

    def check_lists(self) -> None:
        """The store lists and counts what the model has."""
        self.is_changed = False
        store, facts = self.actors[self.opened % 2], self.state.facts
        versions = self.state.versions()
        names = sorted({name for name, _ in versions})
        assert [(each.name, each.versions) for each in store.datasets.list()] == [
            (name, len(self.state.versions(name))) for name in names
        ]
        self.check_stale(store)
        status = store.status()
        catalog, upkeep = status.catalog, status.upkeep
        assert catalog.experiments == len(listed(facts))
        assert catalog.withdrawn_experiments == sum(withdrawn for _, withdrawn in listed(facts).values())
        assert catalog.experiments_with_unionizes == sum(key[0] == "table" for key in facts)
        assert catalog.dataset_versions == len(versions)
        assert catalog.unchecked_versions == sum(not each.is_checked for each in versions.values())
        kinds = Counter(key[1] for key in facts if key[0] == "volume")
        assert {each.kind: each.volumes for each in catalog.volumes} == kinds
        sizes: Counter[str] = Counter()
        for each in self.objects().values():
            if each.kind == "volume":
                sizes[each.key.split("/")[1]] += each.size_bytes
        assert {each.kind: each.size_bytes for each in catalog.volumes} == sizes
        assert upkeep is not None
        trashed = [path for path in self.files("trash") if path.suffix != ".json"]
        assert (upkeep.trash.files, upkeep.trash.size_bytes) == (len(trashed), sum(p.stat().st_size for p in trashed))
        if not self.was_killed:
            assert self.files("tmp") == []
        unknown = {path.name for path in self.location.iterdir()} - _KNOWN_NAMES
        assert not unknown, unknown

    def check_stale(self, store: Store) -> None:
        """The latest version of each dataset is stale exactly if its inputs changed."""
        latest: dict[str, tuple[int, Version]] = {}
        for (name, number), version in self.state.versions().items():
            if number > latest.get(name, (0,))[0]:
                latest[name] = number, version
        reports = store.datasets.stale()
        assert [each.ref for each in reports] == [f"{name}@{latest[name][0]}" for name in sorted(latest)]
        for report in reports:
            self._check_report(report, latest[report.ref.partition("@")[0]][1])

    def _check_report(self, report: Any, version: Version) -> None:
        try:
            now = gather(self.state.facts, version.question, lenient=True)
        except Refused:
            now = None
        if version.is_checked:
            assert report.is_stale == (now != version.inputs), f"{report} although the inputs are {now}, {version}"
        elif now == version.inputs:
            assert not report.is_stale, report

    def check_version(self, name: str, number: int, version: DatasetVersion | None = None) -> None:
        """A version is read as it was first, or an error tells that it is damaged."""
        known = self.state.facts["version", name, number]
        found = version or self.actors[self.opened % 2].datasets.get(f"{name}@{number}")
        check_members(found, known.inputs)
        if f"version/{name}@{number}" in self.damaged:
            assert _fails(lambda: found.mean), f"{name}@{number} is damaged, and was read"
            return
        assert check_values(found, known.question, known.inputs) == known.mean_sha256, f"{name}@{number} changed"

    def check_volume(self, kind: str, identifier: int) -> None:
        """A volume is read as Allen has it, or an error tells that it is damaged."""
        store = self.actors[self.opened % 2]
        edition = self.state.facts["volume", kind, identifier]
        if f"volume/{kind}/100/{identifier}" in self.damaged:
            assert _fails(lambda: store.volume(identifier, kind=kind)), f"{kind} of {identifier} is damaged"  # type: ignore[arg-type]
            return
        found = store.volume(identifier, kind=kind)  # type: ignore[arg-type]
        np.testing.assert_array_equal(found, volume_of(identifier, edition, kind))  # type: ignore[arg-type]

    def check_verify(self, *, deep: bool) -> None:
        """`verify` finds the damage, all of it, and nothing else."""
        report = self.actors[self.opened % 2].admin.verify(deep=deep)
        wanted = {key for key, value in self.damaged.items() if deep or value != "wrong bytes"}
        assert {each.object for each in report.damage} == wanted, f"{report}, but the damage is {self.damaged}"
        unlisted = self.unlisted()
        orphans = {each.path for each in report.notes if each.kind in ("orphan", "foreign_file") and each.path}
        orphans = {each for each in orphans if ".numbers" not in each}
        assert orphans == unlisted.keys(), f"{report}, but the files without a row are {sorted(unlisted)}"

    def check_everything(self) -> None:
        """All invariants."""
        self.check_lists()
        self.check_verify(deep=False)
        self.check_verify(deep=True)
        for name, number in self.state.versions():
            self.check_version(name, number)
        for key in [key for key in self.state.facts if key[0] == "volume"]:
            self.check_volume(key[1], key[2])


_NOTHING = object()


def _agrees(known: Any, found: Any) -> bool:
    if isinstance(known, Version):
        return bool(known.identity == found)
    if isinstance(known, Deleted):
        return found is True
    return bool(known == found)


def _edition(identifier: int, volume: float) -> Edition:
    return next(each for each in EDITIONS if truth(identifier, each).injection_volume == volume)


def _fails(read: Any) -> bool:
    try:
        read()
    except DamagedFileError:
        return True
    return False


def check_members(version: DatasetVersion, inputs: Inputs) -> None:
    """Groups, members and those left out are as in the model."""
    placed = [each for each in version.experiments if each.group is not None]
    assert [(each.experiment_id, each.group) for each in placed] == [(each.id, each.group) for each in inputs.members]
    for found, member in zip(placed, inputs.members, strict=True):
        editions = dict(member.volumes)
        kind = member.volumes[0][0]
        assert found.array_sha256 == array_sha256(member.id, editions[kind], kind)
        assert found.divisor is not None
        assert np.isclose(found.divisor, member.divisor, rtol=1e-12, atol=0)
        assert (found.divisor_source, found.injected_hemisphere) == (member.divisor_source, member.side)
    left_out = {each.experiment_id: each.reason for each in version.experiments if each.group is None}
    assert sorted(left_out) == [each for each, _ in inputs.left_out]
    for each, reason in inputs.left_out:
        assert left_out[each] == reason or not reason.startswith("excluded"), (left_out, reason)
    assert len(version.groups) == len(inputs.groups)
    for group, ranges in zip(version.groups, inputs.groups, strict=True):
        values = (group.lower, group.upper, group.center)
        wanted = ranges[0] if ranges else (None, None, None)
        for one, other in zip(values, wanted, strict=True):
            assert one is other is None or (one is not None and other is not None and np.isclose(one, other)), group


def check_values(version: DatasetVersion, question: Question, inputs: Inputs) -> str:
    """All statistics of a version are those of the model; returns the hash of its mean."""
    wanted = answer(question, inputs)
    if question.weight_by != "none":
        weights = version.weights()
        assert list(weights) == [each.id for each in inputs.members]
        wanted_weights = np.array([each.weight for each in inputs.members], np.float64)
        np.testing.assert_allclose(np.array(list(weights.values())), wanted_weights, rtol=1e-12)
    index = sample()[0]
    mean = version.mean
    for name in dict.fromkeys(("mean", *question.statistics)):
        array = mean if name == "mean" else version.statistic(name)  # type: ignore[arg-type]
        found = array.reshape(len(inputs.groups), -1)[:, index]
        np.testing.assert_allclose(found, wanted[name], rtol=2e-6, atol=1e-9, err_msg=f"{name} of {version.ref}")
    return hashlib.sha256(np.ascontiguousarray(mean).tobytes()).hexdigest()


def without(facts: Facts, *keys: Key) -> Facts:
    """Facts without some of them."""
    return {key: value for key, value in facts.items() if key not in keys}


def checked(version: Version) -> Version:
    """An imported version after it was recomputed."""
    return replace(version, is_checked=True)

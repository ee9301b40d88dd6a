"""The commands of `test_state_machine`, each with its expected effects.

Each step is a command in one of two open stores, in another process, or in a process that is killed at a checkpoint.
Between steps, Allen's data change and files are damaged. `tests.reliability.model` has the expected content of the
stores, and `tests.reliability.tracked_store` the comparison.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import time
import uuid
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import make_url

from bsv_store import DatasetVersion, open_store
from bsv_store.config import read_store_config
from bsv_store.errors import BsvStoreError, DamagedFileError, InputError, MissingDataError, SchemaError, UpstreamError
from bsv_store.store.opening import upgrade_store
from bsv_store.store.restoring import prune_backup, restore_store
from bsv_store.store.schema_changes import downgrade_store
from bsv_store.vocabulary import VolumeKind
from bsv_store_synthetic import SyntheticServer
from bsv_store_synthetic.routes import ReplyCache
from tests.reliability.calls import Call
from tests.reliability.campaigns import Trials
from tests.reliability.machine_draws import (
    ANY_PART,
    COLLECTING,
    COMPUTING,
    DELETING,
    FETCHING,
    NAMES,
    PARTS,
    QUESTIONS,
    REASONS,
    REPAIRING,
    SIDE,
    SOME_IDS,
    TAGS,
    WHICH,
    WRITING,
    how_made,
)
from tests.reliability.machine_stores import first_state, offer, other_state
from tests.reliability.model import (
    EDITIONS,
    FIRST_IDS,
    IDS,
    KINDS,
    Facts,
    Key,
    Leaf,
    Part,
    Refused,
    Upstream,
    is_consistent,
    listed,
    projected_volume,
    selected,
    volume_of,
)
from tests.reliability.model_answers import Question, gather
from tests.reliability.tracked_store import Born, Deleted, Expected, How, State, TrackedStore, Version, checked, without
from tests.stores import copied_store

if TYPE_CHECKING:
    from bsv_store import Store

_NO_GRACE = timedelta(0)


@dataclass
class Environment:
    """Objects that all sequences of a test share."""

    request: pytest.FixtureRequest
    folder: Path
    upstream: Upstream
    server: SyntheticServer
    templates: list[tuple[Path, str | None]]
    trials: Trials

    def new_database(self) -> str | None:
        """The URL of an empty database on Postgres, None on SQLite."""
        if self.templates[0][1] is None:
            return None
        url: str = self.request.getfixturevalue("postgres").create_database(f"test_{uuid.uuid4().hex}")
        return url

    def copy_catalog(self, location: Path, target: Path) -> str:
        """Copy the catalog of a store that is not open; returns the name of the copy."""
        database = read_store_config(location).database
        if database == "sqlite":
            shutil.copy(location / "catalog.db", target)
            return str(target)
        name = f"test_{uuid.uuid4().hex}"
        self.request.getfixturevalue("postgres").create_database(name, template=make_url(database).database)
        return name

    def put_back_catalog(self, location: Path, copy: str) -> None:
        """Replace the catalog of a store that is not open by a copy of it."""
        database = read_store_config(location).database
        if database == "sqlite":
            shutil.copy(copy, location / "catalog.db")
            return
        server, name = self.request.getfixturevalue("postgres"), make_url(database).database
        server.drop_database(name)
        server.create_database(name, template=copy)

    def change(self) -> None:
        """Forget replies, since the upstream data have changed."""
        self.server._cache = ReplyCache()


@dataclass
class Held:
    """A version object that was returned earlier."""

    side: int
    opened_by: Store
    name: str
    number: int
    known: Version
    version: DatasetVersion


@dataclass
class Backup:
    """A snapshot of a store, and the state of the store at that time."""

    id: str
    state: State
    problems: set[str] = field(default_factory=set)


@dataclass
class CatalogCopy:
    """A copy of the catalog alone, and the state of the store at that time."""

    location: Path
    name: str
    state: State


class StoreMachine(RuleBasedStateMachine):
    """Two stores, Allen, a backup target, and old version objects."""

    environment: ClassVar[Environment]

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.folder = self.environment.folder / uuid.uuid4().hex
        self.folder.mkdir()
        offer(self.environment.server, self.upstream, FIRST_IDS)
        self.sides = [self._opened(number, state) for number, state in enumerate((first_state(), other_state()))]
        self.backups: list[list[Backup]] = [[], []]
        self.catalogs: list[CatalogCopy | None] = [None, None]
        self.held: list[Held] = []
        self.exports: list[tuple[Path, str, int, Version, tuple[str, ...]]] = []

    @property
    def upstream(self) -> Upstream:
        return self.environment.upstream

    @property
    def url(self) -> str:
        return self.environment.server.url

    def _opened(self, number: int, state: State) -> TrackedStore:
        template, database = self.environment.templates[number]
        location = self.stack.enter_context(
            copied_store(template, self.folder / f"store-{number}", self.environment.request, database=database)
        )
        return TrackedStore(location, state)

    def teardown(self) -> None:
        """Check everything once, at the end of each sequence."""
        try:
            for side in self.sides:
                side.check_everything()
        finally:
            for side in self.sides:
                side.close()
            self.stack.close()
            shutil.rmtree(self.folder)

    def _done(self) -> None:
        self.environment.trials.done()

    # -- Allen --------------------------------------------------------------------------------------------------------

    @rule(identifier=st.sampled_from(IDS), edition=st.sampled_from([0, 1, 1, None]))
    def allen_changes_an_experiment(self, identifier: int, edition: int | None) -> None:
        editions = self.upstream.editions
        if edition is not None:
            editions[identifier] = edition
        elif len(editions) > 3:
            editions.pop(identifier, None)
        self.environment.change()
        self._done()

    @rule(which=SIDE, how=how_made("sync:downloaded", "sync:committed"))
    def sync_lists(self, which: int, how: How) -> None:
        side = self.sides[which]
        side.make(Call("sync_structures", options={"api_url": self.url}), Expected(side.state.facts), how)
        editions = self.upstream.editions
        gone = {("listed", each): (found[0], True) for each, found in listed(side.state.facts).items()}
        offered = {("listed", each): (edition, False) for each, edition in editions.items()}
        call = Call("sync_experiments", options={"api_url": self.url, "allow_shrinking": True})
        side.make(call, Expected({**side.state.facts, **gone, **offered}), how)
        self._done()

    @rule(which=SIDE, ids=SOME_IDS, refresh=st.booleans(), how=how_made("sync:downloaded", "sync:committed"))
    def sync_tables(self, which: int, ids: tuple[int, ...], refresh: bool, how: How) -> None:
        side = self.sides[which]
        part = Leaf(ids=ids, include_excluded=True)
        call = Call("sync_unionizes", (part.selection(),), {"refresh": refresh, "api_url": self.url})
        side.make(call, self._synced(side.state.facts, part, refresh), how)
        self._done()

    def _synced(self, facts: Facts, part: Part, refresh: bool) -> Expected:
        try:
            ids = selected(facts, part)
        except Refused:
            return Expected(facts, errors=(InputError,))
        after, free, done = dict(facts), dict[Key, set[Any]](), False
        for each in ids:
            key = "table", each
            offered = self.upstream.editions.get(each)
            if key in facts and not refresh:
                done = True
            elif offered is not None and facts["listed", each][0] == offered:
                after[key], done = offered, True
            # Otherwise the injection volume is not that of the list.
        return Expected(after, free, may_fail=() if done else (UpstreamError,))

    # -- volumes ------------------------------------------------------------------------------------------------------

    @rule(
        which=SIDE,
        kind=st.sampled_from(["projection_density"] * 4 + ["injection_fraction"] * 2 + ["data_mask"]),
        ids=SOME_IDS,
        mode=st.sampled_from(["missing", "missing", "missing", "refresh", "verify"]),
        how=how_made(*FETCHING),
    )
    def fetch(self, which: int, kind: VolumeKind, ids: tuple[int, ...], mode: str, how: How) -> None:
        side = self.sides[which]
        part = Leaf(ids=ids, include_excluded=True)
        options: dict[str, Any] = {"kind": kind, "api_url": self.url}
        if mode != "missing":
            options[mode] = True
        side.make(Call("fetch", (part.selection(),), options), self._fetched(side, part, kind, mode), how)
        self._done()

    def _fetched(self, side: TrackedStore, part: Part, kind: VolumeKind, mode: str) -> Expected:
        facts = side.state.facts
        try:
            ids = selected(facts, part)
        except Refused:
            return Expected(facts, errors=(InputError,))
        expected = Expected(dict(facts), may_heal=True)
        orphans, is_done = side.orphan_ids(kind), False
        noticed = {"missing", "wrong size"} if mode == "missing" else {"missing", "wrong size", "wrong bytes"}
        for each in ids:
            key, name = ("volume", kind, each), f"volume/{kind}/100/{each}"
            if key in facts and mode != "refresh" and side.damaged.get(name) not in noticed:
                is_done = True
            elif self._must_be_stored(side, each, orphans):
                expected.after[key], is_done = self.upstream.editions[each], True
                expected.healed.add(name)
            else:
                # Another edition may contradict what is known, or an earlier file may be used again.
                expected.free[key] = self._possible(side, kind, each, orphans)
        expected.may_fail = () if is_done else (UpstreamError,)
        return expected

    def _must_be_stored(self, side: TrackedStore, identifier: int, orphans: set[int]) -> bool:
        offered = self.upstream.editions.get(identifier)
        if offered is None or identifier in orphans or not is_consistent(side.state.facts, identifier, offered):
            return False
        damaged = [key for key in side.damaged if key.endswith(f"/{identifier}")]
        return len(damaged) <= 1

    def _possible(self, side: TrackedStore, kind: VolumeKind, identifier: int, orphans: set[int]) -> set[Any]:
        found: set[Any] = {side.state.facts.get(("volume", kind, identifier))}
        if identifier in self.upstream.editions:
            found.add(self.upstream.editions[identifier])
        return found | (set(EDITIONS) if identifier in orphans else set())

    @rule(
        which=SIDE,
        identifier=st.sampled_from(IDS),
        edition=st.sampled_from([0, 0, 1]),
        how=how_made(*WRITING, "adopt:published", "adopt:committed"),
    )
    def adopt(self, which: int, identifier: int, edition: int, how: How) -> None:
        side = self.sides[which]
        cache = self.folder / f"cache-{uuid.uuid4().hex}"
        (cache / str(identifier)).mkdir(parents=True)
        array = volume_of(identifier, edition, "projection_density")
        (cache / str(identifier) / "density.raw").write_bytes(array.astype("<f4").tobytes(order="F"))
        facts, key = side.state.facts, ("volume", "projection_density", identifier)
        expected = Expected(dict(facts), may_heal=True)
        is_known = ("listed", identifier) in facts
        if is_known and key not in facts and is_consistent(facts, identifier, edition):
            expected.after[key] = edition
            if any(name.endswith(f"/{identifier}") for name in side.damaged):
                expected.free[key] = {None}
        elif is_known:
            expected.free[key] = {edition, facts.get(key)}
        side.make(Call("adopt", (cache,)), expected, how)
        self._done()

    @rule(which=SIDE, index=WHICH)
    def read_a_volume(self, which: int, index: int) -> None:
        side = self.sides[which]
        volumes = sorted(key for key in side.state.facts if key[0] == "volume")
        if volumes:
            _, kind, identifier = volumes[index % len(volumes)]
            side.check_volume(kind, identifier)
        self._done()

    # -- selections ---------------------------------------------------------------------------------------------------

    @rule(which=SIDE, part=ANY_PART)
    def select(self, which: int, part: Part) -> None:
        side = self.sides[which]
        store = side.actors[0]
        try:
            wanted = selected(side.state.facts, part)
        except Refused:
            with pytest.raises(InputError):
                store.select(part.selection())
        else:
            assert store.select(part.selection()) == wanted
            assert store.experiments(part.selection())["experiment_id"].tolist() == list(wanted)
        self._done()

    @rule(which=SIDE, part=st.sampled_from(PARTS))
    def matrix(self, which: int, part: Part) -> None:
        side = self.sides[which]
        facts, store = side.state.facts, side.actors[1]
        wanted: dict[tuple[int, str], float] = {}
        try:
            for each in selected(facts, part):
                for target in ("CP", "LP"):
                    if ("table", each) in facts and (value := projected_volume(each, facts["table", each], target)):
                        wanted[each, target] = value
        except Refused:
            wanted.clear()
        try:
            frame = store.catalog.matrix(
                part.selection(),
                rows="experiments",
                targets=["CP", "LP"],
                hemisphere="both",
                measure="projection_volume",
                layout="long",
            )
        except InputError:
            assert not wanted
        else:
            rows = frame[frame["projection_volume"] > 0].itertuples()
            found = {(int(row.experiment_id), str(row.target)): float(row.projection_volume) for row in rows}
            assert found == pytest.approx(wanted, rel=1e-12)
        self._done()

    @rule(which=SIDE, name=st.sampled_from(["mine", "ours"]), part=ANY_PART, replace_it=st.booleans(), how=how_made())
    def save_a_selection(self, which: int, name: str, part: Part, replace_it: bool, how: How) -> None:
        side = self.sides[which]
        facts, key, text = side.state.facts, ("saved", name), part.selection().to_json()
        call = Call("catalog.save_selection", (name, part.selection()), {"replace": replace_it})
        try:
            selected(facts, part)
            is_refused = not replace_it and facts.get(key, text) != text
        except Refused:
            is_refused = True
        errors = (InputError,) if is_refused else ()
        side.make(call, Expected({**facts, key: text}, errors=errors), how)
        if key in side.state.facts:
            assert side.actors[0].catalog.selection(name).to_json() == side.state.facts[key]
        self._done()

    @rule(
        which=SIDE,
        identifier=st.sampled_from(IDS),
        reason=st.sampled_from(REASONS),
        replace_it=st.booleans(),
        how=how_made(),
    )
    def exclude(self, which: int, identifier: int, reason: str, replace_it: bool, how: How) -> None:
        side = self.sides[which]
        facts, key = side.state.facts, ("excluded", identifier)
        is_refused = ("listed", identifier) not in facts or (not replace_it and facts.get(key, reason) != reason)
        expected = Expected({**facts, key: reason}, errors=(InputError,) if is_refused else ())
        side.make(Call("catalog.exclude", ([identifier], reason), {"replace": replace_it}), expected, how)
        self._done()

    @rule(which=SIDE, index=WHICH, how=how_made())
    def lift_an_exclusion(self, which: int, index: int, how: How) -> None:
        side = self.sides[which]
        facts = side.state.facts
        found = sorted(key for key in facts if key[0] == "excluded")
        key = found[index % len(found)] if found else ("excluded", IDS[0])
        expected = Expected(without(facts, key), errors=() if found else (InputError,))
        side.make(Call("catalog.lift_exclusion", ([key[1]],)), expected, how)
        self._done()

    # -- versions -----------------------------------------------------------------------------------------------------

    @rule(which=SIDE, name=st.sampled_from(NAMES), question=QUESTIONS, how=how_made(*COMPUTING))
    def ask(self, which: int, name: str, question: Question, how: How) -> None:
        self._ask(self.sides[which], name, question, how)
        self._done()

    @rule(which=SIDE, name=st.sampled_from(NAMES), index=WHICH, how=how_made(*COMPUTING))
    def ask_again(self, which: int, name: str, index: int, how: How) -> None:
        side = self.sides[which]
        known = [*side.state.versions().values(), *(v.version for v in side.state.facts.values() if _is_deleted(v))]
        if known:
            self._ask(side, name, known[index % len(known)].question, how)
        self._done()

    def _ask(self, side: TrackedStore, name: str, question: Question, how: How) -> None:
        facts = side.state.facts
        call = Call("aggregate", options={"name": name, **question.arguments()})
        try:
            inputs = gather(facts, question)
        except Refused:
            side.make(call, Expected(facts, errors=(InputError,)), how)
            return
        same = {
            number: version
            for (_, number), version in side.state.versions(name).items()
            if (version.question, version.inputs) == (question, inputs)
        }
        answers = [number for number, version in same.items() if version.is_checked]
        unreadable = {f"volume/{kind}/100/{each.id}" for each in inputs.members for kind in question.kinds}
        is_damaged = bool(unreadable & side.damaged.keys())
        if answers:
            (number,) = answers
            is_lost = side.damaged.get(f"version/{name}@{number}") in ("missing", "wrong size")
            outcome = side.make(call, Expected(facts, errors=(DamagedFileError,) if is_lost else ()), how)
        elif is_damaged:
            side.make(call, Expected(facts, errors=(DamagedFileError,)), how)
            return
        elif same:
            (number,) = same
            key = "version", name, number
            outcome = side.make(call, Expected({**facts, key: checked(same[number])}, may_heal=True), how)
        else:
            outcome = side.make(call, Expected(facts, born=Born(name, question, inputs)), how)
            number = side.state.last_number(name)
        if outcome.result is not None:
            assert outcome.result.ref == f"{name}@{number}", f"{outcome.result.ref}, not {name}@{number}"
            opener = side.actors[0 if how == 0 else 1]
            self.held.append(
                Held(self.sides.index(side), opener, name, number, side.state.versions()[name, number], outcome.result)
            )

    @rule(index=WHICH)
    def read_an_old_object(self, index: int) -> None:
        """Read a version object that was returned earlier."""
        if self.held:
            held = self.held[index % len(self.held)]
            side = self.sides[held.side]
            key = "version", held.name, held.number
            if held.opened_by not in side.actors:
                # Closed since; files can be read without the database.
                return
            if key in side.state.facts:
                side.check_version(held.name, held.number, held.version)
            else:
                with contextlib.suppress(BsvStoreError):
                    from tests.reliability.tracked_store import check_values

                    assert check_values(held.version, held.known.question, held.known.inputs) == held.known.mean_sha256
        self._done()

    @rule(which=SIDE, index=WHICH)
    def read_a_version(self, which: int, index: int) -> None:
        side = self.sides[which]
        if versions := list(side.state.versions()):
            side.check_version(*versions[index % len(versions)])
        self._done()

    @rule(which=SIDE, index=WHICH, how=how_made("rebuild:computed", "rebuild:published", "rebuild:recorded"))
    def rebuild(self, which: int, index: int, how: How) -> None:
        side = self.sides[which]
        if versions := list(side.state.versions()):
            name, number = versions[index % len(versions)]
            self._rebuild(side, name, number, how)
        self._done()

    def _rebuild(self, side: TrackedStore, name: str, number: int, how: How) -> None:
        facts, key = side.state.facts, ("version", name, number)
        version: Version = facts[key]
        call = Call("datasets.rebuild", (f"{name}@{number}",))
        if self._has_inputs(side, version):
            expected = Expected({**facts, key: checked(version)}, healed={f"version/{name}@{number}"}, may_heal=True)
            outcome = side.make(call, expected, how)
            assert outcome.result is None or outcome.result.is_identical
        else:
            side.make(call, Expected(facts, errors=(MissingDataError, DamagedFileError)), how)

    @staticmethod
    def _has_inputs(side: TrackedStore, version: Version) -> bool:
        needed = [(kind, each.id, edition) for each in version.inputs.members for kind, edition in each.volumes]
        return all(
            side.state.facts.get(("volume", kind, each)) == edition and f"volume/{kind}/100/{each}" not in side.damaged
            for kind, each, edition in needed
        )

    @rule(
        which=SIDE,
        index=WHICH,
        tag=st.sampled_from(TAGS),
        move=st.booleans(),
        how=how_made("tag:written", "tag:committed"),
    )
    def tag(self, which: int, index: int, tag: str, move: bool, how: How) -> None:
        side = self.sides[which]
        if versions := list(side.state.versions()):
            name, number = versions[index % len(versions)]
            facts, key = side.state.facts, ("tag", name, tag)
            is_refused = not move and facts.get(key, number) != number
            expected = Expected({**facts, key: number}, errors=(InputError,) if is_refused else ())
            side.make(Call("datasets.tag", (f"{name}@{number}", tag), {"move": move}), expected, how)
        self._done()

    @rule(which=SIDE, index=WHICH, how=how_made("untag:removed", "untag:committed"))
    def untag(self, which: int, index: int, how: How) -> None:
        side = self.sides[which]
        tags = sorted(key for key in side.state.facts if key[0] == "tag")
        key = tags[index % len(tags)] if tags else ("tag", NAMES[0], TAGS[0])
        expected = Expected(without(side.state.facts, key), errors=() if tags else (InputError,))
        side.make(Call("datasets.untag", key[1:]), expected, how)
        self._done()

    @rule(which=SIDE, index=WHICH, force=st.booleans(), how=how_made(*DELETING))
    def delete(self, which: int, index: int, force: bool, how: How) -> None:
        side = self.sides[which]
        if versions := list(side.state.versions()):
            name, number = versions[index % len(versions)]
            state = side.state
            if ("deleted", name, number) in state.facts:
                # An older catalog has it, and so has the trash.
                return
            tags = state.tags(name, number)
            call = Call("datasets.delete", (f"{name}@{number}",), {"force": force})
            if not force and (tags or (name, number) in state.shared):
                side.make(call, Expected(state.facts, errors=(InputError,)), how)
                return
            gone = ("version", name, number), *(("tag", name, tag) for tag in tags)
            after, trashed = without(state.facts, *gone), ("deleted", name, number)
            damage = side.damaged.get(f"version/{name}@{number}")
            if damage != "missing":
                after[trashed] = Deleted(state.facts[gone[0]], tags, is_damaged=damage is not None)
            side.make(call, Expected(after), how)
        self._done()

    @rule(which=SIDE, index=WHICH, how=how_made("number:recorded", "untrash:moved", "untrash:committed"))
    def untrash(self, which: int, index: int, how: How) -> None:
        side = self.sides[which]
        facts = side.state.facts
        if trashed := sorted(key for key in facts if key[0] == "deleted"):
            key = trashed[index % len(trashed)]
            _, name, number = key
            deleted: Deleted = facts[key]
            after = {**without(facts, key), ("version", name, number): deleted.version}
            for tag in deleted.tags:
                after.setdefault(("tag", name, tag), number)
            twins = [each for each in side.state.versions(name).values() if each.identity == deleted.version.identity]
            is_refused = bool(twins) or ("version", name, number) in facts
            errors = (InputError, DamagedFileError) if is_refused else (DamagedFileError,) if deleted.is_damaged else ()
            side.make(Call("admin.untrash", (f"{name}@{number}",)), Expected(after, errors=errors), how)
        self._done()

    # -- bundles ------------------------------------------------------------------------------------------------------

    @rule(which=SIDE, index=WHICH)
    def export(self, which: int, index: int) -> None:
        side = self.sides[which]
        if versions := list(side.state.versions()):
            name, number = versions[index % len(versions)]
            target = self.folder / f"{uuid.uuid4().hex}.bsv.zip"
            version = side.actors[0].datasets.get(f"{name}@{number}")
            if f"version/{name}@{number}" in side.damaged:
                with pytest.raises(DamagedFileError):
                    version.export(target)
            else:
                version.export(target)
                side.state.shared.add((name, number))
                known = side.state.facts["version", name, number]
                self.exports.append((target, name, number, known, side.state.tags(name, number)))
        self._done()

    @precondition(lambda self: self.exports)
    @rule(
        which=st.sampled_from([1, 1, 0]),
        index=WHICH,
        name=st.sampled_from([None, None, *NAMES]),
        how=how_made("number:recorded", "version:published", "version:inserted", "version:committed"),
    )
    def import_a_bundle(self, which: int, index: int, name: str | None, how: How) -> None:
        side = self.sides[which]
        path, own_name, number, version, tags = self.exports[index % len(self.exports)]
        target, facts = name or own_name, side.state.facts
        ids = [each.id for each in version.inputs.members] + [each for each, _ in version.inputs.left_out]
        if any(("listed", each) not in facts for each in ids):
            # Their records would come from the bundle.
            return
        call = Call("datasets.import_bundle", (path,), {"name": name})
        same = [each for each in side.state.versions(target).values() if each.fingerprint == version.fingerprint]
        if same:
            side.make(call, Expected(facts), how)
        else:
            new_tags = tuple(tag for tag in tags if ("tag", target, tag) not in facts)
            born = Born(
                target,
                version.question,
                version.inputs,
                imported=version,
                wanted=number,
                is_checked=self._has_inputs(side, version),
                tags=new_tags,
            )
            side.make(call, Expected(facts, born=born), how)
        self._done()

    # -- administration -----------------------------------------------------------------------------------------------

    @rule(
        which=SIDE,
        grace=st.sampled_from([None, None, _NO_GRACE]),
        trash_days=st.sampled_from([None, None, 0]),
        how=how_made(*COLLECTING),
    )
    def collect_garbage(self, which: int, grace: timedelta | None, trash_days: int | None, how: How) -> None:
        side = self.sides[which]
        recent = time.time() - timedelta(hours=23).total_seconds()
        young = {name for name, path in side.unlisted().items() if path.stat().st_mtime > recent}
        facts = side.state.facts
        purged = [key for key in facts if key[0] == "deleted" and trash_days == 0]
        call = Call(
            "admin.collect_garbage",
            options={"apply": True, "grace": grace, "trash_days": trash_days, "allow_many": True},
        )
        unmoved = {key: {facts[key]} for key in side.unmoved() & set(purged)}
        outcome = side.make(call, Expected(without(facts, *purged), free=dict(unmoved)), how)
        left = side.unlisted().keys()
        if grace is None:
            assert young <= left, f"collected, but younger than the grace period: {young - left}"
        if not outcome.was_killed:
            assert left == (young if grace is None else set()), f"left: {left}"
            assert grace is None or not side.files("tmp"), f"left: {side.files('tmp')}"
        self._done()

    @rule(which=SIDE, max_share=st.sampled_from([0, 0.3, 0.6, 1]), how=how_made("quota:removed", "quota:committed"))
    def enforce_quota(self, which: int, max_share: float, how: How) -> None:
        side = self.sides[which]
        state, facts = side.state, side.state.facts
        used = sum(path.stat().st_size for path in side.files())
        limit = math.floor(max_share * used)
        needed = {
            (kind, each.id, edition)
            for (name, number), version in state.versions().items()
            if state.tags(name, number) or (name, number) in state.shared
            for each in version.inputs.members
            for kind, edition in each.volumes
        }
        objects = side.objects()
        sizes = {
            key: stored.size_bytes
            for key, edition in facts.items()
            if key[0] == "volume"
            and (*key[1:], edition) not in needed
            and not facts["listed", key[2]][1]
            and (stored := objects[f"volume/{key[1]}/100/{key[2]}"]).source.startswith("http")  # type: ignore[union-attr]
        }
        call = Call("admin.enforce_quota", (limit,), {"apply": True, "unused_for": _NO_GRACE})
        expected = Expected(facts, free={key: {None} for key in sizes}, may_heal=True)
        outcome = side.make(call, expected, how)
        evicted = [key for key in sizes if key not in side.state.facts]
        if not outcome.was_killed:
            excess = used - limit
            chosen = []
            for key in sorted(sizes, key=lambda key: -sizes[key]):
                if excess <= 0:
                    break
                chosen.append(key)
                excess -= sizes[key]
            assert len(evicted) == len(chosen), f"{evicted} were removed, not {chosen}"
        if outcome.result is not None:
            assert outcome.result.used_bytes == used
            assert outcome.result.freed_bytes == sum(sizes[key] for key in evicted)
        self._done()

    @rule(which=SIDE, deep=st.booleans())
    def verify(self, which: int, deep: bool) -> None:
        self.sides[which].check_verify(deep=deep)
        self._done()

    @rule(which=SIDE, how=how_made(*REPAIRING))
    def repair(self, which: int, how: How) -> None:
        side = self.sides[which]
        expected = Expected(dict(side.state.facts), may_heal=True)
        for kind in KINDS:
            orphans = side.orphan_ids(kind)
            for each in listed(side.state.facts):
                key, name = ("volume", kind, each), f"volume/{kind}/100/{each}"
                if name in side.damaged and self._must_be_stored(side, each, orphans):
                    expected.healed.add(name)
                elif name in side.damaged or (key not in side.state.facts and each in orphans):
                    expected.free[key] = self._possible(side, kind, each, orphans)
        for (name, number), version in side.state.versions().items():
            ref = f"version/{name}@{number}"
            if ref in side.damaged and self._has_inputs(side, version):
                expected.healed.add(ref)
                expected.after["version", name, number] = checked(version)
            elif ref in side.damaged:
                expected.free["version", name, number] = {checked(version)}
        outcome = side.make(Call("admin.repair", options={"apply": True, "api_url": self.url}), expected, how)
        self._learn_checks(side)
        if outcome.result is not None:
            assert {each.object for each in outcome.result.left} == side.damaged.keys()
        self._done()

    def _learn_checks(self, side: TrackedStore) -> None:
        """Imported versions that a repair recomputed are checked."""
        frame = side.actors[0].datasets.versions()
        for row in frame.itertuples():
            key = "version", str(row.name), int(row.number)
            if row.standing == "imported, checked":
                side.state.facts[key] = checked(side.state.facts[key])

    # -- damage and time ----------------------------------------------------------------------------------------------

    @rule(
        which=SIDE,
        index=st.integers(0, 10_000),
        action=st.sampled_from(["flip", "flip", "truncate", "delete"]),
        place=st.floats(0, 1, exclude_max=True),
    )
    def a_file_is_damaged(self, which: int, index: int, action: str, place: float) -> None:
        side = self.sides[which]
        files = [path for path in side.files("volumes", "datasets", "trash") if path.stat().st_size]
        if not files:
            return
        path = files[index % len(files)]
        # An interrupted deletion leaves the file in its place.
        trashed = {item.file or item.path: item for item in side.actors[0].admin.trash()}
        content = bytearray(path.read_bytes())
        if action == "delete":
            path.unlink()
        elif action == "truncate":
            os.truncate(path, int(len(content) * place))
        else:
            content[int(len(content) * place)] ^= 1 << index % 8
            path.write_bytes(content)
        side.damaged = side.find_damage()
        side.is_changed = True
        relative = path.relative_to(side.location).as_posix()
        if relative in trashed and (key := _deleted_key(trashed[relative].what)) is not None:
            if action == "delete":
                side.state.facts.pop(key, None)
            else:
                side.state.facts[key] = replace(side.state.facts[key], is_damaged=True)
        elif path.suffix == ".json":
            item = path.name.partition("-")[0].removesuffix(".json")
            found = next((each for each in trashed.values() if each.item == item), None)
            if found is not None and (key := _deleted_key(found.what)) is not None:
                side.state.facts.pop(key, None)
        self._done()

    @rule(which=SIDE)
    def two_days_pass(self, which: int) -> None:
        """Files that no row names become older than the grace period."""
        for path in self.sides[which].unlisted().values():
            status = path.stat()
            os.utime(path, (status.st_atime, status.st_mtime - 2 * 86_400))
        self._done()

    @rule(which=SIDE)
    def reopen(self, which: int) -> None:
        side = self.sides[which]
        side.reopen()
        side.make(Call("datasets.list"), Expected(side.state.facts))
        self._done()

    @rule(which=SIDE, revision=st.sampled_from(["0018", "0017"]))
    def downgrade_and_upgrade(self, which: int, revision: str) -> None:
        side = self.sides[which]
        downgrade_store(side.location, revision=revision, make_backup=False)
        with pytest.raises(SchemaError):
            open_store(side.location).close()
        upgrade_store(side.location, make_backup=False)
        side.make(Call("datasets.list"), Expected(side.state.facts))
        self._done()

    # -- backups ------------------------------------------------------------------------------------------------------

    @rule(which=SIDE, how=how_made("backup:database", "backup:file", "backup:written", "backup:manifest"))
    def back_up(self, which: int, how: How) -> None:
        side = self.sides[which]
        target = self.folder / "backups"
        before = _snapshot_ids(target)
        copied = {path.name for path in (target / "objects").rglob("*")}
        objects = side.objects()
        lost = {key for key in side.damaged if objects[key].file_sha256 not in copied}
        outcome = side.make(Call("admin.backup", (target,)), Expected(side.state.facts), how)
        new = _snapshot_ids(target) - before
        assert len(new) <= 1
        assert new or outcome.was_killed
        for identifier in new:
            self.backups[which].append(Backup(identifier, side.state.copy(), lost))
        if outcome.result is not None:
            assert {each.key for each in outcome.result.snapshot.problems} == lost
        self._done()

    @rule(which=SIDE, index=WHICH)
    def restore(self, which: int, index: int) -> None:
        """The store is lost, and restored from a snapshot into another folder."""
        backups = self.backups[which]
        if not backups:
            return
        chosen, latest = backups[index % len(backups)], backups[-1]
        location = self.folder / f"restored-{uuid.uuid4().hex}"
        restore_store(self.folder / "backups", location, snapshot=chosen.id, database=self.environment.new_database())
        self.sides[which].close()
        state = chosen.state.copy()
        facts = {key: value for key, value in state.facts.items() if key[0] != "deleted"}
        side = TrackedStore(location, State(facts, latest.state.copy().given, state.shared))
        side.damaged = dict.fromkeys(chosen.problems, "missing")
        self.sides[which] = side
        self.held = [each for each in self.held if each.side != which]
        side.make(Call("datasets.list"), Expected(facts))
        self._done()

    @rule(which=SIDE, name=st.sampled_from(NAMES), question=QUESTIONS)
    def an_older_catalog_is_put_back(self, which: int, name: str, question: Question) -> None:
        """An administrator copies the catalog, and later replaces it, but not the files, by that copy."""
        side, older = self.sides[which], self.catalogs[which]
        side.close()
        if older is None or older.location != side.location:
            copied = self.environment.copy_catalog(side.location, self.folder / f"catalog-{uuid.uuid4().hex}")
            self.catalogs[which] = CatalogCopy(side.location, copied, side.state.copy())
            side.reopen()
            self._ask(side, name, question, 0)
            self._done()
            return
        self.environment.put_back_catalog(side.location, older.name)
        state = older.state.copy()
        trashed = {key: value for key, value in side.state.facts.items() if key[0] == "deleted"}
        facts = {key: value for key, value in state.facts.items() if key[0] != "deleted"} | trashed
        # The folder records the numbers that were given since.
        side.state = State(facts, side.state.given, state.shared)
        side.reopen()
        damaged = side.find_damage()
        assert all(value == "missing" or side.damaged.get(key) == value for key, value in damaged.items())
        side.damaged = damaged
        side.make(Call("datasets.list"), Expected(facts))
        self._ask(side, name, question, 1)
        self._done()

    @rule(keep=st.sampled_from([1, 2]))
    def prune_backups(self, keep: int) -> None:
        if any(self.backups):
            prune_backup(self.folder / "backups", keep_last=keep, apply=True)
            self.backups = [each[-keep:] for each in self.backups]
            assert _snapshot_ids(self.folder / "backups") == {each.id for both in self.backups for each in both}
        self._done()

    # -- after each step ----------------------------------------------------------------------------------------------

    @invariant()
    def lists_and_counts_are_those_of_the_model(self) -> None:
        for side in self.sides:
            if side.is_changed:
                side.check_lists()


def _is_deleted(value: Any) -> bool:
    return isinstance(value, Deleted)


def _deleted_key(what: str) -> Key | None:
    if not what.startswith("version/"):
        return None
    name, _, number = what.removeprefix("version/").partition("@")
    return "deleted", name, int(number)


def _snapshot_ids(target: Path) -> set[str]:
    folder = target / "snapshots"
    return {path.stem for path in folder.rglob("*.json")} if folder.is_dir() else set()

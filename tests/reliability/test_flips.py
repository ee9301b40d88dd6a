"""A damaged file gives no reader a wrong value: the damage is noticed, named, and repaired or refused."""

from __future__ import annotations

import contextlib
import random
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, assert_never, get_args

import numpy as np
import pytest

from bsv_store import create_store, open_store
from bsv_store.errors import BsvStoreError, BsvStoreWarning
from bsv_store.maintenance.inventory import expected_objects
from bsv_store.store.restoring import restore_store, verify_backup
from bsv_store.volumes.stored_object import StoredObject
from bsv_store_synthetic import SyntheticServer
from tests.datasets.test_seals import damageable, silent_flips  # noqa: F401 - a fixture
from tests.reliability.campaigns import campaign
from tests.reliability.stores import IDS, facts_of, fill_full, small_is_large

if TYPE_CHECKING:
    from bsv_store import Store

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="open files cannot be replaced")

Damage = Literal["bit", "byte", "cut", "empty", "longer", "zeros", "hole", "blocks swapped", "another file"]
DAMAGES: tuple[Damage, ...] = get_args(Damage)
# Of a disk.
_BLOCK = 4096


@pytest.fixture(scope="module")
def store(server: SyntheticServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store with files of every kind, which each trial leaves as it was."""
    with create_store(tmp_path_factory.mktemp("flips") / "store") as made:
        fill_full(made, server.url)
        made.fetch(IDS[:1], kind="injection_density", spacing_um=50, api_url=server.url)
        # Stored in blocks, as at 25 and 10 um.
        with small_is_large():
            made.fetch(IDS[:2], kind="injection_fraction", api_url=server.url)
        yield made


def damaged(content: bytes, damage: Damage, draw: random.Random, other: bytes) -> bytes:
    """Damaged content, which differs from the original."""
    changed = bytearray(content)
    place = draw.randrange(len(content))
    if damage == "bit":
        changed[place] ^= 1 << draw.randrange(8)
    elif damage == "byte":
        changed[place] ^= draw.randint(1, 255)
    elif damage == "cut":
        del changed[place:]
    elif damage == "empty":
        changed.clear()
    elif damage == "longer":
        changed += draw.randbytes(draw.randint(1, _BLOCK))
    elif damage == "zeros":
        start = place // _BLOCK * _BLOCK
        changed[start : start + _BLOCK] = bytes(len(changed[start : start + _BLOCK]))
    elif damage == "hole":
        changed[place:] = bytes(len(content) - place)
    elif damage == "blocks swapped":
        blocks = max(2, len(content) // _BLOCK)
        one, two = (number * _BLOCK for number in draw.sample(range(blocks), 2))
        first, second = bytes(changed[one : one + _BLOCK]), bytes(changed[two : two + _BLOCK])
        if len(first) == len(second):
            changed[one : one + _BLOCK], changed[two : two + _BLOCK] = second, first
    elif damage == "another file":
        changed[:] = other
    else:
        assert_never(damage)
    if changed == content:
        changed[place] ^= 1
    return bytes(changed)


def objects(store: Store) -> dict[str, StoredObject]:
    with store.database.reading() as connection:
        return {each.key: each for each in expected_objects(connection)}


def read(store: Store, key: str) -> Any:
    """Everything that a reader may get of an object."""
    kind, _, rest = key.partition("/")
    if kind == "volume":
        name, spacing_um, experiment_id = rest.split("/")
        options: dict[str, Any] = {"kind": name, "spacing_um": int(spacing_um)}
        box = ((4000, 5000), (1000, 3000), (3000, 8000))
        with small_is_large() if name == "injection_fraction" else contextlib.nullcontext():
            return [store.volumes.read(int(experiment_id), **options, box=each) for each in (None, box)]
    if kind == "annotation":
        return [store.atlas.annotation(spacing_um=int(rest))]
    if kind == "template":
        return [store.atlas.template(spacing_um=int(rest))]
    assert kind == "version", key
    version = store.dataset(rest)
    return [version.mean, np.array([group.label for group in version.groups])]


def same(one: list[Any], other: list[Any]) -> bool:
    return all(np.array_equal(first, second) for first, second in zip(one, other, strict=True))


def _is_refused_or_right(store: Store, key: str, right: list[Any]) -> bool:
    try:
        found = read(store, key)
    except BsvStoreError as error:
        return error.hint is not None
    # Between the blocks of a large volume there may be bytes that no reader needs.
    return key.startswith("volume/injection_fraction/") and same(found, right)


def test_damage_of_any_stored_file_is_noticed_and_repaired(
    store: Store, server: SyntheticServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BSV_STORE_DOWNLOAD_URL", server.url)
    stored = objects(store)
    assert {key.partition("/")[0] for key in stored} == {"volume", "annotation", "template", "version"}
    right = {key: read(store, key) for key in stored}
    facts = facts_of(store.path)
    with campaign("damage", part="stored files", share=0.5) as trials:
        draw = random.Random(trials.seed)
        for number in range(trials.size):
            key, damage = draw.choice(sorted(stored)), DAMAGES[number % len(DAMAGES)]
            what = f"seed {trials.seed}, trial {number}: {damage} in {key}"
            path = store.path / stored[key].path
            content = path.read_bytes()
            others = [store.path / each.path for name, each in stored.items() if name != key]
            path.write_bytes(damaged(content, damage, draw, draw.choice(others).read_bytes()))
            with open_store(store.path) as reader:
                assert _is_refused_or_right(reader, key, right[key]), what
                damage_found = {(each.object, each.is_damage) for each in reader.admin.verify(deep=True).damage}
                assert damage_found == {(key, True)}, what
                if number % 10 == 5:
                    report = reader.admin.repair(apply=True, api_url=server.url)
                    assert report.left == (), (what, report.left)
                    assert same(read(reader, key), right[key]), what
                    assert facts_of(store.path) == facts, what
                    stored = objects(store)
                else:
                    path.write_bytes(content)
            trials.done()
        assert store.admin.verify(deep=True).is_intact


def test_damage_of_a_bundle_is_refused(store: Store, tmp_path: Path) -> None:
    bundle, broken = tmp_path / "a.bsv.zip", tmp_path / "b.bsv.zip"
    version = store.dataset("average@2")
    version.export(bundle)
    content, right = bundle.read_bytes(), version.content_sha256
    with campaign("damage", part="bundles", share=0.1) as trials:
        draw = random.Random(trials.seed)
        for number in range(trials.size):
            damage = DAMAGES[number % len(DAMAGES)]
            what = f"seed {trials.seed}, trial {number}: {damage}"
            broken.write_bytes(damaged(content, damage, draw, version.path.read_bytes()))
            before = store.datasets.list()
            try:
                found = store.datasets.import_bundle(broken, name=f"theirs-{number}")
            except BsvStoreError:
                assert store.datasets.list() == before, what
            else:
                # Times and comments of a zip file are not read.
                assert (found.content_sha256, found.fingerprint) == (right, version.fingerprint), what
                assert np.array_equal(found.mean, version.mean), what
                store.datasets.delete(found.ref, force=True)
            trials.done()
        assert store.admin.verify(deep=True).is_intact


def test_damage_of_a_backup_is_noticed(store: Store, tmp_path: Path) -> None:
    target, restored = tmp_path / "backups", tmp_path / "restored"
    store.admin.backup(str(target))
    right = facts_of(store.path)
    files = sorted(path for path in target.rglob("*") if path.is_file())
    with campaign("damage", part="backups", share=0.15) as trials:
        draw = random.Random(trials.seed)
        for number in range(trials.size):
            path, damage = draw.choice(files), DAMAGES[number % len(DAMAGES)]
            what = f"seed {trials.seed}, trial {number}: {damage} in {path.relative_to(target)}"
            content = path.read_bytes()
            path.write_bytes(damaged(content, damage, draw, draw.choice([x for x in files if x != path]).read_bytes()))
            is_noticed = _noticed(lambda: verify_backup(str(target), deep=True).findings == ())
            assert is_noticed or path.name == "bsv-backup.json", what
            if number % 4 == 0 or not is_noticed:
                shutil.rmtree(restored, ignore_errors=True)
                try:
                    restore_store(str(target), restored)
                except BsvStoreError:
                    assert not (restored / "store.toml").exists(), what
                else:
                    assert facts_of(restored) == right, what
            path.write_bytes(content)
            trials.done()
        assert verify_backup(str(target), deep=True).findings == ()


def _noticed(is_intact: Callable[[], bool]) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", BsvStoreWarning)
            return not is_intact()
    except BsvStoreError:
        return True


@pytest.mark.parametrize("everywhere", [False, True], ids=["rows", "anywhere"])
def test_a_flipped_bit_of_the_catalog_changes_no_average(
    damageable: Path,  # noqa: F811 - the fixture
    tmp_path: Path,
    everywhere: bool,
) -> None:
    with campaign("damage", part=f"catalog, {everywhere}", share=0.05 if everywhere else 0.2) as trials:
        silent = silent_flips(damageable, tmp_path, trials.size, seed=trials.seed, everywhere=everywhere)
        assert silent == [], f"seed {trials.seed}: {silent}"
        trials.done(trials.size)

"""Listing, pruning and verifying the cache, without a store and without a network."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bsv_store.errors import InputError
from bsv_store.remote.cache import list_cache, prune_cache, verify_cache
from bsv_store.remote.folder import server_folder
from bsv_store.remote.state import MirrorState, write_state
from bsv_store_cli.main import cli
from tests.datasets.world import voxels
from tests.remote.lab import URL, Laptop, laptop


@pytest.fixture
def used(lab: Path, here: Laptop, monkeypatch: pytest.MonkeyPatch) -> Laptop:
    """A cache with three volumes, used 30, 20 and 10 days ago, a catalog, and an average."""
    monkeypatch.setenv("BSV_STORE_CACHE", str(here.cache.folder))
    here.store.aggregate([1, 2, 3], name="three")
    shutil.copyfile(lab / "catalog.db", here.files.root / "catalog.db")
    write_state(here.files.root, state_of(URL))
    for days, path in zip((30, 20, 10), sorted(map(here.object, here.paths()[:3])), strict=True):
        at = time.time() - days * 86_400
        for each in (path, here.cache.folder / "uses" / path.stem[:2] / path.stem):
            os.utime(each, (at, at))
    return here


def state_of(url: str) -> MirrorState:
    return MirrorState(url, "id", "0", "0", "sqlite", "0" * 64, 0, 1, core="catalog.db")


def files_of(folder: Path) -> list[Path]:
    return sorted((folder / "objects").rglob("*.h5"))


def run(*arguments: str) -> Any:
    return CliRunner().invoke(cli, ["cache", *arguments], catch_exceptions=False, standalone_mode=False)


def test_the_list_names_servers_files_and_averages(used: Laptop) -> None:
    found = list_cache()
    (server,) = found.servers
    assert (server.url, server.files) == (URL, 3)
    assert [each.ref.partition("-")[0] for each in server.results] == ["three@local"]
    assert server.files_bytes == found.size_bytes == sum(each.stat().st_size for each in files_of(found.folder))
    assert {each.name for each in found.files} == set(used.paths()[:3])
    assert [round((time.time() - each.last_used.timestamp()) / 86_400) for each in found.files] == [30, 20, 10]
    assert {each.servers for each in found.files} == {(URL,)}


def test_a_server_that_was_never_reached_is_not_listed(used: Laptop) -> None:
    (used.cache.folder / "servers" / "lab.invalid-1f2e3d4c").mkdir()
    assert [each.url for each in list_cache().servers] == [URL]


def test_an_empty_cache_is_listed_and_verified(tmp_path: Path) -> None:
    assert list_cache(tmp_path / "none").files == ()
    assert verify_cache(folder=tmp_path / "none").findings == ()
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("rules", "left"),
    [
        ({"unused_for": timedelta(days=15)}, 1),
        ({"unused_for": timedelta(days=40)}, 3),
        ({"max_bytes": 0}, 0),
        ({"max_bytes": 400_000}, 2),
        ({"max_bytes": 400_000, "unused_for": timedelta(days=15)}, 1),
        ({"server": URL}, 0),
    ],
)
def test_prune_plans_and_then_removes_by_size_age_or_server(used: Laptop, rules: dict[str, Any], left: int) -> None:
    plan = prune_cache(**rules)
    assert (plan.is_applied, len(plan.files)) == (False, 3 - left)
    assert len(files_of(used.cache.folder)) == 3
    done = prune_cache(**rules, apply=True)
    assert done.files == plan.files
    assert len(files_of(used.cache.folder)) == left
    assert used.files.root.exists() == ("server" not in rules)
    # The oldest go first.
    assert [each.last_used for each in list_cache().files] == sorted(each.last_used for each in list_cache().files)
    for identifier in (1, 2, 3):
        assert (used.store.volume(identifier) == voxels(identifier)).all()


def test_files_of_another_server_stay(lab: Path, used: Laptop) -> None:
    other = server_folder(used.cache.folder, "https://other.example")
    shutil.copytree(used.files.root, other, ignore=shutil.ignore_patterns("results"))
    write_state(other, state_of("https://other.example"))
    assert prune_cache(server=f"{URL}/", apply=True).files == ()
    assert len(files_of(used.cache.folder)) == 3
    assert len(prune_cache(server="https://other.example", apply=True).files) == 3


def test_an_average_survives_prunes_by_size_and_age(used: Laptop) -> None:
    prune_cache(max_bytes=0, unused_for=timedelta(0), apply=True)
    used.client.is_down = True
    assert not used.store.aggregate([1, 2, 3], name="three").was_computed


def test_one_average_is_removed_alone_and_its_file_with_its_last_name(used: Laptop) -> None:
    first = used.store.aggregate([1, 2, 3], name="three")
    second = used.store.aggregate([1, 2, 3], name="again")
    other = used.store.aggregate([1, 2], name="two")
    plan = prune_cache(averages=[first.ref])
    assert [each.ref for each in plan.averages] == [first.ref]
    assert str(plan).startswith("Would remove 1 average, ")
    # Its file stays, because the second name refers to it.
    assert "1 average, 0 B;" in str(plan)
    both = prune_cache(averages=[first.ref, second.ref])
    assert both.size_bytes == both.averages_bytes == first.path.stat().st_size
    assert len(list_cache().servers[0].results) == 3
    for version, remaining, file_stays in ((first, {second.ref, other.ref}, True), (second, {other.ref}, False)):
        assert not prune_cache(averages=[version.ref], apply=True).files
        assert {each.ref for each in list_cache().servers[0].results} == remaining
        assert first.path.exists() == file_stays
    assert other.path.exists()
    with pytest.raises(InputError, match="the cache has no average"):
        prune_cache(averages=[first.ref], apply=True)
    assert len(files_of(used.cache.folder)) == 3


def test_prune_removes_what_killed_processes_left(used: Laptop) -> None:
    folder, known = used.cache.folder, "ab" * 32
    left = [
        folder / "locks" / known,
        folder / "uses" / "ab" / known,
        folder / "partial" / "ab" / f"{known}.blocks",
        used.files.root / "results" / "old.nc",
        used.files.root / "catalog-1-ab.tmp",
    ]
    for path in left:
        path.parent.mkdir(exist_ok=True, parents=True)
        path.touch()
        os.utime(path, (0, 0))
    (used.files.root / "results" / "new.nc").touch()
    prune_cache(unused_for=timedelta(days=300), apply=True)
    assert not [path for path in left if path.exists()]
    assert len(list((used.files.root / "results").glob("*.nc"))) == 2
    assert verify_cache().files == 4


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({}, "no rule"),
        ({"max_bytes": -1}, "max_bytes must be"),
        ({"max_bytes": "5GB"}, "max_bytes must be"),
        ({"unused_for": 3}, "unused_for must be"),
        ({"server": "https://unknown.example"}, "nothing of the server"),
    ],
)
def test_rules_are_checked(used: Laptop, rules: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        prune_cache(**rules, apply=True)
    assert len(files_of(used.cache.folder)) == 3


def damage_volume(here: Laptop) -> Path:
    path = here.object(here.paths()[0])
    data = bytearray(path.read_bytes())
    data[7_000] ^= 1
    path.write_bytes(data)
    return path


def damage_result(here: Laptop) -> Path:
    (path,) = (here.files.root / "results").glob("*.nc")
    path.write_bytes(path.read_bytes()[:-1])
    return path


@pytest.mark.parametrize("damage", [damage_volume, damage_result])
def test_verify_reads_every_byte(used: Laptop, damage: Callable[[Laptop], Path]) -> None:
    assert verify_cache().findings == ()
    assert verify_cache().files == 4
    path = damage(used)
    (finding,) = verify_cache().findings
    assert finding.path == path
    assert "do not have the hash" in finding.problem
    assert verify_cache(discard_damaged=True).discarded == 1
    assert not path.exists()
    assert verify_cache().findings == ()
    assert used.store.aggregate([1, 2, 3], name="three").was_computed == (damage is damage_result)


def test_a_damaged_catalog_or_state_only_hides_names(used: Laptop) -> None:
    (used.files.root / "state.json").write_text("{")
    found = list_cache()
    assert {each.name for each in found.files} == {None}
    assert found.servers[0].url == used.files.root.name
    assert len(prune_cache(server=used.files.root.name, apply=True).servers) == 1


def test_commands(used: Laptop) -> None:
    listed = run("list", "--files")
    assert listed.exit_code == 0
    assert URL in listed.output
    assert "three@local-" in listed.output
    assert "3 files" in listed.output
    assert len(json.loads(run("list", "--format", "json").stdout)["files"]) == 3
    assert "Would remove 3 files" in run("prune", "--max-bytes", "0").output
    assert len(files_of(used.cache.folder)) == 3
    damage_volume(used)
    assert run("verify").return_value == 1 or run("verify").exit_code == 1
    assert "Removed 1 damaged file" in run("verify", "--discard-damaged").output
    assert "Removed 2 files" in run("prune", "--unused-for", "1d", "--apply").output
    assert not files_of(used.cache.folder)


def test_a_large_volume_in_part_is_listed_as_such(lab: Path, tmp_path: Path) -> None:
    with laptop(lab, tmp_path / "cache") as here:
        file = here.files.catalog.find(here.paths()[0])
        partial = here.cache.partial(file)
        here.cache.fetch_blocks(file, partial, here.client, 1, 2)
        partial.close()
        (found,) = list_cache(tmp_path / "cache").files
        assert found.is_partial
        assert 0 < found.size_bytes < file.size_bytes
        assert prune_cache(max_bytes=0, apply=True, folder=tmp_path / "cache").size_bytes == found.size_bytes
        assert not list_cache(tmp_path / "cache").files

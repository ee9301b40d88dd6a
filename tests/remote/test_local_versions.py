"""Versions that were computed on this computer: listed, named in errors, checked, and removed from the cache."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from bsv_store import DatasetVersion, Selection, Store, by_field, open_store
from bsv_store.errors import BsvStoreWarning, DamagedFileError, ReadOnlyStoreError, UnknownDatasetError
from bsv_store.remote.cache import prune_cache
from bsv_store.store.suggestions import stored_names
from tests.cli.running import Runner
from tests.datasets.world import IDS, VISUAL
from tests.server.serving import serving

ALL = Selection(ids=IDS)


@pytest.fixture
def remote(lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A store on a server without datasets."""
    monkeypatch.setenv("BSV_STORE_CACHE", str(tmp_path / "cache"))
    with open_store(lab, read_only=True) as own, serving(own) as url, open_store(url) as store:
        yield store


@pytest.fixture
def local(remote: Store) -> DatasetVersion:
    """An average that was computed on this computer."""
    return remote.aggregate(VISUAL, name="visual")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Runner:
    return Runner(capsys, monkeypatch)


@pytest.mark.parametrize("ref", ["visual", "visual@1", "visual@paper", "visual@latest"])
def test_an_unknown_reference_names_the_local_version_of_its_dataset(
    remote: Store, local: DatasetVersion, ref: str
) -> None:
    for asked in (remote.dataset, remote.datasets.lineage, lambda ref: remote.datasets.rebuild(ref, check_only=True)):
        with pytest.raises(UnknownDatasetError, match="the store has no dataset 'visual'") as caught:
            asked(ref)
        assert f"Computed on this computer, and not on the server: {local.ref} (2" in str(caught.value.hint)
    with pytest.raises(UnknownDatasetError) as caught:
        remote.dataset("other")
    assert "this computer" not in str(caught.value)


def test_an_unknown_number_of_a_known_dataset_names_it_too(lab: Path, tmp_path: Path) -> None:
    # Without a server: the copy of the catalog has the dataset.
    with open_store(shutil.copytree(lab, tmp_path / "copy")) as store:
        store.aggregate(ALL, name="visual")
    with (
        pytest.MonkeyPatch.context() as patch,
        open_store(tmp_path / "copy", read_only=True) as own,
        serving(own) as url,
    ):
        patch.setenv("BSV_STORE_CACHE", str(tmp_path / "cache"))
        with open_store(url) as remote:
            local = remote.aggregate(VISUAL, name="visual")
            assert local.number == 0
            assert remote.dataset("visual").ref == "visual@1"
            with pytest.raises(UnknownDatasetError, match="has no version 2") as caught:
                remote.dataset("visual@2")
            assert local.ref in str(caught.value.hint)
            assert "It has 1" in str(caught.value.hint)


def test_the_list_of_versions_has_it_at_the_end(remote: Store, local: DatasetVersion) -> None:
    other = remote.aggregate(ALL, name="all", group_by=by_field("primary_structure"))
    table = remote.datasets.versions()
    assert list(table["ref"]) == [other.ref, local.ref]
    row = table.iloc[1]
    assert (row["name"], row["number"], row["standing"], row["tags"]) == ("visual", 0, "local", None)
    assert (row["group_count"], row["member_count"], row["spacing_um"]) == (
        len(local.groups),
        sum(each.group is not None for each in local.experiments),
        100,
    )
    assert (row["fingerprint"], row["size_bytes"], row["created_at"]) == (
        local.fingerprint,
        local.size_bytes,
        local.created_at,
    )
    # A name alone would mean a version of the server.
    assert remote.datasets._ipython_key_completions_() == [other.ref, local.ref]
    assert (local.ref, "computed on this computer") in stored_names(remote.url, "versions")
    assert not remote.datasets.list()


def test_the_command_lists_it_and_says_how_to_remove_it(remote: Store, local: DatasetVersion, run: Runner) -> None:
    url = str(remote.url)
    listed = run("--store", url, "dataset", "list").succeeded()
    assert re.search(rf"{local.ref} .* local\n", listed.out)
    assert "0 versions on the server, 1 only on this computer." in listed.err
    command = f"bsv-store cache prune --average {local.ref} --apply"
    assert command in listed.err
    refused = run("--store", url, "dataset", "delete", local.ref).refused(3, "not a version of the server")
    assert command in refused.err
    run(*command.split()[1:]).succeeded()
    assert not run("--store", url, "dataset", "list", "--format", "json").json
    with pytest.raises(UnknownDatasetError) as caught:
        remote.dataset("visual")
    assert local.ref not in str(caught.value)


def test_it_can_be_checked_but_not_deleted(remote: Store, local: DatasetVersion) -> None:
    report = remote.datasets.rebuild(local.ref, check_only=True)
    assert (report.ref, report.file_state, report.is_identical) == (local.ref, "intact", True)
    assert not report.was_recorded
    for ref in (local, local.ref):
        with pytest.raises(ReadOnlyStoreError, match="in the cache of this computer"):
            remote.datasets.delete(ref)
    prune_cache(averages=[local.ref], apply=True)
    with pytest.raises(UnknownDatasetError, match="this computer has no average"):
        remote.datasets.rebuild(local.ref, check_only=True)


def test_groups_of_a_version_are_compared_on_this_computer(remote: Store) -> None:
    version = remote.aggregate(ALL, name="all", group_by=by_field("primary_structure"))
    two = [each.number for each in sorted(version.groups, key=lambda each: -len(each.experiment_ids))[:2]]
    with pytest.warns(BsvStoreWarning, match="smallest possible"):
        compared = remote.datasets.compare_groups(version, *two, name="two", permutations=6)
    assert compared.ref.startswith("two@local-")
    assert remote.dataset(compared.ref) == compared


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"damage")])
def test_the_error_of_a_damaged_one_says_what_to_do(
    remote: Store, local: DatasetVersion, damage: Callable[[Path], object]
) -> None:
    damage(local.path)
    # The list does not read files.
    assert list(remote.datasets.versions()["ref"]) == [local.ref]
    with pytest.raises(DamagedFileError, match=f"the file of {local.ref} is missing or damaged") as caught:
        remote.dataset(local.ref)
    assert f"bsv-store cache prune --average {local.ref} --apply" in str(caught.value.hint)
    assert remote.aggregate(VISUAL, name="visual").was_computed
    assert remote.dataset(local.ref) == local


def test_a_server_of_the_copy_lists_only_the_versions_of_the_first_server(
    lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BSV_STORE_CACHE", str(tmp_path / "cache"))
    with open_store(shutil.copytree(lab, tmp_path / "copy")) as store:
        store.aggregate(ALL, name="visual")
    with (
        open_store(tmp_path / "copy", read_only=True) as own,
        serving(own) as url,
        open_store(url) as copied,
    ):
        made = copied.aggregate(VISUAL, name="visual")
        assert made.number == 0
        with serving(copied) as again:
            for path in ("", "view", "datasets", "docs", "v1/versions"):
                answer = requests.get(f"{again}/{path}", headers={"Connection": "close"}, timeout=30)
                assert answer.status_code == 200, path
                assert "@0" not in answer.text
                assert made.fingerprint not in answer.text

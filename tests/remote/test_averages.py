"""Averages from a store on a server: the same bytes as in the folder, kept on this computer."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bsv_store import DatasetVersion, Selection, Store, by_coordinate, by_field, by_region, open_store
from bsv_store.errors import BsvStoreWarning, StoreUnreachableError, UnknownDatasetError
from bsv_store.remote.local_records import listed_results
from tests.datasets.test_weighted import PRIMARY, SHARES, add_shares
from tests.datasets.world import IDS, VISUAL
from tests.remote.lab import Laptop, laptop

ALL = Selection(ids=IDS)
RECIPES: tuple[dict[str, Any], ...] = (
    {"selection": VISUAL},
    {"selection": ALL, "group_by": by_field("primary_structure"), "statistics": ("mean", "sd", "n")},
    {"selection": VISUAL, "group_by": by_coordinate("AP", bins=2), "normalize": "injection_volume"},
    {"selection": ALL, "group_by": by_region(["VISp", "MOp"]), "hemisphere_rule": "flip_to_right", "dtype": "float64"},
    {"selection": VISUAL, "hemisphere_rule": "subtract_contralateral", "bilateral_rule": "leave_out"},
)


@pytest.fixture
def folder(lab: Path, tmp_path: Path) -> Iterator[Store]:
    """A copy of the lab's store, to compute in."""
    with open_store(shutil.copytree(lab, tmp_path / "copy")) as store:
        yield store


def asked(store: Store, number: int = 1, **options: Any) -> DatasetVersion:
    recipe = {**RECIPES[number], **options}
    return store.aggregate(recipe.pop("selection"), name=recipe.pop("name", "visual"), **recipe)


def same(local: DatasetVersion, there: DatasetVersion) -> bool:
    facts = ("fingerprint", "content_sha256", "file_sha256", "size_bytes", "algorithm_version", "software", "recipe")
    assert [getattr(local, name) for name in facts] == [getattr(there, name) for name in facts]
    assert (local.groups, local.experiments) == (there.groups, there.experiments)
    return local.path.read_bytes() == there.path.read_bytes()


@pytest.mark.parametrize("number", range(len(RECIPES)))
def test_a_local_average_is_that_of_the_folder_bit_for_bit(here: Laptop, folder: Store, number: int) -> None:
    local, there = asked(here.store, number), asked(folder, number)
    assert local.was_computed
    assert same(local, there)
    assert np.array_equal(local.mean, there.mean, equal_nan=True)


def test_a_comparison_by_voxel_too(here: Laptop, folder: Store) -> None:
    with pytest.warns(BsvStoreWarning, match="smallest possible"):
        local, there = (
            store.compare_voxels([1, 2], [4, 5], name="two", permutations=6) for store in (here.store, folder)
        )
    assert same(local, there)
    assert local.ref.startswith("two@local-")


def test_a_weighted_average_is_the_same_from_a_server(lab: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(lab, tmp_path / "weighted")
    with open_store(copy) as store:
        add_shares(store, SHARES)
    with laptop(copy, tmp_path / "cache") as own, open_store(copy) as store:
        local, there = (
            each.aggregate(VISUAL, name="weighted", weight_by="injection_overlap") for each in (own.store, store)
        )
        assert same(local, there)
        assert local.weights() == there.weights() == pytest.approx(PRIMARY)


def test_it_has_no_number_of_the_server(here: Laptop) -> None:
    version = asked(here.store)
    assert (version.number, version.ref) == (0, f"visual@local-{version.fingerprint[:12]}")
    assert version.origin.standing == "local"
    assert "not" in str(version.origin)
    assert version.ref in repr(version)
    assert not here.store.datasets.list()


def test_the_same_question_is_answered_without_computing_or_the_server(lab: Path, here: Laptop) -> None:
    first = asked(here.store)
    requests = len(here.client.requests())
    assert not asked(here.store).was_computed
    with laptop(lab, here.cache.folder, offline=True) as again:
        version = asked(again.store)
        assert not version.was_computed
        assert same(version, first)
        assert same(asked(again.store, name="other"), first)
        assert again.store.dataset(first.ref) == first
        assert again.store.dataset(f"other@{first.ref.partition('@')[2]}").name == "other"
        with pytest.raises(UnknownDatasetError, match="this computer has no average"):
            again.store.dataset("visual@local-0123456789ab")
    assert len(here.client.requests()) == requests


def test_offline_it_is_computed_from_cached_volumes_or_names_a_missing_one(lab: Path, here: Laptop) -> None:
    for identifier in range(1, 6):
        here.store.volume(identifier)
    with laptop(lab, here.cache.folder, offline=True) as again:
        assert asked(again.store, 0).was_computed
        with pytest.raises(StoreUnreachableError, match=r"100um/[67]\."):
            asked(again.store, 1)


def test_a_version_of_the_server_is_returned_before_anything_is_downloaded(folder: Store, tmp_path: Path) -> None:
    there = asked(folder)
    with laptop(folder.path, tmp_path / "cache") as here:
        version = asked(here.store)
        assert (version.ref, version.was_computed) == ("visual@1", False)
        assert not here.client.requests()
        assert np.array_equal(version.mean, there.mean, equal_nan=True)
        assert [sha for sha, *_ in here.client.requests()] == [there.file_sha256]
        # Under another name there is none, as in the folder.
        assert asked(here.store, name="other").origin.standing == "local"


@pytest.mark.parametrize("cut", [False, True])
def test_a_damaged_result_of_the_server_is_downloaded_again(folder: Store, tmp_path: Path, cut: bool) -> None:
    there = asked(folder)
    with laptop(folder.path, tmp_path / "cache") as here:
        version = here.store.dataset("visual")
        assert np.array_equal(version.mean, there.mean, equal_nan=True)
        data = bytearray(there.path.read_bytes())
        data[9_000] ^= 16
        here.object(version.relative_path).write_bytes(data[: len(data) // 2] if cut else data)
        assert np.array_equal(version.statistic("sd", group=1), there.statistic("sd", group=1), equal_nan=True)
        assert version.path.read_bytes() == there.path.read_bytes()
        assert len(here.client.requests()) == 2


def test_each_volume_is_requested_once_and_several_processes_compute_the_same(here: Laptop, folder: Store) -> None:
    local = asked(here.store, workers=2)
    assert same(local, asked(folder))
    assert len(here.client.requests()) == len(local.experiments)


def test_a_damaged_local_result_is_computed_again(here: Laptop, folder: Store) -> None:
    version = asked(here.store)
    with version.path.open("r+b") as file:
        file.seek(5_000)
        file.write(b"damage")
    again = asked(here.store)
    assert again.was_computed
    assert same(again, asked(folder))


def test_a_damaged_volume_in_the_cache_is_replaced_and_the_average_right(here: Laptop, folder: Store) -> None:
    here.store.volume(3)
    path = here.object(next(each for each in here.paths() if "/3." in each))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 8
    path.write_bytes(data)
    assert same(asked(here.store), asked(folder))


def test_statistics_exports_and_texts_work(here: Laptop, folder: Store, tmp_path: Path) -> None:
    local, there = asked(here.store), asked(folder)
    assert np.array_equal(local.statistic("sd", group=1), there.statistic("sd", group=1), equal_nan=True)
    box = ((7000, 8000), (1000, 3000), (2000, 6000))
    assert np.array_equal(
        local.statistic("mean", group=0, box=box), there.statistic("mean", group=0, box=box), equal_nan=True
    )
    paths = [version.export(tmp_path / f"{number}.nrrd") for number, version in enumerate((local, there))]
    assert paths[0].stat().st_size > 1000
    assert local.provenance() == there.provenance()
    citation = local.cite()
    assert citation.origin is not None
    assert "dataset export visual@local-" in citation.origin
    assert local.fingerprint in citation.methods
    assert here.store.datasets.lineage(local.ref).ref == local.ref


def test_a_bundle_of_it_is_imported_into_the_lab_with_the_next_number(
    here: Laptop, folder: Store, tmp_path: Path
) -> None:
    local = asked(here.store)
    bundle = local.export(tmp_path / "average.bsv.zip")
    asked(folder, 0)
    imported = folder.datasets.import_bundle(bundle)
    assert imported.ref == "visual@2"
    assert imported.origin.standing == "imported, checked"
    assert same(imported, local)
    assert imported.provenance().exported_as == local.ref


def test_what_is_kept_is_listed(here: Laptop) -> None:
    asked(here.store, 0)
    asked(here.store, 1, name="b")
    assert [each.name for each in listed_results(here.files.root)] == ["visual", "b"]

"""What a script that changes its import meets: its cache, its folder, its mistakes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bsv_store import Selection, Store
from bsv_store.compat import fetch_connectivity_data, fetch_upstream_regions, find_connectivity_experiments
from bsv_store.errors import (
    EmptySelectionError,
    InputError,
    MissingDataError,
    RecipeError,
    UnknownExperimentError,
    UnknownStructureError,
)
from bsv_store_synthetic import SyntheticAtlas, SyntheticServer
from bsv_store_synthetic.faults import Substitute
from tests.compat.golden import fill_catalog, make_bsv_cache
from tests.stores import store_with

DEFAULTS: dict[str, Any] = {
    "file_name": "",
    "normalization_method": "none",
    "subtract_other_hemisphere": False,
}
IDS = [288168426, 298404860]

listed = store_with(fill_catalog, "data")
"""A store with the real ontology and the real list of experiments."""


def test_cache_in_save_location_is_adopted_and_only_read(
    listed: Store, golden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = make_bsv_cache(golden, tmp_path / "cache")
    before = {path: path.stat().st_mtime_ns for path in cache.rglob("*") if path.is_file()}
    monkeypatch.setenv("BSV_STORE", str(listed.path))
    combined, _, _, info = fetch_connectivity_data(IDS, str(cache), offline=True, **DEFAULTS)
    assert combined.shape == (132, 80, 114, 1)
    assert info["group_sizes"] == [2]
    # Only the requested data are adopted, and only the CSV is written.
    assert [volume.volumes for volume in listed.status().catalog.volumes] == [2]
    (written,) = {path for path in cache.rglob("*") if path.is_file()} - before.keys()
    assert written.name == "connectivity_data_metadata.csv"
    assert {path: path.stat().st_mtime_ns for path in before} == before
    shutil.rmtree(cache)
    again, _, _, _ = fetch_connectivity_data(IDS, str(tmp_path), offline=True, **DEFAULTS)
    np.testing.assert_array_equal(again, combined)


def test_damaged_cache_file_is_named_when_offline(listed: Store, golden: Path, tmp_path: Path) -> None:
    cache = make_bsv_cache(golden, tmp_path / "cache")
    raw = cache / str(IDS[0]) / "density.raw"
    raw.write_bytes(raw.read_bytes()[:-4])
    with pytest.raises(MissingDataError, match=rf"{IDS[0]}.*4815356"):
        fetch_connectivity_data(IDS, str(cache), store=listed, offline=True, **DEFAULTS)


def test_missing_experiments_are_fetched_once(store: Store, tmp_path: Path) -> None:
    with SyntheticServer(SyntheticAtlas(experiments=12)) as server:
        store.sync_structures(api_url=server.url)
        store.sync_experiments(api_url=server.url)
        ids = find_connectivity_experiments(["VISp"], store=store)[:2]
        first, _, _, _ = fetch_connectivity_data(ids, tmp_path, store=store, api_url=server.url, **DEFAULTS)
        asked = server.requests.total
        second, _, _, _ = fetch_connectivity_data(ids, tmp_path, store=store, api_url=server.url, **DEFAULTS)
        assert server.requests.total == asked
        fetch_connectivity_data(ids, tmp_path, store=store, api_url=server.url, reload=True, **DEFAULTS)
        assert server.requests.total > asked
    np.testing.assert_array_equal(first, second)
    expected = sum(store.volume(i).astype(np.float64) for i in ids) / len(ids)
    np.testing.assert_allclose(first[..., 0], expected, rtol=1e-12)


def test_searches_answer_from_the_catalog(store: Store) -> None:
    with SyntheticServer(SyntheticAtlas(experiments=16)) as server:
        store.sync_structures(api_url=server.url)
        store.sync_experiments(api_url=server.url)
        store.sync_unionizes(api_url=server.url)
    everything = find_connectivity_experiments(["VIS"], store=store)
    assert everything == list(store.select(Selection(injected_in=["VIS"])))
    wild = find_connectivity_experiments(["VIS"], mouse_line="0", store=store)
    assert wild == list(store.select(Selection(injected_in=["VIS"], line="wild-type")))
    assert 0 < len(wild) < len(everything)
    projecting = find_connectivity_experiments(["VIS"], target_regions=["LGd"], threshold=0.05, store=store)
    frame = store.sql(
        "select distinct experiment_id from projections where structure = 'LGd' and hemisphere = 'both'"
        " and projection_volume > 0.05"
    )
    assert projecting == sorted(set(everything) & set(frame["experiment_id"]))
    upstream = fetch_upstream_regions(["LGd"], min_projection_volume=0.05, store=store)
    sources = store.experiments(Selection(ids=[int(i) for i in frame["experiment_id"]]))
    assert upstream == sorted(set(sources["primary_structure"]))


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"normalization_method": "volume"}, RecipeError, "injection_volume"),
        ({"grouping_method": "XY"}, RecipeError, "AP"),
        ({"atlas_type": "paxinos"}, InputError, "allen"),
        ({"input_regions": ["VISp"], "region_groups": [1, 2]}, InputError, "region_groups"),
        ({"missing": "ignore"}, RecipeError, "leave_out"),
        ({"experiment_ids": []}, EmptySelectionError, "find_connectivity_experiments"),
        ({"experiment_ids": ["VISp"]}, InputError, "must be an integer, got 'VISp'"),
        ({"experiment_ids": [1.5]}, InputError, "must be an integer, got 1.5"),
        ({"experiment_ids": None}, InputError, "experiment_ids"),
        ({"grouping_method": "AP", "grouping_bins": "many"}, InputError, "grouping_bins must be an integer"),
        ({"input_regions": ["VISp"], "region_groups": ["first"]}, InputError, "region_groups must be an integer"),
        ({"input_regions": [385], "region_groups": [1]}, InputError, "input_regions must be a string, got 385"),
        ({"normalization_method": None}, RecipeError, "normalization_method must be one of .*, got None"),
        ({"experiment_ids": [288168426, 4]}, UnknownExperimentError, "4"),
        ({"file_name": "../elsewhere"}, InputError, "must not contain a folder"),
        ({"input_regions": ["VISpx"], "region_groups": [1]}, UnknownStructureError, "VISpx"),
    ],
)
def test_mistakes_are_named_before_any_result(
    filled: tuple[Store, Path], tmp_path: Path, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    arguments = {"experiment_ids": IDS, **DEFAULTS, **options}
    with pytest.raises(error, match=words):
        fetch_connectivity_data(save_location=tmp_path, store=filled[0], offline=True, **arguments)
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def answers() -> dict[str, tuple[Any, ...]]:
    """The correct answers, by the spelling of the arguments."""
    return {}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ({"normalization_method": "injectionIntensity"}, {"normalization_method": "injectionVolume"}),
        ({"normalization_method": "injection_volume"}, {"normalization_method": "injectionVolume"}),
        ({"grouping_method": "ap"}, {"grouping_method": "AP"}),
        ({"grouping_method": "none"}, {"grouping_method": ""}),
        ({"grouping_method": "AP", "grouping_bins": 0}, {"grouping_method": "AP", "grouping_bins": 1}),
        ({"input_regions": "VISp", "region_groups": 1}, {"input_regions": ["VISp"], "region_groups": [1]}),
        ({"input_regions": [], "region_groups": []}, {}),
        ({"experiment_ids": [str(i) for i in IDS]}, {}),
        ({"experiment_ids": np.array(IDS, np.float64)}, {}),
        ({"atlas_type": "Allen"}, {}),
    ],
)
def test_other_spellings_of_arguments_are_understood(
    filled: tuple[Store, Path],
    answers: dict[str, tuple[Any, ...]],
    written: dict[str, Any],
    meant: dict[str, Any],
) -> None:
    def answer(options: dict[str, Any]) -> tuple[Any, ...]:
        arguments = {"experiment_ids": IDS, **DEFAULTS, **options}
        combined, _, _, info = fetch_connectivity_data(save_location="", store=filled[0], offline=True, **arguments)
        return combined, info["grouping_axis"], info["group_sizes"], info["experimentIDs"]

    if str(meant) not in answers:
        answers[str(meant)] = answer(meant)
    found, expected = answer(written), answers[str(meant)]
    np.testing.assert_array_equal(found[0], expected[0])
    assert found[1:] == expected[1:]


def test_missing_folder_is_made_for_the_csv_alone(filled: tuple[Store, Path], tmp_path: Path) -> None:
    folder = tmp_path / "results" / "visual"
    fetch_connectivity_data(IDS, folder, store=filled[0], offline=True, export_metadata=False, **DEFAULTS)
    fetch_connectivity_data(IDS, "", store=filled[0], offline=True, **DEFAULTS)
    assert not list(tmp_path.iterdir())
    fetch_connectivity_data(IDS, folder, store=filled[0], offline=True, **DEFAULTS)
    assert [path.name for path in folder.iterdir()] == ["connectivity_data_metadata.csv"]


def test_folder_that_cannot_be_made_is_an_error_before_any_work(
    filled: tuple[Store, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "results").write_text("a file")
    with pytest.raises(InputError, match="results/visual cannot be created"):
        fetch_connectivity_data(IDS, tmp_path / "results" / "visual", store=filled[0], offline=True, **DEFAULTS)
    assert capsys.readouterr().out == ""


def test_duplicate_ids_count_once_with_a_warning(filled: tuple[Store, Path], tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="1 experiment ids are repeated"):
        _, _, _, info = fetch_connectivity_data([*IDS, IDS[0]], tmp_path, store=filled[0], offline=True, **DEFAULTS)
    assert info["experimentIDs"] == IDS
    assert info["group_sizes"] == [2]


def test_reload_that_fails_is_an_error_not_the_old_data(store: Store, tmp_path: Path) -> None:
    with SyntheticServer(SyntheticAtlas(experiments=3)) as server:
        store.sync_structures(api_url=server.url)
        store.sync_experiments(api_url=server.url)
        ids = list(store.select())[:1]
        fetch_connectivity_data(ids, tmp_path, store=store, api_url=server.url, **DEFAULTS)
        server.fail("/grid_data/", Substitute(b"no zip"), times=None)
        with pytest.raises(MissingDataError, match=r"could not be downloaded again: \d+: "):
            fetch_connectivity_data(ids, tmp_path, store=store, api_url=server.url, reload=True, **DEFAULTS)


def test_reload_and_offline_contradict_each_other(store: Store, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be combined"):
        fetch_connectivity_data([1], tmp_path, store=store, offline=True, reload=True, **DEFAULTS)


def test_volume_file_that_was_lost_is_fetched_again(store: Store, tmp_path: Path) -> None:
    with SyntheticServer(SyntheticAtlas(experiments=3)) as server:
        store.sync_structures(api_url=server.url)
        store.sync_experiments(api_url=server.url)
        ids = list(store.select())[:1]
        first, _, _, _ = fetch_connectivity_data(ids, tmp_path, store=store, api_url=server.url, **DEFAULTS)
        (file,) = store.path.rglob("*.h5")
        file.unlink()
        again, _, _, _ = fetch_connectivity_data(ids, tmp_path, store=store, api_url=server.url, **DEFAULTS)
    np.testing.assert_array_equal(first, again)

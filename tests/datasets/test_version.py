from __future__ import annotations

import getpass
import pickle
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from bsv_store import Selection, Store, by_coordinate, by_field, crossed
from bsv_store.datasets import version as version_module
from bsv_store.errors import FrameError, InputError, UnknownDatasetError
from tests.databases import sqlite_first
from tests.datasets.world import BY_ID, IDS, VISUAL, add_volume, ask

if TYPE_CHECKING:
    from bsv_store.averaging.grouping.grouping import Grouping


def test_versions_are_found_by_number_and_latest(filled: Store) -> None:
    first = ask(filled)
    add_volume(filled, 1, seed=3)
    second = ask(filled)
    for ref, number in {"test@1": 1, "test@2": 2, "test@latest": 2, "test": 2}.items():
        assert filled.dataset(ref).number == number
    found = filled.dataset("test@1")
    assert not found.was_computed
    assert found.recipe == first.recipe
    assert found.groups == first.groups
    assert found.experiments == first.experiments
    assert found.created_at == first.created_at
    assert (found.created_by, found.software) == (getpass.getuser(), first.software)
    np.testing.assert_array_equal(found.mean, first.mean)
    assert not np.array_equal(found.mean, second.mean)


def test_a_version_is_equal_to_itself_however_it_was_obtained(filled: Store) -> None:
    first = ask(filled)
    copy = pickle.loads(pickle.dumps(first))
    assert copy == first == filled.dataset("test@1")
    assert len({first, copy, filled.dataset("test@1")}) == 1
    filled.datasets.tag("test@1", "paper")
    assert filled.dataset("test@paper") == first
    add_volume(filled, 1, seed=3)
    second = ask(filled)
    assert second != first
    assert first != "test@1"


@sqlite_first
def test_recipe_origin_and_groups_of_a_version_have_cards(filled: Store) -> None:
    computed = ask(filled, grouping=by_coordinate("AP", bins=2), normalize="injection_volume")
    for version in (computed, filled.dataset("test@1"), pickle.loads(pickle.dumps(computed))):
        recipe, groups = version.recipe._repr_html_(), version.groups._repr_html_()
        assert all(words in recipe for words in (version.quantity, "2 bins of equal width", "<summary>JSON</summary>"))
        assert all(f"<td>{group.label}</td>" in groups for group in version.groups)
        assert "center um" in groups
        assert str(version.origin) in version.origin._repr_html_()
    by_line = ask(filled, name="line", grouping=by_field("line")).groups
    assert "center um" not in by_line._repr_html_()
    both = ask(filled, name="both", grouping=crossed(by_coordinate("AP", bins=2), by_coordinate("ML", bins=2))).groups
    assert f"{both[0].second_upper:,.6g}" in both._repr_html_()
    assert by_line == tuple(by_line)


@pytest.mark.parametrize(
    ("grouping", "empty"),
    [
        (by_field("line"), {}),
        (by_coordinate("AP", bins=2), {}),
        # 8,000, 8,100, 8,500, 9,000 and 9,400 um in bins of 200; two that touch are one.
        (by_coordinate("AP", bins=7), {"AP": ((8200.0, 8400.0), (8600.0, 9000.0))}),
        # Asked for by their edges they are groups, but not where they are crossed.
        (by_coordinate("AP", edges=[7000, 7500, 9500]), {}),
        (
            crossed(
                by_coordinate("AP", edges=[7000, 7500, 8200, 8400, 9500, 9900]),
                by_coordinate("ML", edges=[0, 5700, 11400]),
            ),
            {"AP": ((7000.0, 7500.0), (8200.0, 8400.0), (9500.0, 9900.0))},
        ),
        (crossed(by_field("line"), by_coordinate("ML", bins=3)), {"ML": ((5000.0, 6000.0),)}),
    ],
    ids=lambda value: "" if isinstance(value, dict) else value.to_json(),
)
def test_bins_without_experiments_are_reported(filled: Store, grouping: Grouping, empty: dict[str, object]) -> None:
    version = ask(filled, grouping=grouping)
    assert version.empty_ranges() == empty
    assert filled.dataset(version.ref).empty_ranges() == empty


def test_what_is_not_there_is_said_with_what_is(filled: Store) -> None:
    with pytest.raises(UnknownDatasetError, match="no dataset 'visual'") as caught:
        filled.dataset("visual")
    assert "has no datasets" in str(caught.value.hint)
    ask(filled, name="visual-by-AP")
    with pytest.raises(UnknownDatasetError) as caught:
        filled.dataset("visual-by-ML")
    assert caught.value.hint == "Did you mean visual-by-AP?"
    with pytest.raises(UnknownDatasetError, match="no version 3") as caught:
        filled.dataset("visual-by-AP@3")
    assert caught.value.hint == "It has 1."
    with pytest.raises(UnknownDatasetError, match="no tag 'paper'") as caught:
        filled.dataset("visual-by-AP@paper")
    assert "no tags" in str(caught.value.hint)
    with pytest.raises(InputError):
        filled.dataset("../x")


def test_datasets_are_listed(filled: Store) -> None:
    assert filled.datasets.list() == ()
    one = ask(filled, name="b")
    two = ask(filled, Selection(ids=[1]), name="b")
    ask(filled, name="a")
    listed = filled.datasets.list()
    assert [(each.name, each.latest, each.versions, each.tags) for each in listed] == [("a", 1, 1, ()), ("b", 2, 2, ())]
    assert listed[1].size_bytes == one.path.stat().st_size + two.path.stat().st_size
    assert listed[1].created_by == getpass.getuser()
    assert abs(datetime.now(UTC) - listed[1].changed_at) < timedelta(minutes=10)


def test_all_versions_as_a_table_with_times_in_utc(filled: Store) -> None:
    assert len(filled.datasets.versions()) == 0
    assert str(filled.datasets.versions().created_at.dtype) == "datetime64[us, UTC]"
    versions = [ask(filled, name="b"), ask(filled, Selection(ids=[1]), name="b"), ask(filled, name="a")]
    table = filled.datasets.versions()
    assert table[["name", "number"]].to_numpy().tolist() == [["a", 1], ["b", 1], ["b", 2]]
    assert table.fingerprint.to_list() == [versions[number].fingerprint for number in (2, 0, 1)]
    assert table.created_at.to_list() == [versions[number].created_at for number in (2, 0, 1)]
    assert {time.utcoffset() for time in table.created_at} == {timedelta(0)}
    assert table.size_bytes.to_list() == [versions[number].size_bytes for number in (2, 0, 1)]


def test_facts_of_a_version(filled: Store) -> None:
    version = ask(filled, Selection(ids=IDS), by_field("line"), normalize="injection_volume")
    assert version.path.is_file()
    assert version.path.parent == filled.path / "datasets" / "test"
    assert version.path.name.startswith(version.fingerprint[:16])
    assert version.software.startswith("bsv-store ")
    assert [group.label for group in version.groups] == ["wild-type", "Rbp4-Cre_KL100"]
    assert repr(version) == (
        "DatasetVersion('test@1', 2 groups of 7 experiments, projection density (fraction of voxel per mm³ injected))"
    )
    assert repr(ask(filled, Selection(ids=IDS[:1]))).startswith("DatasetVersion('test@2', 1 group of 1 experiment, ")


def test_members_table(filled: Store) -> None:
    members = ask(
        filled, Selection(ids=IDS), by_coordinate("AP", edges=[3000, 8200]), hemisphere_rule="flip_to_right"
    ).members.set_index("experiment_id")
    assert members.index.to_list() == list(IDS)
    assert members.group.dropna().to_dict() == {1: 0, 2: 0, 6: 0}
    assert members.left_out_reason[3] == "AP 8,500 um lies outside the bin edges"
    assert members.injected_hemisphere[1] == BY_ID[1].injected
    assert members.array_sha256[1] is not None
    assert members.divisor[1] == 1.0


def test_results_cannot_be_changed_by_accident(filled: Store) -> None:
    version = ask(filled)
    with pytest.raises(ValueError, match="read-only"):
        version.mean[0, 0, 0, 0] = 1


def test_statistics_not_asked_for_are_an_error(filled: Store) -> None:
    version = ask(filled)
    with pytest.raises(InputError, match="the statistic 'sd'") as caught:
        version.statistic("sd")
    assert "mean" in str(caught.value.hint)
    with pytest.raises(InputError, match="no group 1"):
        version.statistic("mean", group=1)


def test_a_box_is_read_without_the_rest(filled: Store) -> None:
    version = ask(filled, VISUAL, by_coordinate("AP", bins=2), statistics=("mean", "n"))
    box = ((7000, 7999), (0, 8000), (5650, 11400))
    part = version.statistic("mean", box=box)
    np.testing.assert_array_equal(part, version.mean[:, 70:80, :, 56:])
    np.testing.assert_array_equal(version.statistic("mean", group=1, box=box), part[1])
    assert version.statistic("n", group=0, box=((0, 13200), (50, 50), (50, 50))).shape == (132, 1, 1)


@pytest.mark.parametrize(
    "box",
    [((0, 1),), 3, ((60, 140), (0, 8000), (0, 11400)), ((9000, 8000), (0, 1), (0, 1)), (("a", 1), (0, 1), (0, 1))],
)
def test_an_invalid_box_is_an_error(filled: Store, box: Any) -> None:
    with pytest.raises(InputError, match=r"box must be|no voxel center"):
        ask(filled).statistic("mean", box=box)


def test_the_voxels_of_a_mask_are_read_without_the_rest(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    version = ask(filled, VISUAL, by_coordinate("AP", bins=2), statistics=("mean", "n"))
    mask = np.zeros(version.grid.shape, bool)
    mask[70:75, 10:20, 60:80] = np.random.default_rng(1).random((5, 10, 20)) < 0.3
    asked: list[Any] = []
    real = version_module.read_part  # type: ignore[attr-defined]

    def watch(path: Any, name: str, key: Any, **facts: Any) -> Any:
        asked.append(key)
        return real(path, name, key, **facts)

    monkeypatch.setattr(version_module, "read_part", watch)
    values = version.values_in(mask)
    assert values.shape == (2, mask.sum())
    assert asked == [(slice(None), slice(70, 75), slice(10, 20), slice(60, 80))]
    np.testing.assert_array_equal(values, version.mean[:, mask])
    np.testing.assert_array_equal(version.values_in(mask, "n", group=1), version.statistic("n")[1][mask])


def test_an_invalid_mask_is_an_error(filled: Store) -> None:
    version = ask(filled)
    mask = np.zeros(version.grid.shape, bool)
    with pytest.raises(InputError, match="no voxel"):
        version.values_in(mask)
    with pytest.raises(InputError, match="must be boolean, got int8"):
        version.values_in(mask.astype(np.int8))
    with pytest.raises(FrameError, match="shape"):
        version.values_in(mask[1:])


def test_to_xarray_says_which_groups_have_no_experiments(filled: Store) -> None:
    data = ask(filled, grouping=by_coordinate("AP", edges=[7000, 7500, 9500])).to_xarray()
    assert data["group_n"].to_numpy().tolist() == [0, 5]
    assert data.attrs["empty_groups"] == ["AP 7,000-7,500 um"]


def test_to_xarray_needs_no_file_afterwards(filled: Store) -> None:
    version = ask(filled, VISUAL, by_coordinate("AP", bins=2), statistics=("mean", "sd"))
    data, mean = version.to_xarray(), version.mean
    version.path.unlink()
    assert dict(data.sizes) == {"group": 2, "ap": 132, "dv": 80, "ml": 114, "member": 5, "document": 1}
    assert data["mean"].attrs == {"long_name": "mean of projection density (fraction of voxel)", "units": "1"}
    assert data.attrs["dataset"] == "test@1"
    assert data["group_n"].to_numpy().tolist() == [3, 2]
    assert data["sd"].sel(ap=50.0, dv=50.0, ml=50.0).shape == (2,)
    np.testing.assert_array_equal(data["mean"], mean)


def test_to_frame_lists_the_voxels_that_are_not_zero(filled: Store) -> None:
    version = ask(filled, VISUAL, by_coordinate("AP", bins=2), statistics=("mean", "sd"))
    frame = version.to_frame()
    assert frame.columns.to_list() == ["group", "ap", "dv", "ml", "mean", "sd"]
    assert len(frame) == np.count_nonzero(version.mean)
    row = frame.iloc[1000]
    where = (version.groups[0].label == row.group, int(row.ap // 100), int(row.dv // 100), int(row.ml // 100))
    assert version.mean[0 if where[0] else 1, where[1], where[2], where[3]] == row["mean"]


def test_without_xarray_the_extra_is_named(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    version = ask(filled)
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(InputError, match="xarray is not installed") as caught:
        version.to_xarray()
    assert "bsv-store[xarray]" in str(caught.value.hint)


def test_finding_a_version_loads_no_heavy_library(filled: Store) -> None:
    ask(filled)
    code = (
        "import sys\n"
        "from bsv_store import open_store\n"
        "with open_store(sys.argv[1]) as store:\n"
        "    store.dataset('test')\n"
        "print(sorted({'h5py', 'xarray', 'pandas', 'matplotlib', 'nrrd'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(filled.path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"

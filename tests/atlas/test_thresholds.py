"""Voxels above a threshold, of single volumes and of versions: the mask, and the share of structures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nrrd
import numpy as np
import pytest
from numpy.typing import NDArray

from bsv_store import Store, by_coordinate
from bsv_store.errors import BsvStoreWarning, InputError, MissingDataError
from tests.datasets.world import MOP, SHAPE, VISL, VISP, add_annotation, add_volume, ask, fill, voxels
from tests.stores import store_with


def blocks() -> NDArray[np.uint32]:
    array = np.zeros(SHAPE, np.uint32)
    array[80:90, 10:40, 40:74] = VISP
    array[85:90, 10:40, 74:90] = VISL
    array[40:50, 10:20, 60:70] = MOP
    return array


def _fill(store: Store) -> None:
    fill(store)
    add_annotation(store, blocks())


annotated = store_with(_fill)


@pytest.mark.parametrize("positive_only", [False, True])
@pytest.mark.parametrize(("rule", "threshold"), [("absolute", 0.25), ("percentile", 99.0), ("z_score", 1.5)])
def test_the_cutoff_follows_the_rule(annotated: Store, rule: Any, threshold: float, positive_only: bool) -> None:
    found = annotated.volumes.threshold(1, threshold, rule=rule, positive_only=positive_only)
    values = voxels(1).astype(np.float64)
    some = values[values > 0] if positive_only else values.reshape(-1)
    expected = {
        "absolute": threshold,
        "percentile": np.percentile(some, threshold),
        "z_score": some.mean() + threshold * some.std(),
    }[rule]
    assert found.cutoff == pytest.approx(expected)
    assert found.candidates == some.size
    np.testing.assert_array_equal(found.mask, values > found.cutoff)


def test_thresholds_are_shown_in_one_line(annotated: Store) -> None:
    found = annotated.volumes.threshold(1, 0.25)
    count = f"{found.mask.sum():,} of {found.candidates:,} voxels above 0.25>"
    assert repr(found) == f"<ThresholdedVolume {found.title}: {count}"


def test_voxels_must_exceed_the_cutoff(annotated: Store) -> None:
    highest = float(voxels(1).max())
    assert not annotated.volumes.threshold(1, highest).mask.any()
    assert annotated.volumes.threshold(1, np.nextafter(np.float32(highest), np.float32(0))).mask.sum() == 1


def test_a_threshold_above_all_values_warns_with_the_rules(annotated: Store) -> None:
    version = ask(annotated, grouping=by_coordinate("AP", bins=2))
    for call in (
        lambda: annotated.volumes.threshold(1, 95),
        lambda: annotated.datasets.threshold(version, 95),
    ):
        with pytest.warns(BsvStoreWarning, match=r"is above 95; the highest value is 0\.\d+") as caught:
            assert not call().mask.any()
        (warning,) = caught
        assert warning.filename == __file__
        for text in ("rule='absolute'", "threshold=95, rule='percentile'", "rule='z_score'", "--rule percentile"):
            assert text in str(warning.message)
    with pytest.raises(InputError, match="0 to 100, got 250") as refused:
        annotated.volumes.threshold(1, 250, rule="percentile")
    assert "rule='absolute'" in str(refused.value.hint)


def test_a_threshold_may_be_limited_to_structures(annotated: Store) -> None:
    found = annotated.volumes.threshold(1, 50, rule="percentile", within=["VIS"], positive_only=True)
    inside = np.isin(blocks(), [VISP, VISL])
    values = voxels(1)
    assert found.cutoff == pytest.approx(np.median(values[inside & (values > 0)].astype(float)))
    np.testing.assert_array_equal(found.mask, inside & (values > found.cutoff))


def test_shares_of_structures(annotated: Store) -> None:
    array = voxels(1).copy()
    array[80, 10:20, 40:60] = np.nan
    add_volume(annotated, 1, array=array)
    found = annotated.volumes.threshold(1, 0.3)
    frame = found.regions(["MOp", "VIS", "VISp"]).set_index(["structure", "hemisphere"])
    for name, ids in (("VIS", [VISP, VISL]), ("MOp", [MOP])):
        for side, half in (("left", slice(0, 57)), ("right", slice(57, None)), ("both", slice(None))):
            values = array[..., half][np.isin(blocks()[..., half], ids)].astype(float)
            values = values[~np.isnan(values)]
            row = frame.loc[(name, side)]
            assert (row.voxels, row.above_voxels) == (values.size, (values > 0.3).sum())
            if values.size:
                assert row.above_share == pytest.approx((values > 0.3).mean())
                assert row["mean"] == pytest.approx(values.mean())
                assert row.above_mean == pytest.approx(values[values > 0.3].mean())
            else:
                assert np.isnan(row.above_share)
    strongest = found.regions(["MOp", "VISl", "VISp"], limit=2)
    shares = found.regions(["MOp", "VISl", "VISp"])
    both = shares[shares.hemisphere == "both"].set_index("structure").above_share.sort_values(ascending=False)
    assert strongest.structure.to_list()[::3] == both.index.to_list()[:2]


def test_a_group_of_a_version(annotated: Store, tmp_path: Path) -> None:
    version = ask(annotated, grouping=by_coordinate("AP", bins=2))
    found = annotated.datasets.threshold(version, 0.05, group=1)
    np.testing.assert_array_equal(found.mask, version.mean[1] > 0.05)
    found.export(tmp_path / "x.nrrd")
    content, header = nrrd.read(str(tmp_path / "x.nrrd"))
    np.testing.assert_array_equal(content > 0, found.mask)
    assert header["cutoff"] == "0.05"
    with pytest.raises(InputError, match="exists"):
        found.export(tmp_path / "x.nrrd")
    with pytest.raises(InputError, match="group"):
        annotated.datasets.threshold(version, 0.05, group=2)


def test_halves_of_a_folded_version_are_contralateral_and_ipsilateral(annotated: Store) -> None:
    folded = annotated.aggregate([1, 2], name="folded", hemisphere_rule="fold_ipsilateral")
    frame = annotated.datasets.threshold(folded, 0.05).regions("VISp")
    assert frame["hemisphere"].tolist() == ["contralateral", "ipsilateral", "both"]
    plain = annotated.datasets.threshold(annotated.aggregate([1, 2], name="plain"), 0.05).regions("VISp")
    assert plain["hemisphere"].tolist() == ["left", "right", "both"]


def test_what_is_not_valid_is_refused(annotated: Store) -> None:
    for threshold, rule, message in (
        (101, "percentile", "a percentile from 0 to 100, got 101"),
        (float("nan"), "absolute", "a finite number, got nan"),
        ("high", "absolute", "a finite number, got 'high'"),
        (True, "absolute", "a finite number, got True"),
        (1, "sigma", "rule must be one of absolute, percentile, z_score"),
    ):
        with pytest.raises(InputError, match=message):
            annotated.volumes.threshold(1, threshold, rule=rule)  # type: ignore[arg-type]
    add_volume(annotated, 2, array=np.zeros(SHAPE, np.float32))
    with pytest.raises(MissingDataError, match="projection_density of experiment 2 has no positive voxel"):
        annotated.volumes.threshold(2, 50, rule="percentile", positive_only=True)

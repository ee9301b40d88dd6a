"""Signal in regions: over animals, normalized, above a threshold, in subregions; and the criteria of what there is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bsv_store import open_store
from bsv_store.volumes.grid import Grid
from tests.cli.conftest import VISP, WILD_TYPE_VISP
from tests.cli.running import Runner
from tests.datasets.world import add_annotation


@pytest.fixture
def annotated(own_filled: Path) -> Path:
    """A store with an annotation of a structure with signal, VISp, and of another one."""
    with open_store(own_filled) as store:
        ids = store.atlas.acronym_map()
        array = np.zeros(Grid(100).shape, np.uint32)
        signal = sum(store.volume(each) for each in VISP)
        array[signal > 0] = ids["VISp"]
        array[:10, :10] = ids["CP"]
        add_annotation(store, array)
    return own_filled


def test_regions_over_animals(run: Runner, annotated: Path) -> None:
    command = ("dataset", "regions", "visual", "--structure", "VISp", "--over-animals", "--format", "csv")
    rows = run(*command, "--hemisphere", "ipsilateral", store=annotated).succeeded().rows
    assert sum(int(row["n"]) for row in rows) == len(WILD_TYPE_VISP)
    assert [row["sem"] == "" for row in rows] == [row["n"] == "1" for row in rows]
    done = run("dataset", "regions", "visual", "--structure", "VISp", "--hemisphere", "ipsi", store=annotated)
    done.refused(2, "no hemisphere 'ipsilateral'", "--over-animals")


def test_normalized_regions(run: Runner, annotated: Path) -> None:
    command = ("volume", "regions", "VISp", "--ids", VISP[0], "--format", "csv")
    (plain,) = run(*command, store=annotated).succeeded().rows
    done = run(*command, "--normalize", "injection-volume", store=annotated).succeeded()
    with open_store(annotated) as store:
        (volume,) = store.experiments([VISP[0]]).injection_volume
    assert float(done.rows[0]["mean"]) == pytest.approx(float(plain["mean"]) / volume)
    assert "per mm³ injected" in done.err


def test_voxels_above_a_threshold(run: Runner, annotated: Path, tmp_path: Path) -> None:
    options = ("--structure", "VISp", "--structure", "CP", "--format", "csv")
    target = tmp_path / "above.npy"
    done = run("volume", "threshold", VISP[0], 0.1, *options, "-o", target, store=annotated).succeeded()
    assert np.load(target).sum() == sum(int(row["above_voxels"]) for row in done.rows if row["hemisphere"] == "both")
    assert f"{np.load(target).sum():,} voxels above 0.1" in done.err
    run("volume", "threshold", VISP[0], 101, "--rule", "percentile", store=annotated).refused(2, "0 to 100, got 101")
    done = run("dataset", "threshold", "visual", 2, "--rule", "z-score", "--group", 1, *options, store=annotated)
    assert {row["structure"] for row in done.succeeded().rows} == {"VISp", "CP"}
    run("dataset", "threshold", "visual", 2, "--group", 9, *options, store=annotated).refused(2, "group")


def test_subregions(run: Runner, annotated: Path, tmp_path: Path) -> None:
    done = run(
        *("volume", "subregions", "VISp", "--bins", "AP=2", "--bins", "ml=0,1000,6000", "--ids", VISP[0]),
        *("--hemisphere", "both", "--format", "csv"),
        store=annotated,
    ).succeeded()
    assert len(done.rows) == 4
    assert done.rows[0]["ml_upper"] == "1000.0"
    assert "Annotation: " in done.err
    binned = ("dataset", "subregions", "visual", "VISp", "--bins", "AP=2", "--format", "csv")
    for more in ((), ("--over-animals",)):
        named = {row["annotation"] for row in run(*binned, *more, store=annotated).succeeded().rows}
        assert named == {done.rows[0]["annotation"]}
    labels = np.zeros(Grid(100).shape, np.uint8)
    labels[:60], labels[60:] = 1, 2
    np.save(tmp_path / "parts.npy", labels)
    options = ("--labels", tmp_path / "parts.npy", "--hemisphere", "both", "--format", "csv")
    rows = run("dataset", "subregions", "visual", *options, store=annotated).succeeded().rows
    assert [(row["group"], row["label"]) for row in rows] == [("0", "1"), ("0", "2"), ("1", "1"), ("1", "2")]
    assert "annotation" not in rows[0]
    run("dataset", "subregions", "visual", "VISp", store=annotated).refused(2, "either bins or labels")
    run("dataset", "subregions", "visual", "VISp", "--bins", "AP", store=annotated).refused(2, "AXIS=NUMBER")


def test_what_the_store_has_selects(run: Runner, filled: Path) -> None:
    def ids(*options: str) -> list[int]:
        rows = run("select", *options, "--format", "csv", store=filled).succeeded().rows
        return [int(row["experiment_id"]) for row in rows]

    assert ids("--with-volume", "projection-density") == list(VISP)
    assert ids("--with-volume", "projection-density", "--with-volume-spacing", "25") == []
    assert ids("--with-unionizes") == list(VISP)
    assert not set(ids("--without-unionizes")) & set(VISP)
    assert set(ids("--injected-in", "VISp", "--min-injection-overlap", "0")) == set(VISP)
    assert set(ids("--max-injection-outside-primary", "1")) <= set(VISP)
    assert ids("--min-laterality-index", "-1", "--max-laterality-index", "1") == list(VISP)
    run("select", "--with-volume", "x", store=filled).refused(2, "--with-volume")
    run("select", "--min-laterality-index", "2", store=filled).refused(2, "from -1 to 1, got 2.0")

"""``bsv-store structures`` and the masks of ``bsv-store volume``."""

from __future__ import annotations

from pathlib import Path

import nrrd
import numpy as np
import pytest

from bsv_store import open_store
from bsv_store.formats.label_files import read_labels
from bsv_store.volumes.grid import Grid
from tests.cli.running import Runner
from tests.datasets.world import add_annotation


@pytest.fixture
def annotated(own_filled: Path) -> Path:
    """A store with an annotation of two structures."""
    with open_store(own_filled) as store:
        ids = store.atlas.acronym_map()
        array = np.zeros(Grid(100).shape, np.uint32)
        array[60:70, 10:20, 50:64] = ids["VISp"]
        array[40:50, 10:20, 50:64] = ids["CP"]
        add_annotation(store, array)
    return own_filled


def test_structures_are_shown_in_the_order_given(run: Runner, filled: Path) -> None:
    with open_store(filled) as store:
        (caudoputamen,) = store.atlas.structures("CP")
    asked = ("VISp", caudoputamen.id, caudoputamen.name)
    rows = run("structures", "show", *asked, "--format", "csv", store=filled).succeeded().rows
    assert [row["structure"] for row in rows] == ["VISp", "CP", "CP"]
    assert rows[0]["parent"] == "VIS"
    assert rows[1]["color"].startswith("#")
    run("structures", "show", "CPx", "CP", "VISx", store=filled).refused(2, "no structures 'CPx', 'VISx'")
    run("structures", "show", "CP", "--by", "name", store=filled).refused(2, "no structure with the name 'CP'")


def test_paths_and_overlaps(run: Runner, filled: Path) -> None:
    rows = run("structures", "path", "VISp", "--format", "json", store=filled).succeeded().json
    assert [row["structure"] for row in rows][:1] + [row["structure"] for row in rows][-2:] == ["root", "VIS", "VISp"]
    done = run("structures", "overlap", "VIS", "CP", "VISp", "--format", "csv", store=filled).succeeded()
    assert done.rows == [{"outer": "VIS", "inner": "VISp"}]
    assert "1 overlap" in done.err
    assert "do not overlap" in run("structures", "overlap", "CP", "VISp", store=filled).succeeded().err


def test_voxels_labels_and_masks(run: Runner, annotated: Path, tmp_path: Path) -> None:
    done = run("structures", "voxels", "VIS", "CP", "--format", "csv", store=annotated).succeeded()
    assert [(row["structure"], row["direct_voxels"], row["voxels"]) for row in done.rows] == [
        ("VIS", "0", "1400"),
        ("CP", "1400", "1400"),
    ]
    target = tmp_path / "labels.nrrd"
    done = run("structures", "labels", "-o", target, store=annotated).succeeded()
    assert "2 labels" in done.err
    image, _ = nrrd.read(str(target))
    assert np.unique(image).tolist() == [0, 1, 2]
    assert [label.number for label in read_labels(tmp_path / "labels.ctbl")] == [1, 2]
    run("structures", "labels", "-o", target, store=annotated).refused(2, "exists", "--overwrite")
    done = run("volume", "masks", "VIS", "CP", "-o", tmp_path, "--ending", ".npy", store=annotated).succeeded()
    (path,) = tmp_path.glob("*_CP.npy")
    assert np.load(path).sum() == 1400
    run("volume", "masks", "VIS", "TH", "-o", tmp_path, store=annotated).refused(2, "no voxel")

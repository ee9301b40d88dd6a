"""The commands that download the annotation and use it."""

from __future__ import annotations

from pathlib import Path

import nrrd
import numpy as np
import pytest

from bsv_store import open_store
from bsv_store_synthetic import SyntheticServer, anatomy, wire_volumes
from bsv_store_synthetic.faults import Status
from tests.cli.conftest import ATLAS, UNMEASURED, VISP
from tests.cli.running import Runner

LEAVES = str(len(set(np.unique(ATLAS.annotation).tolist()) - {0}))


@pytest.fixture
def annotation_file(tmp_path: Path) -> Path:
    path = tmp_path / "annotation_100.nrrd"
    path.write_bytes(wire_volumes.annotation_nrrd(100))
    return path


@pytest.fixture
def annotated(own_filled: Path, annotation_file: Path) -> Path:
    with open_store(own_filled) as store:
        store.ingest_annotation(annotation_file)
    return own_filled


# -- getting it ---------------------------------------------------------------------------------------------------


def test_sync_downloads_it_once(
    run: Runner, server: SyntheticServer, own_filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BSV_STORE_DOWNLOAD_URL", server.url)
    done = run("sync", "annotation", "--spacing", 50, "--format", "csv", store=own_filled).succeeded()
    (row,) = done.rows
    assert (row["source"], row["spacing_um"], row["outcome"]) == (f"127.0.0.1:{server.port}", "50", "fetched")
    assert row["structures"] == LEAVES
    assert f"Asking 127.0.0.1:{server.port} for the annotation at 50 um" in done.err
    again = run("sync", "annotation", "--spacing", 50, store=own_filled).succeeded()
    assert "already present" in again.err
    assert again.cells[2][1:3] == ["50", "present"]
    assert server.requests.count("annotation_50") == 1
    run("sync", "annotation", "--spacing", 50, "--refresh", store=own_filled).succeeded()
    assert server.requests.count("annotation_50") == 2
    status = run("status", store=own_filled).succeeded().out
    assert status.split("\nAnnotation\n")[1].splitlines()[2].split()[:2] == ["50", LEAVES]
    counts = {row["what"]: row for row in run("status", "--format", "csv", store=own_filled).rows}
    assert counts["annotation 50 um"]["count"] == "1"
    known = run("status", "--format", "json", store=own_filled).json["catalog"]["annotations"]
    names = ("spacing_um", "structures", "origin", "derived_from_um")
    count = int(LEAVES)
    found = [tuple(each[name] for name in names) for each in known]
    assert found == [(50, count, "other", None), (100, count, "other", 50)]
    assert "Derived from finer ones: 100 um" in done.err


def test_the_template_is_downloaded_once_counted_and_exported(
    run: Runner, server: SyntheticServer, own_filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BSV_STORE_DOWNLOAD_URL", server.url)
    target = tmp_path / "template.nrrd"
    run("atlas", "template", "-o", target, store=own_filled).refused(2, "no template at 100 um", "sync template")
    done = run("sync", "template", "--format", "csv", store=own_filled).succeeded()
    (row,) = done.rows
    assert (row["spacing_um"], row["outcome"]) == ("100", "fetched")
    assert f"Asking 127.0.0.1:{server.port} for the template at 100 um" in done.err
    assert "already present" in run("sync", "template", store=own_filled).succeeded().err
    assert server.requests.count("average_template_100") == 1
    counts = {row["what"]: row for row in run("status", "--format", "csv", store=own_filled).rows}
    assert counts["template 100 um"]["count"] == "1"
    assert "\nTemplate\n" in run("status", store=own_filled).succeeded().out
    run("atlas", "template", "-o", target, store=own_filled).succeeded()
    expected = np.stack(list(anatomy.INVENTED.template_planes(100)), axis=2)
    np.testing.assert_array_equal(nrrd.read(str(target))[0], expected)
    run("atlas", "template", "-o", target, store=own_filled).refused(2, "exists", "--overwrite")
    (tmp_path / "average_template_50.nrrd").write_bytes(wire_volumes.template_nrrd(50))
    again = run("ingest", "template", tmp_path / "average_template_50.nrrd", store=own_filled).succeeded()
    assert "Template at 50 um: added" in again.err
    present = run("sync", "template", "--spacing", "50", "--format", "csv", store=own_filled).succeeded()
    assert present.rows[0]["source"] == "average_template_50.nrrd"
    assert "Template at 50 um: already present, from average_template_50.nrrd" in present.err
    run("ingest", "template", tmp_path / "no.nrrd", store=own_filled).refused(2, "no.nrrd")


def test_the_address_of_the_server_is_an_option(run: Runner, server: SyntheticServer, own_filled: Path) -> None:
    run("sync", "annotation", "--download-url", server.url, store=own_filled).succeeded()
    run("sync", "annotation", "--download-url", "ftp://x", store=own_filled).refused(2, "file server", "ftp://x")


def test_what_cannot_be_had_is_an_upstream_failure(
    run: Runner, server: SyntheticServer, own_filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BSV_STORE_DOWNLOAD_URL", server.url)
    server.fail("annotation_", Status(404), None)
    run("sync", "annotation", store=own_filled).refused(6, "annotation at 100 um", "404", "ingest annotation")


def test_an_empty_store_needs_the_ontology_first(run: Runner, store_location: Path) -> None:
    done = run("sync", "annotation", "--download-url", "http://127.0.0.1:9", store=store_location)
    done.refused(2, "no structures", "bsv-store sync structures")


def test_ingest_takes_it_from_a_file(run: Runner, annotation_file: Path, own_filled: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.nrrd"
    bad.write_bytes(annotation_file.read_bytes()[:-50])
    done = run("ingest", "annotation", annotation_file, bad, "--format", "csv", store=own_filled)
    done.refused(2, str(bad), "truncated")
    (row,) = done.rows
    assert (row["source"], row["outcome"], row["structures"]) == (str(annotation_file), "added", LEAVES)
    other = tmp_path / "other.nrrd"
    other.write_bytes(wire_volumes.nrrd(ATLAS.annotation[..., ::-1], 100, dtype="u4"))
    run("ingest", "annotation", other, store=own_filled).refused(2, "differs", "--replace")
    replaced = run("ingest", "annotation", other, "--replace", store=own_filled).succeeded()
    assert replaced.cells[2][2] == "replaced"


# -- using it -----------------------------------------------------------------------------------------------------


def test_regions_of_a_version(run: Runner, annotated: Path) -> None:
    options = ["dataset", "regions", "visual", "--structure", "CP", "--structure", "VISp"]
    rows = run(*options, "--format", "csv", store=annotated).succeeded().rows
    with open_store(annotated) as store:
        groups = len(store.dataset("visual").groups)
        mean = store.dataset("visual").mean[0]
        inside = store.atlas.mask("CP")
        name = store.datasets.regions("visual", structures="CP").attrs["annotation"]
    assert [(row["structure"], row["hemisphere"]) for row in rows] == [
        (name, side) for _ in range(groups) for name in ("VISp", "CP") for side in ("left", "right", "both")
    ]
    (row,) = (row for row in rows if (row["group"], row["structure"], row["hemisphere"]) == ("0", "CP", "both"))
    assert float(row["mean"]) == pytest.approx(mean[inside].mean(dtype=float), rel=1e-6)
    table = run(*options, store=annotated).succeeded()
    assert table.cells[0] == ["group", "structure", "hemisphere", "voxels", "mean"]
    assert f"2 structures in {groups} group" in table.err
    assert "annotation_100.nrrd (not Allen's)" in name
    assert f"Annotation: {name}." in table.err
    assert {row["annotation"] for row in rows} == {name}
    assert name in " ".join(run("dataset", "cite", "visual", store=annotated).succeeded().out.split())
    everything = run("dataset", "regions", "visual", "--format", "json", store=annotated).succeeded().json
    in_set = run("structures", "sets", 167587189, "--format", "json", store=annotated).json
    assert [row["structure"] for row in everything[: 3 * len(in_set) : 3]] == [row["structure"] for row in in_set]


def test_weights_are_named_in_a_note(run: Runner, annotated: Path) -> None:
    ask = ["aggregate", "--injected-in", "VISp", "--name", "weighted", "--weight-by", "injection-overlap"]
    run(*ask, store=annotated).succeeded()
    for name in ("weighted", "visual"):
        for options in (["regions", name, "--structure", "CP"], ["subregions", name, "CP", "--bins", "AP=2"]):
            notes = run("dataset", *options, store=annotated).succeeded().err
            said = "Animals are weighted by injection overlap.\n" in notes
            assert said == (name == "weighted"), (name, options)


def test_regions_of_a_group_without_experiments_are_empty(run: Runner, annotated: Path) -> None:
    ask = ["aggregate", "--injected-in", "VISp", "--line", "wild-type", "--group-by", "AP"]
    done = run(*ask, "--edges", "1000,2000,12000", "--name", "edges", store=annotated).succeeded()
    said = "Groups without experiments (mean stored as 0): AP 1,000-2,000 um.\n"
    assert said in done.err
    first = next(line for line in done.out.splitlines() if "1,000-2,000" in line)
    assert first.endswith("0  no experiments")
    shown = run("dataset", "show", "edges", store=annotated).succeeded()
    assert said in shown.err
    assert "no experiments" in shown.out
    done = run("dataset", "regions", "edges", "--structure", "CP", "--format", "csv", store=annotated).succeeded()
    assert said in done.err
    assert [row["mean"] for row in done.rows if row["group"] == "0"] == ["", "", ""]
    assert all(float(row["mean"]) > 0 for row in done.rows if row["group"] == "1")


def test_the_strongest_regions_of_one_group_and_hemisphere(run: Runner, annotated: Path) -> None:
    options = ["--group", "1", "--hemisphere", "right", "--limit", "3", "--format", "csv"]
    rows = run("dataset", "regions", "visual", *options, store=annotated).succeeded().rows
    assert {(row["group"], row["hemisphere"]) for row in rows} == {("1", "right")}
    means = [float(row["mean"]) for row in rows]
    assert len(means) == 3
    assert means == sorted(means, reverse=True)
    run("dataset", "regions", "visual", "--group", "7", store=annotated).refused(2, "no group 7", "0 to 1")


def test_regions_need_the_annotation_and_name_the_command(
    run: Runner, server: SyntheticServer, own_filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BSV_STORE_DOWNLOAD_URL", server.url)
    done = run("dataset", "regions", "visual", store=own_filled).refused(2, "no annotation at 100 um")
    run(*done.err.partition("bsv-store ")[2].strip().split(), store=own_filled).succeeded()
    run("dataset", "regions", "visual", store=own_filled).succeeded()


def test_signal_of_experiments_in_structures(run: Runner, annotated: Path) -> None:
    options = [
        "volume",
        "regions",
        "CP",
        "LGd",
        "--injected-in",
        "VISp",
        "--hemisphere",
        "ipsilateral",
        "--hemisphere",
        "both",
    ]
    done = run(*options, "--format", "csv", store=annotated).succeeded()
    assert "5 experiments" in done.err
    assert len(done.rows) == 5 * 2 * 2
    assert {"annotation_100.nrrd (not Allen's)" in row["annotation"] for row in done.rows} == {True}
    volume = ATLAS.volume(VISP[0])
    inside = np.isin(ATLAS.annotation, [ATLAS.structure("CP").id])
    rows = [row for row in done.rows if (row["experiment_id"], row["structure"]) == (str(VISP[0]), "CP")]
    assert float(rows[1]["mean"]) == pytest.approx(volume[inside].mean(dtype=float))
    right = ATLAS.experiment(VISP[0]).injected_hemisphere == "right"
    inside[..., slice(0, 57) if right else slice(57, None)] = False
    assert float(rows[0]["mean"]) == pytest.approx(volume[inside].mean(dtype=float))


def test_signal_of_missing_volumes_is_refused_or_left_out(run: Runner, annotated: Path) -> None:
    options = ["volume", "regions", "CP", "--ids", f"{VISP[0]},{UNMEASURED}"]
    run(*options, store=annotated).refused(2, str(UNMEASURED), f"bsv-store fetch --ids {UNMEASURED}")
    done = run(*options, "--missing", "leave-out", store=annotated).succeeded()
    assert "1 experiment; 1 left out" in done.err


def test_a_mask_becomes_a_file(run: Runner, annotated: Path, tmp_path: Path) -> None:
    path = tmp_path / "CP.nrrd"
    done = run("volume", "mask", "CP", "-o", path, store=annotated).succeeded()
    assert (done.out, done.err) == ("", f"Wrote {path}.\n")
    array, _ = nrrd.read(str(path))
    np.testing.assert_array_equal(array, ATLAS.annotation == ATLAS.structure("CP").id)
    run("volume", "mask", "CP", "-o", path, store=annotated).refused(2, "exists")
    run("volume", "mask", "CP", "VISp", "--hemisphere", "left", "-o", path, "--overwrite", store=annotated).succeeded()
    array, _ = nrrd.read(str(path))
    assert array[..., :57].any()
    assert not array[..., 57:].any()
    allen = tmp_path / "allen.nrrd"
    run("volume", "mask", "CP", "-o", allen, "--like-allen", store=annotated).succeeded()
    assert b"space directions: (100,0,0) (0,100,0) (0,0,100)\n" in allen.read_bytes()[:1000]
    run("volume", "mask", "CP", "-o", tmp_path / "x.npy", "--like-allen", store=annotated).refused(2, "--like-allen")
    run("volume", "mask", "CP", "-o", tmp_path / "CP.tif", store=annotated).refused(2, "CP.tif")
    run("volume", "mask", "Cp", "-o", tmp_path / "x.npy", store=annotated).refused(2, "Cp", "CP")
    run("volume", "mask", "VIS", "--no-descendants", "-o", tmp_path / "x.npy", store=annotated).refused(2, "no voxel")

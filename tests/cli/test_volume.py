"""``bsv-store volume``."""

from __future__ import annotations

from pathlib import Path

import nrrd
import numpy as np

from bsv_store import open_store
from bsv_store.catalog.volumes import record_volume
from bsv_store.volumes.library import publish_volume
from bsv_store.volumes.volume import Volume
from bsv_store_synthetic import SyntheticServer
from tests.cli.conftest import ATLAS, UNMEASURED, VISP
from tests.cli.running import Runner


def test_show_says_what_is_known(run: Runner, filled: Path) -> None:
    done = run("volume", "show", VISP[0], store=filled).succeeded()
    lines = done.out.splitlines()
    assert lines[0].split() == ["experiment", "id", str(VISP[0])]
    assert any(line.split() == ["shape", "ap", "dv", "ml", "132x80x114"] for line in lines)
    (row,) = run("volume", "show", VISP[0], "--format", "csv", store=filled).succeeded().rows
    shown = run("volume", "show", VISP[0], "--format", "json", store=filled).succeeded().json
    assert row["array_sha256"] == shown["array_sha256"]
    assert shown["experiment_id"] == VISP[0]
    assert Path(shown["path"]).is_absolute()
    assert Path(shown["path"]).is_file()
    assert shown["max"] == float(ATLAS.volume(VISP[0]).max())


def test_a_missing_volume_is_reported_with_the_command_that_fetches_it(
    run: Runner, server: SyntheticServer, own_filled: Path
) -> None:
    done = run("volume", "show", UNMEASURED, store=own_filled).refused(2, str(UNMEASURED))
    command = done.err.partition("bsv-store ")[2].strip()
    run(*command.split(), store=own_filled).succeeded()
    run("volume", "show", UNMEASURED, store=own_filled).succeeded()


def test_a_missing_volume_is_reported_with_those_in_the_store(run: Runner, filled: Path) -> None:
    done = run("volume", "show", VISP[0], "--kind", "data-mask", store=filled).refused(2, "no data_mask at 100 um")
    assert "volumes of it: projection_density at 100 um" in done.err
    run("volume", "show", UNMEASURED, store=filled).refused(2, "volumes of it: none")


def test_an_unknown_experiment_is_not_reported_as_a_missing_volume(run: Runner, filled: Path, tmp_path: Path) -> None:
    for arguments in (["show", 5], ["export", 5, tmp_path / "x.npy"]):
        done = run("volume", *arguments, store=filled).refused(2, "no experiment 5")
        assert "fetch" not in done.err
    run("volume", "show", "VISp", store=filled).refused(2, "'VISp'")


def test_export_writes_what_is_stored(run: Runner, filled: Path, tmp_path: Path) -> None:
    expected = ATLAS.volume(VISP[0])
    for name in ("x.npy", "x.nrrd"):
        done = run("volume", "export", VISP[0], tmp_path / name, store=filled).succeeded()
        assert (done.out, done.err) == ("", f"Wrote {tmp_path / name}.\n")
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), expected)
    np.testing.assert_array_equal(nrrd.read(str(tmp_path / "x.nrrd"))[0], expected)


def test_export_is_like_allens_files_on_request(run: Runner, filled: Path, tmp_path: Path) -> None:
    target = tmp_path / "x.nrrd"
    run("volume", "export", VISP[0], target, "--like-allen", store=filled).succeeded()
    found, header = nrrd.read(str(target))
    np.testing.assert_array_equal(found, ATLAS.volume(VISP[0]))
    np.testing.assert_array_equal(header["space directions"], np.diag([100.0] * 3))
    run("volume", "export", VISP[0], tmp_path / "x.nii", "--like-allen", store=filled).refused(
        2, "--like-allen", ".nrrd"
    )


def test_export_does_not_replace_a_file_unasked(run: Runner, filled: Path, tmp_path: Path) -> None:
    target = tmp_path / "x.npy"
    target.write_bytes(b"mine")
    run("volume", "export", VISP[0], target, store=filled).refused(2, str(target), "exists")
    assert target.read_bytes() == b"mine"
    run("volume", "export", VISP[0], target, "--overwrite", store=filled).succeeded()
    assert np.load(target).shape == (132, 80, 114)
    run("volume", "export", VISP[0], tmp_path / "x.docx", store=filled).refused(2, ".docx", ".nrrd")


def test_a_damaged_volume_is_noticed(run: Runner, own_filled: Path, tmp_path: Path) -> None:
    with open_store(own_filled) as store:
        path = own_filled / store.volumes.describe(VISP[0])["path"]
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    path.chmod(0o664)
    path.write_bytes(body)
    run("volume", "show", VISP[0], store=own_filled).refused(3, str(VISP[0]))
    run("volume", "export", VISP[0], tmp_path / "x.npy", store=own_filled).refused(3, str(VISP[0]))
    assert not (tmp_path / "x.npy").exists()


def test_volumes_that_contradict_their_experiment_are_found(run: Runner, own_filled: Path) -> None:
    wrong = Volume("projection_density", np.ascontiguousarray(ATLAS.volume(VISP[0])[..., ::-1]))
    done = run("volume", "check", store=own_filled).succeeded()
    assert "0 problems found" in done.err
    with open_store(own_filled) as store:
        file = publish_volume(store.files, wrong, experiment_id=VISP[0], source="an older folder")
        with store.database.writing() as connection:
            record_volume(connection, file)
    done = run("volume", "check", "--format", "csv", store=own_filled)
    assert done.code == 1
    (row,) = done.rows
    assert (row["experiment_id"], row["kind"], row["source"]) == (str(VISP[0]), "projection_density", "an older folder")
    assert "of its signal is in the" in row["problem"]
    assert "1 problem found" in done.err
    assert "left and right seem to be exchanged" in row["problem"]
    assert (
        f"bsv-store fetch --refresh --ids {VISP[0]} --include-excluded --kind projection_density --spacing 100"
        in done.err
    )
    run("volume", "check", "--ids", VISP[1], store=own_filled).succeeded()
    run("volume", "check", "--kind", "data-mask", "--spacing", "25", store=own_filled).succeeded()
    shown = run("volume", "check", "--ids", VISP[0], "--format", "json", store=own_filled)
    assert (shown.code, shown.json["checked"]) == (1, 1)


def test_export_flips_on_request(run: Runner, filled: Path, tmp_path: Path) -> None:
    done = run("select", "--injected-in", "VISp", "--injected-hemisphere", "left", "--format", "csv", store=filled)
    left = int(done.succeeded().rows[0]["experiment_id"])
    target = tmp_path / "x.npy"
    run("volume", "export", left, target, "--hemisphere-rule", "flip-to-right", store=filled).succeeded()
    np.testing.assert_array_equal(np.load(target), ATLAS.volume(left)[..., ::-1])


def test_centroids_of_injections(run: Runner, own_filled: Path) -> None:
    run("volume", "centroid", "--ids", VISP[0], store=own_filled).refused(2, "injection_density", "bsv-store fetch")
    density = np.zeros((132, 80, 114), np.float32)
    density[80, 20, 30:34] = 0.5
    with open_store(own_filled) as store:
        file = publish_volume(store.files, Volume("injection_density", density), experiment_id=VISP[0], source="test")
        with store.database.writing() as connection:
            record_volume(connection, file)
    done = run("volume", "centroid", "--all", "--missing", "leave-out", "--format", "csv", store=own_filled).succeeded()
    (row,) = done.rows
    assert (row["experiment_id"], row["centroid_ap"], row["centroid_ml"]) == (str(VISP[0]), "8050.0", "3200.0")
    assert "1 experiment; 11 left out" in done.err

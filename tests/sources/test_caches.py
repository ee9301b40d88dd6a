from __future__ import annotations

import os
from pathlib import Path

import pytest

from bsv_store.errors import InputError
from bsv_store.sources.caches import CachedAtlasFile, CacheFile, scan_cache


def _touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"anything")
    return path


def _reasons(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): why for path, why in scan_cache(folder).ignored}


@pytest.fixture
def bsv(tmp_path: Path) -> Path:
    folder = tmp_path / "bsv"
    for experiment in ("277618054", "1"):
        _touch(folder / experiment / "density.raw")
        _touch(folder / experiment / "injectionSummary_all.json")
    return folder


@pytest.fixture
def allensdk(tmp_path: Path) -> Path:
    folder = tmp_path / "sdk"
    for name in (
        "manifest.json",
        "experiments.json",
        "structures.json",
        "annotation/ccf_2017/annotation_25.nrrd",
        "annotation/ccf_2017/annotation_10.nrrd",
        "experiment_7/structure_unionizes.csv",
        "experiment_7/projection_density_25.nrrd",
        "experiment_7/data_mask_100.nrrd",
        "experiment_12/injection_fraction_10.nrrd",
    ):
        _touch(folder / name)
    return folder


# -- what is found ------------------------------------------------------------------------------------------------


def test_real_allensdk_cache(data: Path) -> None:
    folder = data / "allensdk_cache"
    scan = scan_cache(folder)
    assert scan.layout == "allensdk"
    assert scan.structures == folder / "structures.json"
    assert scan.experiments == folder / "experiments.json"
    assert len(scan.unionizes) == 40
    assert len(scan.volumes) == 8
    assert scan.annotations == (CachedAtlasFile(folder / "annotation/ccf_2017/annotation_25.nrrd", 25),)
    assert [path.name for path, _ in scan.ignored] == ["manifest.json"]
    damaged = folder / "experiment_288169135/projection_density_25.nrrd"
    assert CacheFile(damaged, 288169135, "projection_density", 25) in scan.volumes


def test_bsv_cache(bsv: Path) -> None:
    scan = scan_cache(bsv)
    assert (scan.layout, scan.structures, scan.experiments, scan.annotations) == ("bsv", None, None, ())
    assert scan.experiment_ids == (1, 277618054)
    assert scan.unionizes == tuple(
        CacheFile(bsv / str(each) / "injectionSummary_all.json", each) for each in (1, 277618054)
    )
    assert scan.volumes == tuple(
        CacheFile(bsv / str(each) / "density.raw", each, "projection_density", 100) for each in (1, 277618054)
    )
    assert scan.ignored == ()


def test_files_are_in_order_of_their_ids_as_numbers(bsv: Path) -> None:
    for name in ("9", "10"):
        _touch(bsv / name / "density.raw")
        _touch(bsv / name / "injectionSummary_all.json")
    scan = scan_cache(bsv)
    for files in (scan.unionizes, scan.volumes):
        assert [file.experiment_id for file in files] == [1, 9, 10, 277618054]


def test_allensdk_cache(allensdk: Path) -> None:
    scan = scan_cache(allensdk)
    assert scan.experiment_ids == (7, 12)
    assert scan.unionizes == (CacheFile(allensdk / "experiment_7/structure_unionizes.csv", 7),)
    assert [(file.experiment_id, file.kind, file.spacing_um) for file in scan.volumes] == [
        (7, "data_mask", 100),
        (7, "projection_density", 25),
        (12, "injection_fraction", 10),
    ]
    assert [file.spacing_um for file in scan.annotations] == [10, 25]


@pytest.mark.parametrize("name", ["experiments.json", "structures.json", "experiment_5/data_mask_25.nrrd"])
def test_any_sign_of_allensdk_is_enough(name: str, tmp_path: Path) -> None:
    _touch(tmp_path / name)
    assert scan_cache(tmp_path).layout == "allensdk"


@pytest.mark.parametrize("name", ["density.raw", "injectionSummary_all.json", "injectionSummary_all.mat"])
def test_either_file_makes_a_bsv_cache(name: str, tmp_path: Path) -> None:
    (tmp_path / "12").mkdir()
    _touch(tmp_path / "13" / name)
    scan = scan_cache(tmp_path)
    assert (scan.layout, scan.experiment_ids, scan.ignored) == ("bsv", (13,), ())


def test_the_header_beside_a_density_belongs_to_it(bsv: Path) -> None:
    header = _touch(bsv / "1/density.mhd")
    assert [file.header for file in scan_cache(bsv).volumes] == [header, None]
    assert _reasons(bsv) == {}


def test_of_a_summary_in_two_forms_one_is_used(bsv: Path) -> None:
    _touch(bsv / "1/injectionSummary_all.json")
    _touch(bsv / "1/injectionSummary_all.mat")
    _touch(bsv / "9/injectionSummary_all.mat")
    assert [file.path.relative_to(bsv).as_posix() for file in scan_cache(bsv).unionizes if file.experiment_id < 10] == [
        "1/injectionSummary_all.json",
        "9/injectionSummary_all.mat",
    ]
    assert _reasons(bsv) == {"1/injectionSummary_all.mat": "injectionSummary_all.json beside it is used"}


def test_files_that_were_compressed_afterwards_are_recognized(allensdk: Path) -> None:
    for name in (
        "experiment_7/structure_unionizes.csv.gz",
        "experiment_9/structure_unionizes.csv.gz",
        "experiment_9/data_mask_50.nrrd.gz",
        "experiment_9/projection_density_50.nrrd.bz2",
    ):
        _touch(allensdk / name)
    scan = scan_cache(allensdk)
    assert CacheFile(allensdk / "experiment_9/structure_unionizes.csv.gz", 9) in scan.unionizes
    assert CacheFile(allensdk / "experiment_9/data_mask_50.nrrd.gz", 9, "data_mask", 50) in scan.volumes
    reasons = _reasons(allensdk)
    assert reasons["experiment_7/structure_unionizes.csv.gz"] == "structure_unionizes.csv beside it is used"
    assert reasons["experiment_9/projection_density_50.nrrd.bz2"] == "unknown file"


# -- what is ignored ----------------------------------------------------------------------------------------------


def test_everything_else_in_a_bsv_cache_is_ignored_with_a_reason(bsv: Path) -> None:
    for name in ("1/temp.zip", "5/density.mhd", "1/notes.txt", "figures/a.png", "007/density.raw", "data_metadata.csv"):
        _touch(bsv / name)
    for name in ("-5", "1.5", "1e3", "９", str(2**63)):
        _touch(bsv / name / "density.raw")
    (bsv / "1/sub").mkdir()
    reasons = _reasons(bsv)
    assert set(reasons) == {
        *("1/temp.zip", "5/density.mhd", "1/notes.txt", "1/sub", "figures", "007", "data_metadata.csv"),
        *("-5", "1.5", "1e3", "９", str(2**63)),
    }
    assert "left over" in reasons["1/temp.zip"]
    assert reasons["5/density.mhd"] == "a header without its density.raw"
    assert "not an experiment id" in reasons["007"]
    assert "not a folder" in reasons["data_metadata.csv"]
    assert scan_cache(bsv).experiment_ids == (1, 277618054)


def test_everything_else_in_an_allensdk_cache_is_ignored_with_a_reason(allensdk: Path) -> None:
    for name in (
        "experiment_7/injection_density_33.nrrd",
        "experiment_7/projection_density_25.nrrd.part",
        "experiment_x/data_mask_25.nrrd",
        "experiment_007/data_mask_25.nrrd",
        "average_template_33.nrrd",
        "annotation/ccf_2017/structure_masks/resolution_25/structure_1.nrrd",
        "annotation/ccf_2017/readme.txt",
        "other/a.txt",
        "a/b/c/d/annotation_25.nrrd",
    ):
        _touch(allensdk / name)
    assert set(_reasons(allensdk)) == {
        "manifest.json",
        "experiment_7/injection_density_33.nrrd",
        "experiment_7/projection_density_25.nrrd.part",
        "experiment_x",
        "experiment_007",
        "average_template_33.nrrd",
        "annotation/ccf_2017/structure_masks/resolution_25",
        "annotation/ccf_2017/readme.txt",
        "other",
        "a/b/c/d",
    }
    assert [file.spacing_um for file in scan_cache(allensdk).annotations] == [10, 25]


def test_templates_are_found_beside_the_manifest_and_in_folders(tmp_path: Path) -> None:
    for name in ("manifest.json", "average_template_100.nrrd", "average_template/average_template_25.nrrd.gz"):
        _touch(tmp_path / name)
    scan = scan_cache(tmp_path)
    assert scan.layout == "allensdk"
    assert [(file.path.name, file.spacing_um) for file in scan.templates] == [
        ("average_template_25.nrrd.gz", 25),
        ("average_template_100.nrrd", 100),
    ]
    assert [path.name for path, _ in scan.ignored] == ["manifest.json"]


def test_files_of_the_other_layout_are_ignored(allensdk: Path) -> None:
    _touch(allensdk / "5/density.raw")
    scan = scan_cache(allensdk)
    assert scan.layout == "allensdk"
    assert 5 not in scan.experiment_ids
    assert allensdk / "5" in [path for path, _ in scan.ignored]


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_links_out_of_the_folder_are_ignored(bsv: Path, allensdk: Path, tmp_path: Path) -> None:
    outside = _touch(tmp_path / "outside/density.raw")
    (bsv / "1/density.raw").unlink()
    (bsv / "1/density.raw").symlink_to(outside)
    (bsv / "5").symlink_to(outside.parent)
    (bsv / "6").mkdir()
    (bsv / "6/density.raw").symlink_to(bsv / "nowhere")
    reasons = _reasons(bsv)
    assert set(reasons) == {"1/density.raw", "5", "6/density.raw"}
    assert "out of the folder" in reasons["1/density.raw"]
    assert "out of the folder" in reasons["5"]
    assert "broken" in reasons["6/density.raw"]
    assert [file.experiment_id for file in scan_cache(bsv).volumes] == [277618054]
    for name in ("experiment_9", "more", "annotation/more"):
        (allensdk / name).symlink_to(outside.parent)
    (allensdk / "annotation/loop").symlink_to(allensdk / "annotation")
    (allensdk / "annotation/ccf_2017/annotation_50.nrrd").symlink_to(outside)
    ignored = _reasons(allensdk)
    links = {"experiment_9", "more", "annotation/more", "annotation/loop", "annotation/ccf_2017/annotation_50.nrrd"}
    assert set(ignored) == {"manifest.json", *links}
    assert [file.spacing_um for file in scan_cache(allensdk).annotations] == [10, 25]


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_links_inside_an_experiment_are_followed_but_not_to_another(bsv: Path) -> None:
    (bsv / "1/density.raw").rename(bsv / "1/kept.raw")
    (bsv / "1/density.raw").symlink_to("kept.raw")
    (bsv / "8").mkdir()
    (bsv / "8/density.raw").symlink_to("../277618054/density.raw")
    (bsv / "9").symlink_to("277618054")
    assert set(_reasons(bsv)) == {"1/kept.raw", "8/density.raw", "9"}
    assert [file.experiment_id for file in scan_cache(bsv).volumes] == [1, 277618054]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_special_files_are_ignored(bsv: Path) -> None:
    (bsv / "3").mkdir()
    os.mkfifo(bsv / "3/density.raw")
    (bsv / "4/density.raw").mkdir(parents=True)
    assert set(_reasons(bsv)) == {"3/density.raw", "4/density.raw"}


@pytest.mark.skipif(os.name == "nt", reason="a link to the cache itself")
def test_the_folder_itself_may_be_a_link(bsv: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(bsv)
    scan = scan_cache(tmp_path / "link")
    assert scan.experiment_ids == (1, 277618054)
    assert scan.ignored == ()


# -- no cache -----------------------------------------------------------------------------------------------------


def test_a_folder_that_is_not_a_cache_is_refused_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a cache") as caught:
        scan_cache(tmp_path)
    assert caught.value.hint
    _touch(tmp_path / "12/readme.txt")
    _touch(tmp_path / "x/density.raw")
    _touch(tmp_path / "manifest.json")
    with pytest.raises(InputError, match="not a cache"):
        scan_cache(tmp_path)


def test_the_cache_next_to_the_folder_is_suggested(bsv: Path) -> None:
    for folder in (bsv / "1", bsv.parent):
        with pytest.raises(InputError, match="not a cache") as caught:
            scan_cache(folder)
        assert caught.value.hint == f"Did you mean {bsv}?"


def test_folder_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^the folder [^\[]*missing does not exist"):
        scan_cache(tmp_path / "missing")
    with pytest.raises(InputError, match=r"file is not a folder"):
        scan_cache(_touch(tmp_path / "file"))

"""Which files of a cache folder are recognized, by their names: none of these can be read, so each is refused."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bsv_store.errors import InputError

if TYPE_CHECKING:
    from bsv_store import Store


def _touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"anything")
    return path


def _recognized(store: Store, folder: Path, layout: str | None = None) -> list[str]:
    """The recognized files, in the order in which they are adopted; those of experiments with their number."""
    report = store.adopt(folder)
    assert layout in (None, report.layout)
    assert (report.unionizes, report.volumes, report.annotations, report.templates) == (0, 0, 0, 0)
    found = []
    for refused in report.refused:
        unknown = re.search(r"does not have 1 of the experiments: (\d+)", refused.reason)
        name = refused.path.relative_to(folder).as_posix()
        found.append(name if unknown is None else f"{name} of {unknown[1]}")
    return found


def _reasons(store: Store, folder: Path) -> dict[str, str]:
    """Why the other files are ignored."""
    return {file.path.relative_to(folder).as_posix(): file.reason for file in store.adopt(folder).ignored}


BSV = ["1/injectionSummary_all.json of 1", "277618054/injectionSummary_all.json of 277618054"]
BSV += ["1/density.raw of 1", "277618054/density.raw of 277618054"]
"""What is recognized of `bsv`."""

ANNOTATIONS = [f"annotation/ccf_2017/annotation_{spacing}.nrrd" for spacing in (10, 25)]


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
        *ANNOTATIONS,
        "experiment_7/structure_unionizes.csv",
        "experiment_7/projection_density_25.nrrd",
        "experiment_7/data_mask_100.nrrd",
        "experiment_12/injection_fraction_10.nrrd",
    ):
        _touch(folder / name)
    return folder


# -- what is found ------------------------------------------------------------------------------------------------


def test_a_real_allensdk_cache(store: Store, data: Path, tmp_path: Path) -> None:
    """Its file names only; another test adopts the files."""
    real = data / "allensdk_cache"
    folder = tmp_path / "sdk"
    for path in real.rglob("*"):
        if path.is_file():
            _touch(folder / path.relative_to(real))
    found = _recognized(store, folder, "allensdk")
    assert found[:3] == ["structures.json", "experiments.json", "annotation/ccf_2017/annotation_25.nrrd"]
    assert sum("/structure_unionizes.csv of " in name for name in found) == 40
    assert sum(".nrrd of " in name for name in found) == 8
    assert "experiment_288169135/projection_density_25.nrrd of 288169135" in found
    assert set(_reasons(store, folder)) == {"manifest.json"}


def test_a_bsv_cache(store: Store, bsv: Path) -> None:
    assert _recognized(store, bsv, "bsv") == BSV
    assert _reasons(store, bsv) == {}


def test_files_are_in_order_of_their_ids_as_numbers(store: Store, bsv: Path) -> None:
    for name in ("9", "10"):
        _touch(bsv / name / "density.raw")
        _touch(bsv / name / "injectionSummary_all.json")
    assert [name.partition(" of ")[2] for name in _recognized(store, bsv)] == 2 * ["1", "9", "10", "277618054"]


def test_an_allensdk_cache(store: Store, allensdk: Path) -> None:
    assert _recognized(store, allensdk, "allensdk") == [
        "structures.json",
        "experiments.json",
        *ANNOTATIONS,
        "experiment_7/structure_unionizes.csv of 7",
        "experiment_7/projection_density_25.nrrd of 7",
        "experiment_7/data_mask_100.nrrd of 7",
        "experiment_12/injection_fraction_10.nrrd of 12",
    ]


@pytest.mark.parametrize("name", ["experiments.json", "structures.json", "experiment_5/data_mask_25.nrrd"])
def test_any_sign_of_allensdk_is_enough(store: Store, name: str, tmp_path: Path) -> None:
    _touch(tmp_path / "cache" / name)
    assert len(_recognized(store, tmp_path / "cache", "allensdk")) == 1


@pytest.mark.parametrize("name", ["density.raw", "injectionSummary_all.json", "injectionSummary_all.mat"])
def test_either_file_makes_a_bsv_cache(store: Store, name: str, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    (folder / "12").mkdir(parents=True)
    _touch(folder / "13" / name)
    assert _recognized(store, folder, "bsv") == [f"13/{name} of 13"]
    assert _reasons(store, folder) == {}


def test_the_header_beside_a_density_belongs_to_it(store: Store, bsv: Path) -> None:
    _touch(bsv / "1/density.mhd")
    assert _recognized(store, bsv) == BSV
    assert _reasons(store, bsv) == {}


def test_of_a_summary_in_two_forms_one_is_used(store: Store, bsv: Path) -> None:
    _touch(bsv / "1/injectionSummary_all.mat")
    _touch(bsv / "9/injectionSummary_all.mat")
    assert _recognized(store, bsv)[:2] == ["1/injectionSummary_all.json of 1", "9/injectionSummary_all.mat of 9"]
    assert _reasons(store, bsv) == {"1/injectionSummary_all.mat": "injectionSummary_all.json beside it is used"}


def test_files_that_were_compressed_afterwards_are_recognized(store: Store, allensdk: Path) -> None:
    for name in (
        "experiment_7/structure_unionizes.csv.gz",
        "experiment_9/structure_unionizes.csv.gz",
        "experiment_9/data_mask_50.nrrd.gz",
        "experiment_9/projection_density_50.nrrd.bz2",
    ):
        _touch(allensdk / name)
    assert [name for name in _recognized(store, allensdk) if name.endswith(" of 9")] == [
        "experiment_9/structure_unionizes.csv.gz of 9",
        "experiment_9/data_mask_50.nrrd.gz of 9",
    ]
    reasons = _reasons(store, allensdk)
    assert reasons["experiment_7/structure_unionizes.csv.gz"] == "structure_unionizes.csv beside it is used"
    assert reasons["experiment_9/projection_density_50.nrrd.bz2"] == "unknown file"


# -- what is ignored ----------------------------------------------------------------------------------------------


def test_everything_else_in_a_bsv_cache_is_ignored_with_a_reason(store: Store, bsv: Path) -> None:
    for name in ("1/temp.zip", "5/density.mhd", "1/notes.txt", "figures/a.png", "007/density.raw", "data_metadata.csv"):
        _touch(bsv / name)
    for name in ("-5", "1.5", "1e3", "９", str(2**63)):
        _touch(bsv / name / "density.raw")
    (bsv / "1/sub").mkdir()
    reasons = _reasons(store, bsv)
    assert set(reasons) == {
        *("1/temp.zip", "5/density.mhd", "1/notes.txt", "1/sub", "figures", "007", "data_metadata.csv"),
        *("-5", "1.5", "1e3", "９", str(2**63)),
    }
    assert "left over" in reasons["1/temp.zip"]
    assert reasons["5/density.mhd"] == "a header without its density.raw"
    assert "not an experiment id" in reasons["007"]
    assert "not a folder" in reasons["data_metadata.csv"]
    assert _recognized(store, bsv) == BSV


def test_everything_else_in_an_allensdk_cache_is_ignored_with_a_reason(store: Store, allensdk: Path) -> None:
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
    assert set(_reasons(store, allensdk)) == {
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
    assert [name for name in _recognized(store, allensdk) if "annotation_" in name] == ANNOTATIONS


def test_templates_are_found_beside_the_manifest_and_in_folders(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    for name in ("manifest.json", "average_template_100.nrrd", "average_template/average_template_25.nrrd.gz"):
        _touch(folder / name)
    assert _recognized(store, folder, "allensdk") == [
        "average_template/average_template_25.nrrd.gz",
        "average_template_100.nrrd",
    ]
    assert set(_reasons(store, folder)) == {"manifest.json"}


def test_files_of_the_other_layout_are_ignored(store: Store, allensdk: Path) -> None:
    _touch(allensdk / "5/density.raw")
    assert not [name for name in _recognized(store, allensdk, "allensdk") if name.endswith(" of 5")]
    assert "5" in _reasons(store, allensdk)


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_links_out_of_the_folder_are_ignored(store: Store, bsv: Path, allensdk: Path, tmp_path: Path) -> None:
    outside = _touch(tmp_path / "outside/density.raw")
    (bsv / "1/density.raw").unlink()
    (bsv / "1/density.raw").symlink_to(outside)
    (bsv / "5").symlink_to(outside.parent)
    (bsv / "6").mkdir()
    (bsv / "6/density.raw").symlink_to(bsv / "nowhere")
    reasons = _reasons(store, bsv)
    assert set(reasons) == {"1/density.raw", "5", "6/density.raw"}
    assert "out of the folder" in reasons["1/density.raw"]
    assert "out of the folder" in reasons["5"]
    assert "broken" in reasons["6/density.raw"]
    assert _recognized(store, bsv) == [BSV[0], BSV[1], BSV[3]]
    for name in ("experiment_9", "more", "annotation/more"):
        (allensdk / name).symlink_to(outside.parent)
    (allensdk / "annotation/loop").symlink_to(allensdk / "annotation")
    (allensdk / "annotation/ccf_2017/annotation_50.nrrd").symlink_to(outside)
    ignored = _reasons(store, allensdk)
    links = {"experiment_9", "more", "annotation/more", "annotation/loop", "annotation/ccf_2017/annotation_50.nrrd"}
    assert set(ignored) == {"manifest.json", *links}
    assert [name for name in _recognized(store, allensdk) if "annotation_" in name] == ANNOTATIONS


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_links_inside_an_experiment_are_followed_but_not_to_another(store: Store, bsv: Path) -> None:
    (bsv / "1/density.raw").rename(bsv / "1/kept.raw")
    (bsv / "1/density.raw").symlink_to("kept.raw")
    (bsv / "8").mkdir()
    (bsv / "8/density.raw").symlink_to("../277618054/density.raw")
    (bsv / "9").symlink_to("277618054")
    assert set(_reasons(store, bsv)) == {"1/kept.raw", "8/density.raw", "9"}
    assert _recognized(store, bsv) == BSV


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_special_files_are_ignored(store: Store, bsv: Path) -> None:
    (bsv / "3").mkdir()
    os.mkfifo(bsv / "3/density.raw")
    (bsv / "4/density.raw").mkdir(parents=True)
    assert set(_reasons(store, bsv)) == {"3/density.raw", "4/density.raw"}


@pytest.mark.skipif(os.name == "nt", reason="a link to the cache itself")
def test_the_folder_itself_may_be_a_link(store: Store, bsv: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(bsv)
    assert _recognized(store, tmp_path / "link") == BSV
    assert _reasons(store, tmp_path / "link") == {}


# -- no cache -----------------------------------------------------------------------------------------------------


def test_a_folder_that_is_not_a_cache_is_refused_with_a_hint(store: Store, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a cache") as caught:
        store.adopt(tmp_path)
    assert caught.value.hint
    _touch(tmp_path / "12/readme.txt")
    _touch(tmp_path / "x/density.raw")
    _touch(tmp_path / "manifest.json")
    with pytest.raises(InputError, match="not a cache"):
        store.adopt(tmp_path)


def test_the_cache_next_to_the_folder_is_suggested(store: Store, bsv: Path) -> None:
    for folder in (bsv / "1", bsv.parent):
        with pytest.raises(InputError, match="not a cache") as caught:
            store.adopt(folder)
        assert caught.value.hint == f"Did you mean {bsv}?"


def test_folder_that_cannot_be_read_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^the folder [^\[]*missing does not exist"):
        store.adopt(tmp_path / "missing")
    with pytest.raises(InputError, match=r"file is not a folder"):
        store.adopt(_touch(tmp_path / "file"))

"""``bsv-store adopt``."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from bsv_store import open_store
from bsv_store_synthetic import wire
from tests.cli.conftest import ATLAS, UNMEASURED
from tests.cli.running import Runner

OTHER = 9100000005


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A Brain Street View cache with two volumes, the second one cut, and a file that is none of its own."""
    folder = tmp_path / "bsv"
    for experiment_id in (UNMEASURED, OTHER):
        (folder / str(experiment_id)).mkdir(parents=True)
        body = ATLAS.volume(experiment_id).tobytes(order="F")
        (folder / str(experiment_id) / "density.raw").write_bytes(body if experiment_id == UNMEASURED else body[:-4])
    (folder / "notes.txt").write_text("mine", encoding="utf-8")
    return folder


@pytest.mark.usefixtures("wide_terminal")
def test_takes_in_what_is_good_and_lists_the_rest(run: Runner, own_filled: Path, cache: Path) -> None:
    done = run("adopt", cache, store=own_filled).refused(1, "1 volume adopted", "1 refused", "1 ignored")
    title, head, _, row = done.out.strip().splitlines()
    assert (title, head.split()) == ("Refused", ["file", "reason"])
    file, reason = row.split("  ", 1)
    assert file == f"{OTHER}/density.raw"
    assert str(cache) not in reason
    with open_store(own_filled) as store:
        assert (store.volume(UNMEASURED) == ATLAS.volume(UNMEASURED)).all()
    again = run("adopt", cache, store=own_filled).refused(1)
    assert "1 already present" in again.err


def test_programs_learn_what_was_ignored_too(run: Runner, own_filled: Path, cache: Path) -> None:
    rows = run("adopt", cache, "--format", "csv", store=own_filled).refused(1).rows
    assert [(row["file"], row["outcome"]) for row in rows] == [
        (f"{OTHER}/density.raw", "refused"),
        ("notes.txt", "ignored"),
    ]
    report = run("adopt", cache, "--format", "json", store=own_filled).refused(1).json
    assert [item["path"] for item in report["refused"]] == [str(cache / str(OTHER) / "density.raw")]
    assert (report["layout"], report["present"]) == ("bsv", 1)


def test_ids_say_which_experiments(run: Runner, own_filled: Path, cache: Path) -> None:
    done = run("adopt", cache, "--ids", UNMEASURED, store=own_filled).succeeded()
    assert done.out == ""
    assert "0 refused" in done.err


def test_an_old_list_in_a_cache_is_reported(run: Runner, own_filled: Path, tmp_path: Path) -> None:
    cache = tmp_path / "allensdk"
    cache.mkdir()
    rows = [row for i in ATLAS.experiment_ids for row in wire.connectivity_rows(ATLAS.experiment(i))]
    (cache / "experiments.json").write_text(json.dumps(rows), encoding="utf-8")
    (cache / "manifest.json").write_text("{}", encoding="utf-8")
    done = run("adopt", cache, store=own_filled).succeeded()
    # The file does not say when it was made, and so is older than what came from the API.
    assert "List of experiments: The newer api list of " in done.err


def test_a_shorter_list_is_adopted_only_on_request(run: Runner, tmp_path: Path) -> None:
    own = tmp_path / "own"
    run("init", own).succeeded()
    run("ingest", "structures", _structures(tmp_path), store=own).succeeded()
    whole, part = (_cache(tmp_path / name, ids) for name, ids in (("whole", _IDS), ("part", _IDS[:3])))
    run("adopt", whole, store=own).succeeded()
    (row,) = run("adopt", part, "--format", "csv", store=own).refused(1).rows[:1]
    assert "--allow-shrinking" in row["reason"]
    done = run("adopt", part, "--allow-shrinking", store=own).succeeded()
    assert f"{len(_IDS) - 3} withdrawn" in done.err


_IDS = ATLAS.experiment_ids


def _cache(folder: Path, ids: Sequence[int]) -> Path:
    """A cache of AllenSDK that has nothing but a list of these experiments."""
    folder.mkdir()
    rows = [row for i in ids for row in wire.connectivity_rows(ATLAS.experiment(i))]
    (folder / "experiments.json").write_text(json.dumps(rows), encoding="utf-8")
    return folder


def _structures(folder: Path) -> Path:
    path = folder / "structures.json"
    path.write_text(json.dumps(wire.structure_rows(structure_sets=True)), encoding="utf-8")
    return path


def test_a_folder_that_is_not_a_cache_is_refused(run: Runner, filled: Path, tmp_path: Path) -> None:
    run("adopt", tmp_path, store=filled).refused(2, str(tmp_path), "density.raw")
    run("adopt", tmp_path / "nowhere", store=filled).refused(2, "nowhere")


@pytest.mark.skipif(sys.platform == "win32", reason="no such names there")
def test_names_of_files_cannot_steer_the_terminal(run: Runner, own_filled: Path, cache: Path, tmp_path: Path) -> None:
    hostile = tmp_path / "red\x1b[31m\u202ename\nnext"
    cache.rename(hostile)
    done = run("adopt", hostile, store=own_filled).refused(1)
    for text in (done.out, done.err):
        assert all(each.isprintable() for line in text.splitlines() for each in line)
    assert r"red\x1b[31m\u202ename" in done.err

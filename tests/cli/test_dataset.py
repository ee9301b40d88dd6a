"""``bsv-store dataset``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from bsv_store import open_store
from bsv_store.datasets.share import export
from tests.cli.conftest import WILD_TYPE_VISP
from tests.cli.running import Runner


def test_list_has_one_line_for_each_version(run: Runner, filled: Path) -> None:
    done = run("dataset", "list", store=filled).succeeded()
    head, _, row = done.out.splitlines()
    assert head.split() == ["dataset", "groups", "experiments", "um", "size", "made", "by", "fingerprint"]
    with open_store(filled) as store:
        version = store.dataset("visual")
    assert row.split()[:4] == ["visual@1", "2", "3", "100"]
    assert row.endswith(version.fingerprint[:12])
    assert f"{version.created_at:%Y-%m-%d %H:%M}Z" in row
    assert done.err == "1 version\n"


@pytest.mark.parametrize("output_format", ["json", "csv"])
def test_list_gives_programs_times_in_utc_on_both_databases(run: Runner, filled: Path, output_format: str) -> None:
    done = run("dataset", "list", "--format", output_format, store=filled).succeeded()
    (row,) = done.json if output_format == "json" else done.rows
    assert (row["name"], str(row["number"]), len(row["fingerprint"])) == ("visual", "1", 64)
    made = datetime.fromisoformat(row["created_at"])
    assert made.utcoffset() == timedelta(0)
    assert timedelta(0) <= datetime.now(UTC) - made < timedelta(hours=1)


def test_list_of_none(run: Runner, store_location: Path) -> None:
    done = run("dataset", "list", store=store_location).succeeded()
    assert (done.out, done.err) == ("", "0 versions\n")
    assert run("dataset", "list", "--format", "json", store=store_location).succeeded().json == []


def test_show_has_recipe_groups_and_members(run: Runner, filled: Path) -> None:
    with open_store(filled) as store:
        version = store.dataset("visual")
    done = run("dataset", "show", "visual", "--members", store=filled).succeeded()
    facts, groups, members = done.out.split("\n\n")
    assert f"Selection    {version.recipe.selection.to_json()}" in facts.splitlines()
    assert f"Grouping     {version.recipe.grouping.to_json()}" in facts.splitlines()
    assert f"Fingerprint  {version.fingerprint}" in facts.splitlines()
    assert f"Content      {version.content_sha256}" in facts.splitlines()
    assert "Rules" not in facts
    assert [line.split()[-1] for line in groups.splitlines()[3:]] == ["2", "1"]
    assert members.splitlines()[0] == "Members"
    assert [(int(line.split()[0]), line.split()[1]) for line in members.splitlines()[3:]] == [
        (WILD_TYPE_VISP[0], "0"),
        (WILD_TYPE_VISP[1], "0"),
        (WILD_TYPE_VISP[2], "1"),
    ]
    assert done.err == ""
    assert "Members" not in run("dataset", "show", "visual", store=filled).succeeded().out


def test_show_lists_rules_that_differ_from_the_default(run: Runner, own_filled: Path) -> None:
    options = ["--hemisphere-rule", "flip-to-right", "--missing", "leave-out", "--name", "flipped"]
    run("aggregate", "--injected-in", "VIS", *options, store=own_filled).succeeded()
    shown = run("dataset", "show", "flipped", store=own_filled).succeeded().out
    assert "Rules        hemisphere rule: flip_to_right, missing: leave_out\n" in shown
    left_out = shown.split("\n\nLeft out\n")[1].splitlines()[2:]
    assert [line.split()[0] for line in left_out] == ["9100000002", "9100000006", "9100000008", "9100000011"]
    assert all("is not in the store" in line for line in left_out)


def test_show_for_programs(run: Runner, filled: Path) -> None:
    shown = run("dataset", "show", "visual@1", "--format", "json", store=filled).succeeded().json
    assert (shown["ref"], shown["was_computed"]) == ("visual@1", False)
    assert [group["experiment_ids"] for group in shown["groups"]] == [list(WILD_TYPE_VISP[:2]), [WILD_TYPE_VISP[2]]]
    assert Path(shown["path"]).is_file()
    groups = run("dataset", "show", "visual@latest", "--format", "csv", store=filled).succeeded().rows
    assert [(row["group"], row["n"]) for row in groups] == [("0", "2"), ("1", "1")]
    members = run("dataset", "show", "visual", "--members", "--format", "csv", store=filled).succeeded().rows
    assert [(row["experiment_id"], row["group"]) for row in members] == [
        (str(WILD_TYPE_VISP[0]), "0"),
        (str(WILD_TYPE_VISP[1]), "0"),
        (str(WILD_TYPE_VISP[2]), "1"),
    ]


@pytest.mark.parametrize(
    ("ref", "texts"),
    [("visuel", ["'visuel'", "visual"]), ("visual@9", ["no version 9"]), ("../visual", ["'../visual'"])],
)
def test_an_unknown_version_is_an_error_that_helps(
    run: Runner, filled: Path, ref: str, texts: list[str], tmp_path: Path
) -> None:
    run("dataset", "show", ref, store=filled).refused(2, *texts)
    run("dataset", "export", ref, tmp_path / "x.nc", store=filled).refused(2, *texts)
    assert not (tmp_path / "x.nc").exists()


def test_export_writes_a_file_once(run: Runner, filled: Path, tmp_path: Path) -> None:
    target = tmp_path / "visual.npz"
    done = run("dataset", "export", "visual", target, store=filled).succeeded()
    assert (done.out, done.err) == ("", f"Wrote {target}.\n")
    with np.load(target) as arrays, open_store(filled) as store:
        np.testing.assert_array_equal(arrays["mean"], store.dataset("visual").mean)
    run("dataset", "export", "visual", target, store=filled).refused(2, str(target), "exists")
    target.write_bytes(b"")
    run("dataset", "export", "visual", target, "--overwrite", store=filled).succeeded()
    assert target.stat().st_size > 0


def test_export_refuses_what_it_cannot_write(run: Runner, filled: Path, tmp_path: Path) -> None:
    run("dataset", "export", "visual", tmp_path / "x.docx", store=filled).refused(2, "x.docx", ".nrrd")
    run("dataset", "export", "visual", tmp_path / "no" / "x.nc", store=filled).refused(2, "no")
    assert list(tmp_path.iterdir()) == []


def test_export_writes_one_group_or_each(run: Runner, filled: Path, tmp_path: Path) -> None:
    with open_store(filled) as store:
        version = store.dataset("visual")
        label, mean = version.groups[0].label, version.mean
    for group in ("0", label):
        target = tmp_path / f"group {group}.npy"
        run("dataset", "export", "visual", target, "--group", group, store=filled).succeeded()
        assert np.array_equal(np.load(target), mean[0])
    done = run("dataset", "export", "visual", tmp_path / "x.npy", "--each-group", store=filled).succeeded()
    for number, expected in enumerate(mean):
        target = tmp_path / f"x-group{number}.npy"
        assert str(target) in done.err.replace("\n", "")
        assert np.array_equal(np.load(target), expected)
    run("dataset", "export", "visual", tmp_path / "y.npy", "--group", "no", store=filled).refused(2, "'no'", label)
    both = ("--group", "0", "--each-group")
    run("dataset", "export", "visual", tmp_path / "y.npy", *both, store=filled).refused(2, "--each-group")
    run("dataset", "export", "visual", tmp_path / "y.nc", "--group", "0", store=filled).refused(2, "group", ".nrrd")
    assert not list(tmp_path.glob("y*"))


def test_export_writes_the_directions_of_allens_files_on_request(run: Runner, filled: Path, tmp_path: Path) -> None:
    target = tmp_path / "x.nrrd"
    run("dataset", "export", "visual", target, "--group", "0", "--like-allen", store=filled).succeeded()
    assert b"space directions: (100,0,0) (0,100,0) (0,0,100)\n" in target.read_bytes()[:1000]
    run("dataset", "export", "visual", tmp_path / "x.nii", "--like-allen", store=filled).refused(2, ".nrrd")


def test_export_help_names_every_ending(run: Runner) -> None:
    shown = run("dataset", "export", "--help").succeeded().out.split()
    assert {each.ending for each in export.VERSION_FORMATS} <= set(shown)

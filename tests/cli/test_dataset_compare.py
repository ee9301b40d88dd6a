"""``bsv-store dataset diff | lineage | stale | rebuild``: what a version is worth today."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bsv_store import open_store
from bsv_store_synthetic import SyntheticServer
from tests.cli.conftest import UNMEASURED, VISP, WILD_TYPE_VISP
from tests.cli.running import Outcome, Runner
from tests.sealing import sealed_changes

ANOTHER = ["aggregate", "--injected-in", "VISp", "--group-by", "AP", "--bins", "2", "--name", "visual"]


def sections(done: Outcome) -> dict[str, list[list[str]]]:
    """The words of each row below the facts, by the title of the table."""
    _, *blocks = done.out.rstrip("\n").split("\n\n")
    return {block.split("\n")[0]: [line.split() for line in block.split("\n")[3:]] for block in blocks}


@pytest.fixture
def two(run: Runner, own_filled: Path) -> Path:
    """A store whose dataset has a second version, of all lines and with other bins."""
    run(*ANOTHER, store=own_filled).succeeded()
    return own_filled


# -- diff -------------------------------------------------------------------------------------------------------------


def test_diff_shows_recipe_members_and_groups(run: Runner, two: Path) -> None:
    done = run("dataset", "diff", "visual@1", "visual@2", store=two).refused(1)
    assert done.out.startswith("First                      visual@1\nSecond                     visual@2\n")
    shown = sections(done)
    assert [row[0] for row in shown["Recipe"]] == ["selection"]
    entered = [each for each in VISP if each not in WILD_TYPE_VISP]
    assert [row[0] for row in shown["Entered"]] == [str(each) for each in entered]
    assert all(row[1:] == ["was", "not", "selected"] for row in shown["Entered"])
    assert done.err == ""


def test_diff_of_the_voxels(run: Runner, own_filled: Path) -> None:
    for name, ids in (("one", VISP[:2]), ("two", VISP[:3])):
        run("aggregate", "--ids", ",".join(map(str, ids)), "--name", name, store=own_filled).succeeded()
    with open_store(own_filled) as store:
        (voxels,) = store.datasets.diff("one", "two").voxels
    found = run("dataset", "diff", "one", "two", "--format", "json", store=own_filled).refused(1).json
    assert (found["is_equal"], found["voxels"][0]["largest"]) == (False, voxels.largest)
    assert [change["experiment_id"] for change in found["members"]["entered"]] == [VISP[2]]
    (row,) = run("dataset", "diff", "one", "two", "--format", "csv", store=own_filled).refused(1).rows
    assert (row["group"], int(row["voxels"]), float(row["largest"])) == (voxels.label, voxels.voxels, voxels.largest)
    assert (float(row["ap_um"]), float(row["dv_um"]), float(row["ml_um"])) == voxels.at_um
    assert float(row["correlation"]) == voxels.correlation
    shown = sections(run("dataset", "diff", "one", "two", store=own_filled).refused(1))
    assert f"{voxels.voxels:,}" in shown["Voxels of the mean"][0]


def test_diff_of_identical_versions_exits_with_0(run: Runner, filled: Path) -> None:
    done = run("dataset", "diff", "visual", "visual@1", store=filled).succeeded()
    assert done.err == "visual@1 and visual@1 are equal: recipe, members and all voxels.\n"
    assert len(sections(done)["Voxels of the mean"]) == 2
    rows = run("dataset", "diff", "visual", "visual", "--format", "csv", store=filled).succeeded().rows
    # Where nothing differs there is no place to name.
    assert [(row["voxels"], row["largest"], row["ap_um"], row["first"]) for row in rows] == [("0", "0.0", "", "")] * 2
    assert run("dataset", "diff", "visual", "visual", "--format", "json", store=filled).succeeded().json["is_equal"]


def test_diff_says_why_voxels_cannot_be_compared(run: Runner, own_filled: Path) -> None:
    options = ["--injected-in", "VISp", "--line", "wild-type", "--normalize", "injection-volume", "--name", "other"]
    run("aggregate", *options, store=own_filled).succeeded()
    done = run("dataset", "diff", "visual", "other", store=own_filled).refused(1)
    assert "cannot be compared" in done.out
    assert "Voxels of the mean" not in done.out


# -- lineage ----------------------------------------------------------------------------------------------------------


def test_lineage_names_lists_and_volumes(run: Runner, filled: Path) -> None:
    done = run("dataset", "lineage", "visual", store=filled).succeeded()
    assert done.out.startswith("Dataset      visual@1\nCreated      ")
    shown = sections(done)
    assert {row[0] for row in shown["Lists at that time"]} == {"structures", "experiments"}
    volumes = shown["Volumes"]
    assert [row[0] for row in volumes] == [str(each) for each in WILD_TYPE_VISP]
    assert all("in the store" in " ".join(row) and row[-1].startswith("127.0.0.1:") for row in volumes)


def test_lineage_for_programs_has_addresses_and_hashes(run: Runner, filled: Path) -> None:
    found = run("dataset", "lineage", "visual", "--format", "json", store=filled).succeeded().json
    rows = run("dataset", "lineage", "visual", "--format", "csv", store=filled).succeeded().rows
    assert [int(row["experiment_id"]) for row in rows] == list(WILD_TYPE_VISP)
    for row, member in zip(rows, found["members"], strict=True):
        assert str(member["experiment_id"]) in row["source"]
        assert row["source"] == member["source"]
        assert row["source"].startswith("http://127.0.0.1:")
        assert len(row["array_sha256"]) == 64
    assert all(len(item["content_sha256"]) == 64 for item in found["snapshots"])


def test_lineage_marks_what_has_been_replaced(run: Runner, own_filled: Path) -> None:
    with open_store(own_filled) as store, sealed_changes(store.database) as connection:
        connection.exec_driver_sql(f"DELETE FROM volume WHERE experiment_id = {WILD_TYPE_VISP[0]}")
    first, second, _ = run("dataset", "lineage", "visual", "--format", "csv", store=own_filled).succeeded().rows
    assert (first["state"], first["source"], second["state"]) == ("not in the store", "", "in the store")


# -- stale ------------------------------------------------------------------------------------------------------------


def test_a_fresh_store_has_nothing_stale(run: Runner, filled: Path, store_location: Path) -> None:
    done = run("dataset", "stale", store=filled).succeeded()
    assert done.out.splitlines()[2].split() == ["visual@1", "current", "0", "0", "0"]
    assert done.err == "1 version, 0 stale\n"
    assert run("dataset", "stale", "--format", "json", store=store_location).succeeded().json == []


def test_stale_is_a_finding_with_its_reasons(run: Runner, server: SyntheticServer, own_filled: Path) -> None:
    options = ["--injected-in", "VIS", "--line", "wild-type", "--missing", "leave-out", "--name", "growing"]
    run("aggregate", *options, store=own_filled).succeeded()
    run("fetch", "--ids", UNMEASURED, store=own_filled).succeeded()
    done = run("dataset", "stale", store=own_filled).refused(1)
    assert [row[:4] for row in done.cells[2:]] == [["growing@1", "stale", "1", "0"], ["visual@1", "current", "0", "0"]]
    assert done.err == "2 versions, 1 stale\n"
    one = run("dataset", "stale", "growing@1", store=own_filled).refused(1)
    assert [row[0] for row in sections(one)["Entered"]] == [str(UNMEASURED)]
    assert one.err == "1 version, 1 stale\n"
    rows = run("dataset", "stale", "--format", "csv", store=own_filled).refused(1).rows
    assert [(row["ref"], row["is_stale"], row["entered"]) for row in rows] == [
        ("growing@1", "True", "1"),
        ("visual@1", "False", "0"),
    ]
    (report,) = run("dataset", "stale", "growing", "--format", "json", store=own_filled).refused(1).json
    assert report["members"]["entered"][0]["experiment_id"] == UNMEASURED
    run("dataset", "stale", "visual", store=own_filled).succeeded()


# -- rebuild ----------------------------------------------------------------------------------------------------------


def test_rebuild_confirms_a_sound_version(run: Runner, own_filled: Path) -> None:
    run("dataset", "rebuild", "visual", "--check", "--workers", "0", store=own_filled).refused(2, "--workers")
    done = run("dataset", "rebuild", "visual", "--check", "--workers", "2", store=own_filled).succeeded()
    assert "File           intact\n" in done.out
    assert "Result         identical\n" in done.out
    assert "differ" not in done.out
    assert done.err == ""


def test_damage_is_a_finding_until_it_is_repaired(run: Runner, own_filled: Path) -> None:
    with open_store(own_filled) as store:
        path = store.dataset("visual").path
    before = path.read_bytes()
    path.write_bytes(before[:-10])
    done = run("dataset", "rebuild", "visual", "--check", store=own_filled)
    done.refused(1, "bsv-store dataset rebuild visual@1")
    assert len(path.read_bytes()) == len(before) - 10
    report = run("dataset", "rebuild", "visual", "--check", "--format", "json", store=own_filled).refused(1).json
    assert (report["file_state"], report["is_identical"], report["was_restored"]) == ("damaged", True, False)
    assert "damaged, restored" in run("dataset", "rebuild", "visual", store=own_filled).succeeded().out
    assert path.read_bytes() == before
    (row,) = run("dataset", "rebuild", "visual", "--format", "csv", store=own_filled).succeeded().rows
    assert (row["ref"], row["file_state"], row["largest_difference"]) == ("visual@1", "intact", "0.0")
    shown = sections(run("dataset", "show", "visual", store=own_filled).succeeded())["Checks"]
    assert [" ".join(line[3:]) for line in shown] == [
        "identical damaged",
        "identical damaged",
        "identical damaged, restored",
        "identical intact",
    ]
    checks = run("dataset", "show", "visual", "--format", "json", store=own_filled).succeeded().json["checks"]
    assert [check["was_restored"] for check in checks] == [False, False, True, False]
    assert all(check["checked_at"].endswith("+00:00") and check["software"] for check in checks)


@pytest.mark.usefixtures("wide_terminal")
def test_a_check_without_the_inputs_is_an_error_and_shown(run: Runner, own_filled: Path) -> None:
    with open_store(own_filled) as store, sealed_changes(store.database) as connection:
        connection.exec_driver_sql(f"DELETE FROM volume WHERE experiment_id = {WILD_TYPE_VISP[0]}")
    run("dataset", "rebuild", "visual", "--check", store=own_filled).refused(2, str(WILD_TYPE_VISP[0]))
    shown = run("dataset", "show", "visual", store=own_filled).succeeded()
    first, *others = sections(shown)["Checks"]
    assert first[3:5] == ["inputs", "missing"]
    # The note is folded.
    assert str(WILD_TYPE_VISP[0]) in others[-1]
    assert max(map(len, shown.out.split("Checks\n")[1].splitlines())) <= 120


def test_a_difference_is_a_finding(run: Runner, own_filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from bsv_store.datasets.history import rebuild

    real = rebuild.compute  # type: ignore[attr-defined]

    def off(files: Any, inputs: Any, progress: Any, **options: Any) -> Any:
        other = replace(inputs.members[0], divisor=2.0)
        return real(files, replace(inputs, members=(other, *inputs.members[1:])), progress, **options)

    monkeypatch.setattr(rebuild, "compute", off)
    done = run("dataset", "rebuild", "visual", "--check", store=own_filled).refused(1)
    facts = dict(line.split("  ", 1) for line in done.out.splitlines())
    assert facts["Result"].strip() == "different"
    assert float(facts["Largest difference"]) > 0
    assert int(facts["Voxels that differ"]) > 0

"""The commands verify and repair: exit codes, formats, and what they say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bsv_store_synthetic import SyntheticServer
from tests.cli.running import Runner


def volumes(location: Path) -> list[Path]:
    return sorted((location / "volumes").rglob("*.h5"))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def test_a_store_in_order_gives_a_summary_alone(run: Runner, filled: Path) -> None:
    for options in ([], ["--deep"], ["--decode"]):
        done = run("verify", *options, store=filled).succeeded()
        assert done.out == ""
        assert re.fullmatch(r"\d+ objects verified .*, 0 problems found\.\n", done.err)


def test_damage_has_exit_code_1_and_names_the_next_command(run: Runner, own_filled: Path) -> None:
    flip(volumes(own_filled)[0])
    run("verify", store=own_filled).succeeded()
    done = run("verify", "--deep", store=own_filled)
    assert done.code == 1
    assert "damaged file" in done.out
    assert "bsv-store repair --apply" in done.err
    rows = run("verify", "--deep", "--format", "json", store=own_filled).json
    (row,) = rows
    assert row["kind"] == "damaged_file"
    assert row["is_damage"] is True
    assert row["path"] == volumes(own_filled)[0].relative_to(own_filled).as_posix()
    table = run("verify", "--deep", "--format", "csv", store=own_filled)
    assert (table.code, table.rows[0]["object"]) == (1, row["object"])


def test_a_note_alone_has_exit_code_0(run: Runner, own_filled: Path) -> None:
    (own_filled / "volumes" / "notes.txt").write_text("mine")
    done = run("verify", store=own_filled).succeeded()
    assert "foreign file" in done.out
    assert "0 problems found, 1 note" in done.err


def test_a_long_table_is_cut_with_a_note(run: Runner, own_filled: Path) -> None:
    for number in range(50):
        (own_filled / "volumes" / f"{number}.txt").write_text("mine")
    done = run("verify", store=own_filled).succeeded()
    assert done.out.count("foreign file") == 40
    assert "10 more rows: --format csv prints all." in done.err
    assert len(run("verify", "--format", "csv", store=own_filled).succeeded().rows) == 50


def test_what_is_left_by_a_time_limit_is_said(run: Runner, own_filled: Path) -> None:
    done = run("verify", "--deep", "--time-limit", "0s", store=own_filled).succeeded()
    assert re.search(r"\d+ left for the next run", done.err)
    run("verify", "--deep", store=own_filled).succeeded()
    done = run("verify", "--deep", "--since", "7d", store=own_filled).succeeded()
    assert re.search(r"^0 objects verified \(deep\), \d+ skipped", done.err)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--since", "7d"], "needs a deep verification"),
        (["--deep", "--since", "7"], "number with a unit of time"),
        (["--deep", "--time-limit", "soon"], "number with a unit of time"),
        (["--workers", "0"], "--workers"),
        (["--format", "xml"], "xml"),
    ],
)
def test_bad_options_are_refused(run: Runner, filled: Path, options: list[str], text: str) -> None:
    run("verify", *options, store=filled).refused(2, text)


def test_repair_prints_the_plan_and_carries_it_out_when_told(
    run: Runner, own_filled: Path, server: SyntheticServer
) -> None:
    flip(volumes(own_filled)[0])
    plan = run("repair", store=own_filled)
    assert plan.code == 1
    assert "download it again" in plan.out
    assert "bsv-store repair --apply" in plan.err
    done = run("repair", "--apply", "--format", "json", store=own_filled).succeeded()
    assert [(step["action"], step["outcome"]) for step in done.json] == [("fetch", "done")]
    run("verify", "--deep", store=own_filled).succeeded()
    assert run("repair", store=own_filled).succeeded().err == "Nothing to repair.\n"


def test_repair_says_what_is_left_and_why(run: Runner, own_filled: Path) -> None:
    volumes(own_filled)[0].unlink()
    done = run("repair", "--apply", "--offline", store=own_filled)
    assert done.code == 1
    assert "not downloaded: offline" in done.err
    run("repair", "--apply", "--offline", "--drop-missing", store=own_filled).succeeded()


def test_repair_fails_if_a_result_cannot_be_recorded(run: Runner, own_filled: Path) -> None:
    run("aggregate", "--all", "--name", "all", "--missing", "leave-out", store=own_filled).succeeded()
    (path,) = (own_filled / "datasets" / "all").glob("*.nc")
    content, mode = path.read_bytes(), path.stat().st_mode
    run("dataset", "delete", "all@1", store=own_filled).succeeded()
    # As after a process that was killed before it moved the file.
    path.write_bytes(content)
    path.chmod(mode)
    done = run("repair", "--apply", "--offline", "--adopt-results", store=own_filled)
    assert done.code == 1
    assert "all@1 was deleted" in done.out

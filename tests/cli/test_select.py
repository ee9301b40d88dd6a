"""``bsv-store select``, and the options that make a selection."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bsv_store import Selection, open_store
from bsv_store.catalog.tables.views import VIEWS
from tests.cli.conftest import ATLAS, UNMEASURED, VISP, WILD_TYPE_VISP
from tests.cli.running import Runner
from tests.sealing import sealed_changes

# What is left out is tested in test_without_unionizes.py.
pytestmark = pytest.mark.filterwarnings("ignore::bsv_store.errors.MissingUnionizesWarning")


def _ids(text: str) -> tuple[int, ...]:
    return tuple(int(line) for line in text.splitlines())


def test_table_shows_one_line_for_each_experiment(run: Runner, filled: Path) -> None:
    done = run("select", "--injected-in", "VISp", "--line", "wild-type", store=filled).succeeded()
    head, rule, *rows = done.out.splitlines()
    assert head.split("  ")[-1] == "product"
    assert set(rule) == {"─"}
    assert tuple(int(row.split()[0]) for row in rows) == WILD_TYPE_VISP
    first = ATLAS.experiment(WILD_TYPE_VISP[0])
    assert rows[0].split() == [
        str(first.id),
        "VISp",
        "wild-type",
        "right",
        f"{first.injection_volume:.4f}",
        str(first.injection_ap),
        str(first.injection_dv),
        str(first.injection_ml),
        "M",
        "5",
    ]
    assert done.err == "3 experiments\n"


def test_json_and_csv_have_all_columns_of_the_view(run: Runner, filled: Path) -> None:
    names = tuple(described.name for described in VIEWS["experiments"].columns)
    as_json = run("select", "--ids", VISP[0], "--format", "json", store=filled).succeeded().json
    assert [tuple(row) for row in as_json] == [names]
    assert as_json[0]["transgenic_line"] is None
    assert as_json[0]["withdrawn"] is False
    as_csv = run("select", "--ids", VISP[0], "--format", "csv", store=filled).succeeded().rows
    assert [tuple(row) for row in as_csv] == [names]
    assert as_csv[0]["transgenic_line"] == ""
    assert float(as_csv[0]["injection_volume"]) == as_json[0]["injection_volume"]


def test_no_match_is_not_an_error(run: Runner, filled: Path) -> None:
    selection = [
        "select",
        "--injected-in",
        "VISp",
        "--injected-in",
        "VISl",
        "--sex",
        "F",
        "--injected-hemisphere",
        "left",
    ]
    nothing = [*selection, "--line", "any-cre", "--min-injection-volume", "1"]
    assert run(*nothing, store=filled).succeeded().out == ""
    assert run(*nothing, store=filled).err == "0 experiments\n"
    assert run(*nothing, "--ids-only", store=filled).succeeded().out == ""
    assert run(*nothing, "--format", "json", store=filled).succeeded().json == []
    assert run(*nothing, "--format", "csv", store=filled).succeeded().out.count("\n") == 1


def test_without_options_all_experiments(run: Runner, filled: Path) -> None:
    done = run("select", "--ids-only", store=filled).succeeded()
    assert _ids(done.out) == ATLAS.experiment_ids


@pytest.mark.parametrize(
    ("options", "selection"),
    [
        (["--injected-in", "VIS", "--injected-in", "MOp"], Selection(injected_in=["VIS", "MOp"])),
        (["--injected-in", "VISl", "--injection", "any"], Selection(injected_in="VISl", injection="any")),
        (["--line", "any-cre"], Selection(line="any-cre")),
        (["--line", "wild-type", "--line", "Synl4-IRES2-Cre"], Selection(line=["wild-type", "Synl4-IRES2-Cre"])),
        (["--product", "5", "--product", "42"], Selection(product=[5, 42])),
        (["--sex", "F"], Selection(sex="F")),
        (["--strain", "C57BL/6J"], Selection(strain="C57BL/6J")),
        (["--injected-hemisphere", "left"], Selection(injected_hemisphere="left")),
        (["--bilateral"], Selection(bilateral=True)),
        (["--unilateral"], Selection(bilateral=False)),
        (
            ["--min-injection-volume", "0.3", "--max-injection-volume", "0.4"],
            Selection(min_injection_volume=0.3, max_injection_volume=0.4),
        ),
        (
            ["--box", "7000,8000,0,8000,5700,11400"],
            Selection(box=[(7000, 8000), (0, 8000), (5700, 11400)]),
        ),
        (["--near", "7250,1370,7890", "--radius", "900"], Selection(near=(7250, 1370, 7890), radius_um=900)),
        (["--ids", "9100000003, 9100000001"], Selection(ids=[9100000001, 9100000003])),
        (["--exclude-ids", "9100000003"], Selection(exclude_ids=9100000003)),
        (["--include-withdrawn"], Selection(include_withdrawn=True)),
        (["--projecting-to", "LP"], Selection(projecting_to="LP")),
        (
            ["--projecting-to", "LP", "--target-measure", "projection_density", "--target-threshold", "0.01"],
            Selection(projecting_to="LP", target_measure="projection_density", target_threshold=0.01),
        ),
        (
            ["--projecting-to", "LP", "--target-measure", "Projection-Energy", "--target-hemisphere", "ipsi"],
            Selection(
                projecting_to="LP",
                target_measure="projection_energy",
                target_hemisphere="ipsilateral",
            ),
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_options_select_what_the_selection_does(
    run: Runner, filled: Path, options: list[str], selection: Selection
) -> None:
    shown = run("select", *options, "--show-selection").succeeded()
    assert shown.out == f"{selection.to_json()}\n"
    with open_store(filled) as store:
        expected = store.select(selection)
    assert _ids(run("select", *options, "--ids-only", store=filled).succeeded().out) == expected


@pytest.mark.parametrize("line", ["Wild-type", "WILD TYPE", "wild_type", "wildtype"])
def test_wild_type_may_be_written_in_any_way(run: Runner, filled: Path, line: str) -> None:
    done = run("select", "--injected-in", "VISp", "--line", line, "--ids-only", store=filled).succeeded()
    assert _ids(done.out) == WILD_TYPE_VISP
    shown = run("select", "--line", line, "--show-selection", store=filled).succeeded()
    assert shown.json == {"line": ["wild-type"], "version": 1}


def test_an_allele_that_is_taken_for_wild_type_is_explained(run: Runner, filled: Path) -> None:
    done = run("select", "--line", "WT", store=filled)
    # The atlas has such a line in small letters only.
    assert "--line wild-type" in done.err
    run("select", "--line", "wild-type", store=filled).succeeded()
    assert "allele" not in run("select", "--line", "wild-type", store=filled).succeeded().err


@pytest.mark.parametrize("sex", ["F", "f", "female"])
def test_sex_may_be_written_in_any_way(run: Runner, filled: Path, sex: str) -> None:
    ids = run("select", "--sex", sex, "--ids-only", store=filled).succeeded().out
    assert ids == run("select", "--sex", "F", "--ids-only", store=filled).succeeded().out != ""


def test_a_structure_without_its_option_is_an_error_that_helps(run: Runner, filled: Path) -> None:
    done = run("select", "VISp", store=filled).refused(2, "VISp")
    assert "--injected-in VISp" in done.err


def test_selection_as_json_is_restricted_by_the_other_options(run: Runner, filled: Path, tmp_path: Path) -> None:
    file = tmp_path / "selection.json"
    file.write_text(Selection(injected_in="VIS").to_json(), encoding="utf-8")
    done = run("select", "--selection", f"@{file}", "--line", "wild-type", "--ids-only", store=filled).succeeded()
    with open_store(filled) as store:
        assert _ids(done.out) == store.select(Selection(injected_in="VIS", line="wild-type"))


def test_ids_come_from_a_file_or_standard_input(run: Runner, filled: Path, tmp_path: Path) -> None:
    file = tmp_path / "ids.txt"
    file.write_text("9100000003\n9100000001, 9100000007\n", encoding="utf-8")
    assert _ids(run("select", "--ids", f"@{file}", "--ids-only", store=filled).succeeded().out) == WILD_TYPE_VISP
    piped = run("select", "--ids", "@-", "--ids-only", store=filled, stdin=file.read_text(encoding="utf-8"))
    assert _ids(piped.succeeded().out) == WILD_TYPE_VISP


def test_experiments_that_a_target_cannot_be_looked_up_for_are_counted(run: Runner, filled: Path) -> None:
    done = run("select", "--injected-in", "VISp", "--projecting-to", "LP", store=filled).succeeded()
    assert "may match" not in done.err
    done = run("select", "--projecting-to", "LP", store=filled).succeeded()
    assert f"{len(ATLAS.experiment_ids) - len(VISP)} more experiments may match" in done.err
    assert "sync unionizes" in done.err
    assert str(UNMEASURED) not in done.out


@pytest.mark.parametrize(
    ("options", "texts"),
    [
        (["--injected-in", "VISpp"], ["'VISpp'", "Did you mean VISp "]),
        (["--injected-in", "visp"], ["'visp'", "VISp", "Case matters"]),
        (["--line", "Synl4"], ["'Synl4'", "Synl4-IRES2-Cre"]),
        (["--ids", "5"], ["no experiment 5", "sync experiments"]),
        (["--ids", "5,x"], ["'x' is not a valid id"]),
        (["--ids", "-5"], ["'-5' is not a valid id"]),
        (["--ids", ""], ["--ids must not be empty"]),
        (["--ids", "@nowhere.txt"], ["nowhere.txt cannot be read"]),
        (["--near", "1,2", "--radius", "3"], ["3 numbers separated by commas: AP,DV,ML"]),
        (["--near", "1,2,3"], ["--near and --radius must be given together"]),
        (["--box", "1,2,3"], ["6 numbers"]),
        (["--box", "3,1,0,1,0,1"], ["--box along AP: 3 is above 1"]),
        (["--target-threshold", "1"], ["--target-threshold has no meaning without --projecting-to"]),
        (["--projecting-to", "LP", "--target-measure", "size"], ["--target-measure", "'size'", "projection-volume"]),
        (
            ["--min-injection-volume", "3", "--max-injection-volume", "1"],
            ["--min-injection-volume 3.0 is above --max-injection-volume 1.0"],
        ),
        (["--injection", "any"], ["--injection", "without --injected-in"]),
        (["--sex", "X"], ["--sex must be one of M, F, got 'X'"]),
        (["--strain", "c57bl/6j"], ["'c57bl/6j'", "Did you mean C57BL/6J?"]),
        (["--line", "none"], ["'none'", "Did you mean wild-type?"]),
        (["--line", "C57BL/6J"], ["'C57BL/6J'", "Did you mean wild-type?"]),
        (["--near", "8,1.5,8.5", "--radius", "1"], ["in mm", "um"]),
        (["--product", "9"], ["product 9"]),
        (["--selection", "VISp"], ["'VISp' is not JSON"]),
        (["--selection", '{"version":1,"injectedin":["VISp"]}'], ["injectedin", "injected_in"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_a_wrong_option_is_an_error_that_helps(run: Runner, filled: Path, options: list[str], texts: list[str]) -> None:
    done = run("select", *options, store=filled).refused(2, *texts)
    assert done.out == ""


def test_a_withdrawn_experiment_is_marked(run: Runner, own_filled: Path) -> None:
    _withdraw(own_filled, VISP[0])
    assert str(VISP[0]) not in run("select", store=own_filled).succeeded().out
    shown = run("select", "--include-withdrawn", store=own_filled).succeeded()
    assert shown.out.splitlines()[0].endswith("withdrawn")
    assert {row[0]: row[-1] for row in shown.cells[2:]}[str(VISP[0])] == "yes"


def _withdraw(location: Path, experiment_id: int) -> None:
    from sqlalchemy import update

    from bsv_store.catalog.database.models import Experiment

    with open_store(location) as store, sealed_changes(store.database) as connection:
        connection.execute(update(Experiment).where(Experiment.id == experiment_id).values(withdrawn=True))


def test_shown_selection_is_json_that_needs_no_store(run: Runner, tmp_path: Path) -> None:
    done = run("select", "--injected-in", "VISp", "--show-selection", store=tmp_path / "nowhere").succeeded()
    assert json.loads(done.out) == {"injected_in": ["VISp"], "version": 1}


# -- how much is printed ----------------------------------------------------------------------------------------------


def test_a_table_is_limited_and_says_so(run: Runner, filled: Path) -> None:
    count = len(ATLAS.experiment_ids)
    limited = run("select", "--limit", 3, store=filled).succeeded()
    assert len(limited.out.splitlines()) == 3 + 2
    assert f"The first 3 of {count} experiments; --all prints all." in limited.err
    assert len(run("select", "--all", store=filled).succeeded().out.splitlines()) == count + 2
    assert len(run("select", "--format", "csv", store=filled).succeeded().rows) == count
    assert len(run("select", "--format", "csv", "--limit", 2, store=filled).succeeded().rows) == 2
    assert len(_ids(run("select", "--ids-only", store=filled).succeeded().out)) == count
    assert _ids(run("select", "--ids-only", "--limit", 2, store=filled).out) == ATLAS.experiment_ids[:2]
    run("select", "--all", "--limit", 2, store=filled).refused(2, "--all and --limit cannot be combined")


def test_rows_take_one_line_on_80_columns_and_in_a_pipe(
    run: Runner, filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = len(ATLAS.experiment_ids)
    monkeypatch.setenv("COLUMNS", "80")
    narrow = run("select", store=filled).succeeded().out.splitlines()
    assert max(map(len, narrow)) <= 80
    # One table: each experiment has a single block of lines.
    assert sum(line.startswith("experiment") for line in narrow) == 1
    monkeypatch.delenv("COLUMNS")
    piped = run("select", store=filled).succeeded().out.splitlines()
    assert len(piped) == count + 2
    assert piped[0].split()[-2:] == ["sex", "product"]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("output_format", ["table", "csv", "json"])
def test_a_value_that_its_column_cannot_have_is_named(run: Runner, own_filled: Path, output_format: str) -> None:
    with closing(sqlite3.connect(own_filled / "catalog.db", isolation_level=None)) as other:
        other.execute("UPDATE experiment SET injection_volume = 'x' WHERE id = (SELECT min(id) FROM experiment)")
        ((first,),) = other.execute("SELECT min(id) FROM experiment")
    words = f"a value is not valid: injection_volume of {first}: 'x' is not a number"
    run("select", "--all", "--format", output_format, store=own_filled).refused(
        3, "the catalog is damaged (experiments)", words
    )
    run("status", store=own_filled).refused(3, words)

"""``bsv-store sql``."""

from __future__ import annotations

from pathlib import Path

import pytest

from bsv_store import open_store
from bsv_store.catalog.tables.views import VIEWS, schema_markdown
from tests.cli.conftest import ATLAS, VISP
from tests.cli.running import Runner
from tests.databases import both_databases

pytestmark = both_databases

COUNT = "select primary_structure, count(*) as n from experiments group by 1 order by 2 desc, 1 limit 2"


def test_prints_the_rows(run: Runner, filled: Path) -> None:
    done = run("sql", COUNT, store=filled).succeeded()
    assert done.out.splitlines() == [
        "primary_structure  n",
        "────────────────────",
        "VISp               5",
        "VISl               3",
    ]
    assert done.err == "2 rows\n"


def test_prints_them_for_programs(run: Runner, filled: Path) -> None:
    assert run("sql", COUNT, "--format", "csv", store=filled).succeeded().out == "primary_structure,n\nVISp,5\nVISl,3\n"
    assert run("sql", COUNT, "--format", "json", store=filled).succeeded().json == [
        {"primary_structure": "VISp", "n": 5},
        {"primary_structure": "VISl", "n": 3},
    ]


def test_ids_are_printed_as_they_are(run: Runner, filled: Path) -> None:
    done = run("sql", "select min(experiment_id) as first from experiments", store=filled).succeeded()
    assert done.out.splitlines()[2] == str(ATLAS.experiment_ids[0])


def test_missing_values_are_empty_or_null(run: Runner, filled: Path) -> None:
    query = f"select transgenic_line, bilateral from experiments where experiment_id = {VISP[0]}"
    assert run("sql", query, "--format", "json", store=filled).succeeded().json[0]["transgenic_line"] is None
    assert run("sql", query, "--format", "csv", store=filled).succeeded().rows[0]["transgenic_line"] == ""


def test_parameters_are_numbers_or_text(run: Runner, filled: Path) -> None:
    query = (
        "select experiment_id from experiments where primary_structure = :structure and experiment_id > :id order by 1"
    )
    options = ["--param", "structure=VISp", "--param", f"id={VISP[1]}", "--format", "csv"]
    rows = run("sql", query, *options, store=filled).succeeded().rows
    assert [int(row["experiment_id"]) for row in rows] == list(VISP[2:])
    typed = run(
        "sql", "select :i as i, :f as f", "--param", "i=-5", "--param", "f=.5", "--format", "json", store=filled
    )
    assert typed.succeeded().json == [{"i": -5, "f": 0.5}]
    volumes = ["--param", "least=.3", "--param", "most=4e-1"]
    query = "select count(*) as n from experiments where injection_volume between :least and :most"
    expected = sum(0.3 <= ATLAS.experiment(each).injection_volume <= 0.4 for each in ATLAS.experiment_ids)
    assert run("sql", query, *volumes, "--format", "json", store=filled).succeeded().json == [{"n": expected}]


@pytest.mark.parametrize(("value", "expected"), [('"5"', "5"), ("nan", "nan"), ("a=b", "a=b"), ("1_000", "1_000")])
def test_text_that_looks_like_something_else_stays_text(run: Runner, filled: Path, value: str, expected: str) -> None:
    query = "select count(*) as n from structure where acronym || :value = acronym || :value and length(:value) > 0"
    assert run("sql", query, "--param", f"value={value}", store=filled).succeeded().cells[2] == [
        str(len(ATLAS.structures))
    ]
    echoed = run(
        "sql", "select cast(:value as text) as v", "--param", f"value={value}", "--format", "json", store=filled
    )
    assert echoed.succeeded().json == [{"v": expected}]


def test_a_limit_says_that_there_is_more(run: Runner, filled: Path) -> None:
    done = run("sql", "select experiment_id from experiments", "--limit", "2", store=filled).succeeded()
    assert len(done.out.splitlines()) == 4
    assert done.err == "The first 2 rows; --limit allows more.\n"
    everything = ("--limit", len(ATLAS.experiment_ids))
    exact = run("sql", "select experiment_id from experiments", *everything, store=filled).succeeded()
    assert exact.err == "12 rows\n"


def test_no_rows(run: Runner, filled: Path) -> None:
    query = "select experiment_id, sex from experiments where 1 = 0"
    assert run("sql", query, store=filled).succeeded().out == ""
    assert run("sql", query, "--format", "csv", store=filled).succeeded().out == "experiment_id,sex\n"
    assert run("sql", query, "--format", "json", store=filled).succeeded().json == []


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("delete from experiment", "read-only"),
        ("drop view experiments", "read-only"),
        ("selec 1", "syntax error"),
        ("select * from nowhere", "--schema"),
        ("select :nobody", "nobody"),
        ("", "the statement is empty"),
    ],
)
def test_what_would_write_or_is_wrong_is_refused(run: Runner, filled: Path, query: str, text: str) -> None:
    assert run("sql", query, store=filled).refused(2, text).out == ""
    with open_store(filled) as store:
        assert store.select() == ATLAS.experiment_ids


def test_a_slow_query_is_stopped(run: Runner, filled: Path) -> None:
    query = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 100000000) select count(*) from n"
    run("sql", query, "--timeout", "0.1", store=filled).refused(2, "longer than 0.1 s")


def test_schema_describes_the_views(run: Runner, tmp_path: Path) -> None:
    done = run("sql", "--schema", store=tmp_path / "nowhere").succeeded()
    assert done.out == schema_markdown()
    assert all(f"### {name}" in done.out for name in VIEWS)


def test_usage(run: Runner, filled: Path) -> None:
    run("sql", store=filled).refused(2, "QUERY or --schema is required")
    run("sql", "select 1", "--param", "x", store=filled).refused(2, "NAME=VALUE")


def test_values_cannot_steer_the_terminal(run: Runner, filled: Path) -> None:
    hostile = "a\x1b[31mred\u202eright\nnew line\x9b2J"
    options = ["--param", f"text={hostile}"]
    shown = run("sql", "select cast(:text as text) as t", *options, store=filled).succeeded().out
    assert shown.splitlines()[2:] == [r"a\x1b[31mred\u202eright\nnew line\x9b2J"]
    raw = run("sql", "select cast(:text as text) as t", *options, "--format", "json", store=filled).succeeded()
    assert raw.out.isascii()
    assert "\x1b" not in raw.out
    assert raw.json == [{"t": hostile}]
    piped = run("sql", "select cast(:text as text) as t", *options, "--format", "csv", store=filled).succeeded()
    assert piped.rows == [{"t": hostile}]
    named = run("sql", 'select 1 as "evil\x1b[31m"', store=filled).succeeded()
    assert named.out.splitlines()[0] == r"evil\x1b[31m"

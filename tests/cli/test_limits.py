"""``--limit``: tables are short by default, CSV and JSON are whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import ATLAS, VISP
from tests.cli.running import Runner


@pytest.fixture
def short_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables limited to 3 rows, fewer than the synthetic atlas has experiments."""
    from bsv_store_cli.options import limit

    by_default = limit.default_limit

    def short(table_limit: int, output_format: str) -> int | None:
        return by_default(min(table_limit, 3), output_format)

    monkeypatch.setattr(limit, "default_limit", short)


COMMANDS = [
    (["search", "source", "root"], len(ATLAS.experiment_ids)),
    (["search", "target", "root"], len(VISP)),
    (["search", "injection", "8000,1500,8500"], len(ATLAS.experiment_ids)),
    (["search", "correlation", str(VISP[0])], len(VISP) - 1),
    (["search", "point", "8000,1500,8500", "--ids", ",".join(map(str, VISP))], len(VISP)),
    (["sql", "select experiment_id from experiments"], len(ATLAS.experiment_ids)),
]


@pytest.mark.usefixtures("short_tables")
@pytest.mark.parametrize(("command", "whole"), COMMANDS, ids=[" ".join(each[:2]) for each, _ in COMMANDS])
def test_only_tables_are_limited_by_default(run: Runner, filled: Path, command: list[str], whole: int) -> None:
    table = run(*command, store=filled).succeeded()
    assert len(table.out.splitlines()) == 2 + 3
    assert "--limit" in table.err
    as_csv = run(*command, "--format", "csv", store=filled).succeeded()
    assert len(as_csv.rows) == whole
    assert "--limit" not in as_csv.err
    assert len(run(*command, "--format", "json", store=filled).succeeded().json) == whole
    # The order of the options does not matter.
    assert len(run(*command, "--limit", 2, "--format", "csv", store=filled).succeeded().rows) == 2
    assert len(run(*command, "--format", "csv", "--limit", 2, store=filled).succeeded().rows) == 2


def test_ranks_of_structures_are_whole_in_csv(run: Runner, filled: Path) -> None:
    command = ["structures", "rank", VISP[0], "--threshold", "0"]
    assert len(run(*command, store=filled).succeeded().out.splitlines()) == 2 + 5
    every = run(*command, "--format", "csv", store=filled).succeeded().rows
    assert len(every) > 5
    assert [int(row["rank"]) for row in every] == list(range(1, len(every) + 1))


@pytest.mark.usefixtures("short_tables")
@pytest.mark.parametrize(
    ("command", "least"), [(["targets"], 4), (["matrix", "--layout", "long"], 4), (["sources", "root"], 1)]
)
def test_all_prints_everything_in_tables_too(run: Runner, filled: Path, command: list[str], least: int) -> None:
    whole = len(run(*command, "--format", "csv", store=filled).succeeded().rows)
    assert whole >= least
    short = run(*command, "--limit", 1, store=filled).succeeded()
    assert len(short.out.splitlines()) == 2 + 1
    assert "(--limit, --all)" in short.err
    every = run(*command, "--all", store=filled).succeeded()
    assert len(every.out.splitlines()) == 2 + whole
    assert "(--limit, --all)" not in every.err
    run(*command, "--all", "--limit", 3, store=filled).refused(2, "--all and --limit cannot be combined")

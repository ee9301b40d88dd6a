"""``bsv-store status``."""

from __future__ import annotations

from pathlib import Path

from bsv_store import open_store
from bsv_store.text import size_text
from tests.cli.conftest import ATLAS, VISP
from tests.cli.running import Runner


def test_says_what_the_store_holds(run: Runner, filled: Path) -> None:
    with open_store(filled) as store:
        state = store.status()
    (volumes,) = state.catalog.volumes
    done = run("status", store=filled).succeeded()
    facts = dict(line.split(maxsplit=1) for line in done.out.split("\n\n")[0].splitlines())
    assert facts == {
        "Store": str(filled),
        "Id": state.store_id,
        "Database": f"{state.database}, schema {state.schema_revision}",
        "Structures": str(len(ATLAS.structures)),
        "Experiments": "12",
        "Unionizes": f"{sum(len(ATLAS.unionize(each)) for each in VISP)} rows of 5 experiments",
        "Volumes": f"5, {size_text(volumes.size_bytes)}",
        "Datasets": "1 with 1 version",
    }
    assert done.err == ""


def test_sources_are_named_by_their_host(run: Runner, filled: Path) -> None:
    lists = run("status", store=filled).succeeded().out.split("\nLists\n")[1].splitlines()
    assert [line.split()[:2] for line in lists[2:]] == [["experiments", "api"], ["structures", "api"]]
    assert all("127.0.0.1:" in line and "http" not in line for line in lists[2:])
    assert max(map(len, lists)) < 100


def test_json_has_everything(run: Runner, filled: Path) -> None:
    with open_store(filled) as store:
        state = store.status()
    shown = run("status", "--format", "json", store=filled).succeeded().json
    assert shown["store_id"] == state.store_id
    assert shown["catalog"]["experiments_with_unionizes"] == len(VISP)
    assert [each["source"] for each in shown["catalog"]["latest_snapshots"]] == [
        each.source for each in state.catalog.latest_snapshots
    ]


def test_csv_has_the_counts(run: Runner, filled: Path) -> None:
    counts = {row["what"]: row["count"] for row in run("status", "--format", "csv", store=filled).succeeded().rows}
    assert counts["experiments"] == "12"
    assert counts["projection_density 100 um"] == "5"
    assert counts["dataset versions"] == "1"


def test_an_empty_store_says_what_to_do(run: Runner, store_location: Path) -> None:
    done = run("status", store=store_location).succeeded()
    assert "Volumes      0" in done.out
    assert "Lists" not in done.out
    assert "bsv-store sync structures" in done.err

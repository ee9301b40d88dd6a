"""``bsv-store ingest``."""

from __future__ import annotations

import gzip
import json
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bsv_store import Selection, open_store
from bsv_store.sources.allen import addresses
from bsv_store_synthetic import SyntheticServer
from tests.cli.conftest import ATLAS, UNMEASURED
from tests.cli.running import Runner


@pytest.fixture
def download(server: SyntheticServer, tmp_path: Path) -> Callable[[str, str], Path]:
    """Saves a reply of the server as a file."""

    def save(url: str, name: str) -> Path:
        file = tmp_path / name
        with urllib.request.urlopen(url) as reply:
            file.write_bytes(reply.read())
        return file

    return save


@pytest.fixture
def files(download: Callable[[str, str], Path], server: SyntheticServer) -> dict[str, Path]:
    """The lists of the synthetic atlas, and the unionize table of one experiment."""
    return {
        "structures": download(addresses.structures_url(server.url), "structures.json"),
        "experiments": download(addresses.experiments_url(server.url), "experiments_2020-07.json"),
        "unionizes": download(addresses.unionizes_url(server.url, [UNMEASURED]), "unionizes.json"),
    }


def test_takes_in_files(run: Runner, files: dict[str, Path], store_location: Path) -> None:
    for what, file in files.items():
        # The synthetic list is much shorter than Allen's.
        options = ["--allow-shrinking"] if what == "experiments" else []
        done = run("ingest", what, file, *options, "--format", "csv", store=store_location).succeeded()
        (row,) = done.rows
        assert (row["source"], row["what"], row["withdrawn"]) == (str(file), what, "0")
    assert row["rows"] == str(len(ATLAS.unionize(UNMEASURED)))
    (again,) = run("ingest", "unionizes", files["unionizes"], "--format", "json", store=store_location).json
    assert (again["added"], again["changed"], again["unchanged"]) == (0, 0, 1)
    with open_store(store_location) as store:
        assert store.select() == ATLAS.experiment_ids
        (snapshot,) = (each for each in store.status().catalog.latest_snapshots if each.what == "experiments")
        assert str(snapshot.upstream_date) == "2020-07-01"


def test_the_day_of_a_list_can_be_given(run: Runner, files: dict[str, Path], store_location: Path) -> None:
    run("ingest", "structures", files["structures"], store=store_location).succeeded()
    options = ["--upstream-date", "2019-02-03", "--allow-shrinking"]
    run("ingest", "experiments", files["experiments"], *options, store=store_location).succeeded()
    with open_store(store_location) as store:
        (snapshot,) = (each for each in store.status().catalog.latest_snapshots if each.what == "experiments")
    assert str(snapshot.upstream_date) == "2019-02-03"
    run("ingest", "experiments", "x.json", "--upstream-date", "Feb 3", store=store_location).refused(2, "Feb 3")
    to_come = ["--upstream-date", "2999-01-01"]
    run("ingest", "experiments", files["experiments"], *to_come, store=store_location).refused(
        2, "must not be in the future, got 2999-01-01"
    )


def test_what_is_remarkable_about_a_list_is_said(
    run: Runner, files: dict[str, Path], store_location: Path, tmp_path: Path
) -> None:
    run("ingest", "structures", files["structures"], store=store_location).succeeded()
    file = files["experiments"]
    assert run("ingest", "experiments", file, "--allow-shrinking", store=store_location).succeeded().err == ""
    body = json.loads(file.read_text(encoding="utf-8"))
    line = {
        "id": 1,
        "name": "Another-Cre",
        "transgenic_line_type_name": "driver",
        "description": "",
        "stock_number": "",
    }
    body["msg"].append({**body["msg"][0], "transgenic_line": line})
    body["total_rows"] = body["num_rows"] = len(body["msg"])
    older = tmp_path / "experiments_2019-02.json"
    older.write_text(json.dumps(body), encoding="utf-8")

    done = run("ingest", "experiments", older, "--format", "csv", store=store_location).succeeded()
    assert done.err.splitlines() == [
        f"{older}: The newer api list of 2020-07-01 stays current; this one is stored as history.",
        f"{older}: Added 1 record to the history.",
        f"{older}: Merged 1 row: repeats of an experiment with another line.",
    ]
    assert [(row["changed"], row["merged"], row["newer_list"]) for row in done.rows] == [("0", "1", "2020-07-01")]
    assert "merged" not in run("ingest", "experiments", older, store=store_location).succeeded().cells[0]


def test_a_short_first_list_is_refused_without_a_terminal_and_asked_for_on_one(
    run: Runner, files: dict[str, Path], store_location: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("ingest", "structures", files["structures"], store=store_location).succeeded()
    file = files["experiments"]
    run("ingest", "experiments", file, store=store_location).refused(
        2, "it has 12 experiments, Allen's list about 3,000", "--allow-shrinking"
    )
    monkeypatch.setattr("bsv_store_cli.output.messages.is_interactive", lambda: True)
    run("ingest", "experiments", file, store=store_location, stdin="n\n").refused(2, "Store it as complete?")
    with open_store(store_location) as store:
        assert store.select() == ()
    run("ingest", "experiments", file, store=store_location, stdin="y\n").succeeded()
    with open_store(store_location) as store:
        assert store.select() == ATLAS.experiment_ids


def test_an_ontology_that_shrinks_is_refused_without_a_terminal_and_asked_for_on_one(
    run: Runner, files: dict[str, Path], store_location: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = json.loads(files["structures"].read_text(encoding="utf-8"))
    body["msg"] = [row for row in body["msg"] if row["parent_structure_id"] is None]
    body["total_rows"] = body["num_rows"] = len(body["msg"])
    part = tmp_path / "part_2024-01.json"
    part.write_text(json.dumps(body), encoding="utf-8")
    run("ingest", "structures", files["structures"], store=store_location).succeeded()
    run("ingest", "structures", part, store=store_location).refused(2, "seems to be a part of it", "--allow-shrinking")
    monkeypatch.setattr("bsv_store_cli.output.messages.is_interactive", lambda: True)
    run("ingest", "structures", part, store=store_location, stdin="n\n").refused(2, "Store it as complete?")
    with open_store(store_location) as store:
        assert len(store.sql("SELECT id FROM structure WHERE withdrawn")) == 0
    run("ingest", "structures", part, store=store_location, stdin="y\n").succeeded()
    with open_store(store_location) as store:
        assert len(store.sql("SELECT id FROM structure WHERE withdrawn")) > 20


def test_a_list_that_shrinks_withdraws_nothing_unless_allowed(
    run: Runner, files: dict[str, Path], store_location: Path, tmp_path: Path
) -> None:
    body = json.loads(files["experiments"].read_text(encoding="utf-8"))
    part = tmp_path / "part_2024-01.json"
    part.write_text(json.dumps(body["msg"][:9]), encoding="utf-8")
    whole = tmp_path / "whole_2023-01.json.gz"
    whole.write_bytes(gzip.compress(json.dumps(body["msg"]).encode()))
    run("ingest", "structures", files["structures"], store=store_location).succeeded()
    run("ingest", "experiments", whole, "--allow-shrinking", store=store_location).succeeded()
    run("ingest", "experiments", part, store=store_location).refused(2, "3 of the 12", "--allow-shrinking")
    with open_store(store_location) as store:
        assert store.select() == ATLAS.experiment_ids
    run("ingest", "experiments", part, "--allow-shrinking", store=store_location).succeeded()
    with open_store(store_location) as store:
        assert len(store.select()) == 9
        assert store.select(Selection(include_withdrawn=True)) == ATLAS.experiment_ids


def test_a_bad_file_does_not_keep_the_others_out(
    run: Runner, files: dict[str, Path], own_filled: Path, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.json"
    cut.write_bytes(files["unionizes"].read_bytes()[:-100])
    absent = tmp_path / "absent.json"
    done = run("ingest", "unionizes", cut, absent, files["unionizes"], store=own_filled)
    done.refused(2, str(cut), f"{absent} cannot be read: No such file or directory")
    assert [row[0] for row in done.cells[2:]] == ["unionizes.json"]
    with open_store(own_filled) as store:
        assert len(store.sql("select * from unionize_coverage where experiment_id = :id", {"id": UNMEASURED})) == 2


def test_ingested_files_are_reported_if_the_store_fails_later(
    run: Runner, files: dict[str, Path], own_filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bsv_store.errors import NoSpaceError
    from bsv_store.store.store import Store

    take_in = Store.ingest_unionizes
    calls: list[Any] = []

    def fail_at_second(store: Store, file: Path, **options: Any) -> Any:
        calls.append(file)
        if len(calls) == 2:
            raise NoSpaceError("no space left")
        return take_in(store, file, **options)

    monkeypatch.setattr(Store, "ingest_unionizes", fail_at_second)
    done = run("ingest", "unionizes", files["unionizes"], files["unionizes"], store=own_filled).refused(7, "no space")
    assert [row[0] for row in done.cells[2:]] == ["unionizes.json"]


@pytest.mark.parametrize("what", ["structures", "experiments", "unionizes"])
def test_a_file_of_another_kind_is_refused(run: Runner, filled: Path, tmp_path: Path, what: str) -> None:
    file = tmp_path / "letter.json"
    file.write_text(json.dumps({"dear": "Allen"}), encoding="utf-8")
    done = run("ingest", what, file, store=filled).refused(2, str(file))
    assert done.out == ""


def test_hidden_characters_of_a_file_do_not_reach_the_terminal(
    run: Runner, files: dict[str, Path], own_filled: Path
) -> None:
    body = json.loads(files["experiments"].read_text(encoding="utf-8"))
    body["msg"][0]["specimen_name"] = "evil\x1b[31m\u202e\nname"
    files["experiments"].write_text(json.dumps(body), encoding="utf-8")
    done = run("ingest", "experiments", files["experiments"], store=own_filled).refused(2, "evil")
    assert all(each.isprintable() for line in done.err.splitlines() for each in line)
    assert "\nname" not in done.err


def test_a_file_is_required(run: Runner, filled: Path) -> None:
    run("ingest", "structures", store=filled).refused(2, "Missing argument 'FILE...'")

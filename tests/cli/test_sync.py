"""``bsv-store sync``."""

from __future__ import annotations

from pathlib import Path

import pytest

from bsv_store import open_store
from bsv_store.server.allen import wire
from bsv_store_synthetic import SyntheticAtlas, SyntheticServer
from bsv_store_synthetic.faults import Failure, Status, Substitute
from tests.cli.conftest import ATLAS, UNMEASURED, VISP
from tests.cli.running import Runner
from tests.client_defaults import client_defaults
from tests.servers import with_one_doubled_density


def test_downloads_the_catalog(run: Runner, server: SyntheticServer, store_location: Path) -> None:
    done = run("sync", "structures", "--format", "csv", store=store_location).succeeded()
    count = str(len(ATLAS.structures))
    assert done.rows == [
        {
            "source": f"127.0.0.1:{server.port}",
            "what": "structures",
            "kind": "api",
            "rows": count,
            "added": count,
            "changed": "0",
            "unchanged": "0",
            "withdrawn": "0",
            "completed": "0",
            "records": "0",
            "historic": "0",
            "merged": "0",
            "newer_list": "",
        }
    ]
    assert f"Asking 127.0.0.1:{server.port}" in done.err
    (row,) = run("sync", "experiments", "--format", "json", store=store_location).succeeded().json
    assert (row["what"], row["added"], row["withdrawn"]) == ("experiments", 12, 0)
    again = run("sync", "experiments", store=store_location).succeeded()
    assert again.cells[0] == ["source", "what", "kind", "rows", "added", "changed", "unchanged", "withdrawn"]
    assert again.cells[2][4:] == ["0", "0", "12", "0"]


def test_experiments_need_structures(run: Runner, server: SyntheticServer, store_location: Path) -> None:
    run("sync", "experiments", store=store_location).refused(2, "Ingest the ontology first")
    with open_store(store_location) as store:
        assert store.select() == ()


def test_downloads_missing_unionize_tables(run: Runner, server: SyntheticServer, own_filled: Path) -> None:
    options = ["sync", "unionizes", "--injected-in", "VIS", "--line", "wild-type"]
    done = run(*options, "--format", "csv", store=own_filled).succeeded()
    outcomes = {int(row["experiment_id"]): row["outcome"] for row in done.rows}
    assert outcomes[VISP[0]] == "present"
    assert outcomes[UNMEASURED] == "fetched"
    assert "fetched" in done.err
    again = run(*options, store=own_filled).succeeded()
    assert "0 fetched" in again.err
    assert again.out == ""


def test_a_downloaded_table_that_contradicts_itself_is_noted(
    run: Runner, server: SyntheticServer, own_filled: Path
) -> None:
    server.fail("ProjectionStructureUnionize", Substitute(with_one_doubled_density(UNMEASURED)), None)
    words = f"The table of experiment {UNMEASURED} contradicts itself, unlike Allen's tables: "
    fetched = run("fetch", "--ids", UNMEASURED, "--unionizes", store=own_filled).succeeded()
    assert words in fetched.err
    again = run("sync", "unionizes", "--ids", UNMEASURED, "--refresh", "--format", "json", store=own_filled).succeeded()
    assert words in again.err
    (note,) = again.json["notes"]
    assert note.startswith(words)


@pytest.mark.usefixtures("wide_terminal")
def test_a_table_that_cannot_be_had_is_listed(run: Runner, server: SyntheticServer, own_filled: Path) -> None:
    server.fail("ProjectionStructureUnionize", Status(404), None)
    done = run("sync", "unionizes", "--ids", UNMEASURED, store=own_filled).refused(6, "1 failed")
    title, head, _, row = done.out.strip().splitlines()
    assert (title, head.split()) == ("Failed", ["experiment", "reason"])
    assert row.startswith(str(UNMEASURED))
    assert "404" in row


def test_nothing_selected_is_an_error(run: Runner, server: SyntheticServer, filled: Path) -> None:
    run("sync", "unionizes", "--injected-in", "MOs", store=filled).refused(2, "no experiment matches")
    assert server.requests.total == 0


@pytest.mark.parametrize("what", ["structures", "experiments"])
def test_a_server_that_has_it_not_is_an_upstream_failure(
    run: Runner, server: SyntheticServer, filled: Path, what: str
) -> None:
    server.fail("query.json", Status(404), None)
    done = run("sync", what, store=filled).refused(6, "404")
    assert done.out == ""


def test_what_a_server_says_cannot_steer_the_terminal(
    run: Runner, server: SyntheticServer, filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One attempt: waiting between several is the client's business, and tested there.
    monkeypatch.setitem(client_defaults(), "attempts", 1)
    server.fail("query.json", Failure("no \x1b[31mred\u202e words\nError: nor lines"), None)
    done = run("sync", "structures", store=filled).refused(6, "words")
    assert all(each.isprintable() for line in done.err.splitlines() for each in line)


def test_a_wrong_address_is_refused(run: Runner, filled: Path) -> None:
    run("sync", "structures", "--api-url", "ftp://example.org", store=filled).refused(2, "ftp://example.org")


@pytest.mark.parametrize(
    "command",
    [
        ["sync", "structures"],
        ["sync", "experiments"],
        ["sync", "unionizes", "--ids", UNMEASURED],
        ["fetch", "--ids", UNMEASURED],
        ["aggregate", "--ids", UNMEASURED, "--name", "one", "--fetch"],
    ],
    ids=lambda value: " ".join(map(str, value[:2])),
)
def test_the_address_can_be_given(
    run: Runner, server: SyntheticServer, own_filled: Path, monkeypatch: pytest.MonkeyPatch, command: list[object]
) -> None:
    monkeypatch.setenv("BSV_STORE_API_URL", "http://127.0.0.1:9")
    run(*command, "--api-url", server.url, store=own_filled).succeeded()
    assert server.requests.total > 0


@pytest.mark.parametrize("what", ["structures", "experiments"])
def test_a_list_that_shrinks_is_asked_for_on_a_terminal(
    run: Runner, own_filled: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    complete = wire.structure_rows
    monkeypatch.setattr(wire, "structure_rows", lambda *given, **options: complete(*given, **options)[:10])
    withdrawn = f"SELECT id FROM {what.removesuffix('s')} WHERE withdrawn"
    with SyntheticServer(SyntheticAtlas(experiments=4)) as server:
        monkeypatch.setenv("BSV_STORE_API_URL", server.url)
        run("sync", what, store=own_filled).refused(2, "seems to be", "--allow-shrinking")
        monkeypatch.setattr("bsv_store_cli.output.messages.is_interactive", lambda: True)
        run("sync", what, store=own_filled, stdin="n\n").refused(2, "Store it as complete?")
        with open_store(own_filled) as store:
            assert len(store.sql(withdrawn)) == 0
        run("sync", what, store=own_filled, stdin="y\n").succeeded()
    with open_store(own_filled) as store:
        assert len(store.sql(withdrawn)) > 0

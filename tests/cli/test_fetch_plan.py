"""``--dry-run`` and ``--offline`` of ``fetch`` and ``sync unionizes``, and what retries say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bsv_store import Selection, open_store
from bsv_store_synthetic import SyntheticServer
from bsv_store_synthetic.faults import Status
from tests.cli.conftest import ATLAS, UNMEASURED, VISP
from tests.cli.running import Runner
from tests.client_defaults import client_defaults

FETCH = ["fetch", "--ids", f"{VISP[0]},{UNMEASURED}"]
SYNC = ["sync", "unionizes", "--ids", f"{VISP[0]},{UNMEASURED}"]


@pytest.mark.parametrize("command", [FETCH, SYNC], ids=["fetch", "sync unionizes"])
def test_a_dry_run_says_what_there_is_to_do_and_does_nothing(
    run: Runner, server: SyntheticServer, filled: Path, command: list[str]
) -> None:
    done = run(*command, "--dry-run", store=filled).succeeded()
    assert "1 present, 1 missing; 1 request, about " in done.out
    assert "free on the disk" in done.out
    assert done.err == ""
    plan = run(*command, "--dry-run", "--format", "json", store=filled).succeeded().json
    assert (plan["present"], plan["missing"], plan["requests"]) == ([VISP[0]], [UNMEASURED], 1)
    assert plan["fits_on_disk"] is True
    assert plan["download_bytes"] > 1000
    rows = run(*command, "--dry-run", "--format", "csv", store=filled).succeeded().rows
    assert [(int(row["experiment_id"]), row["state"]) for row in rows] == [
        (VISP[0], "present"),
        (UNMEASURED, "missing"),
    ]
    again = run(*command, "--dry-run", "--refresh", "--format", "json", store=filled).succeeded().json
    assert (again["present"], again["missing"]) == ([], [VISP[0], UNMEASURED])
    assert server.requests.total == 0


def test_a_dry_run_of_all(run: Runner, server: SyntheticServer, filled: Path) -> None:
    missing = len(ATLAS.experiment_ids) - len(VISP)
    done = run("fetch", "--all", "--dry-run", "--spacing", "25", store=filled).succeeded()
    assert f"projection_density at 25 um: 0 present, {len(ATLAS.experiment_ids)} missing" in done.out
    done = run("sync", "unionizes", "--all", "--dry-run", store=filled).succeeded()
    assert f"{len(VISP)} present, {missing} missing" in done.out
    assert server.requests.total == 0


def test_workers_count_in_the_room_for_large_volumes(run: Runner, filled: Path) -> None:
    ask = ["fetch", "--ids", UNMEASURED, "--spacing", 25, "--dry-run", "--format", "json"]
    one = run(*ask, "--workers", 1, store=filled).succeeded().json
    assert one["scratch_bytes"] > 300_000_000
    ask[2] = f"{VISP[0]},{UNMEASURED}"
    assert run(*ask, "--workers", 2, store=filled).succeeded().json["scratch_bytes"] == 2 * one["scratch_bytes"]
    assert run(*ask, "--workers", 1, store=filled).succeeded().json["scratch_bytes"] == one["scratch_bytes"]


FILL = ["fetch", "--all", "--unionizes"]


def test_a_dry_run_of_filling_the_store(run: Runner, server: SyntheticServer, filled: Path) -> None:
    missing = len(ATLAS.experiment_ids) - len(VISP)
    lines = run(*FILL, "--dry-run", store=filled).succeeded().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["unionize tables", "projection_density at 100 um", "total"]
    plan = run(*FILL, "--dry-run", "--format", "json", store=filled).succeeded().json
    tables, volumes = plan["parts"]
    assert (len(tables["missing"]), len(volumes["missing"])) == (missing, missing)
    for name in ("requests", "download_bytes", "store_bytes"):
        assert plan[name] == tables[name] + volumes[name] > 0
    assert plan["fits_on_disk"] is True
    rows = run(*FILL, "--dry-run", "--format", "csv", store=filled).succeeded().rows
    assert len(rows) == 2 * len(ATLAS.experiment_ids)
    assert {row["what"] for row in rows} == {"unionize tables", "projection_density at 100 um"}
    assert server.requests.total == 0


def test_a_store_is_filled_in_parts(run: Runner, server: SyntheticServer, own_filled: Path) -> None:
    missing = len(ATLAS.experiment_ids) - len(VISP)
    some = missing - 1
    first = run(*FILL, "--limit", some, "--format", "json", store=own_filled).succeeded()
    assert "1 of" in first.err
    assert "left for a later run" in first.err
    tables, volumes = first.json
    assert (len(tables["fetched"]), len(volumes["fetched"])) == (some, some)
    rows = run(*FILL, "--limit", some, "--format", "csv", store=own_filled).succeeded().rows
    assert [(row["what"], row["outcome"]) for row in rows].count(("unionize tables", "fetched")) == 1
    assert [row["outcome"] for row in rows].count("fetched") == 2
    with open_store(own_filled) as store:
        assert store.plan_fetch(Selection()).missing == ()
        assert store.plan_sync_unionizes().missing == ()
    asked = server.requests.total
    run(*FILL, "--limit", 1, store=own_filled).succeeded()
    assert server.requests.total == asked


def test_a_part_of_the_tables(run: Runner, server: SyntheticServer, own_filled: Path) -> None:
    dry = (
        run("sync", "unionizes", "--all", "--limit", 1, "--dry-run", "--format", "json", store=own_filled)
        .succeeded()
        .json
    )
    assert (len(dry["missing"]), dry["requests"]) == (1, 1)
    assert "1 fetched" in run("sync", "unionizes", "--all", "--limit", 1, store=own_filled).succeeded().err
    assert server.requests.total == 1


@pytest.mark.parametrize("command", [FETCH, SYNC], ids=["fetch", "sync unionizes"])
def test_a_limit_goes_with_what_makes_progress(run: Runner, filled: Path, command: list[str]) -> None:
    for other in ("--offline", "--refresh"):
        run(*command, "--limit", 1, other, store=filled).refused(2, "--limit", other)


@pytest.mark.usefixtures("full_disk")
def test_a_disk_without_room_for_all_is_filled_in_parts_or_not_at_all(
    run: Runner, server: SyntheticServer, own_filled: Path
) -> None:
    done = run(*FILL, store=own_filled).refused(7, "unionize tables of", "and projection_density", "10.0 MB are free")
    assert done.out == ""
    assert server.requests.total == 0


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk with 10 MB left."""
    usage = SimpleNamespace(total=10**9, used=10**9 - 10**7, free=10**7)
    monkeypatch.setattr("bsv_store.acquisition.plan.shutil.disk_usage", lambda _path: usage)


@pytest.mark.usefixtures("full_disk")
def test_no_request_is_sent_without_disk_space(run: Runner, server: SyntheticServer, own_filled: Path) -> None:
    done = run(*FETCH, store=own_filled).refused(7, "of 1 experiment", "10.0 MB are free")
    assert done.out == ""
    dry = run(*FETCH, "--dry-run", store=own_filled).refused(7, "10.0 MB are free")
    assert "NOT ENOUGH DISK SPACE" in dry.out
    assert run(*FETCH, "--dry-run", "--format", "json", store=own_filled).refused(7).json["fits_on_disk"] is False
    assert server.requests.total == 0
    # What is there takes no room.
    run("fetch", "--ids", VISP[0], store=own_filled).succeeded()


@pytest.mark.parametrize("command", [FETCH, SYNC], ids=["fetch", "sync unionizes"])
def test_offline_sends_no_request_and_names_missing_data(
    run: Runner, server: SyntheticServer, filled: Path, command: list[str]
) -> None:
    done = run(*command, "--offline", store=filled).refused(2, str(UNMEASURED), "offline")
    assert str(VISP[0]) not in done.err
    there = [*command[:-1], str(VISP[0])]
    assert "1 already present" in run(*there, "--offline", store=filled).succeeded().err
    run(*there, "--offline", "--refresh", store=filled).refused(2, "--refresh", "--offline")
    assert server.requests.total == 0


@pytest.mark.usefixtures("full_disk")
def test_offline_needs_no_room(run: Runner, server: SyntheticServer, filled: Path) -> None:
    run("fetch", "--ids", VISP[0], "--offline", store=filled).succeeded()
    run(*FETCH, "--offline", store=filled).refused(2, str(UNMEASURED))


@pytest.fixture
def resolved(monkeypatch: pytest.MonkeyPatch) -> list[Selection]:
    """The selections that are compiled to SQL, one entry each time."""
    from bsv_store.catalog.selection import resolve

    compiled: list[Selection] = []
    look_up = resolve.looked_up  # type: ignore[attr-defined]

    def noted(connection: Any, selection: Selection) -> Any:
        compiled.append(selection)
        return look_up(connection, selection)

    monkeypatch.setattr(resolve, "looked_up", noted)
    return compiled


@pytest.mark.parametrize(
    "options",
    [
        ["fetch"],
        ["fetch", "--unionizes"],
        ["fetch", "--unionizes", "--limit", "1"],
        ["fetch", "--unionizes", "--dry-run"],
        ["sync", "unionizes"],
        ["sync", "unionizes", "--limit", "1"],
        ["matrix"],
        ["select"],
        ["select", "--ids-only"],
        ["search", "point", "8000,1500,8500"],
        ["catalog", "summary"],
        ["aggregate", "--name", "new", "--missing", "leave-out"],
    ],
    ids=" ".join,
)
def test_a_command_resolves_its_selection_once(
    run: Runner, server: SyntheticServer, own_filled: Path, resolved: list[Selection], options: list[str]
) -> None:
    run(*options, "--injected-in", "VIS", "--line", "wild-type", store=own_filled).succeeded()
    assert resolved == [Selection(injected_in="VIS", line="wild-type")]


@pytest.mark.parametrize(
    "options",
    [
        ["search", "target", "root"],
        ["search", "source", "root"],
        ["search", "injection", "8000,1500,8500"],
        ["search", "correlation", str(VISP[0])],
    ],
    ids=" ".join,
)
def test_a_search_resolves_its_selection_once_and_its_own_criteria_once(
    run: Runner, filled: Path, resolved: list[Selection], options: list[str]
) -> None:
    run(*options, "--injected-in", "VIS", "--line", "wild-type", store=filled).succeeded()
    assert resolved.count(Selection(injected_in="VIS", line="wild-type")) == 1
    assert len(resolved) == 2


def test_aggregate_resolves_once_to_fetch_and_once_in_the_transaction_of_the_average(
    run: Runner, server: SyntheticServer, own_filled: Path, resolved: list[Selection]
) -> None:
    # What was fetched meanwhile may change what a selection with projecting_to matches.
    run("aggregate", "--ids", VISP[0], "--name", "new", "--fetch", store=own_filled).succeeded()
    assert resolved == [Selection(ids=[VISP[0]])] * 2


def test_a_limit_does_not_lose_experiments_that_were_asked_for_by_name(
    run: Runner, server: SyntheticServer, own_filled: Path
) -> None:
    with open_store(own_filled) as store:
        store.catalog.exclude([UNMEASURED], "test")
        missing = store.plan_fetch(Selection(include_excluded=True)).missing
    assert UNMEASURED in missing
    options = ["fetch", "--all", "--include-excluded", "--limit", missing.index(UNMEASURED) + 1]
    rows = run(*options, "--format", "csv", store=own_filled).succeeded().rows
    assert ("fetched", str(UNMEASURED)) in {(row["outcome"], row["experiment_id"]) for row in rows}


@pytest.fixture
def retries() -> Iterator[list[str]]:
    """What stamina tells of retries, as it would through structlog."""
    from stamina.instrumentation import get_on_retry_hooks, set_on_retry_hooks

    told: list[str] = []

    def hook(details: Any) -> None:
        told.append(details.name)

    before = get_on_retry_hooks()
    set_on_retry_hooks([hook])
    yield told
    set_on_retry_hooks(before)


@pytest.mark.parametrize(
    "command",
    [
        FETCH,
        SYNC,
        ["sync", "experiments"],
        ["aggregate", "--ids", str(UNMEASURED), "--name", "new", "--fetch"],
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_retries_are_not_printed(
    run: Runner,
    server: SyntheticServer,
    own_filled: Path,
    retries: list[str],
    monkeypatch: pytest.MonkeyPatch,
    command: list[str],
) -> None:
    monkeypatch.setitem(client_defaults(), "backoff_s", 0.0)
    server.fail(lambda _request: True, Status(503), 1)
    run(*command, store=own_filled).succeeded()
    assert server.requests.total > 1
    assert retries == []


def test_a_plan_of_tables_is_there_in_python_too(filled: Path) -> None:
    with open_store(filled) as store:
        plan = store.plan_sync_unionizes()
        assert plan.present == VISP
        assert len(plan.missing) == len(ATLAS.experiment_ids) - len(VISP)
        assert store.plan_sync_unionizes(refresh=True).present == ()

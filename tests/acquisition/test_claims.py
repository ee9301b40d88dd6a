from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import ColumnElement, Connection, func, literal, select, update

from bsv_store.acquisition.work import claims as claims_module
from bsv_store.acquisition.work.claims import Claims, delete_expired, expired_claims, held_claims, live_keys
from bsv_store.catalog.database.models import Claim
from bsv_store.catalog.database.models.base import UtcDateTime
from bsv_store.errors import InputError, StoreError
from bsv_store.owner import process_owner
from bsv_store.server.allen.messages import Request
from bsv_store_synthetic import SyntheticAtlas, SyntheticServer
from bsv_store_synthetic.faults import Gate
from tests.cli.running import Runner, child_environment, command_line
from tests.counting import counted
from tests.databases import both_databases, sqlite_first
from tests.processes import ended_process

if TYPE_CHECKING:
    from bsv_store import Store
    from bsv_store.acquisition.fetch import FetchReport

pytestmark = both_databases


def taken(store: Store, claims: Claims, *keys: str) -> set[str]:
    with store.database.writing() as connection:
        return claims.take(connection, keys)


def confirmed(store: Store, claims: Claims, *keys: str) -> set[str]:
    with store.database.writing() as connection:
        return claims.confirmed(connection, keys)


def free(store: Store, claims: Claims, *keys: str) -> set[str]:
    with store.database.reading() as connection:
        return claims.free(connection, keys)


def run_out(store: Store, key: str) -> None:
    with store.database.writing() as connection:
        past = datetime.now(UTC) - timedelta(hours=30)
        connection.execute(update(Claim).where(Claim.object_key == key).values(expires_at=past))


def live(store: Store) -> set[str]:
    with store.database.reading() as connection:
        return live_keys(connection)


def expired(store: Store) -> int:
    with store.database.reading() as connection:
        return expired_claims(connection)


@pytest.fixture
def mine(store: Store) -> Claims:
    return Claims(store.database)


@pytest.fixture
def theirs(store: Store) -> Claims:
    return Claims(store.database)


def test_a_key_has_one_owner(store: Store, mine: Claims, theirs: Claims) -> None:
    assert taken(store, mine, "a", "b") == {"a", "b"}
    assert taken(store, theirs, "b", "c") == {"c"}
    assert confirmed(store, mine, "a", "b", "c") == {"a", "b"}
    assert confirmed(store, theirs, "a", "b", "c") == {"c"}
    assert free(store, mine, "a", "b", "c", "d") == {"d"}


def test_nothing_is_taken_of_nothing(store: Store, mine: Claims) -> None:
    assert taken(store, mine) == set()


def test_an_owner_may_take_again(store: Store, mine: Claims) -> None:
    taken(store, mine, "a")
    assert taken(store, mine, "a") == {"a"}
    assert confirmed(store, mine, "a") == {"a"}


def test_what_is_released_is_free(store: Store, mine: Claims, theirs: Claims) -> None:
    taken(store, mine, "a", "b")
    with store.database.writing() as connection:
        mine.release(connection, ["a"])
        # What is not one's own stays.
        theirs.release(connection, ["b"])
    assert free(store, theirs, "a", "b") == {"a"}
    assert taken(store, theirs, "a", "b") == {"a"}
    mine.release_all()
    assert taken(store, theirs, "b") == {"b"}
    assert confirmed(store, theirs, "a") == {"a"}


def test_a_claim_runs_out_and_its_late_owner_has_lost_it(store: Store, mine: Claims, theirs: Claims) -> None:
    taken(store, mine, "a")
    run_out(store, "a")
    assert free(store, theirs, "a") == {"a"}
    assert taken(store, theirs, "a") == {"a"}
    assert confirmed(store, mine, "a") == set()
    with store.database.writing() as connection:
        mine.release(connection, ["a"])
    assert confirmed(store, theirs, "a") == {"a"}


def test_a_claim_lives_to_the_last_instant_of_its_lease(
    store: Store, mine: Claims, theirs: Claims, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken(store, mine, "a")
    with store.database.reading() as connection:
        end = connection.execute(select(Claim.expires_at)).scalar_one()

    def at_the_end(_connection: Connection, *, after_s: float = 0.0) -> ColumnElement[Any]:
        return literal(end + timedelta(seconds=after_s), UtcDateTime())

    monkeypatch.setattr(claims_module, "_now", at_the_end)
    assert free(store, theirs, "a") == taken(store, theirs, "a") == set()
    assert (live(store), expired(store)) == ({"a"}, 0)
    taken(store, theirs, "b")
    theirs.release_all()
    with store.database.writing() as connection:
        assert delete_expired(connection) == 0
    assert live(store) == {"a"}


def test_the_token_grows_with_every_owner(store: Store, mine: Claims, theirs: Claims) -> None:
    tokens = []
    for claims in (mine, theirs, mine):
        taken(store, claims, "a")
        run_out(store, "a")
        with store.database.reading() as connection:
            tokens.append(connection.execute(select(Claim.token)).scalar_one())
    assert tokens == [1, 2, 3]


def test_times_are_the_databases(store: Store, mine: Claims) -> None:
    taken(store, mine, "a")
    with store.database.reading() as connection:
        row = connection.execute(select(Claim.claimed_at, Claim.expires_at)).one()
        now = connection.execute(select(func.current_timestamp(type_=UtcDateTime()))).scalar_one()
    assert timedelta(seconds=59) < row.expires_at - row.claimed_at < timedelta(seconds=61)
    assert timedelta(0) <= now - row.claimed_at + timedelta(seconds=1) < timedelta(seconds=30)


def test_a_claim_that_is_renewed_lives_on(store: Store, theirs: Claims) -> None:
    mine = Claims(store.database, lease_s=1000.0)
    taken(store, mine, "a")
    run_out(store, "a")
    mine.renew_if_due()
    assert free(store, theirs, "a") == {"a"}
    mine._renewed -= 400
    mine.renew_if_due()
    assert free(store, theirs, "a") == set()


def test_claims_are_renewed_when_a_third_of_the_lease_has_passed(
    store: Store, theirs: Claims, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(seconds=1000.0)
    monkeypatch.setattr(claims_module, "time", SimpleNamespace(monotonic=lambda: clock.seconds))
    mine = Claims(store.database, lease_s=90.0)
    taken(store, mine, "a")
    taken(store, theirs, "b")
    renewed = []
    for clock.seconds in (1029.9, 1030.0, 1059.9, 1060.0):
        for key in ("a", "b"):
            run_out(store, key)
        mine.renew_if_due()
        renewed.append(live(store))
    assert renewed == [set(), {"a"}, set(), {"a"}]


def test_a_run_without_claims_writes_nothing(store: Store, mine: Claims) -> None:
    mine._renewed -= 1000
    with store.database.reading() as connection, counted() as work:
        mine.renew_if_due()
        mine.release_all()
        assert mine.take(connection, []) == set()
    assert work.statements == []


def test_a_run_that_ends_deletes_its_claims_and_those_that_expired(store: Store, mine: Claims, theirs: Claims) -> None:
    taken(store, mine, "a")
    taken(store, theirs, "b", "c")
    run_out(store, "c")
    mine.release_all()
    with store.database.reading() as connection:
        assert [each.object_key for each in held_claims(connection)] == ["b"]
    assert confirmed(store, mine, "a") == set()
    assert confirmed(store, theirs, "b") == {"b"}
    with counted() as work:
        mine.release_all()
    assert work.statements == []


def test_claims_that_expired_are_counted_and_deleted(store: Store, mine: Claims) -> None:
    taken(store, mine, "a", "b", "c")
    assert (expired(store), live(store)) == (0, {"a", "b", "c"})
    for key in ("a", "c"):
        run_out(store, key)
    assert (expired(store), live(store)) == (2, {"b"})
    for count in (2, 0):
        with store.database.writing() as connection:
            assert delete_expired(connection) == count
    assert (expired(store), live(store)) == (0, {"b"})


def test_a_claim_that_is_taken_over_begins_then(store: Store, mine: Claims, theirs: Claims) -> None:
    taken(store, mine, "a")
    past = datetime.now(UTC) - timedelta(hours=30)
    with store.database.writing() as connection:
        connection.execute(update(Claim).values(claimed_at=past, expires_at=past))
    taken(store, theirs, "a")
    with store.database.reading() as connection:
        (claim,) = held_claims(connection)
    assert datetime.now(UTC) - claim.claimed_at < timedelta(minutes=5)
    assert 0 < claim.expires_in_s <= 60


def test_two_runs_of_a_process_are_two_owners(mine: Claims, theirs: Claims) -> None:
    start = f"{HOST}/{process_owner()}/"
    assert mine.owner.startswith(start)
    assert re.fullmatch("[0-9a-f]{16}", mine.owner.removeprefix(start))
    assert mine.owner != theirs.owner


def test_a_released_claim_is_not_confirmed_when_another_run_takes_it(
    store: Store, mine: Claims, theirs: Claims
) -> None:
    taken(store, mine, "a", "b")
    with store.database.writing() as connection:
        mine.release(connection, ["a", "never taken"])
    theirs.owner = mine.owner
    taken(store, theirs, "a")
    assert confirmed(store, mine, "a", "b") == {"b"}


HOST = socket.gethostname()


def test_claims_that_could_not_be_released_hold_back_no_later_run_of_the_process(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = Claims(store.database), Claims(store.database)
    assert taken(store, first, "a") == {"a"}
    with monkeypatch.context() as patch:

        def broken(*_arguments: object, **_options: object) -> Any:
            raise StoreError("the disk is broken")

        patch.setattr(store.database, "writing", broken)
        with pytest.raises(StoreError):
            first.release_all()
    assert free(store, second, "a") == {"a"}
    assert live(store) == set()
    assert taken(store, second, "a") == {"a"}
    assert confirmed(store, first, "a") == set()


def foreign_process(owner: str) -> str:
    """The identity of the same process, as seen in another PID namespace of a host with the same name."""
    return f"{'0' * 16}-{owner.partition('-')[2]}"


def test_the_claim_of_a_process_that_is_gone_is_taken_over_at_once(store: Store, mine: Claims, theirs: Claims) -> None:
    theirs.owner = f"{HOST}/{ended_process()}/0123"
    taken(store, theirs, "a")
    assert free(store, mine, "a") == {"a"}
    assert taken(store, mine, "a") == {"a"}


@pytest.mark.parametrize("owner", ["{host}/{foreign}/0123", "{host}/{alive}/0123", "{host}/12/0123", "nonsense"])
def test_an_owner_that_may_live_keeps_its_claim_until_the_lease_ends(
    store: Store, mine: Claims, theirs: Claims, owner: str
) -> None:
    theirs.owner = owner.format(foreign=foreign_process(ended_process()), alive=process_owner(), host=HOST)
    taken(store, theirs, "a")
    assert free(store, mine, "a") == set()
    assert taken(store, mine, "a") == set()
    run_out(store, "a")
    assert taken(store, mine, "a") == {"a"}


# -- listing and breaking ------------------------------------------------------------------------------------------

PREFIX = "volume/projection_density/100/"


@pytest.fixture
def held(store: Store) -> Store:
    """A store with the claims of this process, of one that has ended, and of one that cannot be seen."""
    ended = ended_process()
    for key, owner in (("unknown", foreign_process(ended)), ("alive", process_owner()), ("ended", ended)):
        claims = Claims(store.database, lease_s=600.0)
        claims.owner = f"host-of-{key}/{owner}/0123"
        taken(store, claims, f"{PREFIX}{key}")
    return store


def test_claims_are_listed_with_their_holders(held: Store) -> None:
    frame = held.admin.claims()
    assert list(frame["object"]) == [f"{PREFIX}{each}" for each in ("alive", "ended", "unknown")]
    assert list(frame["state"]) == ["alive", "ended", "unknown"]
    assert list(frame["host"]) == ["host-of-alive", "host-of-ended", "host-of-unknown"]
    assert frame["process_id"][0] == os.getpid()
    assert frame["claimed_at"][0].tzinfo is not None
    assert frame["expires_in_s"].between(500, 600).all()


def test_an_unreadable_owner_is_listed(store: Store, mine: Claims) -> None:
    mine.owner = "of an older release"
    taken(store, mine, "a")
    run_out(store, "a")
    (row,) = store.admin.claims().to_dict("records")
    assert (row["state"], row["host"]) == ("unknown", "of an older release")
    assert row["expires_in_s"] < -100_000
    assert store.admin.claims()["process_id"].isna().all()


def test_no_claims_are_an_empty_table(store: Store) -> None:
    assert list(store.admin.claims()) == ["object", "host", "process_id", "state", "claimed_at", "expires_in_s"]
    assert store.admin.break_claims(all_ended=True) == ()
    assert "broke" not in set(store.admin.activity()["action"])


def test_breaking_all_ended_leaves_what_may_live(held: Store) -> None:
    assert held.admin.break_claims(all_ended=True) == (f"{PREFIX}ended",)
    assert list(held.admin.claims()["state"]) == ["alive", "unknown"]
    record = held.admin.activity().iloc[0]
    assert (record["action"], record["subject"], record["details"]["claims"]) == ("broke", f"{PREFIX}ended", 1)
    assert record["details"]["of"].startswith("host-of-ended ")


def test_the_claims_of_ended_processes_protect_no_files(held: Store) -> None:
    with held.database.reading() as connection:
        assert live_keys(connection) == {f"{PREFIX}alive", f"{PREFIX}unknown"}


def test_named_claims_are_broken_whoever_holds_them(held: Store) -> None:
    named = [f"{PREFIX}unknown", f"{PREFIX}alive"]
    assert held.admin.break_claims(named) == (f"{PREFIX}alive", f"{PREFIX}unknown")
    assert held.admin.break_claims([f"{PREFIX}ended"]) == (f"{PREFIX}ended",)
    assert not len(held.admin.claims())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"keys": [f"{PREFIX}alive", f"{PREFIX}alife"]}, "no claim on"),
        ({"keys": [1]}, "keys must be"),
        ({"keys": 1.5}, "keys must be"),
        ({}, "exactly one"),
        ({"keys": ["a"], "all_ended": True}, "exactly one"),
        ({"all_ended": "yes"}, "all_ended must be"),
    ],
)
def test_what_cannot_be_broken_is_an_error_and_nothing_is_broken(held: Store, arguments: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        held.admin.break_claims(**arguments)
    assert len(held.admin.claims()) == 3


def test_a_worker_whose_claim_was_broken_commits_nothing(
    catalog: Store, atlas: SyntheticAtlas, server: SyntheticServer
) -> None:
    """Its claim is broken in the middle of the download, and another run holds it afterwards."""
    first = atlas.experiment_ids[0]
    opened, asked = threading.Event(), threading.Event()

    def is_download(request: Request) -> bool:
        if "download" in request.path:
            asked.set()
        return "download" in request.path

    server.fail(is_download, Gate(opened))
    reports: list[FetchReport] = []
    thread = threading.Thread(target=lambda: reports.append(catalog.fetch([first], api_url=server.url)))
    thread.start()
    assert asked.wait(30)
    other = Claims(catalog.database)
    key = f"{PREFIX}{first}"
    assert catalog.admin.break_claims([key]) == (key,)
    assert taken(catalog, other, key) == {key}
    opened.set()
    while not published(catalog):
        thread.join(0.01)
        assert thread.is_alive()
    # It waits for the other run, which gives up.
    thread.join(0.3)
    assert thread.is_alive()
    assert recorded(catalog) == []
    other.release_all()
    thread.join(30)
    assert reports[0].fetched == (first,)
    assert recorded(catalog) == [first]


def recorded(store: Store) -> list[int]:
    return list(store.sql("SELECT experiment_id FROM volume")["experiment_id"])


def published(store: Store) -> list[Path]:
    return list((store.path / "volumes").rglob("*.h5"))


# -- the command line ----------------------------------------------------------------------------------------------


def test_the_commands_list_and_break_claims(
    held: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Runner(capsys, monkeypatch)
    shown = run("claims", "list", store=held.path).succeeded()
    assert [(line[1], line[3]) for line in shown.cells[-3:]] == [
        (f"host-of-{each}", each) for each in ("alive", "ended", "unknown")
    ]
    rows = run("claims", "list", "--format", "json", store=held.path).succeeded().json
    assert (rows[0]["process_id"], rows[0]["state"]) == (os.getpid(), "alive")
    run("claims", "break", store=held.path).refused(2, "--all-ended")
    run("claims", "break", f"{PREFIX}alife", "--yes", store=held.path).refused(2, "no claim on", f"{PREFIX}alive")
    # No terminal, so there is no question.
    run("claims", "break", f"{PREFIX}alive", store=held.path).refused(2, "nothing was broken", "--yes")
    assert len(held.admin.claims()) == 3
    done = run("claims", "break", "--all-ended", store=held.path).succeeded()
    assert (done.out, done.err) == (f"{PREFIX}ended\n", "1 claim broken.\n")
    run("claims", "break", f"{PREFIX}alive", f"{PREFIX}unknown", "--yes", store=held.path).succeeded()
    assert run("claims", "list", "--format", "csv", store=held.path).succeeded().rows == []


# -- two PID namespaces --------------------------------------------------------------------------------------------


def unshare() -> list[str]:
    """The command that runs another one in its own PID namespace; the test is skipped where that is not allowed."""
    program = shutil.which("unshare")
    if program is None:
        pytest.skip("no PID namespaces: unshare is not installed")
    for options in (["--pid"], ["--user", "--map-root-user", "--pid"]):
        command = [program, *options, "--fork", "--mount-proc", "--kill-child"]
        if subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0:
            return command
    pytest.skip("no PID namespaces: unshare is not allowed")


@sqlite_first
@pytest.mark.parametrize(
    ("processes", "experiments"), [(1, 20), pytest.param(3, 60, marks=pytest.mark.long)], ids=["few", "many"]
)
def test_processes_in_different_pid_namespaces_download_each_object_once(
    store: Store, processes: int, experiments: int
) -> None:
    """With one host name, as containers of one lab server may have. No process sees the ids of the others."""
    command, groups = unshare(), 2
    atlas = SyntheticAtlas(experiments=experiments)
    with SyntheticServer(atlas) as server:
        store.sync_structures(api_url=server.url)
        store.sync_experiments(api_url=server.url)
        server.requests.clear()
        fetch = " ".join(command_line("fetch", "--all", "--workers", "2", store=store.path))
        script = f'{fetch} & pids="$pids $!"; ' * processes + "for pid in $pids; do wait $pid || exit 1; done"
        started = [
            subprocess.Popen(
                # Processes that end at once, so that the ids of the next ones differ from those of the other group.
                [*command, "bash", "-c", f"{'/bin/true; ' * 20 * group}{script}"],
                env=child_environment(BSV_STORE_API_URL=server.url),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for group in range(groups)
        ]
        outcomes = [(process.communicate(timeout=300)[1], process.returncode) for process in started]
        assert [code for _, code in outcomes] == [0] * groups, outcomes
        assert server.requests.total == experiments
        assert not len(store.admin.claims())

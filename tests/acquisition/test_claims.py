from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select, update

from bsv_store.acquisition.work.claims import Claims
from bsv_store.catalog.database.models import Claim
from bsv_store.catalog.database.models.base import UtcDateTime

if TYPE_CHECKING:
    from bsv_store import Store


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


def test_the_claim_of_a_process_that_is_gone_is_taken_over_at_once(store: Store, mine: Claims, theirs: Claims) -> None:
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    host = mine.owner.split("/")[0]
    theirs.owner = f"{host}/{int(gone.stdout)}/0123"
    taken(store, theirs, "a")
    assert free(store, mine, "a") == {"a"}
    assert taken(store, mine, "a") == {"a"}


@pytest.mark.parametrize("owner", ["elsewhere/{pid}/0123", "{host}/{alive}/0123", "{host}/nonsense", "nonsense"])
def test_an_owner_that_may_live_keeps_its_claim(store: Store, mine: Claims, theirs: Claims, owner: str) -> None:
    host = mine.owner.split("/")[0]
    theirs.owner = owner.format(pid=2**22 + 1, alive=os.getpid(), host=host)
    taken(store, theirs, "a")
    assert taken(store, mine, "a") == set()

"""Tokens of clients of a server: only hashes are stored, names are used once, changes are recorded."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from bsv_store import open_store
from bsv_store.errors import InputError, ReadOnlyStoreError

if TYPE_CHECKING:
    from bsv_store import Store


def test_a_token_is_stored_as_its_hash_only(store: Store) -> None:
    added = store.admin.add_token("laptop-anna", scope="sql", expires_in=timedelta(days=90))
    assert re.fullmatch(r"bsv_[\w-]{43}", added.secret)
    assert added.secret not in repr(added)
    assert added.token.sha256 not in repr(added)
    with store.database.reading() as connection:
        (row,) = connection.execute(text("SELECT * FROM access_token")).mappings()
        recorded = connection.execute(text("SELECT * FROM activity")).all()
    assert row["sha256"] == hashlib.sha256(added.secret.encode()).hexdigest()
    assert added.secret not in str([*row.values(), *recorded])
    (found,) = store.admin.tokens()
    assert found == added.token
    assert found.scopes == ("read", "sql")
    assert found.expires_at is not None
    assert found.expires_at - found.created_at == timedelta(days=90)
    assert found.matches(added.secret)
    assert not found.matches(added.secret + "x")
    assert not found.matches("")


def test_the_default_is_to_read_and_not_to_expire(store: Store) -> None:
    token = store.admin.add_token("reader").token
    assert token.scopes == ("read",)
    assert token.expires_at is None
    assert token.is_valid(datetime.now(UTC) + timedelta(days=36_500))


def test_revoked_and_expired_tokens_are_not_valid(store: Store) -> None:
    store.admin.add_token("b", expires_in=timedelta(days=1))
    store.admin.add_token("a")
    assert store.admin.revoke_token("a") == ("a",)
    assert store.admin.revoke_token(["a", "b"]) == ("b",)
    store.admin.add_token("c", expires_in=timedelta(days=1))
    a, b, c = store.admin.tokens()
    assert [each.name for each in (a, b, c)] == ["a", "b", "c"]
    now = datetime.now(UTC)
    assert not a.is_valid(now)
    assert not b.is_valid(now)
    assert c.is_valid(now)
    assert not c.is_valid(now + timedelta(days=2))


def test_changes_are_recorded(store: Store) -> None:
    store.admin.add_token("a", scope="sql")
    store.admin.revoke_token("a")
    frame = store.admin.activity(limit=2)
    assert frame[["action", "subject"]].to_numpy().tolist() == [["revoked", "token a"], ["issued", "token a"]]
    assert frame["details"][1] == {"scope": "sql", "expires_at": None}


def test_a_name_is_used_once(store: Store) -> None:
    store.admin.add_token("a")
    with pytest.raises(InputError, match="a token has this name: a"):
        store.admin.add_token("a")
    store.admin.revoke_token("a")
    with pytest.raises(InputError, match="a revoked token had this name: a"):
        store.admin.add_token("a")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": ""}, "name of a token must be"),
        ({"name": "two words"}, "name of a token must be"),
        ({"name": "line\nbreak"}, "name of a token must be"),
        ({"name": "x" * 65}, "name of a token must be"),
        ({"name": 3}, "got 3"),
        ({"name": "a", "scope": "write"}, "scope must be one of read, sql"),
        ({"name": "a", "expires_in": timedelta(0)}, "longer than 0"),
        ({"name": "a", "expires_in": timedelta(days=-1)}, "expires_in must be a duration"),
        ({"name": "a", "expires_in": timedelta.max}, "expires_in is too long"),
    ],
)
def test_bad_arguments_are_refused(store: Store, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        store.admin.add_token(**arguments)
    assert store.admin.tokens() == ()


@pytest.mark.parametrize("name", ["two words", "", "x" * 65])
def test_what_is_no_name_of_a_token_cannot_be_revoked(store: Store, name: str) -> None:
    with pytest.raises(InputError, match="name of a token must be"):
        store.admin.revoke_token([name])


def test_a_name_has_at_most_64_characters(store: Store) -> None:
    for name in ("x" * 64, "9", "a.b_c@d-e"):
        assert store.admin.add_token(name).token.name == name


def test_an_unknown_name_revokes_nothing(store: Store) -> None:
    store.admin.add_token("a")
    with pytest.raises(InputError, match="no token has the name x"):
        store.admin.revoke_token(["a", "x"])
    assert store.admin.tokens()[0].revoked_at is None


def test_a_store_that_is_open_for_reading_has_tokens_but_gets_none(store: Store) -> None:
    store.admin.add_token("a")
    with open_store(store.path, read_only=True) as reader:
        assert [each.name for each in reader.admin.tokens()] == ["a"]
        with pytest.raises(ReadOnlyStoreError):
            reader.admin.add_token("b")
        with pytest.raises(ReadOnlyStoreError):
            reader.admin.revoke_token("a")

"""The same question again: answered at once while nothing has changed, looked into as soon as anything has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import func, select, text

from bsv_store import Store, open_store
from bsv_store.catalog.engine import BUSY_TIMEOUT_S
from bsv_store.catalog.models import DatasetAnswer
from bsv_store.catalog.selection import Selection
from bsv_store.datasets.answers import catalog_state, known_answer, remember_answer
from bsv_store.errors import BusyError, InputError
from tests.counting import counted
from tests.datasets.world import IDS, add_volume, ask

EVERYBODY = Selection(ids=IDS)
INPUTS = ("from experiment", "join experiment", "from volume", "from unionize", "from exclusion")


def looked_into(call: Callable[[], Any]) -> bool:
    """Whether a call read anything that averages are made of."""
    with counted() as work:
        call()
    statements = [" ".join(statement.lower().split()) for statement in work.statements]
    return any(table in statement for statement in statements for table in INPUTS)


def state_of(store: Store) -> int:
    with store.database.reading() as connection:
        return catalog_state(connection)


def answers(store: Store) -> int:
    with store.database.reading() as connection:
        return connection.execute(select(func.count()).select_from(DatasetAnswer)).scalar_one()


def test_the_same_question_is_answered_without_looking_at_the_inputs(filled: Store) -> None:
    first = ask(filled, EVERYBODY)
    assert not looked_into(lambda: ask(filled, EVERYBODY))
    again = ask(filled, EVERYBODY)
    assert (again.number, again.fingerprint, again.was_computed) == (1, first.fingerprint, False)
    assert (again.experiments, again.groups) == (first.experiments, first.groups)


def test_another_question_or_name_is_looked_into(filled: Store) -> None:
    ask(filled, EVERYBODY, name="one")
    assert looked_into(lambda: ask(filled, EVERYBODY, name="two"))
    assert looked_into(lambda: ask(filled, Selection(ids=IDS[:3]), name="one"))


def test_after_a_change_that_does_not_matter_it_is_looked_into_once(filled: Store) -> None:
    ask(filled, Selection(ids=[1, 2]))
    add_volume(filled, 3, seed=1)
    assert looked_into(lambda: ask(filled, Selection(ids=[1, 2])))
    assert not looked_into(lambda: ask(filled, Selection(ids=[1, 2])))
    assert ask(filled, Selection(ids=[1, 2])).number == 1


def test_what_is_no_input_changes_no_state(filled: Store) -> None:
    before = state_of(filled)
    ask(filled, EVERYBODY, name="one")
    filled.versions.tag("one", "figure-1")
    filled.versions.untag("one", "figure-1")
    filled.versions.delete("one@1")
    assert state_of(filled) == before


def test_every_change_is_one_of_state_also_to_transactions_that_began_before(filled: Store) -> None:
    before = state_of(filled)
    with filled.database.reading() as earlier:
        seen = catalog_state(earlier)
        if not filled.database.is_sqlite:
            # On SQLite the writer would wait for the reader.
            add_volume(filled, 1, seed=1)
        assert catalog_state(earlier) == seen == before
    add_volume(filled, 1, seed=2)
    assert state_of(filled) > before


def test_a_change_that_is_rolled_back_changes_no_state(filled: Store) -> None:
    before = state_of(filled)
    with pytest.raises(InputError), filled.database.writing() as connection:
        connection.execute(text("INSERT INTO store_info SELECT * FROM store_info"))
    assert state_of(filled) == before


def test_who_may_only_read_is_answered_as_well(filled: Store) -> None:
    first = ask(filled, EVERYBODY)
    add_volume(filled, 1, seed=1)
    add_volume(filled, 1)
    with open_store(filled.path, read_only=True) as reader:
        assert ask(reader, EVERYBODY).number == first.number
        assert looked_into(lambda: ask(reader, EVERYBODY))


def test_nobody_waits_for_a_writer_to_be_answered(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bsv_store.catalog.engine.BUSY_TIMEOUT_S", 10.0**6)
    ask(filled, EVERYBODY)
    add_volume(filled, 3, seed=1)
    add_volume(filled, 3)
    with open_store(filled.path) as other, other.database.writing() as connection:
        connection.execute(text("UPDATE dataset_answer SET change_count = 0"))
        assert ask(filled, EVERYBODY).number == 1


def test_an_impatient_writer_gives_up(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bsv_store.catalog.engine.BUSY_TIMEOUT_S", 10.0**6)
    with open_store(filled.path) as other, other.database.writing() as connection:
        connection.execute(text("UPDATE store_info SET format_version = format_version"))
        with pytest.raises(BusyError), filled.database.writing(patient=False) as second:
            second.execute(text("UPDATE store_info SET format_version = format_version"))


def test_impatience_ends_with_its_transaction(filled: Store) -> None:
    question = "PRAGMA busy_timeout" if filled.database.is_sqlite else "SHOW lock_timeout"
    with filled.database.writing() as connection:
        usual = connection.exec_driver_sql(question).scalar()
    with filled.database.writing(patient=False) as connection:
        assert connection.exec_driver_sql(question).scalar() in (0, "1ms")
    with filled.database.writing() as connection:
        assert connection.exec_driver_sql(question).scalar() == usual
    assert usual in (int(BUSY_TIMEOUT_S * 1000), f"{BUSY_TIMEOUT_S:.0f}s")


def test_with_a_deleted_version_goes_what_it_answered(filled: Store) -> None:
    ask(filled, EVERYBODY)
    assert answers(filled) == 1
    filled.versions.delete("test@1")
    assert answers(filled) == 0
    assert ask(filled, EVERYBODY).number == 2


def test_an_answer_of_a_version_deleted_meanwhile_is_forgotten(filled: Store) -> None:
    ask(filled, EVERYBODY)
    remember_answer(filled.database, 12345, state_of(filled))
    assert answers(filled) == 1


def test_an_answer_of_another_algorithm_is_none(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    version = ask(filled, EVERYBODY)
    with filled.database.reading() as connection:
        state = catalog_state(connection)
        assert known_answer(connection, version.name, version.recipe, state) is not None
        monkeypatch.setattr("bsv_store.datasets.answers.ALGORITHM_VERSION", 2)
        assert known_answer(connection, version.name, version.recipe, state) is None


def test_what_was_computed_without_damaged_files_is_not_taken_for_the_answer(filled: Store) -> None:
    volumes = filled.sql("select path from volume where experiment_id = 2 and kind = 'projection_density'")
    path = filled.files.path(volumes.path[0])
    good = path.read_bytes()
    path.write_bytes(good[:-1])
    without = ask(filled, EVERYBODY, missing="leave_out")
    assert [left.experiment_id for left in without.left_out] == [2]
    path.write_bytes(good)
    whole = ask(filled, EVERYBODY, missing="leave_out")
    assert (whole.number, list(whole.left_out)) == (2, [])

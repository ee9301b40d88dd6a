"""The same question again: answered at once while nothing has changed, looked into as soon as anything has."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import pytest
from sqlalchemy import Connection, text

from bsv_store import Selection, Store, open_store
from bsv_store.catalog.database.bulk import insert_rows, table_of
from bsv_store.catalog.database.driver_errors import BUSY_TIMEOUT_S
from bsv_store.catalog.database.models import Base, TransgenicLine
from bsv_store.datasets.answers import (
    catalog_state,
    find_answer,
    record_answer,
    remove_old_changes,
    try_record_answer,
)
from bsv_store.errors import BusyError, DamagedCatalogError, DamagedFileError, InputError, NoSpaceError
from tests.counting import counted
from tests.databases import both_databases, sqlite_first
from tests.datasets.world import IDS, add_volume, ask

pytestmark = both_databases

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
    return len(store.sql("SELECT * FROM dataset_answer"))


def test_the_same_question_is_answered_without_looking_at_the_inputs(filled: Store) -> None:
    first = ask(filled, EVERYBODY)
    assert not looked_into(lambda: ask(filled, EVERYBODY))
    again = ask(filled, EVERYBODY)
    assert (again.number, again.fingerprint, again.was_computed) == (1, first.fingerprint, False)
    assert (again.experiments, again.groups) == (first.experiments, first.groups)


@sqlite_first
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


def test_changes_of_other_data_do_not_change_the_state(filled: Store) -> None:
    before = state_of(filled)
    ask(filled, EVERYBODY, name="one")
    filled.datasets.tag("one", "figure-1")
    filled.datasets.untag("one", "figure-1")
    filled.datasets.delete("one@1")
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


# What neither selects, nor groups, nor goes into an average.
NO_INPUTS = {
    *(
        "access_token",
        "activity",
        "annotation",
        "catalog_change",
        "claim",
        "experiment_revision",
        "snapshot_member",
        "source_snapshot",
    ),
    *("dataset", "dataset_answer", "dataset_check", "dataset_group", "dataset_member", "dataset_tag"),
    *(
        "dataset_version",
        "schema_history",
        "seal",
        "store_info",
        "store_link",
        "template",
        "unionize_revision",
        "unionize_seal",
        "volume_block_hashes",
    ),
    *("catalog_change_base", "verification", "volume_use"),
}


def test_every_table_is_watched_or_known_to_matter_to_no_average(filled: Store) -> None:
    tables = set(Base.metadata.tables)
    # On SQLite a table loses its triggers when it is created again.
    query = "SELECT tbl_name FROM sqlite_master WHERE type = 'trigger' AND name LIKE '%is_a_change'"
    expected = {"unionize"}
    if not filled.database.is_sqlite:
        query = "SELECT event_object_table FROM information_schema.triggers WHERE trigger_name LIKE '%is_a_change'"
        expected = set()
    with filled.database.reading() as connection:
        watched: list[str] = list(connection.execute(text(query)).scalars())
    # Insert, update, delete; truncate stands in no list of Postgres.
    assert {table: watched.count(table) for table in set(watched)} == dict.fromkeys(set(watched), 3)
    assert tables - set(watched) - NO_INPUTS == expected
    assert not NO_INPUTS & set(watched)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE experiment SET sex = 'F' WHERE id = 1",
        "UPDATE volume SET array_sha256 = 'x' WHERE experiment_id = 1",
        "UPDATE unionize_coverage SET content_sha256 = 'x' WHERE experiment_id = 1",
        "DELETE FROM structure_ancestor WHERE distance = 1",
        "INSERT INTO named_selection SELECT * FROM named_selection",
    ],
)
def test_each_change_of_an_input_changes_the_state(filled: Store, statement: str) -> None:
    before = state_of(filled)
    with filled.database.writing() as connection:
        changed = connection.execute(text(statement)).rowcount
    assert (state_of(filled) > before) is (changed > 0 or not filled.database.is_sqlite)


def test_rows_that_go_in_by_the_bulk_change_the_state(filled: Store) -> None:
    before = state_of(filled)
    with filled.database.writing() as connection:
        insert_rows(connection, table_of(TransgenicLine), ("id", "name"), [(77, "A line")])
    assert state_of(filled) > before


@sqlite_first
def test_another_release_looks_into_it(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    ask(filled, EVERYBODY)
    monkeypatch.setattr("bsv_store.datasets.answers.__version__", "999")
    assert looked_into(lambda: ask(filled, EVERYBODY))
    assert not looked_into(lambda: ask(filled, EVERYBODY))


def test_a_failure_to_remember_is_none_of_the_answer(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ask(filled, EVERYBODY)
    add_volume(filled, 1, seed=1)
    add_volume(filled, 1)

    def full(*_arguments: Any) -> None:
        raise NoSpaceError("no space left")

    monkeypatch.setattr("bsv_store.datasets.answers.record_answer", full)
    assert ask(filled, EVERYBODY).number == first.number


def test_a_version_can_be_deleted_while_its_answer_is_remembered(filled: Store) -> None:
    version = ask(filled, EVERYBODY)
    (identifier,) = filled.sql("SELECT id FROM dataset_version")["id"].tolist()
    with ThreadPoolExecutor(1) as other, open_store(filled.path) as second:
        with filled.database.writing() as connection:
            record_answer(connection, identifier, 12345)
            deleting = other.submit(second.datasets.delete, version.ref)
            # Until it waits for us, or has asked for nothing yet: either is a case.
            wait([deleting], timeout=0.5)
        assert deleting.result().ref == version.ref
    assert answers(filled) == 0


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


def test_recorded_answers_do_not_wait_for_writers(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bsv_store.catalog.database.sqlite.BUSY_TIMEOUT_S", 10.0**6)
    ask(filled, EVERYBODY)
    add_volume(filled, 3, seed=1)
    add_volume(filled, 3)
    with open_store(filled.path) as other, other.database.writing() as connection:
        connection.execute(text("UPDATE dataset_answer SET change_count = 0"))
        assert ask(filled, EVERYBODY).number == 1


def test_an_impatient_writer_gives_up(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bsv_store.catalog.database.sqlite.BUSY_TIMEOUT_S", 10.0**6)
    with open_store(filled.path) as other, other.database.writing() as connection:
        connection.execute(text("UPDATE store_info SET format_version = format_version"))
        with pytest.raises(BusyError), filled.database.writing(patient=False) as second:
            second.execute(text("UPDATE store_info SET format_version = format_version"))


def test_impatience_ends_with_its_transaction(filled: Store) -> None:
    def timeout(connection: Connection) -> object:
        if filled.database.is_sqlite:
            driver: Any = connection.connection.driver_connection
            return driver.wait_s
        return connection.exec_driver_sql("SHOW lock_timeout").scalar()

    with filled.database.writing() as connection:
        usual = timeout(connection)
    with filled.database.writing(patient=False) as connection:
        assert timeout(connection) in (0, "1ms")
    with filled.database.writing() as connection:
        assert timeout(connection) == usual
    assert usual in (BUSY_TIMEOUT_S, f"{BUSY_TIMEOUT_S:.0f}s")


def test_removed_changes_still_count(filled: Store) -> None:
    ask(filled, EVERYBODY)
    add_volume(filled, 3, seed=1)
    rows, state = len(filled.sql("SELECT * FROM catalog_change")), state_of(filled)
    assert rows > 1
    with filled.database.writing() as connection:
        assert remove_old_changes(connection) == rows - 1
    assert len(filled.sql("SELECT * FROM catalog_change")) == 1
    assert state_of(filled) == state
    with filled.database.writing() as connection:
        assert remove_old_changes(connection) == 0
    add_volume(filled, 4, seed=1)
    assert state_of(filled) > state


def test_without_the_number_of_removed_changes_the_catalog_is_damaged(filled: Store) -> None:
    with filled.database.writing() as connection:
        connection.execute(text("DELETE FROM catalog_change_base"))
    with filled.database.reading() as connection, pytest.raises(DamagedCatalogError, match="catalog_change_base"):
        catalog_state(connection)


def test_with_a_deleted_version_goes_what_it_answered(filled: Store) -> None:
    ask(filled, EVERYBODY)
    assert answers(filled) == 1
    filled.datasets.delete("test@1")
    assert answers(filled) == 0
    assert ask(filled, EVERYBODY).number == 2


def test_an_answer_of_a_version_deleted_meanwhile_is_forgotten(filled: Store) -> None:
    ask(filled, EVERYBODY)
    try_record_answer(filled.database, 12345, state_of(filled))
    assert answers(filled) == 1


@sqlite_first
def test_an_answer_of_another_algorithm_is_none(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    version = ask(filled, EVERYBODY)
    with filled.database.reading() as connection:
        state = catalog_state(connection)
        assert find_answer(connection, version.name, version.recipe, state) is not None
        monkeypatch.setattr("bsv_store.averaging.inputs.ALGORITHM_VERSION", 999)
        assert find_answer(connection, version.name, version.recipe, state) is None


@sqlite_first
@pytest.mark.parametrize("spoil", ["missing", "cut"])
def test_an_answer_whose_file_is_not_whole_is_an_error(filled: Store, spoil: str) -> None:
    version = ask(filled, EVERYBODY)
    if spoil == "missing":
        version.path.unlink()
    else:
        version.path.write_bytes(version.path.read_bytes()[:-1])
    with pytest.raises(DamagedFileError, match=r"missing|bytes long") as caught:
        ask(filled, EVERYBODY)
    assert "rebuild" in str(caught.value)
    filled.datasets.rebuild("test")
    assert ask(filled, EVERYBODY).number == 1

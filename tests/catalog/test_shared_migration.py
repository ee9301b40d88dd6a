"""Revision 0002 on a filled catalog: nothing that was there changes, up or down."""

from __future__ import annotations

import pytest
from sqlalchemy import inspect, text

from bsv_store import Selection, Store
from bsv_store.catalog.database import schema
from bsv_store.catalog.database.models import Base
from tests.catalog.ingest.dump import dump
from tests.catalog.small_catalog import fill

NEW = {"named_selection", "exclusion"}
# What later revisions added or changed; empty here.
LATER = {
    *(
        "access_token",
        "activity",
        "annotation",
        "catalog_change",
        "schema_history",
        "seal",
        "store_link",
        "template",
        "unionize_revision",
        "unionize_seal",
        "volume_block_hashes",
    ),
    *("dataset_answer", "dataset_check", "dataset_group", "dataset_member", "dataset_version"),
    *("catalog_change_base", "verification", "volume_use"),
}
LATER_COLUMNS = {"unionize_coverage": "remark"}
OLD = tuple(sorted(set(Base.metadata.tables) - NEW - LATER))


@pytest.fixture
def filled(store: Store) -> Store:
    with store.database.writing() as connection:
        fill(connection)
    return store


def indexed_columns(store: Store) -> list[str | None]:
    with store.database.reading() as connection:
        indexes = {index["name"]: index["column_names"] for index in inspect(connection).get_indexes("unionize")}
    return indexes["ix_unionize_target"]


def test_down_and_up_keep_every_row(filled: Store) -> None:
    before = dump(filled.database, *OLD, without=LATER_COLUMNS)
    assert sum(map(len, before.values())) > 100
    assert "projection_energy" in indexed_columns(filled)
    schema.downgrade(filled.database, "0001")
    assert dump(filled.database, *OLD, without=LATER_COLUMNS) == before
    assert "projection_energy" not in indexed_columns(filled)
    with filled.database.reading() as connection:
        assert not NEW & set(inspect(connection).get_table_names())
        assert schema.current_revision(connection) == "0001"
    schema.upgrade(filled.database)
    assert dump(filled.database, *OLD, without=LATER_COLUMNS) == before
    assert dump(filled.database, *sorted(NEW)) == {"exclusion": [], "named_selection": []}
    filled.catalog.exclude([101], "bad section")
    assert 101 not in filled.select(Selection(injected_in="VISp"))


def test_a_store_of_the_first_revision_must_be_upgraded(filled: Store) -> None:
    from bsv_store.errors import SchemaTooOldError

    schema.downgrade(filled.database, "0001")
    with filled.database.reading() as connection, pytest.raises(SchemaTooOldError, match="revision 0001"):
        schema.check_schema(connection, "bsv-store db upgrade")


def test_the_database_itself_refuses_two_exclusions_of_one_experiment(filled: Store) -> None:
    from bsv_store.errors import BsvStoreError

    row = "INSERT INTO exclusion (experiment_id, reason, excluded_by, excluded_at) VALUES (101, 'x', 'y', :now)"
    filled.catalog.exclude([101], "x")
    with pytest.raises(BsvStoreError, match=r"(?i)unique"), filled.database.writing() as connection:
        connection.execute(text(row), {"now": "2024-05-17 12:00:00+00:00"})

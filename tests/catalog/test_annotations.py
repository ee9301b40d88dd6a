"""Annotations in the catalog: one row a spacing, checked ids, and the migration that adds the table."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import inspect

from bsv_store import Store
from bsv_store.catalog.annotations import (
    all_annotations,
    check_structure_ids,
    find_annotation,
    known_structure_ids,
    record_annotation,
)
from bsv_store.catalog.database import schema
from bsv_store.catalog.database.models import Base
from bsv_store.errors import UnknownStructureError
from bsv_store.volumes.annotation import AnnotationFile
from bsv_store.volumes.grid import Grid
from tests.catalog.ingest.dump import dump
from tests.catalog.small_catalog import fill

FILE = AnnotationFile(
    grid=Grid(25),
    frame="Allen CCFv3 (2017)",
    path="volumes/annotation/25um/annotation.0123456789abcdef.h5",
    size_bytes=5_000_000_000,
    file_sha256="0" * 64,
    file_xxh3="1" * 16,
    array_sha256="2" * 64,
    structure_count=671,
    annotated_voxels=32_387_385,
    source="https://example.org/annotation_25.nrrd",
    fetched_at=datetime(2024, 5, 17, 12, tzinfo=UTC),
)


@pytest.fixture
def filled(store: Store) -> Store:
    with store.database.writing() as connection:
        fill(connection)
        record_annotation(connection, FILE)
    return store


def test_a_recorded_annotation_is_found_as_it_was(filled: Store) -> None:
    with filled.database.reading() as connection:
        assert find_annotation(connection, 25) == FILE
        assert find_annotation(connection, 100) is None
    with filled.database.writing() as connection:
        finer = replace(FILE, grid=Grid(10), path="volumes/annotation/10um/annotation.x.h5")
        assert record_annotation(connection, finer) is None
    with filled.database.reading() as connection:
        assert all_annotations(connection) == [finer, FILE]


def test_the_same_file_is_recorded_in_its_own_place_and_another_names_the_one_it_replaces(filled: Store) -> None:
    with filled.database.writing() as connection:
        assert record_annotation(connection, FILE) is None
        other = replace(FILE, path="volumes/annotation/25um/annotation.other.h5")
        assert record_annotation(connection, other) == FILE.path
    with filled.database.reading() as connection:
        assert all_annotations(connection) == [other]


def test_ids_must_be_known(filled: Store, store: Store) -> None:
    with filled.database.reading() as connection:
        known = known_structure_ids(connection)
    check_structure_ids(list(known), known, what="x")
    check_structure_ids((), known, what="x")
    with pytest.raises(UnknownStructureError, match="the file has structures") as caught:
        check_structure_ids([*known, *range(10**9, 10**9 + 20)], known, what="the file")
    assert "1000000004 and 15 more" in str(caught.value)


def test_without_structures_nothing_can_be_checked(store: Store) -> None:
    with store.database.reading() as connection, pytest.raises(UnknownStructureError, match="no structures"):
        known_structure_ids(connection)


def test_the_revision_goes_down_and_up_and_keeps_every_other_row(filled: Store) -> None:
    # The others came with later revisions.
    tables = {"activity", "catalog_change", "dataset_answer", "dataset_version", "schema_history", "seal"}
    tables |= {"access_token", "catalog_change_base", "verification", "volume_use"}
    tables |= {"annotation", "store_link", "unionize_revision", "unionize_seal", "volume_block_hashes"}
    others = sorted(set(Base.metadata.tables) - tables)
    later = {"unionize_coverage": "remark", "dataset_member": "divisor_source"}
    before = dump(filled.database, *others, without=later)
    assert sum(map(len, before.values())) > 100
    schema.downgrade(filled.database, "0003")
    with filled.database.reading() as connection:
        assert "annotation" not in inspect(connection).get_table_names()
        assert schema.current_revision(connection) == "0003"
    assert dump(filled.database, *others, without=later) == before
    schema.upgrade(filled.database)
    assert dump(filled.database, *others, without=later) == before
    assert dump(filled.database, "annotation") == {"annotation": []}
    with filled.database.writing() as connection:
        record_annotation(connection, FILE)
    with filled.database.reading() as connection:
        assert find_annotation(connection, 25) == FILE


def test_sql_users_see_it(filled: Store) -> None:
    frame = filled.sql("SELECT spacing_um, structure_count FROM annotation")
    assert frame.to_numpy().tolist() == [[25, 671]]

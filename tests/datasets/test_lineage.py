from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete

from bsv_store.catalog.database.models import StoredVolume
from bsv_store.catalog.selection.selection import Selection
from bsv_store.datasets.history.lineage import lineage_of
from bsv_store.datasets.tags import tag_version
from tests.datasets.world import add_volume, ask

if TYPE_CHECKING:
    from bsv_store import Store


def test_every_member_is_traced_to_its_volume_and_tables(filled: Store) -> None:
    ask(filled, Selection(ids=[1, 2, 3]))
    version = tag_version(filled.database, filled.files, "test", "paper", created_by="tester")
    add_volume(filled, 2, seed=1)
    with filled.database.writing() as connection:
        connection.execute(delete(StoredVolume).where(StoredVolume.experiment_id == 3))
    lineage = lineage_of(filled.database, version)
    assert [(row.experiment_id, row.state, row.source) for row in lineage.members] == [
        (1, "in the store", "test"),
        (2, "replaced", None),
        (3, "not in the store", None),
    ]
    assert {row.injection_rows for row in lineage.members} == {"test"}
    assert [(row.what, row.kind, row.source) for row in lineage.snapshots] == [
        ("experiments", "api", "test"),
        ("structures", "file", "test"),
    ]
    assert lineage.tags == ("paper",)
    assert lineage.fingerprint == version.fingerprint


def test_lineage_as_a_table(filled: Store) -> None:
    frame = lineage_of(filled.database, ask(filled)).to_frame()
    assert frame.experiment_id.to_list() == [1, 2, 3, 4, 5]
    assert frame.columns[0] == "experiment_id"
    assert (frame.array_sha256.str.len() == 64).all()

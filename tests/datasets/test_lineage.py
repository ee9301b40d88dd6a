from __future__ import annotations

from typing import TYPE_CHECKING

from bsv_store import Selection
from tests.datasets.world import add_volume, ask, remove_volume

if TYPE_CHECKING:
    from bsv_store import Store


def test_every_member_is_traced_to_its_volume_and_tables(filled: Store) -> None:
    ask(filled, Selection(ids=[1, 2, 3]))
    filled.datasets.tag("test", "paper")
    version = filled.dataset("test@paper")
    add_volume(filled, 2, seed=1)
    remove_volume(filled, 3)
    lineage = filled.datasets.lineage(version)
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


def test_lineage_prints_as_a_summary(filled: Store) -> None:
    version = ask(filled, Selection(ids=[1, 2, 3]))
    remove_volume(filled, 3)
    lineage = filled.datasets.lineage(version)
    lines = str(lineage).splitlines()
    assert lines[0].split() == ["Dataset", "test@1"]
    assert f"Fingerprint          {version.fingerprint}" in lines
    assert lines[-2:] == ["Volumes              3, see to_frame()", f"{'':21}experiment 3: not in the store"]
    assert repr(lineage) == "<Lineage of test@1: 3 volumes>"


def test_lineage_as_a_table(filled: Store) -> None:
    frame = filled.datasets.lineage(ask(filled)).to_frame()
    assert frame.experiment_id.to_list() == [1, 2, 3, 4, 5]
    assert frame.columns[0] == "experiment_id"
    assert (frame.array_sha256.str.len() == 64).all()

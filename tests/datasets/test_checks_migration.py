"""Revision 0003 on a store with versions: nothing that was there changes, up or down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sqlalchemy import inspect, text

from bsv_store import Selection, by_coordinate, by_field, crossed
from bsv_store.catalog.database import schema
from bsv_store.errors import SchemaTooOldError
from tests.databases import both_databases
from tests.datasets.world import IDS, add_volume, ask

if TYPE_CHECKING:
    from bsv_store import Store

pytestmark = both_databases

EVERYBODY = Selection(ids=IDS)
TWO = crossed(by_coordinate("AP", edges=[3000, 8200, 9400]), by_coordinate("ML", edges=[0, 5700, 11400]))
KEPT = {
    "dataset": "id, name, created_by, last_number",
    "dataset_version": "id, dataset_id, number, recipe, fingerprint, content_sha256, path, file_sha256, created_by",
    "dataset_group": "version_id, number, label, lower, upper, center, member_count",
    "dataset_member": "version_id, experiment_id, group_number, left_out_reason, array_sha256, divisor",
    "dataset_tag": "dataset_id, tag, version_id, created_by",
}
NEW_IN_GROUP = {"axis", "second_axis", "second_lower", "second_upper", "second_center"}


def rows(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    with store.database.reading() as connection:
        return {
            name: sorted(map(tuple, connection.execute(text(f"SELECT {columns} FROM {name}"))), key=repr)
            for name, columns in KEPT.items()
        }


def group_columns(store: Store) -> set[str]:
    with store.database.reading() as connection:
        return {column["name"] for column in inspect(connection).get_columns("dataset_group")}


@pytest.fixture
def versions(filled: Store) -> Store:
    """Versions with one coordinate, two, none, and masks; one is tagged, one was checked."""
    ask(filled, EVERYBODY, TWO, name="two")
    ask(filled, EVERYBODY, crossed(by_field("line"), by_coordinate("ML", edges=[0, 5700, 11400])), name="one")
    inside = np.zeros((132, 80, 114), np.float32)
    inside[:66] = 0.5
    for identifier in (1, 2):
        add_volume(filled, identifier, kind="injection_fraction", array=inside)
        add_volume(filled, identifier, kind="data_mask", array=np.ones((132, 80, 114), np.float32))
    ask(filled, Selection(ids=[1, 2]), name="masked", exclude_injection=True, weight_by_data_mask=True)
    filled.datasets.tag("two", "figure-1")
    filled.datasets.rebuild("two", check_only=True)
    return filled


def test_down_and_up_keep_every_row(versions: Store) -> None:
    before = rows(versions)
    assert group_columns(versions) >= NEW_IN_GROUP
    assert len(versions.dataset("two").checks) == 1
    schema.downgrade(versions.database, "0002")
    assert rows(versions) == before
    assert not group_columns(versions) & NEW_IN_GROUP
    with versions.database.reading() as connection:
        assert not inspect(connection).has_table("dataset_check")
        with pytest.raises(SchemaTooOldError, match="revision 0002"):
            schema.check_schema(connection, "bsv-store db upgrade")
    schema.upgrade(versions.database)
    assert rows(versions) == before
    with versions.database.reading() as connection:
        axes = connection.execute(
            text(
                "SELECT DISTINCT d.name, g.axis, g.second_axis FROM dataset_group AS g"
                " JOIN dataset_version AS v ON v.id = g.version_id JOIN dataset AS d ON d.id = v.dataset_id"
                " ORDER BY d.name"
            )
        ).all()
    assert [tuple(row) for row in axes] == [("masked", None, None), ("one", "ML", None), ("two", "AP", "ML")]


def test_versions_of_the_earlier_schema_still_serve(versions: Store) -> None:
    schema.downgrade(versions.database, "0002")
    schema.upgrade(versions.database)
    for name in ("two", "one", "masked"):
        version = versions.dataset(name)
        assert version.checks == ()
        assert np.nanmax(version.mean) > 0
        assert not versions.datasets.stale(name)[0].is_stale
        assert versions.datasets.rebuild(name, check_only=True).is_identical
    # The same question has the same version.
    assert ask(versions, EVERYBODY, TWO, name="two").ref == "two@1"
    # What is not known of them stays unknown.
    old = versions.dataset("two")
    assert {group.second_lower for group in old.groups} == {None}
    assert old.axes == ("AP", "ML")
    masked = versions.dataset("masked")
    assert {member.injection_fraction_sha256 for member in masked.experiments} == {None}
    # A changed mask is noticed all the same.
    add_volume(versions, 1, kind="data_mask", array=np.full((132, 80, 114), 0.5, np.float32))
    (report,) = versions.datasets.stale("masked")
    assert report.is_stale
    assert report.members.changed == ()


def test_the_second_factor_and_the_masks_are_in_the_catalog(versions: Store) -> None:
    two = versions.dataset("two")
    assert [(group.lower, group.upper, group.second_lower, group.second_upper) for group in two.groups] == [
        (3000, 8200, 5700, 11400),
        (8200, 9400, 0, 5700),
        (8200, 9400, 5700, 11400),
    ]
    assert [group.second_center for group in two.groups] == [7000, 4000, 7000]
    assert two.group_ranges()["group_lower_2"].tolist() == [5700, 0, 5700]
    with two.open() as file:
        for name, values in two.group_ranges().items():
            np.testing.assert_array_equal(file[name][:], values)
    masked = versions.dataset("masked")
    fraction = versions.volumes.describe(1, kind="injection_fraction")["array_sha256"]
    mask = versions.volumes.describe(1, kind="data_mask")["array_sha256"]
    assert masked.members.injection_fraction_sha256.to_list() == [fraction] * 2
    assert masked.members.data_mask_sha256.to_list() == [mask] * 2
    add_volume(versions, 1, kind="data_mask", array=np.full((132, 80, 114), 0.5, np.float32))
    (report,) = versions.datasets.stale("masked")
    (change,) = report.members.changed
    assert (change.experiment_id, change.reason) == (1, "another data mask")

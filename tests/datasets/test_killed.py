"""Tags, deletions and imports that are killed half-way: nothing half is seen, and doing it again completes it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bsv_store import Selection, open_store
from tests.datasets.killing import killed
from tests.datasets.test_reliability import assert_sound
from tests.datasets.world import ask

if TYPE_CHECKING:
    from bsv_store import Store


def result_files(store: Store) -> list[str]:
    return sorted(path.name for path in (store.path / "datasets").rglob("*.nc"))


@pytest.mark.parametrize(("point", "is_committed"), [("tag:written", False), ("tag:committed", True)])
def test_a_tag_survives_a_kill_on_one_version_or_the_other(
    filled_location: Path, point: str, is_committed: bool
) -> None:
    with open_store(filled_location) as store:
        for ids in ([1], [1, 2]):
            ask(store, Selection(ids=ids))
        store.datasets.tag("test@1", "figure-3")
    killed(filled_location, point, "tag", "test@2", "figure-3", move=True)
    with open_store(filled_location) as store:
        assert store.dataset("test@figure-3").number == (2 if is_committed else 1)
        assert store.datasets.tag("test@2", "figure-3", move=True).tags == ("figure-3",)
        assert store.datasets.list()[0].tags == ("figure-3@2",)
        assert_sound(store)


@pytest.mark.parametrize(("point", "is_committed"), [("delete:removed", False), ("delete:committed", True)])
def test_a_deletion_survives_a_kill(filled_location: Path, point: str, is_committed: bool) -> None:
    with open_store(filled_location) as store:
        first, second = (ask(store, Selection(ids=ids)) for ids in ([1], [1, 2]))
    killed(filled_location, point, "delete", "test@2")
    with open_store(filled_location) as store:
        # A version has its rows and its file, or no rows. In that case the file may exist, but is not used.
        assert [summary.versions for summary in store.datasets.list()] == [1 if is_committed else 2]
        if not is_committed:
            assert store.dataset("test@2").mean.max() > 0
            store.datasets.delete("test@2")
            assert result_files(store) == [first.path.name]
        # The same question takes the file over, or makes it again; the number is not given twice.
        again = ask(store, Selection(ids=[1, 2]))
        assert (again.number, again.was_computed, again.fingerprint) == (3, True, second.fingerprint)
        assert again.mean.max() > 0
        assert result_files(store) == sorted([first.path.name, again.path.name])


@pytest.mark.parametrize(("point", "is_committed"), [("version:published", False), ("version:committed", True)])
def test_an_import_survives_a_kill(filled_location: Path, tmp_path: Path, point: str, is_committed: bool) -> None:
    bundle = tmp_path / "a.bsv.zip"
    with open_store(filled_location) as store:
        version = ask(store, Selection(ids=[1, 2, 3]))
        version.export(bundle)
        store.datasets.delete(version.ref, force=True)
        assert result_files(store) == []
    killed(filled_location, point, "import_bundle", str(bundle), name="theirs")
    with open_store(filled_location) as store:
        assert [summary.name for summary in store.datasets.list()] == ["theirs"] * is_committed
        taken = store.datasets.import_bundle(bundle, name="theirs")
        assert (taken.ref, taken.content_sha256) == ("theirs@1", version.content_sha256)
        assert taken.mean.max() > 0
        # What had been published before the kill is taken over, not left behind.
        assert result_files(store) == [taken.path.name]

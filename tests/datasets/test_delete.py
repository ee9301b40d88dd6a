from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bsv_store import Selection
from bsv_store.errors import InputError, UnknownDatasetError
from tests.databases import both_databases
from tests.datasets.world import ask

if TYPE_CHECKING:
    from bsv_store import Store

pytestmark = both_databases


def test_a_deleted_version_goes_to_the_trash_and_its_number_is_not_given_again(filled: Store) -> None:
    first, second = ask(filled, Selection(ids=[1])), ask(filled, Selection(ids=[2]))
    gone = filled.datasets.delete("test@2")
    assert gone.ref == "test@2"
    assert not second.path.exists()
    assert [path.name.partition("-")[2] for path in (filled.path / "trash").glob("*.nc")] == [second.path.name]
    with pytest.raises(UnknownDatasetError, match="no version 2"):
        filled.dataset("test@2")
    assert filled.dataset("test").mean.shape == first.mean.shape
    again = ask(filled, Selection(ids=[2]))
    assert (again.number, again.was_computed) == (3, True)
    assert again.content_sha256 == second.content_sha256


def test_a_dataset_without_versions_is_not_listed(filled: Store) -> None:
    ask(filled)
    filled.datasets.delete("test@1")
    assert filled.datasets.list() == ()
    with pytest.raises(UnknownDatasetError, match="no dataset 'test'"):
        filled.dataset("test")
    assert ask(filled).number == 2


def test_what_is_tagged_is_not_deleted(filled: Store) -> None:
    version = ask(filled)
    filled.datasets.tag("test@1", "paper")
    with pytest.raises(InputError, match=r"test@1 .*paper"):
        filled.datasets.delete("test@1")
    assert version.path.exists()
    filled.datasets.untag("test", "paper")
    filled.datasets.delete("test@1")


def test_a_version_whose_file_is_gone_can_be_deleted(filled: Store) -> None:
    ask(filled).path.unlink()
    filled.datasets.delete("test@1")
    assert filled.datasets.list() == ()


def test_the_file_stays_if_the_version_was_made_again_before_it_was_trashed(
    filled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer may publish and commit the same bytes between the deletion of the rows and that of the file."""
    ask(filled)

    def meanwhile(point: str) -> None:
        if point == "delete:committed":
            monkeypatch.undo()
            ask(filled)

    monkeypatch.setattr("bsv_store.datasets.delete.checkpoint", meanwhile)
    filled.datasets.delete("test@1")
    version = filled.dataset("test")
    assert version.number == 2
    assert version.mean.max() > 0


def test_a_file_trashed_before_the_commit_is_published_again(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other order: published, then trashed by a process that deletes the same version, then committed."""
    ask(filled)
    filled.datasets.delete("test@1")

    def meanwhile(point: str) -> None:
        if point == "version:published":
            for path in (filled.path / "datasets" / "test").iterdir():
                filled.files.trash(f"datasets/test/{path.name}", "orphan")

    monkeypatch.setattr("bsv_store.datasets.publish.checkpoint", meanwhile)
    assert ask(filled).mean.max() > 0

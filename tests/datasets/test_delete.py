from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bsv_store.catalog.selection.selection import Selection
from bsv_store.datasets.delete import delete_version
from bsv_store.datasets.table import find_version, list_datasets
from bsv_store.datasets.tags import remove_tag, tag_version
from bsv_store.errors import InputError, UnknownDatasetError
from tests.datasets.world import ask

if TYPE_CHECKING:
    from bsv_store import Store


def test_a_deleted_version_goes_to_the_trash_and_its_number_is_not_given_again(filled: Store) -> None:
    first, second = ask(filled, Selection(ids=[1])), ask(filled, Selection(ids=[2]))
    gone = delete_version(filled.database, filled.files, "test@2")
    assert gone.ref == "test@2"
    assert not second.path.exists()
    assert [path.name.endswith(second.path.name) for path in (filled.path / "trash").iterdir()] == [True]
    with pytest.raises(UnknownDatasetError, match="no version 2"):
        find_version(filled.database, filled.files, "test@2")
    assert find_version(filled.database, filled.files, "test").mean.shape == first.mean.shape
    again = ask(filled, Selection(ids=[2]))
    assert (again.number, again.was_computed) == (3, True)
    assert again.content_sha256 == second.content_sha256


def test_a_dataset_without_versions_is_not_listed(filled: Store) -> None:
    ask(filled)
    delete_version(filled.database, filled.files, "test@1")
    assert list_datasets(filled.database) == ()
    with pytest.raises(UnknownDatasetError, match="no dataset 'test'"):
        find_version(filled.database, filled.files, "test")
    assert ask(filled).number == 2


def test_what_is_tagged_is_not_deleted(filled: Store) -> None:
    version = ask(filled)
    tag_version(filled.database, filled.files, "test@1", "paper", created_by="tester")
    with pytest.raises(InputError, match=r"test@1 cannot be deleted: it has the tag paper"):
        delete_version(filled.database, filled.files, "test@1")
    assert version.path.exists()
    remove_tag(filled.database, "test", "paper")
    delete_version(filled.database, filled.files, "test@1")


def test_a_version_whose_file_is_gone_can_be_deleted(filled: Store) -> None:
    ask(filled).path.unlink()
    delete_version(filled.database, filled.files, "test@1")
    assert list_datasets(filled.database) == ()


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
    delete_version(filled.database, filled.files, "test@1")
    version = find_version(filled.database, filled.files, "test")
    assert version.number == 2
    assert version.mean.max() > 0


def test_a_file_trashed_before_the_commit_is_published_again(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other order: published, then trashed by a process that deletes the same version, then committed."""
    ask(filled)
    delete_version(filled.database, filled.files, "test@1")

    def meanwhile(point: str) -> None:
        if point == "version:published":
            for path in (filled.path / "datasets" / "test").iterdir():
                filled.files.trash(f"datasets/test/{path.name}")

    monkeypatch.setattr("bsv_store.datasets.publish.checkpoint", meanwhile)
    assert ask(filled).mean.max() > 0

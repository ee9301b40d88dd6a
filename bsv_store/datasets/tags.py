"""Tags: names for versions, such as the name of a figure in a paper."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from bsv_store.catalog.activity import record_activity
from bsv_store.catalog.database.models import DatasetTag
from bsv_store.checkpoints import checkpoint
from bsv_store.datasets import locks, table
from bsv_store.datasets.refs import check_name, check_tag, parse_ref
from bsv_store.errors import InputError, UnknownDatasetError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from bsv_store.catalog.database.engine import Database


def tag_version(
    database: Database, ref: str, tag: str, *, created_by: str, move: bool = False, force: bool = False
) -> table.VersionRecord:
    """Tag a version; see `Datasets.tag`. Its recipe is not read, because it may be from another release.

    Raises
    ------
    InputError
        If the tag is not valid, or another version has it and ``move`` is False.
    AnotherUsersTagError
        If another user set the tag, and ``force`` is False.
    UnknownDatasetError
        If the store does not have the version.
    """
    check_tag(tag)
    wanted = parse_ref(ref)
    with database.writing() as connection:
        # The lock prevents the version from being deleted, and the tag from being set, at the same time.
        dataset_id, identifier = table.lock_version(connection, wanted)
        tagged = table.tagged_version(connection, dataset_id, tag)
        if tagged is None or tagged[0] != identifier:
            if tagged is not None and not move:
                raise InputError(
                    f"the tag {tag!r} is on {wanted.name}@{tagged[1]}",
                    hint="Move it with move=True, or choose another tag.",
                )
            details = {"tag": tag}
            if tagged is not None:
                set_by = _set_by(connection, dataset_id, tag)
                command = f"tag --move --force {ref} {tag}"
                _require_own(set_by, created_by, force, f"{tag!r} of {wanted.name}@{tagged[1]}", command)
                details |= {"moved from": f"{wanted.name}@{tagged[1]}", "set by": set_by}
            table.set_tag(connection, dataset_id, tag, identifier, created_by=created_by)
            record_activity(connection, "tagged", table.read_record(connection, identifier).ref, details)
        checkpoint("tag:written")
        version = table.read_record(connection, identifier)
    checkpoint("tag:committed")
    return version


def _set_by(connection: Connection, dataset_id: int | None, tag: str) -> str:
    """The user who set a tag that exists."""
    same = DatasetTag.dataset_id == dataset_id, DatasetTag.tag == tag
    found: str = connection.execute(select(DatasetTag.created_by).where(*same)).scalar_one()
    return found


class AnotherUsersTagError(InputError):
    """The tag was set by another user."""


def _require_own(set_by: str, user: str, force: bool, what: str, command: str) -> None:
    if set_by != user and not force:
        raise AnotherUsersTagError(
            f"the tag {what} was set by {set_by}", hint=f"To change it nevertheless: bsv-store dataset {command}"
        )


def remove_tag(database: Database, name: str, tag: str, *, removed_by: str, force: bool = False) -> None:
    """Remove a tag; see `Datasets.untag`.

    Raises
    ------
    InputError
        If the name or the tag is not valid.
    AnotherUsersTagError
        If another user set the tag, and ``force`` is False.
    UnknownDatasetError
        If the dataset does not have the tag.
    """
    check_name(name)
    check_tag(tag)
    with database.writing() as connection:
        dataset_id = locks.lock_dataset(connection, name)
        tagged = table.tagged_version(connection, dataset_id, tag)
        if dataset_id is None or tagged is None:
            raise UnknownDatasetError(f"the dataset {name!r} has no tag {tag!r}", hint="See `bsv-store dataset list`.")
        set_by = _set_by(connection, dataset_id, tag)
        _require_own(set_by, removed_by, force, f"{tag!r} of {name}@{tagged[1]}", f"untag --force {name} {tag}")
        table.delete_tag(connection, dataset_id, tag)
        record_activity(connection, "untagged", f"{name}@{tagged[1]}", {"tag": tag, "set by": set_by})
        checkpoint("untag:removed")
    checkpoint("untag:committed")

"""Tags: names for versions, such as the figure that shows them. A tag stays where it was put."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select

from bsv_store.catalog.database.models import Dataset, DatasetTag
from bsv_store.catalog.database.models import DatasetVersion as VersionRow
from bsv_store.catalog.database.models.base import now
from bsv_store.checkpoints import checkpoint
from bsv_store.datasets.refs import check_tag, parse_ref
from bsv_store.datasets.table import read_version, version_id
from bsv_store.errors import InputError, UnknownDatasetError

if TYPE_CHECKING:
    from bsv_store.catalog.database.engine import Database
    from bsv_store.datasets.version import DatasetVersion
    from bsv_store.volumes.files import StoreFiles


def tag_version(
    database: Database, files: StoreFiles, ref: str, tag: str, *, created_by: str, move: bool = False
) -> DatasetVersion:
    """The version, which has the tag now.

    Parameters
    ----------
    ref : str
        ``name``, ``name@3``, ``name@latest`` or ``name@tag``.
    tag : str
        One version of a dataset has it at a time.
    created_by : str
        Who to record.
    move : bool
        Take the tag from another version of the dataset, should one have it.

    Raises
    ------
    InputError
        If it cannot be a tag, or another version has it and `move` is not given.
    UnknownDatasetError
        If the store does not have the version.
    """
    check_tag(tag)
    wanted = parse_ref(ref)
    with database.writing() as connection:
        # The lock on the dataset keeps the version from being deleted, and the tag from being set, at the same time.
        dataset_id = connection.scalar(select(Dataset.id).where(Dataset.name == wanted.name).with_for_update())
        identifier = version_id(connection, wanted)
        mine = (DatasetTag.dataset_id == dataset_id, DatasetTag.tag == tag)
        holder = connection.execute(
            select(VersionRow.id, VersionRow.number)
            .join(DatasetTag, DatasetTag.version_id == VersionRow.id)
            .where(*mine)
        ).one_or_none()
        if holder is not None and holder.id != identifier and not move:
            raise InputError(
                f"the tag {tag!r} is on {wanted.name}@{holder.number}",
                hint="A tag does not move by itself; say so (--move), or choose another.",
            )
        if holder is None or holder.id != identifier:
            connection.execute(delete(DatasetTag).where(*mine))
            values = {"tag": tag, "version_id": identifier, "created_at": now(), "created_by": created_by}
            connection.execute(insert(DatasetTag).values(dataset_id=dataset_id, **values))
        checkpoint("tag:written")
        version = read_version(connection, files, identifier)
    checkpoint("tag:committed")
    return version


def remove_tag(database: Database, name: str, tag: str) -> None:
    """Take a tag off; the version stays.

    Raises
    ------
    UnknownDatasetError
        If the dataset does not have such a tag.
    """
    with database.writing() as connection:
        dataset_id = connection.scalar(select(Dataset.id).where(Dataset.name == name).with_for_update())
        gone = connection.execute(delete(DatasetTag).where(DatasetTag.dataset_id == dataset_id, DatasetTag.tag == tag))
        if gone.rowcount == 0:
            raise UnknownDatasetError(f"the dataset {name!r} has no tag {tag!r}", hint="See `bsv-store dataset list`.")

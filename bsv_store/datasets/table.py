"""Dataset versions in the catalog: find one, read it whole, write a new one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from bsv_store.averaging.grouping.grouping import axes_of
from bsv_store.averaging.recipe import Recipe
from bsv_store.catalog.database.bulk import insert_rows, table_of
from bsv_store.catalog.database.models import Dataset, DatasetGroup, DatasetMember, DatasetTag
from bsv_store.catalog.database.models import DatasetVersion as VersionRow
from bsv_store.catalog.database.models.base import now
from bsv_store.datasets.history.checks import checks_of
from bsv_store.datasets.records import GroupInfo, Member, NewVersion
from bsv_store.datasets.refs import DatasetRef, near_names, parse_ref
from bsv_store.datasets.version import DatasetVersion
from bsv_store.errors import InputError, ReadOnlyStoreError, UnknownDatasetError

if TYPE_CHECKING:
    from datetime import datetime

    from bsv_store.catalog.database.engine import Database
    from bsv_store.vocabulary import Axis
    from bsv_store.volumes.files import StoreFiles


@dataclass(frozen=True, slots=True)
class DatasetSummary:
    """A dataset and how much there is of it.

    Attributes
    ----------
    latest : int
        Number of the latest version.
    versions : int
    size_bytes : int
        Of all versions' files.
    changed_at : datetime.datetime
        When the latest version was made, aware UTC.
    tags : tuple of str
        'tag@number', sorted.
    """

    name: str
    created_at: datetime
    created_by: str
    latest: int
    versions: int
    size_bytes: int
    changed_at: datetime
    tags: tuple[str, ...]


# -- reading ----------------------------------------------------------------------------------------------------------


def find_version(database: Database, files: StoreFiles, ref: str | DatasetRef) -> DatasetVersion:
    """The version that ``name``, ``name@3``, ``name@latest`` or ``name@tag`` stands for.

    Raises
    ------
    InputError
        If the text is no such reference.
    UnknownDatasetError
        If the store does not have it; near names are suggested.
    """
    wanted = ref if isinstance(ref, DatasetRef) else parse_ref(ref)
    with database.reading() as connection:
        return read_version(connection, files, version_id(connection, wanted))


def list_datasets(database: Database) -> tuple[DatasetSummary, ...]:
    """All datasets that have versions, by name."""
    query = (
        select(
            Dataset.id,
            Dataset.name,
            Dataset.created_at,
            Dataset.created_by,
            func.max(VersionRow.number).label("latest"),
            func.count().label("versions"),
            func.sum(VersionRow.size_bytes).label("size_bytes"),
            func.max(VersionRow.created_at).label("changed_at"),
        )
        .join(VersionRow, VersionRow.dataset_id == Dataset.id)
        .group_by(Dataset.id)
    )
    tags: dict[int, list[str]] = {}
    with database.reading() as connection:
        # Names and tags are sorted in Python: the databases sort text by different rules.
        rows = sorted(connection.execute(query).all(), key=lambda row: str(row.name))
        tagged = select(DatasetTag.dataset_id, DatasetTag.tag, VersionRow.number).join(
            VersionRow, VersionRow.id == DatasetTag.version_id
        )
        for dataset_id, tag, number in sorted(connection.execute(tagged).all(), key=lambda row: str(row.tag)):
            tags.setdefault(dataset_id, []).append(f"{tag}@{number}")
    return tuple(
        DatasetSummary(
            row.name,
            row.created_at,
            row.created_by,
            row.latest,
            row.versions,
            int(row.size_bytes),
            row.changed_at,
            tuple(tags.get(row.id, [])),
        )
        for row in rows
    )


def version_id(connection: Connection, ref: DatasetRef) -> int:
    """The row id of a version.

    Raises
    ------
    UnknownDatasetError
        If the store does not have it.
    """
    dataset_id = connection.scalar(select(Dataset.id).where(Dataset.name == ref.name))
    versions = select(VersionRow.number, VersionRow.id).where(VersionRow.dataset_id == dataset_id)
    numbers: dict[int, int] = dict(connection.execute(versions.order_by(VersionRow.number)).all())
    if dataset_id is None or not numbers:
        names = connection.scalars(select(Dataset.name).where(Dataset.id.in_(select(VersionRow.dataset_id))))
        raise UnknownDatasetError(f"the store has no dataset {ref.name!r}", hint=near_names(ref.name, names))
    if ref.tag is not None:
        return _tagged(connection, dataset_id, ref)
    found = numbers.get(max(numbers) if ref.number is None else ref.number)
    if found is None:
        raise UnknownDatasetError(
            f"the dataset {ref.name!r} has no version {ref.number}", hint=f"It has {_ranges(list(numbers))}."
        )
    return found


def _tagged(connection: Connection, dataset_id: int, ref: DatasetRef) -> int:
    tagged = select(DatasetTag.tag, DatasetTag.version_id).where(DatasetTag.dataset_id == dataset_id)
    tags: dict[str, int] = dict(connection.execute(tagged).all())
    if ref.tag not in tags:
        known = f"Its tags are {', '.join(sorted(tags))}." if tags else "It has no tags; versions go by their number."
        raise UnknownDatasetError(f"the dataset {ref.name!r} has no tag {ref.tag!r}", hint=known)
    return tags[ref.tag]


def by_fingerprint(connection: Connection, name: str, fingerprint: str) -> int | None:
    """The row id of the dataset's version with that fingerprint, None if there is none."""
    query = select(VersionRow.id).join(Dataset, Dataset.id == VersionRow.dataset_id)
    return connection.scalar(query.where(Dataset.name == name, VersionRow.fingerprint == fingerprint))


def read_version(
    connection: Connection, files: StoreFiles, identifier: int, *, was_computed: bool = False
) -> DatasetVersion:
    """The version of that row id, with groups, members, tags and checks."""
    row = connection.execute(
        select(VersionRow.__table__, Dataset.name)
        .join(Dataset, Dataset.id == VersionRow.dataset_id)
        .where(VersionRow.id == identifier)
    ).one()
    experiments = _members(connection, identifier)
    tags = select(DatasetTag.tag).where(DatasetTag.version_id == identifier)
    return DatasetVersion(
        name=row.name,
        number=row.number,
        recipe=Recipe.from_json(row.recipe),
        fingerprint=row.fingerprint,
        content_sha256=row.content_sha256,
        algorithm_version=row.algorithm_version,
        created_at=row.created_at,
        created_by=row.created_by,
        software=row.software,
        groups=_groups(connection, identifier, experiments),
        experiments=experiments,
        tags=tuple(sorted(connection.scalars(tags))),
        checks=checks_of(connection, identifier),
        relative_path=row.path,
        size_bytes=row.size_bytes,
        file_sha256=row.file_sha256,
        was_computed=was_computed,
        files=files,
    )


def _members(connection: Connection, identifier: int) -> tuple[Member, ...]:
    # In the order of the fields of Member: there are thousands.
    query = select(
        DatasetMember.experiment_id,
        DatasetMember.group_number,
        DatasetMember.left_out_reason,
        DatasetMember.divisor,
        DatasetMember.injected_hemisphere,
        DatasetMember.array_sha256,
        DatasetMember.injection_fraction_sha256,
        DatasetMember.data_mask_sha256,
    ).where(DatasetMember.version_id == identifier)
    rows: Sequence[Sequence[Any]] = connection.execute(query.order_by(DatasetMember.experiment_id)).all()
    return tuple(Member(*row) for row in rows)


def _groups(connection: Connection, identifier: int, experiments: Sequence[Member]) -> tuple[GroupInfo, ...]:
    ids: dict[int | None, list[int]] = {}
    for member in experiments:
        ids.setdefault(member.group, []).append(member.experiment_id)

    def value(row: Row[Any]) -> GroupInfo:
        members = tuple(ids.get(row.number, []))
        first = row.lower, row.upper, row.center
        second = row.second_lower, row.second_upper, row.second_center
        return GroupInfo(row.number, row.label, *first, row.member_count, members, *second)

    query = select(DatasetGroup.__table__).where(DatasetGroup.version_id == identifier).order_by(DatasetGroup.number)
    return tuple(value(row) for row in connection.execute(query))


# -- writing ----------------------------------------------------------------------------------------------------------


def refuse_read_only(database: Database, files: StoreFiles) -> None:
    """Accept a store that may be written to, before work is done and files are published for nothing.

    Raises
    ------
    ReadOnlyStoreError
        If it was opened read-only, or this account may not write to its database or its folder.
    """
    database.require_writable()
    for path in (files.path("datasets"), files.path("tmp")):
        if path.exists() and not os.access(path, os.W_OK):
            raise ReadOnlyStoreError(
                f"{path} may only be read by this account", hint="Ask whoever keeps the store for the right to write."
            )


def take_dataset(connection: Connection, name: str, created_by: str) -> tuple[int, int]:
    """Row id and last version number of a dataset, made if it is new; others wait until this transaction ends.

    Raises
    ------
    InputError
        If a dataset has the same name but for case: on some file systems the two would share a folder.
    """
    refuse_case_twin(connection, name)
    make = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    values = {"name": name, "created_at": now(), "created_by": created_by, "last_number": 0}
    connection.execute(make(Dataset).values(values).on_conflict_do_nothing(index_elements=["name"]))
    query = select(Dataset.id, Dataset.last_number).where(Dataset.name == name).with_for_update()
    row = connection.execute(query).one()
    return row.id, row.last_number


def refuse_case_twin(connection: Connection, name: str) -> None:
    """Accept the name if no dataset is called the same but for case.

    Raises
    ------
    InputError
        If there is one.
    """
    query = select(Dataset.name).where(func.lower(Dataset.name) == name.lower(), Dataset.name != name)
    twin = connection.scalar(query)
    if twin is not None:
        raise InputError(
            f"the dataset {name!r} differs from {twin!r} only by case", hint=f"Use {twin!r} or another name."
        )


def add_version(connection: Connection, dataset: tuple[int, int], version: NewVersion) -> int:
    """The row id of a new version of a dataset that this transaction has taken."""
    dataset_id, last_number = dataset
    number = last_number + 1
    connection.execute(update(Dataset).where(Dataset.id == dataset_id).values(last_number=number))
    values = {
        "dataset_id": dataset_id,
        "number": number,
        "recipe": version.recipe.to_json(),
        "fingerprint": version.fingerprint,
        "algorithm_version": version.algorithm_version,
        "content_sha256": version.content_sha256,
        "path": version.path,
        "size_bytes": version.size_bytes,
        "file_sha256": version.file_sha256,
        "spacing_um": version.recipe.spacing_um,
        "group_count": len(version.groups),
        "member_count": sum(member.group is not None for member in version.experiments),
        "created_at": version.created_at or now(),
        "created_by": version.created_by,
        "software": version.software,
    }
    identifier: int = connection.execute(insert(VersionRow).values(values).returning(VersionRow.id)).scalar_one()
    axes = axes_of(version.recipe.grouping)
    groups = [_group_row(identifier, group, axes) for group in version.groups]
    insert_rows(connection, table_of(DatasetGroup), _GROUP_COLUMNS, groups)
    insert_rows(connection, table_of(DatasetMember), _MEMBER_COLUMNS, _member_rows(identifier, version.experiments))
    return identifier


_GROUP_COLUMNS = (
    "version_id",
    "number",
    "label",
    "lower",
    "upper",
    "center",
    "member_count",
    "axis",
    "second_axis",
    "second_lower",
    "second_upper",
    "second_center",
)


def _group_row(identifier: int, group: GroupInfo, axes: Sequence[Axis]) -> tuple[object, ...]:
    first_axis, second_axis, *_ = [*axes, None, None]
    first = group.lower, group.upper, group.center
    second = group.second_lower, group.second_upper, group.second_center
    return (identifier, group.number, group.label, *first, group.n, first_axis, second_axis, *second)


_MEMBER_COLUMNS = (
    "version_id",
    "experiment_id",
    "group_number",
    "left_out_reason",
    "array_sha256",
    "divisor",
    "injected_hemisphere",
    "injection_fraction_sha256",
    "data_mask_sha256",
)


def _member_rows(identifier: int, experiments: Sequence[Member]) -> list[tuple[object, ...]]:
    return [
        (
            identifier,
            member.experiment_id,
            member.group,
            member.reason,
            member.array_sha256,
            member.divisor,
            member.injected_hemisphere,
            member.injection_fraction_sha256,
            member.data_mask_sha256,
        )
        for member in experiments
    ]


def _ranges(numbers: Sequence[int]) -> str:
    """The numbers as '1, 3-7, 9'."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)

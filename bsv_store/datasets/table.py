"""SQL on the tables of datasets: versions, groups, members, tags and checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from bsv_store.averaging.grouping.grouping import axes_of
from bsv_store.averaging.members import MEMBER_COLUMNS, Member, ids_by_group
from bsv_store.averaging.recipe import Recipe
from bsv_store.catalog.database.bulk import insert_rows, table_of
from bsv_store.catalog.database.models import (
    Dataset,
    DatasetAnswer,
    DatasetCheck,
    DatasetGroup,
    DatasetMember,
    DatasetTag,
    Seal,
)
from bsv_store.catalog.database.models import DatasetVersion as VersionRow
from bsv_store.catalog.database.models.base import now
from bsv_store.catalog.local_versions import local_versions_hint
from bsv_store.catalog.tables.views import view
from bsv_store.datasets.groups import GroupInfo, Groups
from bsv_store.datasets.history.checks import NewCheck, VersionCheck
from bsv_store.datasets.locks import lock_dataset
from bsv_store.datasets.origin import Origin, Twin
from bsv_store.datasets.recorded_rows import require_undamaged
from bsv_store.datasets.refs import DatasetRef, near_names, parse_ref
from bsv_store.datasets.version import DatasetVersion
from bsv_store.errors import InputError, StoreError, UnknownDatasetError
from bsv_store.html import card

if TYPE_CHECKING:
    from bsv_store.catalog.database.engine import Database
    from bsv_store.datasets.new_version import NewVersion
    from bsv_store.datasets.result.file import EncodedResult
    from bsv_store.vocabulary import Axis
    from bsv_store.volumes.files import StoreFiles


ANSWERS: Final = "answer"
"""Scope of the seals of recorded answers, by row id of their version."""


@dataclass(frozen=True, slots=True)
class VersionRecord:
    """The catalog record of a version, without its recipe, groups and members.

    Attributes
    ----------
    name : str
        Name of the dataset.
    number : int
        Version number, from 1.
    fingerprint : str
    tags : tuple of str
        Sorted.
    relative_path : str
        Path of the result file, relative to the store.
    """

    name: str
    number: int
    fingerprint: str
    tags: tuple[str, ...]
    relative_path: str

    def _repr_html_(self) -> str:
        facts = [("Tags", ", ".join(self.tags)), ("Fingerprint", self.fingerprint), ("File", self.relative_path)]
        return card(self.ref, kind="record of a version", facts=facts)

    @property
    def ref(self) -> str:
        """Name and number, such as ``visual-by-AP@3``."""
        return f"{self.name}@{self.number}"


# -- reading ----------------------------------------------------------------------------------------------------------


def find_version(
    database: Database, files: StoreFiles, ref: str | DatasetRef, *, check_rows: bool = True
) -> DatasetVersion:
    """The version that a reference means.

    Parameters
    ----------
    check_rows : bool
        Whether to refuse damaged rows.

    Raises
    ------
    DamagedCatalogError
        If recipe, groups or members are not the ones that were stored.
    InputError
        If the text is not a valid reference.
    UnknownDatasetError
        If the store does not have the version; the hint suggests similar names.
    """
    wanted = ref if isinstance(ref, DatasetRef) else parse_ref(ref)
    try:
        with database.reading() as connection:
            version = read_version(database, connection, files, version_id(connection, wanted))
    except UnknownDatasetError as error:
        if (local := local_versions_hint(database.local_versions(), wanted.name)) is None:
            raise
        hint = local if error.hint is None else f"{local}\n{error.hint}"
        raise UnknownDatasetError(error.message, hint=hint) from None
    if check_rows:
        require_undamaged(version)
    return version


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
        known = f"Its tags are {', '.join(sorted(tags))}." if tags else "It has no tags."
        raise UnknownDatasetError(f"the dataset {ref.name!r} has no tag {ref.tag!r}", hint=known)
    return tags[ref.tag]


def by_fingerprint(connection: Connection, name: str, fingerprint: str) -> int | None:
    """The row id of the version of a dataset with this fingerprint that `aggregate` may return; None if none."""
    found = with_fingerprint(connection, name, fingerprint)
    return next((identifier for identifier, _ in found if can_answer(connection, identifier)), None)


def unchecked_imports(connection: Connection, name: str, fingerprint: str) -> list[int]:
    """The row ids of the unchecked imported versions of a dataset with this fingerprint, oldest first."""
    found = with_fingerprint(connection, name, fingerprint)
    return [identifier for identifier, _ in found if not can_answer(connection, identifier)]


def with_fingerprint(connection: Connection, name: str, fingerprint: str) -> list[tuple[int, str]]:
    """Row ids and content hashes of the versions of a dataset with this fingerprint, oldest first."""
    query = select(VersionRow.id, VersionRow.content_sha256).join(Dataset, Dataset.id == VersionRow.dataset_id)
    same = query.where(Dataset.name == name, VersionRow.fingerprint == fingerprint)
    return [(row.id, row.content_sha256) for row in connection.execute(same.order_by(VersionRow.number))]


def can_answer(connection: Connection, identifier: int) -> bool:
    """Whether a version may be returned instead of computing the average."""
    return read_origin(connection, identifier).can_answer


def read_origin(connection: Connection, identifier: int) -> Origin:
    """The origin of a version."""
    versions = view("dataset_versions").c
    of_row = select(Dataset.name, VersionRow.number).join(Dataset, Dataset.id == VersionRow.dataset_id)
    own = of_row.where(VersionRow.id == identifier).subquery()
    columns = (versions[each.name] for each in fields(Origin))
    query = select(*columns).where(versions.name == own.c.name, versions.number == own.c.number)
    return Origin(**connection.execute(query).mappings().one())


def read_record(connection: Connection, identifier: int) -> VersionRecord:
    """The catalog record of the version with this row id; its recipe need not be readable."""
    query = (
        select(Dataset.name, VersionRow.number, VersionRow.fingerprint, VersionRow.path)
        .join(Dataset, Dataset.id == VersionRow.dataset_id)
        .where(VersionRow.id == identifier)
    )
    name, number, fingerprint, path = connection.execute(query).one()
    return VersionRecord(name, number, fingerprint, _tags(connection, identifier), path)


def _tags(connection: Connection, identifier: int) -> tuple[str, ...]:
    return tuple(sorted(connection.scalars(select(DatasetTag.tag).where(DatasetTag.version_id == identifier))))


def read_version(
    database: Database, connection: Connection, files: StoreFiles, identifier: int, *, was_computed: bool = False
) -> DatasetVersion:
    """The version with this row id, with groups, members, tags and checks.

    Raises
    ------
    StoreError
        If this version of bsv-store cannot read its recipe.
    """
    row = connection.execute(
        select(VersionRow.__table__, Dataset.name)
        .join(Dataset, Dataset.id == VersionRow.dataset_id)
        .where(VersionRow.id == identifier)
    ).one()
    experiments = _members(connection, identifier)
    return DatasetVersion(
        name=row.name,
        number=row.number,
        recipe=read_recipe(row.recipe, row.name, row.number),
        fingerprint=row.fingerprint,
        content_sha256=row.content_sha256,
        algorithm_version=row.algorithm_version,
        created_at=row.created_at,
        created_by=row.created_by,
        software=row.software,
        groups=_groups(connection, identifier, experiments),
        experiments=experiments,
        tags=_tags(connection, identifier),
        checks=_checks(connection, identifier),
        origin=read_origin(connection, identifier),
        twins=_twins(connection, row),
        relative_path=row.path,
        size_bytes=row.size_bytes,
        file_sha256=row.file_sha256,
        was_computed=was_computed,
        files=files,
        database=database,
    )


def _twins(connection: Connection, row: Row[Any]) -> tuple[Twin, ...]:
    """The versions of the same dataset with the same fingerprint but different arrays."""
    same = VersionRow.dataset_id == row.dataset_id, VersionRow.fingerprint == row.fingerprint
    query = select(VersionRow.id, VersionRow.number).where(*same, VersionRow.content_sha256 != row.content_sha256)
    found = []
    for identifier, number in connection.execute(query.order_by(VersionRow.number)).all():
        # The difference is recorded as a check of the imported version.
        checks = [*_checks(connection, identifier), *_checks(connection, row.id)]
        last = next((each for each in reversed(checks) if each.outcome == "different"), None)
        difference = (None, None) if last is None else (last.largest_difference, last.voxels)
        found.append(Twin(f"{row.name}@{number}", read_origin(connection, identifier).standing, *difference))
    return tuple(found)


def read_recipe(text: str, name: str, number: int) -> Recipe:
    """The recorded recipe of a version of a dataset.

    Raises
    ------
    StoreError
        If this version of bsv-store cannot read it.
    """
    try:
        return Recipe.from_json(text)
    except InputError as error:
        raise StoreError(
            f"this version of bsv-store cannot read the recipe of {name}@{number}: {error.message}",
            hint="Compute it again with `bsv-store aggregate`, as the next version. The recipe: bsv-store sql "
            f"\"SELECT recipe FROM dataset_versions WHERE name = '{name}' AND number = {number}\". If that fails with "
            f"this error, the catalog is damaged; first delete this version: bsv-store dataset delete {name}@{number}",
        ) from error


def latest_versions(connection: Connection) -> list[tuple[str, int, int]]:
    """Name of the dataset, number and row id of the latest version of each dataset."""
    newest = select(VersionRow.dataset_id, func.max(VersionRow.number).label("number"))
    latest = newest.group_by(VersionRow.dataset_id).subquery()
    query = (
        select(Dataset.name, VersionRow.number, VersionRow.id)
        .join(VersionRow, VersionRow.dataset_id == Dataset.id)
        .join(latest, (VersionRow.dataset_id == latest.c.dataset_id) & (VersionRow.number == latest.c.number))
    )
    return [(row[0], row[1], row[2]) for row in connection.execute(query)]


_MEMBER_COLUMNS = tuple(column.table for column in MEMBER_COLUMNS)


def _members(connection: Connection, identifier: int) -> tuple[Member, ...]:
    columns = table_of(DatasetMember).c
    query = select(*(columns[name] for name in _MEMBER_COLUMNS)).where(columns.version_id == identifier)
    rows: Sequence[Sequence[Any]] = connection.execute(query.order_by(columns.experiment_id)).all()
    return tuple(Member(*row) for row in rows)


def _groups(connection: Connection, identifier: int, experiments: Sequence[Member]) -> Groups:
    ids = ids_by_group(experiments)

    def value(row: Row[Any]) -> GroupInfo:
        members = tuple(ids.get(row.number, []))
        first = row.lower, row.upper, row.center
        second = row.second_lower, row.second_upper, row.second_center
        return GroupInfo(row.number, row.label, *first, row.member_count, members, *second)

    query = select(DatasetGroup.__table__).where(DatasetGroup.version_id == identifier).order_by(DatasetGroup.number)
    return Groups(value(row) for row in connection.execute(query))


_CHECK_COLUMNS = tuple(each.name for each in fields(NewCheck))


def _checks(connection: Connection, identifier: int) -> tuple[VersionCheck, ...]:
    query = select(DatasetCheck.__table__).where(DatasetCheck.version_id == identifier).order_by(DatasetCheck.id)
    return tuple(
        VersionCheck(
            checked_at=row.checked_at,
            checked_by=row.checked_by,
            **{name: getattr(row, name) for name in _CHECK_COLUMNS},
        )
        for row in connection.execute(query)
    )


# -- versions ---------------------------------------------------------------------------------------------------------


def lock_version(connection: Connection, ref: DatasetRef) -> tuple[int, int]:
    """The row ids of a dataset and of one of its versions; the dataset is locked until the end of the transaction.

    Raises
    ------
    UnknownDatasetError
        If the store does not have the version.
    """
    # Another process may create the dataset after the first statement.
    dataset_id = lock_dataset(connection, ref.name)
    identifier = version_id(connection, ref)
    if dataset_id is None:
        dataset_id = lock_dataset(connection, ref.name)
        identifier = version_id(connection, ref)
    assert dataset_id is not None
    return dataset_id, identifier


def add_version(
    connection: Connection,
    dataset: tuple[int, int],
    version: NewVersion,
    result: EncodedResult,
    path: str,
    *,
    number: int,
    imported_by: str | None = None,
) -> int:
    """The row id of a new version of a dataset, the result of `lock_or_create_dataset`."""
    dataset_id, last_number = dataset
    raised = max(number, last_number)
    connection.execute(update(Dataset).where(Dataset.id == dataset_id).values(last_number=raised))
    values = {
        "dataset_id": dataset_id,
        "number": number,
        "recipe": version.recipe.to_json(),
        "fingerprint": version.fingerprint,
        "algorithm_version": version.algorithm_version,
        "content_sha256": result.content_sha256,
        "path": path,
        "size_bytes": result.size_bytes,
        "file_sha256": result.file_sha256,
        "spacing_um": version.recipe.spacing_um,
        "group_count": len(version.groups),
        "member_count": sum(member.group is not None for member in version.experiments),
        "created_at": version.created_at or now(),
        "created_by": version.created_by,
        "software": version.software,
        "imported_at": None if imported_by is None else now(),
        "imported_by": imported_by,
    }
    identifier: int = connection.execute(insert(VersionRow).values(values).returning(VersionRow.id)).scalar_one()
    axes = axes_of(version.recipe.grouping)
    groups = [_group_row(identifier, group, axes) for group in version.groups]
    insert_rows(connection, table_of(DatasetGroup), _GROUP_COLUMNS, groups)
    members = [(identifier, *member.to_row()) for member in version.experiments]
    insert_rows(connection, table_of(DatasetMember), ("version_id", *_MEMBER_COLUMNS), members)
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


def replace_file(connection: Connection, version: DatasetVersion, result: EncodedResult, path: str) -> bool:
    """Record another result file of a version; False if the version is gone or has another file meanwhile."""
    lock_dataset(connection, version.name)
    same = VersionRow.fingerprint == version.fingerprint, VersionRow.path == version.relative_path
    values = {
        "path": path,
        "size_bytes": result.size_bytes,
        "file_sha256": result.file_sha256,
        # Of the same arrays; another hash if the version was recorded before slabs were hashed.
        "content_sha256": result.content_sha256,
    }
    return connection.execute(update(VersionRow).where(*same).values(values)).rowcount == 1


def delete_version_rows(connection: Connection, identifier: int) -> None:
    """Delete all rows of a version."""
    # A transaction that records an answer locks this row.
    connection.execute(select(VersionRow.id).where(VersionRow.id == identifier).with_for_update())
    for table in (DatasetMember, DatasetGroup, DatasetTag, DatasetCheck, DatasetAnswer):
        connection.execute(delete(table).where(table.version_id == identifier))
    connection.execute(delete(Seal).where(Seal.scope == ANSWERS, Seal.key == str(identifier)))
    connection.execute(delete(VersionRow).where(VersionRow.id == identifier))


# -- tags -------------------------------------------------------------------------------------------------------------


def tagged_version(connection: Connection, dataset_id: int | None, tag: str) -> tuple[int, int] | None:
    """Row id and number of the version of a dataset that has a tag; None if there is none."""
    query = (
        select(VersionRow.id, VersionRow.number)
        .join(DatasetTag, DatasetTag.version_id == VersionRow.id)
        .where(DatasetTag.dataset_id == dataset_id, DatasetTag.tag == tag)
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else (row.id, row.number)


def set_tag(connection: Connection, dataset_id: int | None, tag: str, identifier: int, *, created_by: str) -> None:
    """Tag a version; another version of the dataset with this tag loses it."""
    delete_tag(connection, dataset_id, tag)
    values = {"tag": tag, "version_id": identifier, "created_at": now(), "created_by": created_by}
    connection.execute(insert(DatasetTag).values(dataset_id=dataset_id, **values))


def delete_tag(connection: Connection, dataset_id: int | None, tag: str) -> bool:
    """Remove a tag from a dataset; False if the dataset does not have it."""
    same = DatasetTag.dataset_id == dataset_id, DatasetTag.tag == tag
    return connection.execute(delete(DatasetTag).where(*same)).rowcount > 0


# -- checks and trust -------------------------------------------------------------------------------------------------


def add_check(connection: Connection, version: DatasetVersion, check: NewCheck, *, checked_by: str) -> bool:
    """Record a check of a version; False if the version is gone."""
    # The lock prevents the version from being deleted at the same time.
    dataset_id = lock_dataset(connection, version.name)
    same = VersionRow.number == version.number, VersionRow.fingerprint == version.fingerprint
    identifier = connection.scalar(select(VersionRow.id).where(VersionRow.dataset_id == dataset_id, *same))
    if identifier is None:
        return False
    insert_check(connection, identifier, check, checked_by=checked_by)
    return True


def insert_check(connection: Connection, identifier: int, check: NewCheck, *, checked_by: str) -> None:
    """Record a check of the version with this row id, whose dataset is locked."""
    values: dict[str, Any] = {name: getattr(check, name) for name in _CHECK_COLUMNS}
    values |= {"version_id": identifier, "checked_at": now(), "checked_by": checked_by}
    connection.execute(insert(DatasetCheck).values(values))


def set_trusted(connection: Connection, identifier: int, *, trusted_by: str) -> bool:
    """Record that a user trusts an imported version; False if that is recorded already, or it was not imported."""
    same = VersionRow.id == identifier, VersionRow.imported_at.is_not(None), VersionRow.trusted_at.is_(None)
    changed = update(VersionRow).where(*same).values(trusted_at=now(), trusted_by=trusted_by)
    return connection.execute(changed).rowcount > 0


def _ranges(numbers: Sequence[int]) -> str:
    """The numbers as '1, 3-7, 9'."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)

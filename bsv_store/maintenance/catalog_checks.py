"""Checks of the catalog: its seals, references between rows, and rules that the schema cannot state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import xxhash
from sqlalchemy import Connection, func, select, text
from sqlalchemy.exc import DBAPIError

from bsv_store.catalog import seals
from bsv_store.catalog.annotations import all_annotations, annotation_key
from bsv_store.catalog.database.models import (
    Dataset,
    DatasetGroup,
    DatasetMember,
    DatasetTag,
    Exclusion,
    Experiment,
    Seal,
    StoredVolume,
    Structure,
    StructureSet,
    TransgenicLine,
    UnionizeCoverage,
    UnionizeSeal,
    VolumeBlockHashes,
    VolumeUse,
)
from bsv_store.catalog.database.models import DatasetVersion as VersionRow
from bsv_store.catalog.templates import all_templates, template_key
from bsv_store.catalog.verify import VOLUMES, TableProblems, catalog_checks
from bsv_store.catalog.volumes import volume_key
from bsv_store.datasets.refs import version_key
from bsv_store.datasets.result.file import result_path
from bsv_store.datasets.table import read_recipe
from bsv_store.errors import DamagedCatalogError, StoreError
from bsv_store.maintenance.findings import REPAIR, RESTORE, Finding, replace_version
from bsv_store.text import ids_option, listed, number_of
from bsv_store.volumes.annotation import ANNOTATION_FOLDER
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.template import template_path

if TYPE_CHECKING:
    from bsv_store.catalog.database.engine import Database
    from bsv_store.catalog.database.models import Base

CATALOG = "catalog"
LAST_NUMBER = "the highest version number is lower than that of a version"
"""The problem that `repair` corrects in the row of the dataset."""
VOLUME_USE = f"{CATALOG}/{VolumeUse.__tablename__}"
"""The table whose rows without a volume `repair` removes: they say only when it was last read."""

_COUNTED: Mapping[str, type[Base]] = {
    "exclusion": Exclusion,
    "experiment": Experiment,
    "line": TransgenicLine,
    "structure": Structure,
    "structure_set": StructureSet,
    "volume": StoredVolume,
}


def count_findings(connection: Connection) -> Iterator[Finding]:
    """Compare the numbers of rows with the numbers of seals: lost and added rows, without reading them."""
    sealed: dict[str, int] = dict(connection.execute(select(Seal.scope, func.count()).group_by(Seal.scope)).all())
    for scope, model in _COUNTED.items():
        found = connection.scalar(select(func.count()).select_from(model.__table__)) or 0
        if found != sealed.get(scope, 0):
            name = model.__tablename__
            problem = f"the table {name} has {found:,} rows, but {sealed.get(scope, 0):,} were stored"
            yield Finding(f"{CATALOG}/{name}", None, "damaged_catalog", problem, f"{_VERIFY}\n{RESTORE}")


_VERIFY = "Find the damaged rows: bsv-store verify --deep"


def seal_findings(database: Database) -> Iterator[Finding]:
    """All rows that differ from their seals, except those of unionize tables."""
    # Each check in a transaction of its own: on SQLite, writers wait for readers.
    for check in catalog_checks(database.is_sqlite):
        with database.reading() as connection:
            found = check(connection)
            keys = _volume_rows(connection) if any(each.what == VOLUMES for each in found) else []
        for key in keys:
            problem = "the row of the volume differs from what was stored, is lost, or was added"
            yield Finding(key, None, "damaged_catalog", problem, REPAIR)
        for damage in found:
            if not keys:
                yield Finding(f"{CATALOG}/{damage.what}", None, "damaged_catalog", damage.problem, RESTORE)


def _volume_rows(connection: Connection) -> list[str]:
    try:
        return damaged_volume_rows(connection)
    except (DamagedCatalogError, DBAPIError):
        return []


def damaged_volume_rows(connection: Connection) -> list[str]:
    """The keys of volumes whose rows differ from their seals.

    Raises
    ------
    DamagedCatalogError
        If a value is not possible in its column, so that the damaged rows cannot be identified.
    """
    differing = seals.differing(seals.stored_seals(connection, "volume"), seals.hashes_of_volumes(connection))
    return [_volume_key(key) for key in differing]


def _volume_key(seal_key: str) -> str:
    experiment_id, kind, spacing_um = seal_key.split("/")
    return f"volume/{kind}/{spacing_um}/{experiment_id}"


def block_hash_contents(connection: Connection) -> dict[str, str]:
    """A hash of the recorded block hashes of each volume that has them, by key of the volume."""
    query = select(
        *(StoredVolume.experiment_id, StoredVolume.kind, StoredVolume.spacing_um),
        VolumeBlockHashes.hashes,
    ).join(VolumeBlockHashes.__table__, VolumeBlockHashes.volume_id == StoredVolume.id)
    return {
        volume_key(experiment_id, kind=kind, spacing_um=spacing_um): xxhash.xxh3_128_hexdigest(hashes)
        for experiment_id, kind, spacing_um, hashes in connection.execute(query)
    }


# -- unionize tables --------------------------------------------------------------------------------------------------


def unionize_contents(connection: Connection) -> dict[int, str]:
    """A hash of what is recorded about the unionize table of each experiment that has or should have one."""
    found: dict[int, list[Any]] = {}
    sealed = select(UnionizeSeal.experiment_id, UnionizeSeal.part, UnionizeSeal.hashes)
    for row in connection.execute(sealed.order_by(UnionizeSeal.experiment_id, UnionizeSeal.part)):
        found.setdefault(row.experiment_id, []).append((row.part, xxhash.xxh3_128_hexdigest(row.hashes)))
    covered = select(UnionizeCoverage.experiment_id, UnionizeCoverage.part, UnionizeCoverage.content_sha256)
    for identifier, part, sha256 in connection.execute(
        covered.order_by(UnionizeCoverage.experiment_id, UnionizeCoverage.part)
    ):
        found.setdefault(identifier, []).append((part, sha256))
    # Rows of experiments without a table would be damage too.
    for identifier in connection.scalars(_experiments_with_rows()):
        found.setdefault(identifier, [])
    return {identifier: xxhash.xxh3_128_hexdigest(repr(parts).encode()) for identifier, parts in found.items()}


def _experiments_with_rows() -> Any:
    # One lookup in the primary key for each experiment, instead of reading millions of rows.
    return text(
        "WITH RECURSIVE found(id) AS (SELECT min(experiment_id) FROM unionize UNION ALL"
        " SELECT (SELECT min(experiment_id) FROM unionize WHERE experiment_id > found.id) FROM found"
        " WHERE found.id IS NOT NULL) SELECT id FROM found WHERE id IS NOT NULL"
    )


def unionize_key(experiment_id: int) -> str:
    """The key of the unionize table of an experiment, in findings and in the record of verifications."""
    return f"unionizes/{experiment_id}"


def unionize_findings(experiment_id: int, problems: TableProblems) -> tuple[Finding, ...]:
    """The findings about the unionize table of an experiment."""
    key = unionize_key(experiment_id)
    download = f"bsv-store sync unionizes --refresh {ids_option([experiment_id])}"
    if problems.damage:
        problem = f"rows of the table differ from what was stored: {listed(problems.damage)}"
        return (Finding(key, None, "damaged_catalog", problem, f"{REPAIR}, or {download}"),)
    return tuple(
        Finding(key, None, "contradictory_table", words, f"Replace it with Allen's: {download}")
        for words in problems.contradictions
    )


# -- references and rules ---------------------------------------------------------------------------------------------


def rule_findings(database: Database) -> Iterator[Finding]:
    """Rows that contradict each other, or refer to rows that do not exist."""
    for check in (_foreign_keys, _counts, _tags, _last_numbers, _paths, _annotations, _inputs, _unknown_experiments):
        try:
            with database.reading() as connection:
                found = list(check(connection))
        except (DamagedCatalogError, ValueError, TypeError, KeyError) as error:
            what = check.__name__.strip("_").replace("_", " ")
            problem = f"rows cannot be read: {error}"
            yield Finding(f"{CATALOG}/{what}", None, "damaged_catalog", problem, RESTORE)
        else:
            yield from found


def _foreign_keys(connection: Connection) -> Iterator[Finding]:
    # Postgres enforces them; SQLite only for connections that ask for it.
    if connection.dialect.name != "sqlite":
        return
    broken: dict[tuple[str, str], int] = {}
    for table, _, parent, _ in connection.exec_driver_sql("PRAGMA foreign_key_check"):
        broken[table, parent] = broken.get((table, parent), 0) + 1
    for (table, parent), count in sorted(broken.items()):
        problem = f"{number_of(count, 'row')} of {table} refer to rows of {parent} that do not exist"
        remedy = REPAIR if f"{CATALOG}/{table}" == VOLUME_USE else RESTORE
        yield Finding(f"{CATALOG}/{table}", None, "broken_reference", problem, remedy)


def _unknown_experiments(connection: Connection) -> Iterator[Finding]:
    # The large table has no foreign keys.
    known = set(connection.scalars(select(Experiment.id)))
    for identifier in connection.scalars(_experiments_with_rows()):
        if identifier not in known:
            problem = f"rows of the experiment {identifier}, which the catalog does not have"
            yield Finding(f"{CATALOG}/unionize", None, "broken_reference", problem, RESTORE)


def _versions(connection: Connection) -> dict[int, Any]:
    query = select(VersionRow.__table__, Dataset.name, Dataset.last_number).join(
        Dataset.__table__, Dataset.id == VersionRow.dataset_id
    )
    return {row.id: row for row in connection.execute(query.order_by(Dataset.id, VersionRow.number))}


def _counts(connection: Connection) -> Iterator[Finding]:
    groups: dict[int, dict[int, int]] = {}
    for row in connection.execute(select(DatasetGroup.version_id, DatasetGroup.number, DatasetGroup.member_count)):
        groups.setdefault(row.version_id, {})[row.number] = row.member_count
    members: dict[int, dict[int, int]] = {}
    counted = select(DatasetMember.version_id, DatasetMember.group_number, func.count().label("n"))
    grouped = counted.where(DatasetMember.group_number.is_not(None))
    for version_id, number, count in connection.execute(
        grouped.group_by(DatasetMember.version_id, DatasetMember.group_number)
    ):
        members.setdefault(version_id, {})[number or 0] = count
    for identifier, version in _versions(connection).items():
        own, placed = groups.get(identifier, {}), members.get(identifier, {})
        problems = []
        if version.group_count != len(own):
            problems.append(f"{number_of(len(own), 'group')} of {version.group_count:,}")
        if sorted(own) != list(range(len(own))):
            problems.append("group numbers with gaps")
        if version.member_count != sum(placed.values()):
            problems.append(f"{number_of(sum(placed.values()), 'member')} of {version.member_count:,}")
        problems += [
            f"{number_of(placed.get(number, 0), 'member')} of {count:,} in group {number}"
            for number, count in sorted(own.items())
            if placed.get(number, 0) != count
        ]
        if problems:
            key = version_key(version.name, version.number)
            yield Finding(key, None, "inconsistent_rows", f"the version has {listed(problems)}", RESTORE)


def _tags(connection: Connection) -> Iterator[Finding]:
    query = (
        select(Dataset.name, DatasetTag.tag)
        .select_from(DatasetTag.__table__)
        .join(VersionRow.__table__, VersionRow.id == DatasetTag.version_id)
        .join(Dataset.__table__, Dataset.id == DatasetTag.dataset_id)
        .where(VersionRow.dataset_id != DatasetTag.dataset_id)
    )
    for row in connection.execute(query):
        problem = f"the tag {row.tag} refers to a version of another dataset"
        remedy = f"Set it again: bsv-store dataset tag {row.name}@NUMBER {row.tag}"
        yield Finding(f"dataset/{row.name}", None, "broken_reference", problem, remedy)


def _last_numbers(connection: Connection) -> Iterator[Finding]:
    highest: dict[str, tuple[int, int]] = {}
    for version in _versions(connection).values():
        last, number = highest.get(version.name, (version.last_number, 0))
        highest[version.name] = last, max(number, version.number)
    for name, (last, number) in sorted(highest.items()):
        if last < number:
            problem = f"{LAST_NUMBER} ({last} < {number}), so that a number would be assigned again"
            yield Finding(f"dataset/{name}", None, "inconsistent_rows", problem, REPAIR)


def _paths(connection: Connection) -> Iterator[Finding]:
    def different(key: str, path: str, expected: str) -> Finding:
        problem = f"the row has the path {path}; a file with these hashes would be {expected}"
        return Finding(key, path, "inconsistent_rows", problem, RESTORE)

    columns = (
        *(StoredVolume.experiment_id, StoredVolume.kind, StoredVolume.spacing_um, StoredVolume.path),
        *(StoredVolume.file_sha256, StoredVolume.size_ap, StoredVolume.size_dv, StoredVolume.size_ml),
    )
    for experiment_id, kind, spacing_um, path, sha256, *shape in connection.execute(select(*columns)):
        key = volume_key(experiment_id, kind=kind, spacing_um=spacing_um)
        expected = f"volumes/{kind}/{spacing_um}um/{experiment_id}.{sha256[:16]}.h5"
        if path != expected:
            yield different(key, path, expected)
        elif tuple(shape) != Grid(spacing_um).shape:
            problem = f"the shape {shape} is not that of the grid at {spacing_um} um"
            yield Finding(key, path, "inconsistent_rows", problem, REPAIR)
    for file in all_annotations(connection):
        expected = f"{ANNOTATION_FOLDER}/{file.grid.spacing_um}um/annotation.{file.file_sha256[:16]}.h5"
        if file.path != expected:
            yield different(annotation_key(file.grid.spacing_um), file.path, expected)
    for template in all_templates(connection):
        expected = template_path(template.grid.spacing_um, template.file_sha256)
        if template.path != expected:
            yield different(template_key(template.grid.spacing_um), template.path, expected)
    for version in _versions(connection).values():
        expected = result_path(version.name, version.fingerprint, version.file_sha256)
        if version.path != expected:
            yield different(version_key(version.name, version.number), version.path, expected)


def _annotations(connection: Connection) -> Iterator[Finding]:
    stored = {file.grid.spacing_um: file for file in all_annotations(connection)}
    for spacing_um, file in stored.items():
        if file.derived_from_um is None:
            continue
        source = stored.get(file.derived_from_um)
        if source is None or source.array_sha256 != file.derived_from_sha256:
            problem = f"the annotation at {file.derived_from_um} um from which it was derived is not in the store"
            remedy = f"{REPAIR}, or bsv-store sync annotation --spacing {file.derived_from_um}"
            yield Finding(annotation_key(spacing_um), file.path, "outdated_annotation", problem, remedy)


def _inputs(connection: Connection) -> Iterator[Finding]:
    """Versions whose volumes have been replaced or removed since they were averaged."""
    columns = (StoredVolume.experiment_id, StoredVolume.kind, StoredVolume.spacing_um, StoredVolume.array_sha256)
    stored = {(row[0], row[1], row[2]): row[3] for row in connection.execute(select(*columns))}
    averaged: dict[int, list[tuple[int, str | None]]] = {}
    members = select(DatasetMember.version_id, DatasetMember.experiment_id, DatasetMember.array_sha256)
    for version_id, experiment_id, sha256 in connection.execute(members.where(DatasetMember.group_number.is_not(None))):
        averaged.setdefault(version_id, []).append((experiment_id, sha256))
    for identifier, version in _versions(connection).items():
        key = version_key(version.name, version.number)
        try:
            recipe = read_recipe(version.recipe, version.name, version.number)
        except StoreError as error:
            remedy = replace_version(f"{version.name}@{version.number}")
            yield Finding(key, version.path, "inconsistent_rows", error.message, remedy)
            continue
        if not recipe.has_voxels:
            # `dataset stale` compares the values of a comparison by structure.
            continue
        used = averaged.get(identifier, [])
        here = {each: stored.get((each, recipe.kind, recipe.spacing_um)) for each, _ in used}
        # The volumes of an imported version may never have been in this store.
        is_imported = version.imported_at is not None
        changed = [each for each, sha256 in used if here[each] != sha256 and not (is_imported and here[each] is None)]
        if changed:
            problem = f"{len(changed):,} of {number_of(len(used), 'volume')} have been replaced or removed since"
            remedy = f"What has changed: bsv-store dataset stale {version.name}@{version.number}"
            yield Finding(key, version.path, "changed_inputs", problem, remedy)

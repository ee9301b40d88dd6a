"""Files in the store's folder that the catalog does not list: orphans, temporary and foreign files."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from sqlalchemy import Connection, select

from bsv_store.catalog.annotations import annotation_key
from bsv_store.catalog.database.models import Dataset, Experiment
from bsv_store.catalog.templates import template_key
from bsv_store.catalog.volumes import volume_key
from bsv_store.datasets.numbers import NUMBERS_FOLDER, given_numbers
from bsv_store.maintenance.findings import REPAIR, RESTORE, Finding
from bsv_store.maintenance.object_checks import file_sha256, missing_permissions, permissions_text
from bsv_store.maintenance.orphan_results import result_key
from bsv_store.vocabulary import SPACINGS_UM, VOLUME_KINDS

if TYPE_CHECKING:
    from bsv_store.catalog.database.engine import Database
    from bsv_store.maintenance.inventory import FoundFile
    from bsv_store.volumes.files import StoreFiles

_HASH = "[0-9a-f]{16}"
_VOLUME = re.compile(rf"volumes/(?P<kind>\w+)/(?P<um>\d+)um/(?P<id>\d{{1,18}})\.(?P<hash>{_HASH})\.h5")
_ANNOTATION = re.compile(rf"volumes/annotation/(?P<um>\d+)um/annotation\.(?P<hash>{_HASH})\.h5")
_TEMPLATE = re.compile(rf"volumes/template/(?P<um>\d+)um/template\.(?P<hash>{_HASH})\.h5")
_RESULT = re.compile(rf"datasets/(?P<name>[^/]+)/(?P<fingerprint>{_HASH})\.(?P<hash>{_HASH})\.nc")

# A running process writes to its temporary files.
_ABANDONED_AFTER = timedelta(hours=1)
_COLLECT = "bsv-store gc --apply"
_OTHER_NAME = "bsv-store does not use files of this name or type"
_LAST_NUMBERS = select(Dataset.name, Dataset.last_number)


@dataclass(frozen=True, slots=True)
class Unlisted:
    """A file of the store that the catalog does not list.

    Attributes
    ----------
    path : str
    key : str
        Key of the volume, annotation or template that it would be; ``result/NAME/FINGERPRINT`` for a result.
    hash : str
        The first 16 digits of the SHA-256 of its bytes, according to its name.
    is_result : bool
        Whether it is the result file of a dataset.
    experiment_id : int or None
        Of a volume; None for other files.
    """

    path: str
    key: str
    hash: str
    is_result: bool = False
    experiment_id: int | None = None


@dataclass(frozen=True, slots=True)
class Foreign:
    """A file in the store's folder that is not one of this store.

    Attributes
    ----------
    reason : str
        Why it is not.
    """

    reason: str


def named_file(path: str) -> Unlisted | None:
    """The object that a path names; None if the store has no files with such names."""
    if (found := _VOLUME.fullmatch(path)) is not None:
        spacing_um = int(found["um"])
        if found["kind"] not in VOLUME_KINDS or spacing_um not in SPACINGS_UM:
            return None
        experiment_id = int(found["id"])
        key = volume_key(experiment_id, kind=found["kind"], spacing_um=spacing_um)
        return Unlisted(path, key, found["hash"], experiment_id=experiment_id)
    if (found := _ANNOTATION.fullmatch(path)) is not None:
        return Unlisted(path, annotation_key(int(found["um"])), found["hash"]) if _is_spacing(found["um"]) else None
    if (found := _TEMPLATE.fullmatch(path)) is not None:
        return Unlisted(path, template_key(int(found["um"])), found["hash"]) if _is_spacing(found["um"]) else None
    if (found := _RESULT.fullmatch(path)) is not None:
        return Unlisted(path, result_key(found["name"], found["fingerprint"]), found["hash"], is_result=True)
    return None


def _is_spacing(um: str) -> bool:
    return int(um) in SPACINGS_UM


def identified(file: FoundFile, experiment_ids: Collection[int]) -> Unlisted | Foreign:
    """What a file in ``volumes/`` or ``datasets/`` may be, by its name and type.

    Nothing moves or deletes foreign files: `verify` reports them, and `collect_garbage` counts them.

    Parameters
    ----------
    file : FoundFile
    experiment_ids : collection of int
        The result of `known_ids`.
    """
    named = named_file(file.path)
    if named is None or not file.is_regular:
        return Foreign(_OTHER_NAME)
    if named.experiment_id is not None and named.experiment_id not in experiment_ids:
        return Foreign("a volume of an experiment that the catalog does not have, perhaps of another store")
    return named


def identified_temporary(file: FoundFile) -> str | Foreign:
    """The identity of the process that created a file in ``tmp/``, as in `bsv_store.owner`, or `Foreign`."""
    return file.owner or Foreign(_OTHER_NAME)


def _any_identified(file: FoundFile, experiment_ids: Collection[int]) -> Unlisted | str | Foreign:
    return identified_temporary(file) if file.path.startswith("tmp/") else identified(file, experiment_ids)


def known_ids(connection: Connection) -> set[int]:
    """The ids of all experiments in the catalog."""
    return set(connection.scalars(select(Experiment.id)))


def unlisted_findings(
    files: StoreFiles,
    found: Iterable[FoundFile],
    *,
    listed_keys: Collection[str],
    claimed: Collection[str],
    experiment_ids: Collection[int],
    read: bool,
) -> Iterator[Finding]:
    """The findings for files that the catalog does not list.

    Parameters
    ----------
    found : iterable of FoundFile
        The files in ``volumes/``, ``datasets/`` and ``tmp/`` that the catalog does not list.
    listed_keys : collection of str
        The keys of all objects in the catalog, and of the results that versions have.
    claimed : collection of str
        The keys of live claims.
    experiment_ids : collection of int
        The result of `known_ids`.
    read : bool
        Whether to compare orphans with the hashes in their names.
    """
    now = datetime.fromtimestamp(time.time(), UTC)
    for file in found:
        known = _any_identified(file, experiment_ids)
        if isinstance(known, Foreign):
            remedy = f"Move {file.path} out of the store's folder."
            yield Finding(file.path, file.path, "foreign_file", known.reason, remedy)
        elif isinstance(known, Unlisted):
            if known.key not in claimed:
                yield from _orphan(files, known, listed_keys, read=read)
        elif now - file.modified_at > _ABANDONED_AFTER:
            problem = f"left by a run that was aborted; last changed {file.modified_at:%Y-%m-%d %H:%M} UTC"
            yield Finding(file.path, file.path, "temporary", problem, _COLLECT)


def _orphan(files: StoreFiles, named: Unlisted, listed_keys: Collection[str], *, read: bool) -> Iterator[Finding]:
    if read:
        try:
            sha256, _ = file_sha256(files.path(named.path))
        except FileNotFoundError:
            return
        except OSError as error:
            yield Finding(named.path, named.path, "orphan", f"it cannot be read: {error.strerror}", _COLLECT)
            return
        if not sha256.startswith(named.hash):
            problem = "the bytes do not have the hash in the name; nothing reads it"
            yield Finding(named.path, named.path, "orphan", problem, _COLLECT)
            return
    if named.key in listed_keys:
        problem = f"an earlier file of {named.key}, or one that an aborted run stored"
        yield Finding(named.path, named.path, "orphan", problem, _COLLECT)
    elif named.is_result:
        problem = "a result without a version: from an aborted run, or newer than the restored catalog"
        yield Finding(named.key, named.path, "orphan", problem, f"{REPAIR} --adopt-results, else {_COLLECT}")
    else:
        problem = f"the catalog does not list the file {named.path}, which an aborted run may have stored"
        yield Finding(named.key, named.path, "orphan", problem, REPAIR)


def number_findings(database: Database, files: StoreFiles) -> Iterator[Finding]:
    """The version numbers that were assigned according to the folder, but that the catalog does not know."""
    given = given_numbers(files)
    with database.reading() as connection:
        known = {str(name).lower(): int(number) for name, number in connection.execute(_LAST_NUMBERS)}
    for each in given:
        last = known.get(each.name.lower(), 0)
        if each.number > last:
            problem = (
                f"the version {each.name}@{each.number} was assigned, but the highest number in the catalog is {last}: "
                "the catalog was restored from an older copy, or a process was killed. The number is not assigned again"
            )
            path = f"{NUMBERS_FOLDER}/{each.name.lower()}.json"
            yield Finding(f"dataset/{each.name}", path, "orphan", problem, f"If versions are missing: {RESTORE}")


def folder_findings(
    files: StoreFiles, found: Iterable[FoundFile], *, experiment_ids: Collection[int]
) -> Iterator[Finding]:
    """The folders of the store whose permissions lock other users out; those of foreign files are not reported."""
    listed = (file for file in found if not isinstance(_any_identified(file, experiment_ids), Foreign))
    own = {file.path.rpartition("/")[0] for file in listed}
    folders = own | {str(parent) for folder in own for parent in PurePosixPath(folder).parents} - {"."}
    for folder in sorted(folders | {"volumes", "datasets", "tmp", "trash"}):
        try:
            mode = files.path(folder).stat().st_mode
        except OSError:
            continue
        if missing_permissions(mode, files.directory_mode):
            yield Finding(folder, folder, "wrong_permissions", permissions_text(mode, files.directory_mode), REPAIR)

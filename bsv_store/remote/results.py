"""Averages that were computed on this computer from a store on a server, which can only be read.

`bsv_store.remote.local_records` says how they are kept. The same question finds them without computing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bsv_store.averaging.recorded import fingerprint_of
from bsv_store.checkpoints import checkpoint
from bsv_store.datasets.compute import temporary_result
from bsv_store.datasets.groups import groups_of
from bsv_store.datasets.origin import Origin
from bsv_store.datasets.refs import check_name
from bsv_store.datasets.result.file import open_result
from bsv_store.datasets.share.bundle_schema import read_inputs
from bsv_store.datasets.version import DatasetVersion
from bsv_store.errors import DamagedFileError, FormatError, InputError, UnknownDatasetError
from bsv_store.progress import shown_progress
from bsv_store.remote.files import CachedFiles
from bsv_store.remote.folder import FILE_MODE, FOLDER_MODE, cache_errors, make_private
from bsv_store.remote.local_records import LocalResult, listed_results, local_ref, start_of_fingerprint
from bsv_store.volumes.files import StoreFiles

if TYPE_CHECKING:
    from bsv_store.averaging.inputs import Inputs
    from bsv_store.catalog.database.engine import Database
    from bsv_store.datasets.new_version import NewVersion
    from bsv_store.datasets.result.file import EncodedResult
    from bsv_store.progress import Progress


class LocalVersion(DatasetVersion):
    """An average that was computed on this computer; a `DatasetVersion` without a number (0) in its dataset."""

    @property
    def ref(self) -> str:
        """Name and start of the fingerprint, such as ``visual-by-AP@local-1f2e3d4c5b6a``."""
        return local_ref(self.name, self.fingerprint)

    @contextmanager
    def _unless_deleted(self) -> Iterator[None]:
        """Nothing deletes it while it is open, so that a damaged file is one."""
        yield


@dataclass(frozen=True)
class LocalResults:
    """The averages that were computed on this computer from one server; a publisher of `aggregate`.

    Parameters
    ----------
    database : Database
        The copy of the server's catalog.
    files : CachedFiles
    """

    database: Database
    files: CachedFiles

    def find(self, name: str, fingerprint: str) -> DatasetVersion | None:
        """The local average with a fingerprint, under any name; every byte verified. None if it must be computed."""
        known = listed_results(self.files.root, fingerprint=fingerprint)
        for each in sorted(known, key=lambda each: each.name != name):
            version = self._version(each, name=name, was_computed=False)
            if version is not None:
                if each.name != name:
                    self._record(replace(each, name=name))
                return version
        return None

    def get(self, ref: str) -> DatasetVersion | None:
        """The local average that a reference means; None if it is not the reference of one.

        Raises
        ------
        UnknownDatasetError
            If this computer does not have it.
        DamagedFileError
            If its file is missing or damaged.
        """
        start = start_of_fingerprint(ref)
        if start is None:
            return None
        for each in listed_results(self.files.root, fingerprint=start):
            if each.ref == ref:
                version = self._version(each, name=each.name, was_computed=False)
                if version is None:
                    raise DamagedFileError(
                        f"the file of {ref} is missing or damaged: {self.files.root / each.path}",
                        hint="Compute it again with the same arguments; or remove it: bsv-store cache prune --average "
                        f"{ref} --apply",
                    )
                return version
        raise UnknownDatasetError(
            f"this computer has no average {ref!r}",
            hint="List those that it has: bsv-store cache list. Or compute it again with the same arguments.",
        )

    @contextmanager
    def computing(self, inputs: Inputs, progress: Progress | None) -> Iterator[Path | None]:
        """Download the missing volumes, several at a time; yields the temporary file of a large result.

        Raises
        ------
        StoreUnreachableError
            If a volume is not in the cache, and the server cannot be reached.
        """
        with (
            self.files.prefetched([each.path for each in inputs.files()], shown_progress(progress)),
            temporary_result(self._own_files(), inputs.recipe) as path,
        ):
            yield path

    def publish(self, version: NewVersion, result: EncodedResult, *, name: str, state: int) -> DatasetVersion:
        """Keep a result on this computer."""
        record = LocalResult(
            name=check_name(name),
            fingerprint=version.fingerprint,
            content_sha256=result.content_sha256,
            file_sha256=result.file_sha256,
            size_bytes=result.size_bytes,
            group_count=len(version.groups),
            member_count=sum(member.group is not None for member in version.experiments),
            spacing_um=version.recipe.spacing_um,
            algorithm_version=version.algorithm_version,
            created_at=datetime.now(UTC).isoformat(),
            created_by=version.created_by,
            software=version.software,
        )
        with cache_errors(self.files.root):
            result.publish(self._own_files(), record.path)
            checkpoint("local:published")
            self._record(record)
        stored = self._version(record, name=name, was_computed=True)
        if stored is None:
            raise DamagedFileError(
                f"the result {self.files.root / record.path} changed after it was written", hint="Check the disk."
            )
        return stored

    def _own_files(self) -> StoreFiles:
        make_private(self.files.root)
        return StoreFiles(self.files.root, FILE_MODE, FOLDER_MODE)

    def _record(self, record: LocalResult) -> None:
        self._own_files().publish(record.record_path, record.to_json().encode())

    def _version(self, record: LocalResult, *, name: str, was_computed: bool) -> DatasetVersion | None:
        """The version of a record, from its result file; None if that is missing or damaged."""
        path = self.files.root / record.path
        try:
            with open_result(
                path, size_bytes=record.size_bytes, file_sha256=record.file_sha256, what=record.ref
            ) as file:
                text, inputs = read_inputs(file, path)
        except (DamagedFileError, FormatError, InputError):
            # It can be computed again.
            return None
        if fingerprint_of(text) != record.fingerprint:
            return None
        return LocalVersion(
            name=name,
            number=0,
            recipe=inputs.recipe,
            fingerprint=record.fingerprint,
            content_sha256=record.content_sha256,
            algorithm_version=record.algorithm_version,
            created_at=datetime.fromisoformat(record.created_at),
            created_by=record.created_by,
            software=record.software,
            groups=groups_of(inputs),
            experiments=inputs.experiments(),
            tags=(),
            checks=(),
            origin=Origin(standing="local"),
            twins=(),
            relative_path=record.path,
            size_bytes=record.size_bytes,
            file_sha256=record.file_sha256,
            was_computed=was_computed,
            files=self.files,
            database=self.database,
        )


def local_results(database: Database, files: StoreFiles) -> LocalResults | None:
    """The local averages of a store on a server; None for a store in a folder."""
    return LocalResults(database, files) if isinstance(files, CachedFiles) else None

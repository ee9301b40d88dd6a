"""Where `aggregate` keeps a new average: in the store, or elsewhere if the store can only be read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from bsv_store.catalog.volume_use import record_use
from bsv_store.datasets import table
from bsv_store.datasets.compute import temporary_result
from bsv_store.datasets.history.rebuild import compared
from bsv_store.datasets.publish import publish, require_writable

if TYPE_CHECKING:
    from pathlib import Path

    from bsv_store.averaging.inputs import Inputs
    from bsv_store.catalog.database.engine import Database
    from bsv_store.datasets.new_version import NewVersion
    from bsv_store.datasets.result.file import EncodedResult
    from bsv_store.datasets.version import DatasetVersion
    from bsv_store.progress import Progress
    from bsv_store.volumes.files import StoreFiles


class Publisher(Protocol):
    """Where `aggregate` keeps a new average."""

    def find(self, name: str, fingerprint: str) -> DatasetVersion | None:
        """A version with the fingerprint that the catalog does not have; None if there is none."""

    def computing(self, inputs: Inputs, progress: Progress | None) -> AbstractContextManager[Path | None]:
        """Prepare the inputs for the block that reads them; yields the temporary file of a result, see `compute`.

        Raises
        ------
        ReadOnlyStoreError
            If nothing can be kept.
        """

    def publish(self, version: NewVersion, result: EncodedResult, *, name: str, state: int) -> DatasetVersion:
        """Keep a result, which was computed in the given state of the catalog.

        Raises
        ------
        VanishedError
            If it must be computed again.
        NoSpaceError, ReadOnlyStoreError, StoreError
            If it cannot be written. Nothing is kept then.
        """


@dataclass(frozen=True, slots=True)
class StorePublisher:
    """Keeps averages as versions of a dataset in the store."""

    database: Database
    files: StoreFiles

    def find(self, name: str, fingerprint: str) -> DatasetVersion | None:
        """None: the catalog has all versions."""
        return None

    @contextmanager
    def computing(self, inputs: Inputs, progress: Progress | None) -> Iterator[Path | None]:
        """See `Publisher.computing`."""
        require_writable(self.database, self.files)
        record_use(self.database, inputs.files())
        with temporary_result(self.files, inputs.recipe) as path:
            yield path

    def publish(self, version: NewVersion, result: EncodedResult, *, name: str, state: int) -> DatasetVersion:
        """See `bsv_store.datasets.publish.publish`."""
        with self.database.reading() as connection:
            imported = {
                identifier: table.read_version(self.database, connection, self.files, identifier)
                for identifier in table.unchecked_imports(connection, name, version.fingerprint)
            }
        return publish(
            self.database,
            self.files,
            version,
            result,
            name=name,
            state=state,
            compared={identifier: compared(each, result) for identifier, each in imported.items()},
        )

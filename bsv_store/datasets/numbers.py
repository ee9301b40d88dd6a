"""The highest version number that was given, kept in the store's folder: no number is given to two versions.

The database has it too, but a database that is restored from an older copy would give numbers again that are cited
elsewhere. Each dataset therefore has a record, ``datasets/.numbers/NAME.json``, written before the row is committed. It
contains the hashes of the version: a process that is killed before the commit leaves a number that may or may not have
been seen, and that number is given again only to the same result. Names that differ by case share a record.

Without the records only the database counts.
"""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from bsv_store.checkpoints import checkpoint
from bsv_store.documents import read_document, record_of, seal_of, sealed_value
from bsv_store.errors import BsvStoreWarning, StoreError
from bsv_store.file_systems import read_errors
from bsv_store.volumes.files import store_errors

if TYPE_CHECKING:
    from bsv_store.volumes.files import StoreFiles

NUMBERS_FOLDER = "datasets/.numbers"


@dataclass(frozen=True, slots=True)
class GivenNumber:
    """The highest version number given in a dataset, and the version that got it.

    Attributes
    ----------
    name : str
        Of the dataset.
    number : int
    fingerprint, content_sha256 : str or None
        Of the version; None if the record was raised to a number that the database has.
    """

    name: str
    number: int
    fingerprint: str | None
    content_sha256: str | None


def given_number(files: StoreFiles, name: str) -> GivenNumber | None:
    """The highest number given in a dataset, according to the folder; None if there is no valid record.

    Raises
    ------
    StoreError
        If the record cannot be read.
    """
    path = files.path(_path(name))
    try:
        return record_of(GivenNumber, sealed_value(read_document(path), "given"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"the record of version numbers {path} cannot be read: {error}") from error
    except ValueError as error:
        warnings.warn(
            BsvStoreWarning(
                f"the record of version numbers {path} is damaged: {error}",
                hint="Only the database protects the numbers of this dataset until its next version is stored.",
            ),
            stacklevel=2,
        )
        return None


def given_numbers(files: StoreFiles) -> list[GivenNumber]:
    """The highest number given in each dataset, according to the folder, by name."""
    folder = files.path(NUMBERS_FOLDER)
    with read_errors(folder):
        names = sorted(path.stem for path in folder.glob("*.json")) if folder.is_dir() else []
    return [found for found in (given_number(files, name) for name in names) if found is not None]


class Numbers:
    """The numbers of one dataset, whose row is locked. See `reserving`.

    Parameters
    ----------
    files : StoreFiles
    name : str
        Of the dataset.
    """

    def __init__(self, files: StoreFiles, name: str) -> None:
        self._files = files
        self._name = name
        self._before: GivenNumber | None = None
        self._written: GivenNumber | None = None

    def reserve(self, last_number: int, fingerprint: str, content_sha256: str, *, wanted: int | None = None) -> int:
        """The number of a new version, recorded in the folder.

        Parameters
        ----------
        last_number : int
            Highest number according to the database.
        fingerprint, content_sha256 : str
            Of the version.
        wanted : int, optional
            The number to give if no number as high has been given.
        """
        before = given_number(self._files, self._name)
        number = last_number + 1
        if before is not None and before.number > last_number:
            if (before.fingerprint, before.content_sha256) == (fingerprint, content_sha256):
                number = before.number
            else:
                number = before.number + 1
                _warn_of_older_database(self._name, last_number, before.number, number)
        number = max(number, wanted or 0)
        self._write(before, number, fingerprint, content_sha256)
        return number

    def record(self, number: int, fingerprint: str | None = None, content_sha256: str | None = None) -> None:
        """Record a number in the folder, unless a higher one is recorded."""
        before = given_number(self._files, self._name)
        if before is None or before.number <= number:
            self._write(before, number, fingerprint, content_sha256)

    def _write(
        self, before: GivenNumber | None, number: int, fingerprint: str | None, content_sha256: str | None
    ) -> None:
        given = GivenNumber(self._name, number, fingerprint, content_sha256)
        self._before, self._written = before, given
        _write(self._files, given)
        checkpoint("number:recorded")

    def restore(self) -> None:
        """Undo `reserve` or `record`, in the transaction, which is rolled back."""
        # If the connection was lost, so was the lock, and another process may have given a number.
        if self._written is None or given_number(self._files, self._name) != self._written:
            return
        if self._before is not None:
            _write(self._files, self._before)
            return
        path = self._files.path(_path(self._name))
        with store_errors(path):
            path.unlink(missing_ok=True)


@contextmanager
def reserving(files: StoreFiles, name: str) -> Iterator[Numbers]:
    """The numbers of a dataset for use inside the transaction that locks it; an error gives the number back.

    After an error of the commit itself, the number is given again only to the same result.
    """
    numbers = Numbers(files, name)
    try:
        yield numbers
    except BaseException:
        # The number is then not given to another result, which is safe.
        with contextlib.suppress(Exception):
            numbers.restore()
        raise


def _write(files: StoreFiles, given: GivenNumber) -> None:
    value = asdict(given)
    files.publish(_path(given.name), json.dumps({"given": value, "sha256": seal_of(value)}, indent=1).encode())


def _path(name: str) -> str:
    return f"{NUMBERS_FOLDER}/{name.lower()}.json"


def _warn_of_older_database(name: str, last_number: int, given: int, number: int) -> None:
    known = f"knows {name}@{last_number}" if last_number else "knows no version of it"
    warnings.warn(
        BsvStoreWarning(
            f"the number {name}@{given} was given, but the database {known}: it was restored from an older copy, or a "
            f"process was killed. The new version is {name}@{number}",
            hint=f"The files of later versions may still be in {NUMBERS_FOLDER.partition('/')[0]}/{name}.",
        ),
        stacklevel=2,
    )

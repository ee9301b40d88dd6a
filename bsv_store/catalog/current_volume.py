"""A volume that another process may replace between its look-up and its reading, such as by a refresh."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from bsv_store.catalog.volume_lookup import stored_volume
from bsv_store.errors import DamagedFileError, StoreError

if TYPE_CHECKING:
    from bsv_store.catalog.database.engine import Database
    from bsv_store.volumes.library import VolumeFile

T = TypeVar("T")


class CurrentVolume:
    """A volume of the catalog. Safe to share between threads, with a fork, and to pickle.

    A volume that was replaced is looked up again if nothing was read of it. Afterwards, a replacement is an error, so
    that all parts are read from the same content.

    Parameters
    ----------
    database : Database
    file : VolumeFile
        As it was looked up.
    follow : bool
        False if its content is already identified, such as by a hash, so that every replacement is an error.
    """

    def __init__(self, database: Database, file: VolumeFile, *, follow: bool = True) -> None:
        self._database = database
        self._newest = file
        # The file that was read first, at key 0: `dict.setdefault` decides between threads.
        self._read: dict[int, VolumeFile] = {} if follow else {0: file}

    def __reduce__(self) -> tuple[Callable[..., CurrentVolume], tuple[Database, VolumeFile]]:
        # Copies in several processes cannot agree on a newer content.
        return _fixed, (self._database, self._read.get(0, self._newest))

    def read(self, read: Callable[[VolumeFile], T]) -> T:
        """The result of a function for the file of the volume, called again if the file was replaced.

        Raises
        ------
        DamagedFileError
            If the file differs from what was published.
        MissingDataError
            If the volume was removed from the store.
        StoreError
            If it was replaced after something was read of it.
        """
        while True:
            file = self._read.get(0, self._newest)
            try:
                result = read(file)
            except DamagedFileError as error:
                current = stored_volume(self._database, file.experiment_id, kind=file.kind, spacing_um=file.spacing_um)
                if current.path == file.path:
                    raise
                # Another thread may have read a newer one first; then that is read here, too.
                if self._read.get(0) == file:
                    what = f"{file.kind} at {file.spacing_um} um of experiment {file.experiment_id}"
                    raise StoreError(
                        f"the {what} was replaced after it was looked up",
                        hint="Another process has stored a newer one. Look it up again, and read it from the start.",
                    ) from error
                self._newest = current
                continue
            if self._read.setdefault(0, file) == file:
                return result


def _fixed(database: Database, file: VolumeFile) -> CurrentVolume:
    return CurrentVolume(database, file, follow=False)

"""What ``store.versions`` offers: the versions of all datasets, found, compared, checked, named and handed on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bsv_store.catalog.selection.shared import current_user
from bsv_store.datasets import delete, stack, tags
from bsv_store.datasets import table as versions
from bsv_store.datasets.history import compare, lineage, rebuild, stale
from bsv_store.datasets.share import bundle_import as imports
from bsv_store.datasets.version import DatasetVersion

if TYPE_CHECKING:
    import pandas as pd

    from bsv_store.catalog.database.engine import Database
    from bsv_store.datasets.history.compare import VersionDiff
    from bsv_store.datasets.history.lineage import Lineage
    from bsv_store.datasets.history.rebuild import RebuildReport
    from bsv_store.datasets.history.stale import StaleReport
    from bsv_store.datasets.stack import VolumeStack
    from bsv_store.datasets.table import DatasetSummary
    from bsv_store.datasets.workers import Executor
    from bsv_store.progress import Progress
    from bsv_store.volumes.files import StoreFiles


class Versions:
    """The dataset versions of an open store: ``store.versions``.

    Wherever a version is asked for, ``ref`` is ``name@3``, ``name@tag``, ``name@latest``, or ``name`` for the latest.
    What the store does not have raises `UnknownDatasetError`.

    Parameters
    ----------
    database : Database
    files : StoreFiles
    """

    def __init__(self, database: Database, files: StoreFiles) -> None:
        self._database = database
        self._files = files

    # -- looking ------------------------------------------------------------------------------------------------------

    def list(self) -> tuple[DatasetSummary, ...]:
        """All datasets that have versions, by name: how many, how large, which tags."""
        return versions.list_datasets(self._database)

    def frame(self) -> pd.DataFrame:
        """All versions of all datasets, one row each, by name and number."""
        return versions.versions_frame(self._database)

    def find(self, ref: str | DatasetVersion) -> DatasetVersion:
        """The version, which may be given itself; raises `InputError` if the text is no reference."""
        return ref if isinstance(ref, DatasetVersion) else versions.find_version(self._database, self._files, ref)

    def diff(self, first: str | DatasetVersion, second: str | DatasetVersion) -> VersionDiff:
        """What differs between two versions: recipe, members, voxels.

        Raises
        ------
        DamagedFileError
            If one of the result files is not what was published.
        """
        return compare.diff_versions(self.find(first), self.find(second))

    def lineage(self, ref: str | DatasetVersion) -> Lineage:
        """Where a version comes from, and what relies on it; no file is opened."""
        return lineage.lineage_of(self._database, self.find(ref))

    def stack(self, ref: str | DatasetVersion, *, processed: bool = False) -> VolumeStack:
        """The volumes that went into a version, as a lazy array of shape (members, ap, dv, ml); NaN = no data.

        Parameters
        ----------
        processed : bool
            Normalized and with the hemisphere rule applied, as they went into the mean; masks are not applied.

        Raises
        ------
        MissingDataError
            If the store no longer has the volumes that went in.
        """
        return stack.volume_stack(self._database, self._files, self.find(ref), processed=processed)

    # -- checking -----------------------------------------------------------------------------------------------------

    def stale(self, ref: str | None = None) -> tuple[StaleReport, ...]:
        """What has changed since a version was made, or since the latest of each dataset was; no file is opened.

        Versions without a change are among them: see ``is_stale``.
        """
        if ref is None:
            return stale.stale_reports(self._database, self._files)
        return (stale.stale_report(self._database, self._files, ref),)

    def rebuild(
        self,
        ref: str,
        *,
        check_only: bool = False,
        progress: Progress | None = None,
        executor: Executor | None = None,
        workers: int | None = None,
    ) -> RebuildReport:
        """What computing a version again from its recorded inputs gives.

        A damaged result file is replaced if the arrays come out the same to the last bit; an intact one never is. What
        came of it is recorded: see the version's ``checks``.

        Parameters
        ----------
        check_only : bool
            Leave the file as it is.
        progress : Progress, optional
        executor, workers
            Who computes, as of `Store.aggregate`.

        Raises
        ------
        MissingDataError, DamagedFileError
            If volumes that went in are no longer in the store, or are damaged.
        """
        return rebuild.rebuild_version(
            self._database,
            self._files,
            ref,
            check_only=check_only,
            progress=progress,
            executor=executor,
            workers=workers,
        )

    # -- changing -----------------------------------------------------------------------------------------------------

    def tag(self, ref: str, tag: str, *, move: bool = False) -> DatasetVersion:
        """The version, which has the tag now; this process's user is recorded.

        Raises
        ------
        InputError
            If it cannot be a tag, or another version has it and ``move`` is not given.
        """
        user = current_user()
        return tags.tag_version(self._database, self._files, ref, tag, created_by=user, move=move)

    def untag(self, name: str, tag: str) -> None:
        """Take a tag off a dataset; the version stays."""
        tags.remove_tag(self._database, name, tag)

    def delete(self, ref: str) -> DatasetVersion:
        """The version that was deleted: its file lies in the trash, its number is not given again.

        Raises
        ------
        InputError
            If a tag is on it.
        """
        return delete.delete_version(self._database, self._files, ref)

    def import_bundle(self, path: Path | str, *, name: str | None = None) -> DatasetVersion:
        """The version that a bundle holds, every part of it checked, as the next one of a dataset of this store.

        A version with the same fingerprint is returned as it is.

        Parameters
        ----------
        path : path
            Of a file that ``DatasetVersion.export("....bsv.zip")`` wrote.
        name : str, optional
            Of the dataset here; that of the bundle by default.

        Raises
        ------
        FormatError
            If it is no bundle, damaged, or of another frame; nothing is stored then.
        UnknownExperimentError
            If the catalog here lacks experiments that the version is made of.
        """
        return imports.import_bundle(self._database, self._files, path, name=name)

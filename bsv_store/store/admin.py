"""``store.admin``: administration of a store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bsv_store import check
from bsv_store.progress import NO_PROGRESS, Progress, do_nothing

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    import pandas as pd

    from bsv_store.catalog.database.engine import Database
    from bsv_store.config import StoreConfig
    from bsv_store.maintenance.backup.snapshot import BackupReport
    from bsv_store.volumes.files import StoreFiles


class Admin:
    """Administration of a store: ``store.admin``.

    Parameters
    ----------
    config : StoreConfig
    database : Database
    files : StoreFiles
    """

    def __init__(self, config: StoreConfig, database: Database, files: StoreFiles) -> None:
        self._config = config
        self._database = database
        self._files = files

    # -- backup -------------------------------------------------------------------------------------------------------

    def backup(
        self,
        target: str | os.PathLike[str],
        *,
        progress: Progress = NO_PROGRESS,
        check_abort: Callable[[], None] = do_nothing,
    ) -> BackupReport:
        """Back up the store while it is in use.

        The database is copied in a consistent state, then the files that this state expects. Files that the target has
        already are not copied again. A killed backup leaves no snapshot; the next one uses what it copied.

        Snapshots are restored by `bsv_store.store.restoring.restore_store`, to either database.

        Parameters
        ----------
        target : path or str
            A new, empty or earlier used folder, or a URL of fsspec such as ``s3://bucket/backups``. Several stores may
            share a target.
        progress : Progress
        check_abort : callable
            Called regularly; may raise to stop.

        Returns
        -------
        BackupReport
            ``snapshot.problems`` are files that the store should have, but does not have intact.

        Raises
        ------
        InputError
            If the target is not valid, has other files, or is inside the store.
        BusyError
            If the target is being pruned, or files are purged faster than they are backed up.
        NoSpaceError, BackupError
            If it cannot be written.
        StoreError
            If the catalog cannot be read.
        """
        from bsv_store.maintenance.backup.snapshot import create_snapshot

        return create_snapshot(
            self._config, self._database, self._files, target, progress=progress, check_abort=check_abort
        )

    # -- people and time ----------------------------------------------------------------------------------------------

    def activity(self, *, limit: int | None = None) -> pd.DataFrame:
        """Who changed the store: one row for each recorded action, most recent first.

        Parameters
        ----------
        limit : int, optional
            Maximum number of rows to return.

        Returns
        -------
        pandas.DataFrame
            Columns ``at`` (UTC), ``action``, ``subject``, ``details`` (a dict), ``user_name``, ``database_role``,
            ``host`` and ``release``.
        """
        import pandas as pd

        from bsv_store.catalog.activity import ActivityRecord, recorded_activity

        if limit is not None:
            limit = check.whole_number("limit", limit, least=1)
        with self._database.reading() as connection:
            records = recorded_activity(connection, limit=limit)
        columns = list(ActivityRecord.__dataclass_fields__)
        return pd.DataFrame([[getattr(each, name) for name in columns] for each in records], columns=columns)

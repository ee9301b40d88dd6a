"""``store.admin``: administration of a store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bsv_store import check

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    import pandas as pd

    from bsv_store.catalog.database.engine import Database
    from bsv_store.config import StoreConfig
    from bsv_store.maintenance.gc import GarbageReport
    from bsv_store.maintenance.quota import QuotaReport
    from bsv_store.maintenance.trash import TrashItem, Untrashed
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

    # -- disk space ---------------------------------------------------------------------------------------------------

    def collect_garbage(
        self, *, apply: bool = False, grace: timedelta | None = None, trash_days: int = 30
    ) -> GarbageReport:
        """Find what the store does not need, and collect it.

        Files that the catalog does not name move to the trash; trashed files are deleted when their days have passed;
        temporary files of processes that have ended are deleted, and so are expired claims of downloads and the rows
        that count changes of the catalog. No object of the catalog is touched. Safe beside other processes that read,
        fetch, adopt and average.

        Parameters
        ----------
        apply : bool
            Collect; otherwise only a plan is made.
        grace : datetime.timedelta, optional
            Leave younger files; by default 1 day. Ages are those of the file server's clock.
        trash_days : int
            Days that a file stays in the trash.

        Returns
        -------
        GarbageReport

        Raises
        ------
        InputError
            If ``grace`` or ``trash_days`` is not valid.
        ReadOnlyStoreError
            If ``apply`` is True and the store cannot be written.
        """
        from bsv_store.maintenance.gc import GRACE, collect_garbage

        return collect_garbage(
            self._database,
            self._files,
            apply=check.boolean("apply", apply),
            grace=GRACE if grace is None else grace,
            trash_days=trash_days,
        )

    def trash(self, *, trash_days: int = 30) -> tuple[TrashItem, ...]:
        """The items in the trash, oldest first.

        Parameters
        ----------
        trash_days : int
            Days that a file stays in the trash, from which ``days_left`` of the items is computed.
        """
        from bsv_store.maintenance.trash import current_time, trash_items

        days = check.whole_number("trash_days", trash_days, least=0)
        return tuple(trash_items(self._files, current_time(self._database, self._files), trash_days=days))

    def untrash(self, items: str | Sequence[str]) -> tuple[Untrashed, ...]:
        """Restore items from the trash.

        A deleted dataset version is restored with its number, groups, members, checks and tags. Any other file moves
        back to its place, where the next run that needs it uses it.

        Parameters
        ----------
        items : str or sequence of str
            Names of items, or what they were, such as ``visual@3`` or ``volume/projection_density/100/100141219``.
            They are restored in this order, up to the first that cannot be.

        Returns
        -------
        tuple of Untrashed

        Raises
        ------
        InputError
            If there is no such item, several were the same object, the version's number or result exists again, or the
            store has another file of the same object.
        DamagedFileError
            If the file of a version differs from what was stored.
        ReadOnlyStoreError
            If the store cannot be written.
        """
        from bsv_store.maintenance.trash import untrash

        return untrash(self._database, self._files, check.several("items", items, such_as="4f0c9a2be1d7"))

    def enforce_quota(self, max_bytes: int, *, apply: bool = False, unused_for: timedelta | None = None) -> QuotaReport:
        """Delete volumes that can be downloaded again until the store's files are within a quota.

        Those unused for the longest time are deleted first, at once: the trash would take the same space. Results,
        annotations, adopted volumes, volumes of withdrawn experiments, volumes that tagged, exported or cited versions
        were computed from, and volumes claimed by a running download are never deleted. The quota includes the trash
        and temporary files, but not the catalog.

        Parameters
        ----------
        max_bytes : int
        apply : bool
            Delete; otherwise only a plan is made.
        unused_for : datetime.timedelta, optional
            Keep volumes that were read or stored within this time; by default 1 day, counted in whole days.

        Returns
        -------
        QuotaReport
            ``excess_bytes`` is larger than 0 if the quota cannot be met.

        Raises
        ------
        InputError
            If ``max_bytes`` or ``unused_for`` is not valid.
        ReadOnlyStoreError
            If ``apply`` is True and the store cannot be written.
        """
        from bsv_store.maintenance.quota import UNUSED_FOR, enforce_quota

        return enforce_quota(
            self._database,
            self._files,
            max_bytes,
            apply=check.boolean("apply", apply),
            unused_for=UNUSED_FOR if unused_for is None else unused_for,
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

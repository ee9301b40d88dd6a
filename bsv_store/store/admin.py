"""``store.admin``: administration of a store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bsv_store import check

if TYPE_CHECKING:
    from datetime import timedelta

    import pandas as pd

    from bsv_store.catalog.database.engine import Database
    from bsv_store.config import StoreConfig
    from bsv_store.maintenance.repair_plan import RepairReport
    from bsv_store.maintenance.verify_report import VerifyReport
    from bsv_store.progress import Progress
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

    # -- verify and repair --------------------------------------------------------------------------------------------

    def verify(
        self,
        *,
        deep: bool = False,
        decode: bool = False,
        since: timedelta | None = None,
        time_limit: timedelta | None = None,
        workers: int | None = None,
        progress: Progress | None = None,
    ) -> VerifyReport:
        """Verify the store: its files against the catalog, and the catalog against its seals.

        By default, every file is checked for presence, type, size and permissions, files that the catalog does not
        list are reported, and the numbers of rows are compared with those that were stored. Nothing is changed, and a
        store that cannot be written can be verified too.

        The last verification of each object is recorded, with the hashes of its content, so that it does not count for
        a file that replaces it. A later run can skip what was verified recently, and one with a time limit begins with
        what was verified longest ago.

        Parameters
        ----------
        deep : bool
            Also read every byte of every file and compare its SHA-256 with that in the catalog; check all rows of the
            catalog against their seals, unionize tables included, foreign keys, and rules that the schema cannot
            state; compare the result of each dataset version with its fingerprint, recipe and members. The hash of a
            file proves that its bytes are those that were checked and decoded when it was stored, and the row with the
            hash of its array is sealed; volumes are therefore not decoded. Annotations, results and volumes at 25 and
            10 um, whose rows are not sealed completely, are decoded once for each content.
        decode : bool
            As ``deep``; also decode every volume, compare its array with the recorded hash, and check that it is
            plausible, as `Volumes.check` does. Takes about twenty times as long.
        since : datetime.timedelta, optional
            Skip objects that were deeply verified and found intact within this time. Only with ``deep`` or ``decode``.
        time_limit : datetime.timedelta, optional
            Start no further object after this time. Only with ``deep`` or ``decode``.
        workers : int, optional
            Number of threads; by default one for each processor, at most four.
        progress : Progress, optional

        Returns
        -------
        VerifyReport
            Its ``findings`` have the object, the path, the kind of problem and the remedy; ``damage`` are those that
            mean damage, ``notes`` the others.

        Raises
        ------
        InputError
            If an argument is not valid.
        StoreUnreachableError, BusyError
            If the database cannot be reached, or stays locked.
        """
        from bsv_store.maintenance.verify import verify_store

        deep, decode = check.boolean("deep", deep), check.boolean("decode", decode)
        return verify_store(
            self._database,
            self._files,
            depth="decode" if decode else "deep" if deep else "quick",
            since=since,
            time_limit=time_limit,
            workers=workers,
            progress=progress,
        )

    def repair(
        self,
        *,
        apply: bool = False,
        drop_missing: bool = False,
        decode: bool = False,
        since: timedelta | None = None,
        offline: bool = False,
        api_url: str | None = None,
        workers: int | None = None,
        progress: Progress | None = None,
    ) -> RepairReport:
        """Repair what `verify` finds; by default only plan it.

        The store is verified as with ``deep=True``. Then permissions are set; damaged files are moved to the trash,
        never deleted; files are restored from copies of the same bytes in the store; intact files that the catalog
        does not list are recorded without a download; volumes, unionize tables and annotations are downloaded again;
        coarser annotations are derived again; and results are computed again from their recorded inputs, and restored
        only if they are the same. At the end the store is verified again. A run that is interrupted or killed is
        completed by the next.

        Parameters
        ----------
        apply : bool
            Carry out the plan. False returns it, and changes nothing.
        drop_missing : bool
            Remove the rows of objects whose bytes cannot be restored. A version that has a tag is not removed.
        decode : bool
            Verify with ``decode=True``, and download implausible volumes again.
        since : datetime.timedelta, optional
            Do not verify again what was deeply verified and found intact within this time, as after `verify`.
        offline : bool
            Download nothing.
        api_url : str, optional
            By default the variable ``BSV_STORE_API_URL``, else Allen's address.
        workers : int, optional
            Number of threads that verify; by default one for each processor, at most four.
        progress : Progress, optional

        Returns
        -------
        RepairReport
            Its ``steps`` have the finding, the action and the outcome; ``left`` is the damage that is left.

        Raises
        ------
        InputError
            If an argument is not valid.
        ReadOnlyStoreError
            If ``apply`` is True and the store cannot be written. Nothing is changed then.
        NoSpaceError, StoreError, BusyError
            If the store fails. What was repaired before that remains.
        """
        from bsv_store.maintenance.repair import repair_store

        return repair_store(
            self._database,
            self._files,
            apply=apply,
            drop_missing=drop_missing,
            depth="decode" if check.boolean("decode", decode) else "deep",
            since=since,
            offline=check.boolean("offline", offline),
            api_url=api_url,
            workers=workers,
            progress=progress,
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

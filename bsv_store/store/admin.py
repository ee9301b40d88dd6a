"""``store.admin``: administration of a store."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from bsv_store import check
from bsv_store.errors import InputError, ReadOnlyStoreError
from bsv_store.progress import Progress, do_nothing, shown_progress
from bsv_store.text import shown
from bsv_store.vocabulary import ACCESS_SCOPES, ACTIONS

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Collection, Sequence
    from datetime import timedelta

    import pandas as pd

    from bsv_store.catalog.access_tokens import AccessToken, NewToken
    from bsv_store.catalog.database.engine import Database
    from bsv_store.config import Setting, StoreConfig
    from bsv_store.maintenance.backup.snapshot import BackupReport
    from bsv_store.maintenance.gc import GarbageReport
    from bsv_store.maintenance.permissions import PermissionReport
    from bsv_store.maintenance.quota import QuotaReport
    from bsv_store.maintenance.repair_plan import RepairReport
    from bsv_store.maintenance.trash import TrashItem, Untrashed
    from bsv_store.maintenance.verify_report import VerifyReport
    from bsv_store.store.doctor import Diagnosis
    from bsv_store.vocabulary import AccessScope, Action, JournalMode
    from bsv_store.volumes.files import StoreFiles


class Admin:
    """Administration of a store: ``store.admin``.

    Parameters
    ----------
    config : StoreConfig
    database : Database
    files : StoreFiles
    url : str, optional
        The address of a store on a server, which can only be administered there.
    """

    def __init__(self, config: StoreConfig, database: Database, files: StoreFiles, *, url: str | None = None) -> None:
        self._config = config
        self._url = url
        self._own = database, files

    @property
    def _database(self) -> Database:
        self._refuse_remote()
        return self._own[0]

    @property
    def _files(self) -> StoreFiles:
        self._refuse_remote()
        return self._own[1]

    def _refuse_remote(self) -> None:
        if self._url is not None:
            raise ReadOnlyStoreError(
                f"{self._url} is a store on a server, which is administered in its folder",
                hint="Run it on a computer that has the folder: --store FOLDER",
            )

    # -- backup -------------------------------------------------------------------------------------------------------

    def backup(
        self,
        target: str | os.PathLike[str],
        *,
        progress: Progress | None = None,
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
        progress : Progress, optional
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
            self._config,
            self._database,
            self._files,
            target,
            progress=shown_progress(progress),
            check_abort=check_abort,
        )

    # -- disk space ---------------------------------------------------------------------------------------------------

    def collect_garbage(
        self,
        *,
        apply: bool = False,
        grace: timedelta | None = None,
        trash_days: int | None = None,
        allow_many: bool = False,
    ) -> GarbageReport:
        """Find what the store does not need, and collect it.

        Files of bsv-store that the catalog does not list move to the trash; trashed files are deleted after
        ``trash_days``; temporary files of processes that have ended are deleted, and so are expired claims of downloads
        and the rows that count changes of the catalog. Objects of the catalog and files that bsv-store did not create
        are not touched. Safe while other processes read, fetch, adopt and average.

        Parameters
        ----------
        apply : bool
            Collect; otherwise only a plan is made.
        grace : datetime.timedelta, optional
            Leave younger files; by default 1 day. Ages are those of the file server's clock.
        trash_days : int, optional
            Days that a file stays in the trash; by default the setting ``trash_days`` of the store, or else 30.
        allow_many : bool
            Collect even if very many files have no row. Then the database is probably older than the folder, and the
            files are needed.

        Returns
        -------
        GarbageReport

        Raises
        ------
        InputError
            If ``grace`` or ``trash_days`` is not valid.
        StoreError
            If ``apply`` is True and very many files have no row, unless ``allow_many``. Nothing is collected then.
        ReadOnlyStoreError
            If ``apply`` is True and the store cannot be written.
        """
        from bsv_store.maintenance.gc import GRACE, collect_garbage

        return collect_garbage(
            self._database,
            self._files,
            apply=check.boolean("apply", apply),
            grace=GRACE if grace is None else grace,
            trash_days=self._trash_days(trash_days),
            allow_many=check.boolean("allow_many", allow_many),
        )

    def trash(self, *, trash_days: int | None = None) -> tuple[TrashItem, ...]:
        """The items in the trash, oldest first.

        Parameters
        ----------
        trash_days : int, optional
            Days that a file stays in the trash, from which ``days_left`` of the items is computed; by default the
            setting ``trash_days`` of the store, or else 30.
        """
        from bsv_store.maintenance.trash import current_time, trash_items

        days = self._trash_days(trash_days)
        now = current_time(self._database, self._files)
        return tuple(trash_items(self._database, self._files, now, trash_days=days))

    def _trash_days(self, argument: int | None) -> int:
        """Days that a file stays in the trash: the argument, else the setting."""
        from bsv_store.config import setting

        if argument is not None:
            return check.whole_number("trash_days", argument, least=0)
        value = setting("trash_days", store=self._files.root).value
        assert isinstance(value, int)
        return value

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
        adopt_results: bool = False,
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
        adopt_results : bool
            Record result files without a row as versions, such as those that are newer than a restored database: each
            is computed again from the inputs in the file, and recorded if it is the same.
        decode : bool
            Verify with ``decode=True``, and download implausible volumes again.
        since : datetime.timedelta, optional
            Do not verify again what was deeply verified and found intact within this time, as after `verify`.
        offline : bool
            Download nothing.
        api_url : str, optional
            By default the setting ``api_url``.
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
            adopt_results=adopt_results,
            depth="decode" if check.boolean("decode", decode) else "deep",
            since=since,
            offline=check.boolean("offline", offline),
            api_url=api_url,
            workers=workers,
            progress=progress,
        )

    # -- people and time ----------------------------------------------------------------------------------------------

    def claims(self) -> pd.DataFrame:
        """The downloads that runs have claimed, one row each, by object.

        Other runs wait for a claimed object until it is stored or the claim expires. The claim of a process that has
        certainly ended is taken over at once. The connections to a server, which all runs share, are claimed too.

        Returns
        -------
        pandas.DataFrame
            Columns ``object`` (such as ``volume/projection_density/100/158375425``), ``host`` and ``process_id`` of the
            holder, ``state`` ('alive', 'ended' or 'unknown', see ``bsv_store.vocabulary.OWNER_STATES``),
            ``claimed_at`` (UTC), and ``expires_in_s``, the seconds until the claim expires unless it is renewed.
        """
        import pandas as pd

        from bsv_store.maintenance.claims import list_claims

        names = ("object_key", "host", "process_id", "state", "claimed_at", "expires_in_s")
        rows = [[getattr(claim, name) for name in names] for claim in list_claims(self._database)]
        frame = pd.DataFrame(rows, columns=["object", *names[1:]])
        return frame.astype({"process_id": "Int64", "expires_in_s": "float64"})

    def break_claims(self, keys: Collection[str] | None = None, *, all_ended: bool = False) -> tuple[str, ...]:
        """Remove claims, so that other runs need not wait for them.

        A run that lost a claim does not store that object, unless it claims it again.

        Parameters
        ----------
        keys : collection of str, optional
            Objects as in `claims`.
        all_ended : bool
            Remove the claims of all processes that have certainly ended, instead of named ones.

        Returns
        -------
        tuple of str
            Objects whose claims were removed, sorted.

        Raises
        ------
        InputError
            If one of the objects is not claimed, or neither or both arguments are given. Nothing is removed then.
        """
        from bsv_store.maintenance.claims import break_claims

        return tuple(claim.object_key for claim in break_claims(self._database, keys, all_ended=all_ended))

    def activity(
        self,
        *,
        user: str | None = None,
        action: Action | None = None,
        since: timedelta | None = None,
        limit: int | None = None,
    ) -> pd.DataFrame:
        """Who changed the store: one row for each recorded action, most recent first.

        Long runs are recorded when they end, even if they are interrupted, with their counts. Runs that change nothing
        are not recorded.

        Parameters
        ----------
        user : str, optional
            Only actions of the user with this login name or database role.
        action : Action, optional
            Only actions of this kind, see ``bsv_store.vocabulary.ACTIONS``.
        since : datetime.timedelta, optional
            Maximum age of the actions.
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
        if user is not None:
            user = check.text("user", user, such_as="'miller'")
        chosen = None if action is None else check.choice("action", action, ACTIONS).name
        if since is not None and not isinstance(since, timedelta):
            raise InputError(f"since must be a timedelta, got {shown(since)}", hint="For example: timedelta(days=7).")
        with self._database.reading() as connection:
            records = recorded_activity(connection, user=user, action=chosen, since=since, limit=limit)
        columns = list(ActivityRecord.__dataclass_fields__)
        return pd.DataFrame([[getattr(each, name) for name in columns] for each in records], columns=columns)

    # -- tokens of a server -------------------------------------------------------------------------------------------

    def add_token(self, name: str, *, scope: AccessScope = "read", expires_in: timedelta | None = None) -> NewToken:
        """Add a token by which a server accepts a client.

        Only the hash of the token is stored.

        Parameters
        ----------
        name : str
            Who uses it, for lists and the access log: letters, digits, '.', '_', '@' and '-'. Names of revoked tokens
            are not used again.
        scope : AccessScope
            'read' for everything except SQL queries; 'sql' includes them.
        expires_in : datetime.timedelta, optional
            By default, it does not expire.

        Returns
        -------
        NewToken
            With the token in ``secret``, which cannot be shown again.

        Raises
        ------
        InputError
            If an argument is not valid, or a token has or had this name.
        ReadOnlyStoreError
            If the store cannot be written.
        """
        from bsv_store.catalog.access_tokens import add_token

        chosen = check.choice("scope", scope, ACCESS_SCOPES).name
        if expires_in is not None and check.duration("expires_in", expires_in) == timedelta(0):
            raise InputError("expires_in must be longer than 0")
        return add_token(self._database, name, chosen, expires_in)

    def tokens(self) -> tuple[AccessToken, ...]:
        """The tokens of a server, by name, with those that have expired or were revoked.

        Returns
        -------
        tuple of AccessToken
        """
        from bsv_store.catalog.access_tokens import access_tokens

        with self._database.reading() as connection:
            return tuple(access_tokens(connection))

    def revoke_token(self, names: str | Sequence[str]) -> tuple[str, ...]:
        """Revoke tokens. A running server refuses them within seconds.

        Parameters
        ----------
        names : str or sequence of str

        Returns
        -------
        tuple of str
            The names of the tokens that were not revoked before, in ascending order.

        Raises
        ------
        InputError
            If there is no such token. Nothing is revoked then.
        ReadOnlyStoreError
            If the store cannot be written.
        """
        from bsv_store.catalog.access_tokens import revoke_tokens

        return revoke_tokens(self._database, check.several("names", names, such_as="'laptop-anna'"))

    # -- the schema of the database -----------------------------------------------------------------------------------

    def schema_history(self) -> pd.DataFrame:
        """What changed the schema of the database: one row for each change, oldest first.

        Returns
        -------
        pandas.DataFrame
            Columns ``at`` (UTC), ``action`` (created, upgraded, downgraded or stamped), ``from_revision``,
            ``to_revision``, ``user_name``, ``database_role``, ``host`` and ``release``.
        """
        import pandas as pd

        from bsv_store.catalog.schema_history import SchemaChange, recorded_changes

        with self._database.reading() as connection:
            changes = recorded_changes(connection)
        columns = list(SchemaChange.__dataclass_fields__)
        return pd.DataFrame([[getattr(each, name) for name in columns] for each in changes], columns=columns)

    def journal_mode(self) -> JournalMode | None:
        """How SQLite protects the catalog: 'rollback' or 'wal'. None on Postgres."""
        from bsv_store.catalog.database.journal_mode import journal_mode

        return journal_mode(self._database)

    def set_journal_mode(self, mode: JournalMode) -> None:
        """Choose how SQLite protects the catalog, for all users of the store.

        With the rollback journal, which is the default, readers and writers wait for each other. With the write-ahead
        log (WAL), only writers wait. It needs a local file system, and SQLite 3.51.3 or newer on the computers of all
        users, because earlier versions can damage a catalog in that mode.

        Parameters
        ----------
        mode : {'rollback', 'wal'}

        Raises
        ------
        InputError
            If the mode is not valid, the database is Postgres, or the file system is not known to be local.
        StoreUnreachableError
            If this version of SQLite is not safe with WAL.
        ReadOnlyStoreError
            If the store cannot be written to.
        BusyError
            If the catalog stays in use. The mode is unchanged.
        """
        from bsv_store.catalog.database.journal_mode import set_journal_mode

        set_journal_mode(self._database, mode)

    # -- settings and environment --------------------------------------------------------------------------------------

    def settings(self) -> tuple[Setting, ...]:
        """All settings that apply to this store: their values, and where each comes from.

        The first of these that sets it: the argument, the environment variable, ``store.toml``, the user's
        configuration file, the configuration file of the computer, the default. ``store.toml`` is read again.

        Returns
        -------
        tuple of Setting
            With the attributes ``name``, ``value``, ``place``, ``source``, ``words`` and ``origin``.

        Raises
        ------
        InputError
            If a value or a configuration file is not valid.
        """
        from bsv_store.config import all_settings

        return all_settings(self._config if self._url is not None else self._files.root)

    def configure(self, name: str, value: str | int | float | None) -> Setting:
        """Change a setting in ``store.toml``, for all users of the store.

        Stores that are open keep the earlier value until they are opened again. After a change of ``group``,
        ``file_mode`` or ``directory_mode``, `permissions` changes the existing files.

        Parameters
        ----------
        name : str
            ``group``, ``file_mode``, ``directory_mode``, ``api_url``, ``download_url``, ``trash_days`` or
            ``sql_timeout``.
        value : str, int, float or None
            None restores the default.

        Returns
        -------
        Setting
            With the value that applies now, which may come from an environment variable.

        Raises
        ------
        InputError
            If the name or the value is not valid, or it is not a setting of a store; if the group does not exist, or
            this user is not a member.
        ReadOnlyStoreError
            If the store cannot be written to.
        """
        from bsv_store.maintenance.configure import configure

        return configure(self._database, self._files, name, value)

    def permissions(self, *, apply: bool = False) -> PermissionReport:
        """Compare group and permissions of all files and folders with the settings of the store, and correct them.

        The group is the setting ``group``, or else the group of the store's folder. Files in ``tmp`` and symbolic links
        are left alone.

        Parameters
        ----------
        apply : bool
            Correct them; by default they are only listed. Only the owner of a file can change it; the others remain in
            the report.

        Returns
        -------
        PermissionReport

        Raises
        ------
        InputError
            If the group does not exist on this computer.
        """
        from bsv_store.config import read_store_config
        from bsv_store.maintenance.permissions import apply_permissions, check_permissions

        config = read_store_config(self._files.root)
        if check.boolean("apply", apply):
            return apply_permissions(self._files.root, config, self._database)
        return check_permissions(self._files.root, config)

    def diagnose(self, *, offline: bool = False) -> Diagnosis:
        """Check folder, database, environment and servers, by trying what the store needs.

        `bsv_store.store.doctor.diagnose` does the same for a store that cannot be opened.

        Parameters
        ----------
        offline : bool
            Do not contact Allen's servers.

        Returns
        -------
        Diagnosis
            Its ``findings`` have the attributes ``check``, ``outcome`` ('ok', 'note', 'warning' or 'fault'), ``found``,
            ``remedy`` and ``details``.
        """
        from bsv_store.store.doctor import diagnose

        return diagnose(self._files.root, offline=offline)

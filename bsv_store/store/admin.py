"""``store.admin``: administration of a store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bsv_store import check

if TYPE_CHECKING:
    import pandas as pd

    from bsv_store.catalog.database.engine import Database
    from bsv_store.config import Setting, StoreConfig
    from bsv_store.maintenance.permissions import PermissionReport
    from bsv_store.store.doctor import Diagnosis
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

        return all_settings(self._files.root)

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

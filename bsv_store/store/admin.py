"""``store.admin``: administration of a store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bsv_store import check

if TYPE_CHECKING:
    import pandas as pd

    from bsv_store.catalog.database.engine import Database
    from bsv_store.config import StoreConfig
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

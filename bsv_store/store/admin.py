"""``store.admin``: administration of a store."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from bsv_store import check
from bsv_store.errors import InputError
from bsv_store.text import shown
from bsv_store.vocabulary import ACTIONS

if TYPE_CHECKING:
    from collections.abc import Collection

    import pandas as pd

    from bsv_store.catalog.database.engine import Database
    from bsv_store.config import StoreConfig
    from bsv_store.vocabulary import Action
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

        Long runs are recorded when they end, also if they are interrupted, with their counts. Runs that change nothing
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
            raise InputError(f"since must be a timedelta, got {shown(since)}", hint="For example timedelta(days=7).")
        with self._database.reading() as connection:
            records = recorded_activity(connection, user=user, action=chosen, since=since, limit=limit)
        columns = list(ActivityRecord.__dataclass_fields__)
        return pd.DataFrame([[getattr(each, name) for name in columns] for each in records], columns=columns)

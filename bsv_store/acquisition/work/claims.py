"""Leases in the database: which process is downloading which object, so that each is downloaded once.

Claims only save work. Correctness does not depend on them: it rests on atomic publication of files and the constraints
of the database. All times are the database's, so hosts with wrong clocks agree. The claim of a dead process expires, or
is taken over at once if the process is certain to have ended (see `bsv_store.owner`); a process that lost its claim
commits nothing.
"""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, DateTime, and_, delete, func, literal, or_, select, update

from bsv_store.catalog.database.bulk import table_of
from bsv_store.catalog.database.conflicts import insert_into
from bsv_store.catalog.database.engine import Database
from bsv_store.catalog.database.models import Claim
from bsv_store.owner import has_ended, owner_state, process_id, process_owner
from bsv_store.vocabulary import OwnerState

LEASE_S = 60.0

# Owners of claims in this process that could not be released at the end of their run.
_ended_runs: set[str] = set()

_table = table_of(Claim)
_columns = _table.c


class Claims:
    """The claims of one run in one process. Not safe to share between threads.

    Parameters
    ----------
    database : Database
    lease_s : float
        Time in seconds after which a claim expires unless it is renewed.
    """

    def __init__(self, database: Database, *, lease_s: float = LEASE_S) -> None:
        # The host name is for people; it identifies nothing.
        self.owner = f"{socket.gethostname()}/{process_owner()}/{secrets.token_hex(8)}"
        self._database = database
        self._lease_s = lease_s
        self._held: dict[str, int] = {}
        self._renewed = time.monotonic()

    def take(self, connection: Connection, keys: Collection[str]) -> set[str]:
        """Claim keys, and return those granted; the others are held by other runs."""
        if not keys:
            return set()
        now, expires = _now(connection), _now(connection, after_s=self._lease_s)
        # Sorted, so that two processes cannot deadlock.
        rows = [
            {"object_key": key, "owner": self.owner, "token": 1, "claimed_at": now, "expires_at": expires}
            for key in sorted(set(keys))
        ]
        new = insert_into(connection, _table).values(rows)
        dead = _dead_owners(connection, keys)
        statement = new.on_conflict_do_update(
            index_elements=[_columns.object_key],
            set_={
                "owner": new.excluded.owner,
                "token": _columns.token + 1,
                "claimed_at": new.excluded.claimed_at,
                "expires_at": new.excluded.expires_at,
            },
            where=or_(_columns.expires_at < now, _columns.owner.in_([*dead, self.owner])),
        ).returning(_columns.object_key, _columns.token)
        granted = {row.object_key: row.token for row in connection.execute(statement)}
        self._held.update(granted)
        return set(granted)

    def confirmed(self, connection: Connection, keys: Iterable[str]) -> set[str]:
        """The keys that this run still holds. They cannot be taken over until the transaction ends."""
        held = {key: self._held[key] for key in keys if key in self._held}
        query = select(_columns.object_key, _columns.token).where(
            _columns.object_key.in_(held), _columns.owner == self.owner
        )
        rows = connection.execute(query.order_by(_columns.object_key).with_for_update())
        return {key for key, token in rows if held[key] == token}

    def release(self, connection: Connection, keys: Collection[str]) -> None:
        """Release the keys that this run holds."""
        connection.execute(delete(_table).where(_columns.object_key.in_(sorted(keys)), _columns.owner == self.owner))
        for key in keys:
            self._held.pop(key, None)

    def free(self, connection: Connection, keys: Collection[str]) -> set[str]:
        """The keys that no live run holds; reads only."""
        dead = _dead_owners(connection, keys)
        query = select(_columns.object_key).where(
            _columns.object_key.in_(sorted(keys)),
            and_(_columns.expires_at >= _now(connection), _columns.owner.not_in(dead)),
        )
        return set(keys) - set(connection.execute(query).scalars())

    def renew_if_due(self) -> None:
        """Renew all claims if a third of their lease has passed."""
        if time.monotonic() - self._renewed < self._lease_s / 3 or not self._held:
            return
        with self._database.writing() as connection:
            expires = _now(connection, after_s=self._lease_s)
            connection.execute(update(_table).where(_columns.owner == self.owner).values(expires_at=expires))
        self._renewed = time.monotonic()

    def release_all(self) -> None:
        """Release all claims, and delete expired claims of other runs."""
        if not self._held:
            return
        try:
            with self._database.writing() as connection:
                expired = _columns.expires_at < _now(connection)
                connection.execute(delete(_table).where(or_(_columns.owner == self.owner, expired)))
        except BaseException:
            # So that later runs in this process do not wait until the claims expire.
            _ended_runs.add(self.owner)
            raise
        self._held.clear()


def _now(connection: Connection, *, after_s: float = 0.0) -> ColumnElement[Any]:
    """The time of the database's clock, in the format of the column."""
    if connection.dialect.name == "sqlite":
        # Milliseconds, padded to the microseconds that SQLAlchemy writes.
        return func.strftime("%Y-%m-%d %H:%M:%f000", "now", f"{after_s:+.3f} seconds", type_=_columns.expires_at.type)
    clock = func.clock_timestamp(type_=DateTime(timezone=True))
    return clock + literal(timedelta(seconds=after_s))


def _dead_owners(connection: Connection, keys: Collection[str]) -> list[str]:
    """The owners of the keys whose runs have certainly ended."""
    query = select(_columns.owner).where(_columns.object_key.in_(sorted(keys))).distinct()
    return [owner for owner in connection.execute(query).scalars() if _has_ended(owner)]


def _has_ended(owner: str) -> bool:
    return owner in _ended_runs or has_ended(_process(owner))


def _process(owner: str) -> str:
    """The identity of the process in the owner of a claim."""
    return owner.rpartition("/")[0].rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class HeldClaim:
    """A claim in the database.

    Attributes
    ----------
    object_key : str
    host : str
        Name of the host of the process that holds it.
    process_id : int or None
        In the PID namespace of that process. None if it is not known.
    state : {'alive', 'ended', 'unknown'}
        Of that process, see ``bsv_store.vocabulary.OWNER_STATES``.
    claimed_at : datetime.datetime
        Aware UTC, by the database's clock.
    expires_in_s : float
        Seconds until it expires unless it is renewed; negative if it has expired.
    """

    object_key: str
    host: str
    process_id: int | None
    state: OwnerState
    claimed_at: datetime
    expires_in_s: float


def held_claims(connection: Connection, *, lock: bool = False) -> list[HeldClaim]:
    """All claims in the database, by object; if ``lock``, they cannot be taken over until the transaction ends."""
    now = connection.execute(select(_now(connection))).scalar_one()
    query = select(_columns.object_key, _columns.owner, _columns.claimed_at, _columns.expires_at)
    query = query.order_by(_columns.object_key)
    return [
        HeldClaim(
            key,
            owner.partition("/")[0],
            process_id(_process(owner)),
            owner_state(_process(owner)),
            claimed_at,
            (expires_at - now).total_seconds(),
        )
        for key, owner, claimed_at, expires_at in connection.execute(query.with_for_update() if lock else query)
    ]


def delete_claims(connection: Connection, keys: Collection[str]) -> None:
    """Delete claims of any run. A run that lost a claim commits nothing for it."""
    connection.execute(delete(_table).where(_columns.object_key.in_(sorted(keys))))


def live_keys(connection: Connection) -> set[str]:
    """The keys of all claims that have not expired, except those of runs that have certainly ended."""
    query = select(_columns.object_key, _columns.owner).where(_columns.expires_at >= _now(connection))
    claims = [(str(key), str(owner)) for key, owner in connection.execute(query)]
    ended = {owner for owner in {each for _, each in claims} if _has_ended(owner)}
    return {key for key, owner in claims if owner not in ended}


def expired_claims(connection: Connection) -> int:
    """The number of claims that have expired."""
    query = select(func.count()).select_from(_table).where(_columns.expires_at < _now(connection))
    return connection.execute(query).scalar_one()


def delete_expired(connection: Connection) -> int:
    """Delete the claims that have expired; returns how many there were. Their owners commit nothing."""
    return connection.execute(delete(_table).where(_columns.expires_at < _now(connection))).rowcount

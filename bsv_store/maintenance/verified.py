"""The record of when each object was last verified.

A row is valid only for the content that was verified: it contains a hash of the hashes that the catalog had recorded
for the object, so it does not count for a file that has replaced it.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import Connection, delete, select

from bsv_store.catalog.database.conflicts import insert_into
from bsv_store.catalog.database.models import Verification
from bsv_store.catalog.database.models.base import UtcDateTime, now
from bsv_store.catalog.database.models.verification import INTACT
from bsv_store.errors import BusyError, ReadOnlyStoreError
from bsv_store.vocabulary import VERIFY_DEPTHS

if TYPE_CHECKING:
    from bsv_store.catalog.database.engine import Database
    from bsv_store.vocabulary import FindingKind, VerifyDepth


@dataclass(frozen=True, slots=True)
class Verified:
    """The result of verifying one object.

    Attributes
    ----------
    key : str
    depth : VerifyDepth
    content_hash : str
        See `Verification`.
    outcome : str
        ``intact``, or the kind of the finding.
    """

    key: str
    depth: VerifyDepth
    content_hash: str
    outcome: FindingKind | str = INTACT


class History:
    """What was recorded about earlier verifications.

    Parameters
    ----------
    connection : Connection
    """

    def __init__(self, connection: Connection) -> None:
        self.now: datetime = connection.scalar(select(now(type_=UtcDateTime()))) or datetime.now(UTC)
        columns = (
            *(Verification.object_key, Verification.depth, Verification.content_hash),
            *(Verification.outcome, Verification.verified_at),
        )
        self._rows: dict[tuple[str, str], tuple[str, str, datetime]] = {}
        for key, depth, recorded, outcome, at in connection.execute(select(*columns)):
            self._rows[key, depth] = recorded, outcome, at

    @property
    def keys(self) -> set[str]:
        """The objects that have a record."""
        return {key for key, _ in self._rows}

    def intact_since(self, key: str, depth: VerifyDepth, content_hash: str) -> datetime | None:
        """When the object with this content was last found intact at a depth or a deeper one; None if never.

        An object that was found damaged later, at any depth, does not count. Nor does a time in the future, which was
        recorded while a clock was ahead: the object would be skipped until then.
        """
        depths = list(VERIFY_DEPTHS)
        enough = depths[depths.index(depth) :]
        intact, damaged = [], []
        for name in depths:
            recorded, outcome, verified_at = self._rows.get((key, name), ("", "", self.now))
            if recorded != content_hash:
                continue
            if outcome != INTACT:
                damaged.append(verified_at)
            elif name in enough and verified_at <= self.now:
                intact.append(verified_at)
        latest = max(intact, default=None)
        return None if latest is None or latest <= max(damaged, default=datetime.min.replace(tzinfo=UTC)) else latest

    def was_decoded(self, key: str, content_hash: str) -> bool:
        """Whether the object with this content was ever decoded and found intact."""
        found = self._rows.get((key, "decode"))
        return found is not None and found[0] == content_hash and found[1] == INTACT


class Recorder:
    """Writes the results of a run in batches; does nothing if the store cannot be written.

    Parameters
    ----------
    database : Database
    """

    _BATCH = 5_000
    # So that a run that is killed loses little.
    _SECONDS = 10.0

    def __init__(self, database: Database) -> None:
        self._database = database
        self._pending: list[Verified] = []
        self._flushed = time.monotonic()
        self.is_recording = not database.read_only

    def add(self, results: Iterable[Verified]) -> None:
        """Record results, now or with later ones."""
        self._pending += results
        if len(self._pending) >= self._BATCH or time.monotonic() - self._flushed > self._SECONDS:
            self.flush()

    def flush(self, *, is_last: bool = False) -> None:
        """Record what is pending; if the database is busy, try again with the next results.

        If it is still busy at the end of the run, the results are not recorded: the report is worth more.
        """
        pending, self._pending = self._pending, []
        self._flushed = time.monotonic()
        if pending and self.is_recording:
            try:
                # First, because a refused insert of many rows makes the driver print a message.
                self._database.require_writable()
                with self._database.writing() as connection:
                    _record(connection, pending)
            except ReadOnlyStoreError:
                # Verifying a store does not require write access.
                self.is_recording = False
            except BusyError:
                if is_last:
                    self.is_recording = False
                self._pending = [*pending, *self._pending]

    def forget(self, keys: Collection[str]) -> None:
        """Delete the records of objects that no longer exist."""
        if keys and self.is_recording:
            try:
                with self._database.writing() as connection:
                    for key in sorted(keys):
                        connection.execute(delete(Verification).where(Verification.object_key == key))
            except (BusyError, ReadOnlyStoreError):
                self.is_recording = False


def _record(connection: Connection, results: Sequence[Verified]) -> None:
    # The last result of an object counts. Sorted, so that two processes cannot deadlock.
    rows = {
        (each.key, each.depth): {
            "object_key": each.key,
            "depth": each.depth,
            "content_hash": each.content_hash,
            "outcome": each.outcome,
        }
        for each in results
    }
    statement = insert_into(connection, Verification).values(verified_at=now())
    changed = {name: statement.excluded[name] for name in ("content_hash", "outcome", "verified_at")}
    statement = statement.on_conflict_do_update(index_elements=["object_key", "depth"], set_=changed)
    connection.execute(statement, [rows[key] for key in sorted(rows)])

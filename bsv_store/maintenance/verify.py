"""Verify a store: files against the catalog, the catalog against its seals, and both against each other."""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from bsv_store import check
from bsv_store.acquisition.work.claims import live_keys
from bsv_store.catalog.activity import record_activity
from bsv_store.catalog.database.models.verification import INTACT
from bsv_store.catalog.ingest.completeness import ontology_facts
from bsv_store.catalog.verify import TableProblems, unionize_problems
from bsv_store.errors import BusyError, DamagedFileError, InputError, ReadOnlyStoreError
from bsv_store.maintenance.catalog_checks import (
    block_hash_contents,
    count_findings,
    rule_findings,
    seal_findings,
    unionize_contents,
    unionize_findings,
    unionize_key,
)
from bsv_store.maintenance.findings import RESTORE, Finding
from bsv_store.maintenance.inventory import expected_objects, found_files
from bsv_store.maintenance.object_checks import ObjectCheck, ObjectChecker, finding_of, quick_finding, volume_of_key
from bsv_store.maintenance.orphan_results import recorded_results
from bsv_store.maintenance.unlisted import folder_findings, known_ids, number_findings, unlisted_findings
from bsv_store.maintenance.verified import History, Recorder, Verified
from bsv_store.maintenance.verify_report import VerifyReport
from bsv_store.plausibility.judge import Plausibility
from bsv_store.progress import shown_progress
from bsv_store.vocabulary import FINDING_KINDS, VerifyDepth
from bsv_store.volumes.grid import Grid

if TYPE_CHECKING:
    from bsv_store.catalog.database.engine import Database
    from bsv_store.maintenance.inventory import FoundFile
    from bsv_store.progress import Progress
    from bsv_store.volumes.files import StoreFiles
    from bsv_store.volumes.stored_object import StoredObject

# Objects that a thread checks before the next ones are assigned: fewer make the threads wait for each other.
_BATCH = 32
_MAX_WORKERS = 64
_DEFAULT_WORKERS = 4
# Objects are replaced while the store is verified; one that was replaced is checked again, at most so often.
_ROUNDS = 5
# The most serious first.
_KINDS = tuple(FINDING_KINDS)


def verify_store(
    database: Database,
    files: StoreFiles,
    *,
    depth: VerifyDepth = "quick",
    since: timedelta | None = None,
    time_limit: timedelta | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> VerifyReport:
    """See `Admin.verify`.

    Parameters
    ----------
    depth : VerifyDepth
        As for `Admin.verify`, with the arguments ``deep`` and ``decode`` as one.
    """
    threads = checked_workers(workers)
    for name, value in (("since", since), ("time_limit", time_limit)):
        if value is not None and depth == "quick":
            raise InputError(f"{name} needs a deep verification", hint="For example: deep=True.")
        if value is not None and value < timedelta(0):
            raise InputError(f"{name} must not be negative, got {value}", hint="For example: 7 days (7d).")
    run = _Run(database, files, depth, threads, shown_progress(progress), Recorder(database))
    run.deadline = None if time_limit is None else time.monotonic() + time_limit.total_seconds()
    with database.reading() as connection:
        history = History(connection)
    verified_after = None if since is None else history.now - since
    report = run.verify(history, verified_after)
    if run.recorder.is_recording and not (depth == "quick" and report.is_intact):
        _record_run(database, report)
    return report


def verify_since(
    database: Database,
    files: StoreFiles,
    *,
    depth: VerifyDepth,
    verified_after: datetime | None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> VerifyReport:
    """Verify everything that was not found intact after a time of the database's clock, as a part of a repair."""
    run = _Run(database, files, depth, checked_workers(workers), shown_progress(progress), Recorder(database))
    with database.reading() as connection:
        history = History(connection)
    return run.verify(history, verified_after)


def database_time(database: Database) -> datetime:
    """The current time of the database's clock."""
    with database.reading() as connection:
        return History(connection).now


def checked_workers(workers: int | None) -> int:
    """The number of threads: by default one for each processor, at most four.

    Raises
    ------
    InputError
        If it is not a positive integer.
    """
    if workers is None:
        return min(_DEFAULT_WORKERS, os.cpu_count() or 1)
    return min(check.whole_number("workers", workers, least=1), _MAX_WORKERS)


@dataclass(frozen=True, slots=True)
class _Table:
    """The unionize table of an experiment, as an object to verify."""

    experiment_id: int
    content_hash: str

    @property
    def key(self) -> str:
        return unionize_key(self.experiment_id)


@dataclass(frozen=True, slots=True)
class _Checked:
    """The result of checking one item in a thread."""

    item: StoredObject | _Table
    result: ObjectCheck


@dataclass(slots=True)
class _Run:
    """One run of `verify_store`."""

    database: Database
    files: StoreFiles
    depth: VerifyDepth
    workers: int
    progress: Progress
    recorder: Recorder
    deadline: float | None = None
    findings: list[Finding] = field(default_factory=list)
    checked: int = 0
    size_bytes: int = 0
    # Hash of the block hashes of volumes that have them, by key.
    blocks: dict[str, str] = field(default_factory=dict)
    # Hash of the bytes that were found -> objects with these bytes.
    owners: dict[str, str] = field(default_factory=dict)
    # The parent of each structure, with which unionize tables are checked.
    parents: Mapping[int, int | None] = field(default_factory=dict)
    # Keys of volumes whose row is not the sealed one, and keys of objects that were decoded before.
    unsealed: set[str] = field(default_factory=set)
    proven: set[str] = field(default_factory=set)

    def verify(self, history: History, verified_after: datetime | None) -> VerifyReport:
        """Verify everything that was not found intact after a time."""
        start = time.monotonic()
        # The files first: a file that is published meanwhile is then listed by the catalog, not an orphan.
        found = {each.path: each for each in found_files(self.files, "volumes", "datasets", "tmp")}
        read = self.depth != "quick"
        with self.database.reading() as connection:
            expected, is_complete = self._expected(connection)
            tables = self._tables(connection)
            if tables:
                self.parents = ontology_facts(connection).parents
            self.blocks = block_hash_contents(connection)
            claimed, ids = live_keys(connection), known_ids(connection)
            results = recorded_results(connection)
        listed = {each.key for each in expected}
        self.owners = {each.file_sha256: each.key for each in expected}
        self._check_catalog()
        if is_complete:
            paths = {each.path for each in expected}
            unlisted = [file for path, file in found.items() if path not in paths]
            self.findings += unlisted_findings(
                self.files, unlisted, listed_keys=listed | results, claimed=claimed, experiment_ids=ids, read=read
            )
        self.findings += number_findings(self.database, self.files)
        self.findings += folder_findings(self.files, found.values(), experiment_ids=ids)
        skipped = remaining = 0
        if read:
            items, skipped = self._ordered([*expected, *tables], history, verified_after)
            remaining = self._check_all(items)
        else:
            self._check_quickly(expected, found)
        self.recorder.flush(is_last=True)
        self._forget(history, listed | {each.key for each in tables})
        return VerifyReport(
            self.depth,
            tuple(sorted(self.findings, key=lambda each: (not each.is_damage, each.kind, each.object))),
            self.checked,
            skipped,
            remaining,
            self.size_bytes,
            time.monotonic() - start,
            self.recorder.is_recording,
        )

    # -- the catalog --------------------------------------------------------------------------------------------------

    def _tables(self, connection: Connection) -> list[_Table]:
        if self.depth == "quick":
            return []
        return [_Table(identifier, value) for identifier, value in sorted(unionize_contents(connection).items())]

    def _expected(self, connection: Connection) -> tuple[list[StoredObject], bool]:
        """The objects in the catalog, and whether all rows could be read."""
        try:
            return list(expected_objects(connection)), True
        except (ValueError, TypeError, KeyError) as error:
            problem = f"a row with a file has a value that is not valid: {error}"
            self.findings.append(Finding("catalog/files", None, "damaged_catalog", problem, RESTORE))
            return [], False

    def _check_catalog(self) -> None:
        if self.depth == "quick":
            with self.database.reading() as connection:
                self.findings += count_findings(connection)
            return
        found = [*seal_findings(self.database), *rule_findings(self.database)]
        self.unsealed = {each.object for each in found}
        self.findings += found

    # -- files --------------------------------------------------------------------------------------------------------

    def _check_quickly(self, expected: Sequence[StoredObject], found: Mapping[str, FoundFile]) -> None:
        suspects = []
        results = []
        self.progress.start(len(expected), "verifying files")
        try:
            for stored in expected:
                file = found.get(stored.path)
                problem = (
                    finding_of(self.files, stored, file.mode, file.size_bytes)
                    if file is not None
                    else quick_finding(self.files, stored)
                )
                if problem is None:
                    results.append(Verified(stored.key, "quick", self._content(stored)))
                else:
                    suspects.append(stored)
            self.progress.advance(len(expected))
        finally:
            self.progress.finish()
        self.checked = len(expected)
        self.recorder.add(results)
        checker = ObjectChecker(self.database, self.files)
        self._confirm([(stored, checker.check(stored, "quick", is_proven=True)) for stored in suspects], checker)

    def _ordered(
        self, items: Sequence[StoredObject | _Table], history: History, verified_after: datetime | None
    ) -> tuple[list[StoredObject | _Table], int]:
        """The items to check, those verified longest ago first; and the number of those that are skipped."""
        wanted: list[tuple[datetime, int, StoredObject | _Table]] = []
        skipped = 0
        never = datetime.min.replace(tzinfo=UTC)
        for number, item in enumerate(items):
            value = item.content_hash if isinstance(item, _Table) else self._content(item)
            # Unionize tables are not decoded.
            depth = "deep" if isinstance(item, _Table) else self.depth
            last = history.intact_since(item.key, depth, value)
            if last is not None and verified_after is not None and last > verified_after:
                skipped += 1
                continue
            if not isinstance(item, _Table) and self._is_proven(item, history):
                self.proven.add(item.key)
            wanted.append((last or never, number, item))
        return [item for _, _, item in sorted(wanted, key=lambda each: each[:2])], skipped

    def _content(self, stored: StoredObject) -> str:
        """What identifies the content of an object in the record of verifications."""
        return "/".join([stored.file_sha256, stored.array_sha256, self.blocks.get(stored.key, "")])

    def _is_proven(self, stored: StoredObject, history: History) -> bool:
        """Whether the recorded hash of the content need not be proved by decoding the file.

        The row of a volume is sealed. Those of annotations and versions are not, nor are the hashes of the blocks of
        large volumes: they are proved once for each content.
        """
        if stored.kind == "volume" and not Grid(volume_of_key(stored.key)[2]).is_large:
            return stored.key not in self.unsealed
        return history.was_decoded(stored.key, self._content(stored))

    def _check_all(self, items: Sequence[StoredObject | _Table]) -> int:
        """Check items in several threads; returns the number of those that were not checked in time."""
        checker = ObjectChecker(self.database, self.files, self._plausibility())
        batches = deque(_batches(items))
        running: set[Future[list[_Checked]]] = set()
        suspects: list[tuple[StoredObject, ObjectCheck]] = []
        tables: list[Finding] = []
        done = 0
        self.progress.start(len(items), "verifying objects")
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="bsv-store-verify")
        try:
            while running or (batches and not self._is_late()):
                while batches and len(running) <= self.workers and not self._is_late():
                    batch = batches.popleft()
                    self._learn(checker, batch)
                    running.add(pool.submit(self._check_batch, checker, batch))
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    results = future.result()
                    done += len(results)
                    self._collect(results, suspects, tables)
        finally:
            # Also after Ctrl-C: what was verified is recorded.
            pool.shutdown(wait=True, cancel_futures=True)
            self.recorder.flush()
            self.progress.finish()
        self.checked = done
        self.findings += tables
        self._confirm(suspects, checker)
        return len(items) - done

    def _is_late(self) -> bool:
        return self.deadline is not None and time.monotonic() >= self.deadline

    def _plausibility(self) -> Plausibility | None:
        return Plausibility(self.database, self.files, others="all") if self.depth == "decode" else None

    def _learn(self, checker: ObjectChecker, batch: Sequence[StoredObject | _Table]) -> None:
        if checker.plausibility is None:
            return
        volumes = [each for each in batch if not isinstance(each, _Table) and each.kind == "volume"]
        try:
            checker.plausibility.learn([volume_of_key(each.key)[0] for each in volumes])
        except DamagedFileError:
            # The annotation is damaged, which is a finding of its own; volumes are compared with the rest.
            return

    def _check_batch(self, checker: ObjectChecker, batch: Sequence[StoredObject | _Table]) -> list[_Checked]:
        """Check some items, in a thread."""
        results: list[_Checked] = []
        tables = [item for item in batch if isinstance(item, _Table)]
        if tables:
            if not self._is_late():
                results += self._table_checks(tables)
                self.progress.advance(len(tables))
            return results
        for item in batch:
            if isinstance(item, _Table) or self._is_late():
                continue
            checked = checker.check(item, self.depth, is_proven=item.key in self.proven)
            self.progress.advance(1, size_bytes=checked.size_bytes)
            results.append(_Checked(item, checked))
        return results

    def _table_checks(self, tables: Sequence[_Table]) -> Iterator[_Checked]:
        found = unionize_problems(self.database, [each.experiment_id for each in tables], parents=self.parents)
        for each in tables:
            problems = found.get(each.experiment_id, TableProblems())
            yield _Checked(each, ObjectCheck(unionize_findings(each.experiment_id, problems)))

    def _collect(
        self,
        results: Iterable[_Checked],
        suspects: list[tuple[StoredObject, ObjectCheck]],
        tables: list[Finding],
    ) -> None:
        for each in results:
            item, result = each.item, each.result
            self.size_bytes += result.size_bytes
            if isinstance(item, _Table):
                tables += result.findings
                outcome = next((each.kind for each in result.findings if each.is_damage), INTACT)
                self.recorder.add([Verified(item.key, "deep", item.content_hash, outcome)])
            elif result.findings:
                suspects.append((item, result))
            else:
                self._record(item, result)

    def _record(self, stored: StoredObject, result: ObjectCheck) -> None:
        # A file with other bytes may have wrong permissions too.
        damage = min((each.kind for each in result.findings if each.is_damage), key=_KINDS.index, default=INTACT)
        depths: list[VerifyDepth] = [self.depth]
        if result.was_decoded and self.depth == "deep":
            depths.append("decode")
        value = self._content(stored)
        self.recorder.add(Verified(stored.key, depth, value, damage) for depth in depths)

    def _confirm(self, suspects: list[tuple[StoredObject, ObjectCheck]], checker: ObjectChecker) -> None:
        """Report the problems of objects that are still in the catalog; check those again that have been replaced."""
        for _ in range(_ROUNDS):
            if not suspects:
                return
            with self.database.reading() as connection:
                current = {each.key: each for each in expected_objects(connection)}
            again: list[tuple[StoredObject, ObjectCheck]] = []
            for stored, result in suspects:
                now = current.get(stored.key)
                if now is None:
                    continue
                if self._content(now) == self._content(stored) and now.path == stored.path:
                    self._report(stored, result)
                else:
                    again.append((now, checker.check(now, self.depth, is_proven=True)))
            suspects = [(stored, result) for stored, result in again if result.findings]

    def _report(self, stored: StoredObject, result: ObjectCheck) -> None:
        owner = self.owners.get(result.found_sha256 or "")
        for each in result.findings:
            if each.kind == "damaged_file" and owner is not None and owner != stored.key:
                problem = f"the file contains the bytes of {owner}"
                self.findings.append(Finding(each.object, each.path, each.kind, problem, each.remedy))
            elif each not in self.findings:
                # The checks of rows report a recipe that cannot be read, too.
                self.findings.append(each)
        self._record(stored, result)

    # -- the record ---------------------------------------------------------------------------------------------------

    def _forget(self, history: History, keys: Collection[str]) -> None:
        gone = history.keys - set(keys)
        if self.depth == "quick":
            gone = {key for key in gone if not key.startswith("unionizes/")}
        self.recorder.forget(gone)


def _record_run(database: Database, report: VerifyReport) -> None:
    """Record the run as an activity. Quick runs, which may be frequent, are recorded only if they find damage."""
    details = {
        "depth": report.depth,
        "objects": report.checked,
        "remaining": report.remaining,
        "problems": len(report.damage),
    }
    with contextlib.suppress(BusyError, ReadOnlyStoreError), database.writing() as connection:
        record_activity(connection, "verified", None, details)


def _batches(items: Sequence[StoredObject | _Table]) -> Iterator[list[StoredObject | _Table]]:
    """Consecutive items of one kind, several at once."""
    batch: list[StoredObject | _Table] = []
    for item in items:
        if batch and (len(batch) == _BATCH or isinstance(batch[0], _Table) != isinstance(item, _Table)):
            yield batch
            batch = []
        batch.append(item)
    if batch:
        yield batch

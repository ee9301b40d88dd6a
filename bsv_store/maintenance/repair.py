"""Repair a store: from a plan, in an order that lets a run that was killed be completed by the next."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, assert_never

from sqlalchemy import delete, select

from bsv_store import check
from bsv_store.acquisition.annotation import derive_annotations, sync_annotation
from bsv_store.acquisition.clients import client_unless
from bsv_store.acquisition.fetch import fetch_volumes
from bsv_store.acquisition.presence import has_complete_file
from bsv_store.acquisition.sync import sync_unionizes
from bsv_store.acquisition.tasks.orphans import OrphanVolumes
from bsv_store.acquisition.template import sync_template
from bsv_store.catalog.activity import record_activity
from bsv_store.catalog.annotations import all_annotations, annotation_key
from bsv_store.catalog.database.models import StoredAnnotation, StoredTemplate, StoredVolume, VolumeUse
from bsv_store.catalog.locks import lock_experiments
from bsv_store.catalog.templates import all_templates, template_key
from bsv_store.catalog.unused_files import trash_unused
from bsv_store.catalog.volumes import find_volumes, remove_volumes
from bsv_store.checkpoints import checkpoint
from bsv_store.datasets.delete import delete_version
from bsv_store.datasets.history.rebuild import rebuild_version
from bsv_store.datasets.locks import raise_last_number
from bsv_store.datasets.numbers import given_numbers
from bsv_store.datasets.publish import require_writable
from bsv_store.errors import BsvStoreError
from bsv_store.maintenance.catalog_checks import VOLUME_USE
from bsv_store.maintenance.intact_copies import copy_new, find_copies
from bsv_store.maintenance.inventory import expected_objects
from bsv_store.maintenance.object_checks import (
    file_sha256,
    missing_permissions,
    quick_finding,
    ref_of_key,
    spacing_of_key,
    volume_of_key,
)
from bsv_store.maintenance.orphan_results import record_result, result_key
from bsv_store.maintenance.orphan_volumes import record_orphan, remove_misplaced_rows
from bsv_store.maintenance.repair_plan import (
    BYTES_LOST,
    CONTENT_WRONG,
    RepairReport,
    RepairStep,
    is_result,
    plan_steps,
)
from bsv_store.maintenance.verify import checked_workers, database_time, verify_since
from bsv_store.plausibility.judge import Plausibility
from bsv_store.progress import shown_progress
from bsv_store.vocabulary import VerifyDepth
from bsv_store.volumes.files import store_errors

if TYPE_CHECKING:
    from bsv_store.catalog.database.engine import Database
    from bsv_store.progress import Progress
    from bsv_store.sources.allen import AllenClient
    from bsv_store.volumes.annotation import AnnotationFile
    from bsv_store.volumes.files import StoreFiles
    from bsv_store.volumes.stored_object import StoredObject

_OFFLINE = "not downloaded: offline"


def repair_store(
    database: Database,
    files: StoreFiles,
    *,
    apply: bool = False,
    drop_missing: bool = False,
    adopt_results: bool = False,
    depth: VerifyDepth = "deep",
    since: timedelta | None = None,
    offline: bool = False,
    api_url: str | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> RepairReport:
    """See `Admin.repair`."""
    apply, drop_missing = check.boolean("apply", apply), check.boolean("drop_missing", drop_missing)
    adopt_results = check.boolean("adopt_results", adopt_results)
    workers = checked_workers(workers)
    progress = shown_progress(progress)
    if apply:
        require_writable(database, files)
    started = database_time(database)
    after = None if since is None else started - since
    before = verify_since(database, files, depth=depth, verified_after=after, workers=workers, progress=progress)
    with database.reading() as connection:
        expected = {each.key: each for each in expected_objects(connection)}
        annotations = {annotation_key(each.grid.spacing_um): each for each in all_annotations(connection)}
        templates = {template_key(each.grid.spacing_um): each for each in all_templates(connection)}
    lost = [expected[each.object] for each in before.findings if each.kind in BYTES_LOST and each.object in expected]
    copies = find_copies(files, lost, skip={each.path for each in expected.values()} - {each.path for each in lost})
    steps = plan_steps(
        before.findings,
        copies=copies,
        annotations=annotations,
        templates=templates,
        drop_missing=drop_missing,
        adopt_results=adopt_results,
    )
    if not apply or not steps:
        return RepairReport(tuple(steps), before, before if apply else None)
    run = _Repair(database, files, expected, copies, steps, progress, workers)
    run.carry_out(offline=offline, api_url=api_url, drop_missing=drop_missing)
    result = verify_since(database, files, depth=depth, verified_after=started, workers=workers, progress=progress)
    return RepairReport(tuple(run.steps), before, result)


@dataclass(slots=True)
class _Repair:
    """One run of `repair_store` with a plan."""

    database: Database
    files: StoreFiles
    expected: dict[str, StoredObject]
    copies: dict[str, str]
    steps: list[RepairStep]
    progress: Progress
    workers: int
    client: AllenClient | None = None

    def carry_out(self, *, offline: bool, api_url: str | None, drop_missing: bool) -> None:
        """Carry out the plan. Each part can be repeated."""
        self._each("set_permissions", self._set_permissions)
        self._quarantine()
        self._each("restore_copy", self._restore_copy)
        with ExitStack() as stack:
            self.client = stack.enter_context(client_unless(offline, api_url, store=self.files.root))
            # First what volumes are compared with before they are stored.
            self._fetch_annotations()
            self._derive()
            self._fetch_templates()
            self._fetch_unionizes()
            self._record_volumes()
            self._fetch_volumes()
        self._each("rebuild", self._rebuild)
        # After volumes, which results need.
        self._record_results()
        self._each("correct", self._correct)
        if drop_missing:
            self._drop_missing()
        self.steps = [
            replace(step, outcome="left") if step.action == "none" and step.outcome == "planned" else step
            for step in self.steps
        ]
        with self.database.writing() as connection:
            counts = {
                outcome: sum(step.outcome == outcome for step in self.steps) for outcome in ("done", "failed", "left")
            }
            record_activity(connection, "repaired", None, counts)

    # -- bookkeeping --------------------------------------------------------------------------------------------------

    def _planned(self, action: str) -> Iterator[tuple[int, RepairStep]]:
        for number, step in enumerate(self.steps):
            if step.action == action and step.outcome == "planned":
                yield number, step

    def _each(self, action: str, repair: Callable[[RepairStep], str | None]) -> None:
        """Carry out the steps with an action, one by one; one that fails does not stop the others."""
        for number, step in list(self._planned(action)):
            self.steps[number] = _attempt(step, repair)

    def _group(self, action: str, keys: Collection[str], repair: Callable[[], dict[str, str]]) -> None:
        """Carry out the steps for several objects at once; ``repair`` returns why some of them failed."""
        if not keys:
            return
        try:
            reasons = repair()
        except (BsvStoreError, ValueError) as error:
            reasons = dict.fromkeys(keys, _reason(error))
        for number, step in list(self._planned(action)):
            if step.object in keys:
                reason = reasons.get(step.object)
                self.steps[number] = step.done() if reason is None else step.failed(reason)

    # -- files --------------------------------------------------------------------------------------------------------

    def _set_permissions(self, step: RepairStep) -> str | None:
        path = self.files.path(step.path or "")
        mode = self.files.directory_mode if path.is_dir() else self.files.file_mode
        if path.is_symlink():
            return "it is a symbolic link, and its target may be outside the store"
        if missing_permissions(path.stat().st_mode, mode):
            with store_errors(path):
                path.chmod(mode)
        return None

    def _quarantine(self) -> None:
        """Move damaged files that are about to be replaced to the trash; nothing is deleted."""
        for step in self.steps:
            is_replaced = step.action in ("restore_copy", "fetch", "derive", "rebuild")
            stored = self.expected.get(step.object)
            if stored is None or not is_replaced or step.finding not in BYTES_LOST or step.finding == "missing":
                continue
            if self._is_intact(stored):
                # Another process has replaced it meanwhile.
                continue
            with self.database.writing() as connection:
                details = {"quarantined": stored.path, "problem": step.problem}
                record_activity(connection, "repaired", stored.key, details)
            checkpoint("repair:announced")
            quarantine(self.files, stored.path)
            checkpoint("repair:quarantined")
        # A file whose bytes another object needs may have been moved.
        lost = [self.expected[key] for key in self.copies]
        skip = {each.path for each in self.expected.values()}
        self.copies = {**self.copies, **find_copies(self.files, lost, skip=skip)}

    def _is_intact(self, stored: StoredObject) -> bool:
        if quick_finding(self.files, stored) is not None:
            return False
        try:
            return file_sha256(self.files.path(stored.path))[0] == stored.file_sha256
        except OSError:
            return False

    def _restore_copy(self, step: RepairStep) -> str | None:
        stored = self.expected[step.object]
        source = self.copies[step.object]
        with store_errors(self.files.root / "tmp"), self.files.temporary() as temporary:
            copy_new(self.files.path(source), temporary)
            if file_sha256(temporary)[0] != stored.file_sha256:
                return _raise(f"{source} has been changed meanwhile")
            checkpoint("repair:copied")
            self.files.publish_file(temporary, stored.path)
        return f"from {source}"

    # -- volumes ------------------------------------------------------------------------------------------------------

    def _record_volumes(self) -> None:
        """Record intact files of volumes whose row is missing or damaged."""
        by_grid: dict[tuple[str, int], list[str]] = {}
        for _, step in self._planned("record"):
            if is_result(step.object):
                continue
            _, kind, spacing_um = volume_of_key(step.object)
            by_grid.setdefault((kind, spacing_um), []).append(step.object)
        if not by_grid:
            return
        remove_misplaced_rows(self.database)
        for (kind, spacing_um), keys in by_grid.items():
            judge = Plausibility(self.database, self.files, others="none")
            orphans = OrphanVolumes(self.files, kind, spacing_um, judge)  # type: ignore[arg-type]
            for key in dict.fromkeys(keys):
                reason = self._recorded(orphans, judge, key)
                for number, step in list(self._planned("record")):
                    if step.object != key:
                        continue
                    if reason is None:
                        self.steps[number] = step.done()
                    elif step.finding == "orphan":
                        self.steps[number] = step.failed(reason)
                    # The others are downloaded.

    def _recorded(self, orphans: OrphanVolumes, judge: Plausibility, key: str) -> str | None:
        """Record the intact file of a volume; returns the reason why not, if so."""
        try:
            record_orphan(self.database, self.files, orphans, judge, key)
        except (BsvStoreError, ValueError) as error:
            return _reason(error)
        return None

    def _fetch_volumes(self) -> None:
        """Download volumes, together by kind and spacing."""
        wanted: dict[tuple[str, int, bool, str], list[str]] = {}
        for action in ("fetch", "record"):
            for _, step in self._planned(action):
                if step.object.startswith("volume/"):
                    _, kind, spacing_um = volume_of_key(step.object)
                    refresh = action == "record" or step.finding in CONTENT_WRONG
                    wanted.setdefault((kind, spacing_um, refresh, action), []).append(step.object)
        for (kind, spacing_um, refresh, action), found in sorted(wanted.items()):
            keys = list(dict.fromkeys(found))

            def fetch(
                kind: str = kind, um: int = spacing_um, new: bool = refresh, keys: list[str] = keys
            ) -> dict[str, str]:
                return self._fetched(kind, um, keys, refresh=new)

            self._group(action, keys, fetch)
            checkpoint("repair:fetched")

    def _fetched(self, kind: str, spacing_um: int, keys: Collection[str], *, refresh: bool) -> dict[str, str]:
        """Download volumes; returns the reasons for those that are still missing, by key."""
        if self.client is None:
            return dict.fromkeys(keys, _OFFLINE)
        ids = {volume_of_key(key)[0]: key for key in keys}
        report = fetch_volumes(
            self.database,
            self.files,
            self.client,
            list(ids),
            kind=kind,  # type: ignore[arg-type]
            spacing_um=spacing_um,
            refresh=refresh,
            progress=self.progress,
        )
        return {ids[experiment_id]: reason for experiment_id, reason in report.reasons.items()}

    # -- unionize tables, annotations and templates -------------------------------------------------------------------

    def _fetch_unionizes(self) -> None:
        keys = [step.object for _, step in self._planned("fetch") if step.object.startswith("unionizes/")]

        def fetch() -> dict[str, str]:
            if self.client is None:
                return dict.fromkeys(keys, _OFFLINE)
            ids = {int(key.partition("/")[2]): key for key in keys}
            report = sync_unionizes(self.database, self.client, list(ids), refresh=True, progress=self.progress)
            return {ids[experiment_id]: reason for experiment_id, reason in report.reasons.items()}

        self._group("fetch", keys, fetch)

    def _fetch_annotations(self) -> None:
        self._fetch_of_spacing("annotation", sync_annotation)

    def _fetch_templates(self) -> None:
        self._fetch_of_spacing("template", sync_template)

    def _fetch_of_spacing(self, name: str, sync: Callable[..., object]) -> None:
        def fetch(step: RepairStep) -> str | None:
            if self.client is None:
                return _raise(_OFFLINE)
            refresh = step.finding in CONTENT_WRONG
            spacing_um = spacing_of_key(step.object)
            sync(self.database, self.files, self.client, spacing_um, refresh=refresh, progress=self.progress)
            return None

        for number, step in list(self._planned("fetch")):
            if step.object.startswith(f"{name}/"):
                self.steps[number] = _attempt(step, fetch)

    def _derive(self) -> None:
        keys = [step.object for _, step in self._planned("derive")]

        def derive() -> dict[str, str]:
            for _, step in self._planned("derive"):
                if step.finding in CONTENT_WRONG:
                    # Only a missing one is derived again.
                    quarantine(self.files, step.path or "")
            derive_annotations(self.database, self.files)
            # It may have been derived with one that was downloaded.
            with self.database.reading() as connection:
                current = {annotation_key(each.grid.spacing_um): each for each in all_annotations(connection)}
            reason = "the store has no finer annotation from which it could be derived"
            return {key: reason for key in keys if not _is_derived(self.files, current.get(key), current.values())}

        self._group("derive", keys, derive)
        checkpoint("repair:derived")

    # -- versions -----------------------------------------------------------------------------------------------------

    def _rebuild(self, step: RepairStep) -> str | None:
        ref = ref_of_key(step.object)
        report = rebuild_version(self.database, self.files, ref, progress=self.progress)
        checkpoint("repair:rebuilt")
        if not report.is_identical:
            return _raise(
                "recomputed from the same inputs, the result is another one; then: "
                f"{report.software_then}; now: {report.software_now}"
            )
        return "the same fingerprint and content"

    def _record_results(self) -> None:
        """Record results without a version."""
        # Results whose number the folder has recorded come first: otherwise another one would get that number.
        numbered = {result_key(each.name, each.fingerprint) for each in given_numbers(self.files) if each.fingerprint}
        steps = [(number, step) for number, step in self._planned("record") if is_result(step.object)]
        for number, step in sorted(steps, key=lambda each: each[1].object not in numbered):
            self.steps[number] = _attempt(step, self._record_result)

    def _record_result(self, step: RepairStep) -> str | None:
        version = record_result(self.database, self.files, step.path or "", progress=self.progress)
        checkpoint("repair:recorded")
        return f"{version.ref}, the same content"

    def _correct(self, step: RepairStep) -> str | None:
        with self.database.writing() as connection:
            if step.object == VOLUME_USE:
                connection.execute(delete(VolumeUse).where(VolumeUse.volume_id.not_in(select(StoredVolume.id))))
            else:
                raise_last_number(connection, step.object.partition("/")[2])
        return None

    # -- rows without bytes -------------------------------------------------------------------------------------------

    def _drop_missing(self) -> None:
        """Remove the rows of objects whose bytes could not be restored."""
        for number, step in enumerate(self.steps):
            stored = self.expected.get(step.object)
            is_lost = step.finding in BYTES_LOST and step.outcome in ("planned", "failed")
            if stored is None or not is_lost or self._is_intact(stored):
                continue
            try:
                self._drop(stored)
            except (BsvStoreError, ValueError) as error:
                self.steps[number] = step.failed(_reason(error))
            else:
                reason = step.result or "there is no other way to restore it"
                self.steps[number] = replace(step, action="drop").done(f"the row was removed; {reason}")
            checkpoint("repair:dropped")

    def _drop(self, stored: StoredObject) -> None:
        if stored.kind == "version":
            delete_version(self.database, self.files, ref_of_key(stored.key))
            return
        with self.database.writing() as connection:
            if stored.kind == "volume":
                key = volume_of_key(stored.key)
                # So that no other process stores the volume until its row is removed.
                lock_experiments(connection, [key[0]])
                current = find_volumes(connection, [key[0]], kind=key[1], spacing_um=key[2]).get(key[0])
                if current is not None and current.path == stored.path:
                    remove_volumes(connection, [key])
            elif stored.kind == "annotation":
                connection.execute(delete(StoredAnnotation).where(StoredAnnotation.path == stored.path))
            elif stored.kind == "template":
                connection.execute(delete(StoredTemplate).where(StoredTemplate.path == stored.path))
            else:
                assert_never(stored.kind)
            record_activity(connection, "repaired", stored.key, {"dropped": stored.path})
        trash_unused(self.database, self.files, [stored.path], "damaged")


def _is_derived(files: StoreFiles, file: AnnotationFile | None, stored: Collection[AnnotationFile]) -> bool:
    """Whether an annotation has its file and is derived from one that is in the store."""
    return (
        file is not None
        and has_complete_file(files, file)
        and any(file.derived_from_sha256 == each.array_sha256 for each in stored)
    )


def quarantine(files: StoreFiles, path: str) -> None:
    """Move a damaged file to the trash."""
    files.trash(path, "damaged")


def _attempt(step: RepairStep, repair: Callable[[RepairStep], str | None]) -> RepairStep:
    try:
        return step.done(repair(step))
    except (BsvStoreError, OSError, ValueError) as error:
        return step.failed(_reason(error))


def _reason(error: Exception) -> str:
    if isinstance(error, BsvStoreError):
        return f"{error.message}. {error.hint}" if error.hint else error.message
    return str(error)


def _raise(reason: str) -> str:
    raise ValueError(reason)

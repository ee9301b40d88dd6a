"""The differences between two experiment lists."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from sqlalchemy import Connection

from bsv_store.catalog.ingest.revisions import members
from bsv_store.catalog.ingest.snapshot_log import Snapshot, find_snapshot
from bsv_store.catalog.records import ExperimentRecord
from bsv_store.errors import InputError
from bsv_store.html import card, table
from bsv_store.text import listed_ids

FieldValue = str | int | float | tuple[int, ...] | tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class FieldChange:
    """A field of an experiment that differs between two lists.

    Fields are those of ``ExperimentRecord``. ``lines`` contains names; if only a detail of a line differs, the field is
    ``line NAME: detail``.
    """

    field: str
    old: FieldValue
    new: FieldValue


@dataclass(frozen=True, slots=True)
class ExperimentChange:
    """An experiment that is in both lists, and its differences."""

    experiment_id: int
    fields: tuple[FieldChange, ...]


@dataclass(frozen=True, slots=True)
class SnapshotDiff:
    """The differences between two experiment lists; ids are ascending."""

    old: Snapshot
    new: Snapshot
    entered: tuple[int, ...]
    left: tuple[int, ...]
    changed: tuple[ExperimentChange, ...]

    def _repr_html_(self) -> str:
        facts = [
            ("Before", _list_words(self.old)),
            ("After", _list_words(self.new)),
            ("Entered", f"{len(self.entered):,}{': ' if self.entered else ''}{listed_ids(self.entered)}"),
            ("Left", f"{len(self.left):,}{': ' if self.left else ''}{listed_ids(self.left)}"),
            ("Changed", f"{len(self.changed):,}"),
        ]
        rows = [
            [str(each.experiment_id), change.field, str(change.old), str(change.new)]
            for each in self.changed
            for change in each.fields
        ]
        return card("Experiment lists", table(["experiment", "field", "old", "new"], rows), kind="changes", facts=facts)


def _list_words(snapshot: Snapshot) -> str:
    return f"{snapshot.kind} of {snapshot.upstream_date or snapshot.taken_at.date()} (snapshot {snapshot.id})"


def diff_snapshots(connection: Connection, old_id: int, new_id: int) -> SnapshotDiff:
    """See :meth:`bsv_store.store.catalog.Catalog.diff`.

    Numbers that differ relatively by at most 1e-9 are the same number, printed by different programs.
    If the two lists are of different kinds, a field without a value in one of them is not a difference.

    Raises
    ------
    InputError
        If a snapshot does not exist, or is not an experiment list.
    """
    old, new = (_experiment_list(connection, snapshot_id) for snapshot_id in (old_id, new_id))
    before, after = members(connection, old.id), members(connection, new.id)
    changed = []
    for experiment_id in sorted(before.keys() & after.keys()):
        if before[experiment_id] == after[experiment_id]:
            continue
        changes = _changes(before[experiment_id], after[experiment_id], same_kind=old.kind == new.kind)
        if changes:
            changed.append(ExperimentChange(experiment_id, changes))
    return SnapshotDiff(
        old,
        new,
        tuple(sorted(after.keys() - before.keys())),
        tuple(sorted(before.keys() - after.keys())),
        tuple(changed),
    )


def _experiment_list(connection: Connection, snapshot_id: int) -> Snapshot:
    snapshot = find_snapshot(connection, snapshot_id)
    if snapshot.what != "experiments":
        raise InputError(
            f"snapshot {snapshot_id} is of {snapshot.what}; only experiment lists can be compared",
            hint="List the snapshots: `bsv-store catalog snapshots`.",
        )
    return snapshot


def _changes(before: ExperimentRecord, after: ExperimentRecord, *, same_kind: bool) -> tuple[FieldChange, ...]:
    old, new = _flat(before), _flat(after)
    changes = []
    for name in (*old, *(name for name in new if name not in old)):
        # Details of lines that were added or removed follow from the names.
        if name not in old or name not in new or _same(old[name], new[name]):
            continue
        is_silent = old[name] in (None, ()) or new[name] in (None, ())
        # Having no line means wild type.
        if same_kind or name == "lines" or not is_silent:
            changes.append(FieldChange(name, old[name], new[name]))
    return tuple(changes)


# The same number, printed by two programs.
_SAME = 1e-9


def _same(old: FieldValue, new: FieldValue) -> bool:
    if isinstance(old, float) and isinstance(new, float):
        return math.isclose(old, new, rel_tol=_SAME)
    return old == new


def _flat(record: ExperimentRecord) -> dict[str, FieldValue]:
    values: dict[str, FieldValue] = {
        field.name: getattr(record, field.name) for field in fields(record) if field.name not in ("id", "lines")
    }
    values["lines"] = tuple(line.name for line in record.lines)
    for line in record.lines:
        for field in fields(line):
            if field.name != "name":
                values[f"line {line.name}: {field.name}"] = getattr(line, field.name)
    return values

"""The current experiments as a pure function of all ingested lists, independent of the order of ingestion.

The record of an experiment is that of the newest list of the most trusted kind that has it. Missing values are filled
in from the newest CSV export, which uses the same registration; never from the 2016 export, which uses an older one.
The experiments of imported bundles are current only until the store has a complete list.
Sexes are normalized to M, F or unknown here, so the history retains the original values of the lists.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any

from bsv_store.catalog.ranks import Rank
from bsv_store.catalog.records import ExperimentRecord, LineRecord
from bsv_store.check import row_named
from bsv_store.vocabulary import EXPERIMENT_SOURCE_KINDS, INJECTION_COLUMNS, SEXES, Sex

_FILLING_KINDS = tuple(name for name, row in EXPERIMENT_SOURCE_KINDS.items() if row.fills_gaps)

WILD_TYPE = "wild type"

_NEVER_FILLED = ("id", "primary_structure_id", "primary_structure_acronym", "lines")
_FILLED = (
    # Together or not at all: the parts of a coordinate must come from one list.
    INJECTION_COLUMNS,
    *((each.name,) for each in fields(ExperimentRecord) if each.name not in (*INJECTION_COLUMNS, *_NEVER_FILLED)),
)


@dataclass(frozen=True, slots=True)
class LatestRecord:
    """The record of an experiment in the newest list of a kind that has it."""

    rank: Rank
    record: ExperimentRecord


@dataclass(frozen=True, slots=True)
class History:
    """The newest records of each kind of list.

    Attributes
    ----------
    newest : mapping of str to Rank
        The newest list of each kind.
    latest : mapping of str to mapping of int to LatestRecord
        By kind and experiment.
    """

    newest: Mapping[str, Rank]
    latest: Mapping[str, Mapping[int, LatestRecord]]

    def with_list(self, kind: str, rank: Rank, records: Iterable[ExperimentRecord]) -> History:
        """The history with one more list, which may be older than the others."""
        latest = dict(self.latest.get(kind, {}))
        for record in records:
            known = latest.get(record.id)
            if known is None or known.rank < rank:
                latest[record.id] = LatestRecord(rank, record)
        newest = max(rank, self.newest.get(kind, rank))
        return History({**self.newest, kind: newest}, {**self.latest, kind: latest})


@dataclass(frozen=True, slots=True)
class CurrentExperiment:
    """An experiment as stored, without the columns that are derived from unionize rows.

    Attributes
    ----------
    record : ExperimentRecord
        With missing values filled in.
    transgenic_line : str or None
        The lines that are not wild type.
    source_kind : str
    withdrawn : bool
    """

    record: ExperimentRecord
    transgenic_line: str | None
    source_kind: str
    withdrawn: bool

    @property
    def line_names(self) -> tuple[str, ...]:
        """The names of all lines, sorted."""
        return tuple(sorted({line.name for line in self.record.lines}))

    @property
    def injection_structure_ids(self) -> tuple[int, ...]:
        """The ids of the injection structures, ascending."""
        return tuple(sorted(set(self.record.injection_structure_ids)))

    def row(self) -> tuple[object, ...]:
        """The values of ``ROW_COLUMNS``. A coordinate of 0 means unknown: lists without coordinates have 0."""
        return (
            *(
                getattr(self.record, name) or None if name in INJECTION_COLUMNS else getattr(self.record, name)
                for name in _RECORD_COLUMNS
            ),
            *(getattr(self, name) for name in _DERIVED_COLUMNS),
        )


# The other fields of a record are in separate tables, or are derived from the structure's id.
_RECORD_COLUMNS = tuple(
    each.name
    for each in fields(ExperimentRecord)
    if each.name not in ("primary_structure_acronym", "injection_structure_ids", "lines")
)
_DERIVED_COLUMNS = ("transgenic_line", "source_kind", "withdrawn")
ROW_COLUMNS = (*_RECORD_COLUMNS, *_DERIVED_COLUMNS)
"""The columns of table ``experiment`` that are derived from the lists."""


@dataclass(frozen=True, slots=True)
class CurrentState:
    """The experiments by id, and their lines by name."""

    experiments: Mapping[int, CurrentExperiment]
    lines: Mapping[str, LineRecord]


def current_state(history: History) -> CurrentState:
    """The current experiments and lines, derived from a history."""
    details = _line_details(history)
    experiments: dict[int, CurrentExperiment] = {}
    for kind in EXPERIMENT_SOURCE_KINDS:
        for experiment_id, latest_record in history.latest.get(kind, {}).items():
            if experiment_id not in experiments:
                withdrawn = _is_withdrawn(history, kind, latest_record.rank)
                record = _filled(history, kind, latest_record.record)
                experiments[experiment_id] = _current(record, kind, withdrawn, details)
    used = {name for experiment in experiments.values() for name in experiment.line_names}
    return CurrentState(experiments, {name: details[name] for name in sorted(used)})


def _is_withdrawn(history: History, kind: str, rank: Rank) -> bool:
    row = EXPERIMENT_SOURCE_KINDS[kind]
    if row.is_partial:
        return has_complete_list(history)
    return row.is_historic or rank != history.newest[kind]


def has_complete_list(history: History) -> bool:
    """Whether there is a list that says which experiments are current."""
    rows = (EXPERIMENT_SOURCE_KINDS[kind] for kind in history.newest)
    return any(not row.is_partial and not row.is_historic for row in rows)


def sex_of(record: ExperimentRecord) -> Sex | None:
    """The sex that the value in a list stands for; None if it is missing or not recognized."""
    return None if record.sex is None else _sex_named(record.sex)


# The thousands of experiments of a list have few values.
@lru_cache(maxsize=64)
def _sex_named(value: str) -> Sex | None:
    row = row_named(value, SEXES)
    return None if row is None else row.name


def _normalized(record: ExperimentRecord) -> ExperimentRecord:
    sex = sex_of(record)
    return record if record.sex == sex else replace(record, sex=sex)


def _filled(history: History, kind: str, record: ExperimentRecord) -> ExperimentRecord:
    record = _normalized(record)
    row = EXPERIMENT_SOURCE_KINDS[kind]
    if kind in _FILLING_KINDS or row.is_historic or row.is_partial:
        return record
    others = [
        _normalized(found.record) for name in _FILLING_KINDS if (found := history.latest.get(name, {}).get(record.id))
    ]
    values: dict[str, Any] = {}
    for names in _FILLED:
        if _is_silent(record, names):
            other = next((each for each in others if not _is_silent(each, names)), record)
            values.update((name, getattr(other, name)) for name in names)
    return replace(record, **values) if values else record


def _is_silent(record: ExperimentRecord, names: Sequence[str]) -> bool:
    return all(getattr(record, name) in (None, ()) for name in names)


def _current(
    record: ExperimentRecord, kind: str, withdrawn: bool, details: Mapping[str, LineRecord]
) -> CurrentExperiment:
    names = sorted({line.name for line in record.lines})
    mutant = [name for name in names if details[name].type_name != WILD_TYPE]
    return CurrentExperiment(record, "/".join(mutant) if mutant else None, kind, withdrawn)


def _line_details(history: History) -> dict[str, LineRecord]:
    """Each line with its details: every detail from the newest list of the most trusted kind that has it."""
    details: dict[str, LineRecord] = {}
    for kind in EXPERIMENT_SOURCE_KINDS:
        latest = history.latest.get(kind, {})
        # The id decides within one list, so that the result does not depend on the order of a dictionary.
        for key in sorted(latest, key=lambda key: (latest[key].rank, key), reverse=True):
            for line in latest[key].record.lines:
                known = details.setdefault(line.name, line)
                if known is not line and known != line:
                    details[line.name] = _completed(known, line)
    return details


def _completed(known: LineRecord, other: LineRecord) -> LineRecord:
    gaps = {name: getattr(other, name) for name in _LINE_DETAILS if getattr(known, name) is None}
    return replace(known, **gaps) if gaps else known


_LINE_DETAILS = tuple(field.name for field in fields(LineRecord) if field.name != "name")

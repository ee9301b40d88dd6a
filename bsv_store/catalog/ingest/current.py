"""The current experiments as a pure function of every list ever taken in, whatever the order they came in.

Lists of different kinds do not compete: an experiment follows the most trusted kind that ever listed it, and of that
kind the newest list that has it. What this kind does not say is filled in from the newest CSV export, which is in the
same registration; never from the 2016 export, whose registration is older.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from bsv_store.catalog.ranks import Rank
from bsv_store.catalog.records import ExperimentRecord, LineRecord
from bsv_store.vocabulary import EXPERIMENT_SOURCE_KINDS

_FILLING_KINDS = tuple(name for name, row in EXPERIMENT_SOURCE_KINDS.items() if row.fills_gaps)

WILD_TYPE = "wild type"

# Filled together or not at all: parts of one coordinate must come from one list.
_FILLED = (
    ("specimen_name",),
    ("product_id",),
    ("strain",),
    ("sex",),
    ("injection_volume",),
    ("injection_ap", "injection_dv", "injection_ml"),
    ("projection_volume",),
    ("injection_structure_ids",),
    ("storage_directory",),
)


@dataclass(frozen=True, slots=True)
class Sighting:
    """What the newest list of a kind that has an experiment says of it."""

    rank: Rank
    record: ExperimentRecord


@dataclass(frozen=True, slots=True)
class History:
    """The newest word of each kind of list.

    Attributes
    ----------
    newest : mapping of str to Rank
        The newest list of each kind.
    sightings : mapping of str to mapping of int to Sighting
        By kind and experiment.
    """

    newest: Mapping[str, Rank]
    sightings: Mapping[str, Mapping[int, Sighting]]

    def with_list(self, kind: str, rank: Rank, records: Iterable[ExperimentRecord]) -> History:
        """The history with one more list, which may be older than those it has."""
        sightings = dict(self.sightings.get(kind, {}))
        for record in records:
            known = sightings.get(record.id)
            if known is None or known.rank < rank:
                sightings[record.id] = Sighting(rank, record)
        newest = max(rank, self.newest.get(kind, rank))
        return History({**self.newest, kind: newest}, {**self.sightings, kind: sightings})


@dataclass(frozen=True, slots=True)
class CurrentExperiment:
    """An experiment's row, apart from what follows from unionize rows; then its lines and injection structures."""

    id: int
    specimen_name: str | None
    product_id: int | None
    primary_structure_id: int
    transgenic_line: str | None
    strain: str | None
    sex: str | None
    injection_volume: float | None
    injection_ap: int | None
    injection_dv: int | None
    injection_ml: int | None
    projection_volume: float | None
    storage_directory: str | None
    source_kind: str
    withdrawn: bool
    line_names: tuple[str, ...]
    injection_structure_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CurrentState:
    """Experiments by id, and the lines that they have by name."""

    experiments: Mapping[int, CurrentExperiment]
    lines: Mapping[str, LineRecord]


def current_state(history: History) -> CurrentState:
    """The experiments and lines that follow from a history."""
    details = _line_details(history)
    experiments: dict[int, CurrentExperiment] = {}
    for kind in EXPERIMENT_SOURCE_KINDS:
        for experiment_id, sighting in history.sightings.get(kind, {}).items():
            if experiment_id not in experiments:
                withdrawn = EXPERIMENT_SOURCE_KINDS[kind].is_historic or sighting.rank != history.newest[kind]
                record = _filled(history, kind, sighting.record)
                experiments[experiment_id] = _current(record, kind, withdrawn, details)
    used = {name for experiment in experiments.values() for name in experiment.line_names}
    return CurrentState(experiments, {name: details[name] for name in sorted(used)})


def _filled(history: History, kind: str, record: ExperimentRecord) -> ExperimentRecord:
    if kind in _FILLING_KINDS or EXPERIMENT_SOURCE_KINDS[kind].is_historic:
        return record
    others = [found.record for name in _FILLING_KINDS if (found := history.sightings.get(name, {}).get(record.id))]
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
    return CurrentExperiment(
        id=record.id,
        specimen_name=record.specimen_name,
        product_id=record.product_id,
        primary_structure_id=record.primary_structure_id,
        transgenic_line="/".join(mutant) if mutant else None,
        strain=record.strain,
        sex=record.sex,
        injection_volume=record.injection_volume,
        injection_ap=record.injection_ap,
        injection_dv=record.injection_dv,
        injection_ml=record.injection_ml,
        projection_volume=record.projection_volume,
        storage_directory=record.storage_directory,
        source_kind=kind,
        withdrawn=withdrawn,
        line_names=tuple(names),
        injection_structure_ids=tuple(sorted(set(record.injection_structure_ids))),
    )


def _line_details(history: History) -> dict[str, LineRecord]:
    """What is known of each line: of every detail the newest word of the most trusted kind that has one."""
    details: dict[str, LineRecord] = {}
    for kind in EXPERIMENT_SOURCE_KINDS:
        sightings = history.sightings.get(kind, {})
        # The id decides between sightings of one list, so that nothing hangs on the order of a dictionary.
        for key in sorted(sightings, key=lambda key: (sightings[key].rank, key), reverse=True):
            for line in sightings[key].record.lines:
                known = details.setdefault(line.name, line)
                if known is not line and known != line:
                    details[line.name] = _completed(known, line)
    return details


def _completed(known: LineRecord, other: LineRecord) -> LineRecord:
    gaps = {name: getattr(other, name) for name in _LINE_DETAILS if getattr(known, name) is None}
    return replace(known, **gaps) if gaps else known


_LINE_DETAILS = tuple(field.name for field in fields(LineRecord) if field.name != "name")

"""Rows of the catalog as JSON, so that another store can show and cite a version: experiments and the ontology."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from sqlalchemy import Connection

from bsv_store.catalog.ingest.checks import canonical_json
from bsv_store.catalog.ingest.experiments import check_experiments
from bsv_store.catalog.ingest.structures import check_ontology
from bsv_store.catalog.records import ExperimentList, ExperimentRecord, LineRecord, Ontology, StructureRecord
from bsv_store.catalog.tables.lists import experiment_records, ontology_records
from bsv_store.documents import json_value
from bsv_store.errors import FormatError, InputError
from bsv_store.text import reason, shown


@dataclass(frozen=True, slots=True)
class PortableCatalog:
    """Experiments, and the whole ontology that they refer to."""

    ontology: Ontology
    experiments: ExperimentList


# -- writing ------------------------------------------------------------------------------------------------------


def portable_json(connection: Connection, experiment_ids: Collection[int]) -> str:
    """These experiments and the current ontology as canonical JSON."""
    records = experiment_records(connection, experiment_ids)
    needed = {each for record in records for each in (record.primary_structure_id, *record.injection_structure_ids)}
    ontology = ontology_records(connection, needed)
    return canonical_json(
        {
            "experiments": [asdict(record) for record in records],
            "structures": [asdict(record) for record in ontology.structures],
            "structure_set_names": {str(key): name for key, name in ontology.structure_set_names.items()},
        }
    )


# -- reading ------------------------------------------------------------------------------------------------------


def portable_from_json(text: str, source: str) -> PortableCatalog:
    """The catalog from the result of `portable_json`, with every value checked.

    Raises
    ------
    FormatError
        If the form or a value is not valid.
    """
    try:
        value = json_value(text)
        if not isinstance(value, dict) or set(value) != {"experiments", "structures", "structure_set_names"}:
            raise FormatError(f"{source} must have experiments, structures and structure_set_names")
        structures = tuple(_structure(entry) for entry in value["structures"])
        names = {int(key): name for key, name in dict(value["structure_set_names"]).items()}
        ontology = Ontology(structures, names, any(each.structure_set_ids for each in structures))
        records = tuple(_experiment(entry) for entry in value["experiments"])
        experiments = ExperimentList("bundle", records, len(records))
        check_ontology(ontology, source)
        check_experiments(experiments, source)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise FormatError(f"{source} is not valid: {reason(error)}") from error
    except InputError as error:
        raise error if isinstance(error, FormatError) else FormatError(error.message) from error
    known = {each.id: each.acronym for each in structures}
    for record in records:
        unknown = {record.primary_structure_id, *record.injection_structure_ids} - known.keys()
        if unknown or known[record.primary_structure_id] != record.primary_structure_acronym:
            raise FormatError(f"{source}: experiment {record.id} has a structure that is not in its ontology")
    return PortableCatalog(ontology, experiments)


def _structure(entry: Any) -> StructureRecord:
    return StructureRecord(**{**_object(entry, StructureRecord), "structure_set_ids": _ids(entry["structure_set_ids"])})


def _experiment(entry: Any) -> ExperimentRecord:
    values = _object(entry, ExperimentRecord)
    for name in ("injection_volume", "projection_volume"):
        values[name] = None if values[name] is None else float(values[name])
    lines = tuple(LineRecord(**_object(line, LineRecord)) for line in _list(entry["lines"]))
    structures = _ids(entry["injection_structure_ids"])
    return ExperimentRecord(**{**values, "lines": lines, "injection_structure_ids": structures})


def _object(entry: Any, record: type) -> dict[str, Any]:
    """The values of a record, which must have exactly its fields; no value is a truth value."""
    names = {each.name for each in fields(record)}
    if not isinstance(entry, Mapping) or set(entry) != names:
        raise ValueError(f"{shown(entry)} must have exactly {', '.join(sorted(names))}")
    if wrong := [name for name, value in entry.items() if isinstance(value, bool | dict)]:
        raise ValueError(f"{wrong[0]} is {shown(entry[wrong[0]])}")
    return dict(entry)


def _list(value: Any) -> Sequence[Any]:
    if not isinstance(value, list):
        raise TypeError(f"{shown(value)} must be a list")
    return value


def _ids(value: Any) -> tuple[int, ...]:
    if any(type(each) is not int for each in _list(value)):
        raise TypeError(f"{shown(value)} must be a list of ids")
    return tuple(value)

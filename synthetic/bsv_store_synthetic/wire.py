"""The synthetic catalog in Allen's formats, for files: rows of replies, and the CSV export of the web site."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable

from bsv_store.catalog.records import ExperimentRecord
from bsv_store.server.allen import wire
from bsv_store.server.allen.wire import Row
from bsv_store_synthetic import ontology
from bsv_store_synthetic.atlas import SyntheticAtlas, SyntheticExperiment

CSV_COLUMNS = (
    "id",
    "transgenic-line",
    "product-id",
    "structure-id",
    "structure-abbrev",
    "structure-name",
    "name",
    "injection-volume",
    "injection-structures",
    "gender",
    "strain",
    "sum",
    "structure-color",
    "num-voxels",
    "injection-coordinates",
    "selected",
    "experiment_page_url",
)


def record_of(experiment: SyntheticExperiment) -> ExperimentRecord:
    """The experiment as a record of an experiment list."""
    return ExperimentRecord(
        **{each.name: getattr(experiment, each.name) for each in dataclasses.fields(ExperimentRecord)}
    )


def connectivity_rows(experiment: SyntheticExperiment) -> list[Row]:
    """The ApiConnectivity rows of an experiment: one for each of its lines, or one if it has none."""
    name = ontology.invented().structure(experiment.primary_structure_id).name
    return wire.connectivity_rows(record_of(experiment), name)


def search_row(experiment: SyntheticExperiment) -> Row:
    """The row of the source search: hyphenated keys, empty strings for wild type and unknown strain."""
    return wire.search_row(record_of(experiment), ontology.invented().by_id)


def unionize_rows(atlas: SyntheticAtlas, experiment_id: int) -> list[Row]:
    """All ProjectionStructureUnionize rows of an experiment with 19 fields each; none for an unknown id."""
    return [dataclasses.asdict(row) for row in atlas.unionize(experiment_id)] if experiment_id in atlas else []


def structure_rows(*, structure_sets: bool) -> list[Row]:
    """All structures as Structure model rows in graph order, optionally with their sets."""
    return wire.structure_rows(ontology.invented().ontology, structure_sets=structure_sets)


def web_csv(atlas: SyntheticAtlas) -> str:
    """The experiment list as the CSV export of the web site, in descending order of injection volume."""
    experiments = sorted(map(atlas.experiment, atlas.experiment_ids), key=lambda e: (-e.injection_volume, e.id))
    lines = [",".join(CSV_COLUMNS)]
    for experiment in experiments:
        row = search_row(experiment)
        row["structure-color"] = row["structure-color"].lower()
        row["num-voxels"] = ""
        row["injection-structures"] = _ruby(row["injection-structures"])
        row["injection-coordinates"] = str(row["injection-coordinates"])
        row["selected"] = "false"
        row["experiment_page_url"] = f"https://connectivity.brain-map.org/projection/experiment/{experiment.id}"
        lines.append(",".join(_csv_cell(column, str(row[column])) for column in CSV_COLUMNS))
    return "\n".join(lines) + "\n"


def _ruby(hashes: Iterable[Row]) -> str:
    """The list in the notation of a Ruby array of hashes."""
    texts = (", ".join(f"{json.dumps(key)}=>{json.dumps(value)}" for key, value in h.items()) for h in hashes)
    return "[" + ", ".join(f"{{{text}}}" for text in texts) + "]"


def _csv_cell(column: str, text: str) -> str:
    # As in the real export, the line of a wild type is a quoted empty string; other empty cells are not quoted.
    quoted = (column == "transgenic-line" and not text) or any(mark in text for mark in ',"\n')
    return '"' + text.replace('"', '""') + '"' if quoted else text

"""The synthetic catalog in Allen's formats: experiments in three forms, structures in two, unionize tables."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from typing import Any

from bsv_store.catalog.records import LineRecord, StructureRecord
from bsv_store_synthetic import ontology
from bsv_store_synthetic.atlas import SyntheticAtlas, SyntheticExperiment

Row = dict[str, Any]

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


def envelope(rows: Sequence[Row], *, start_row: int = 0, total_rows: int | None = None) -> bytes:
    """An RMA reply with these rows, as UTF-8 JSON.

    Parameters
    ----------
    rows : sequence of dict
    start_row : int
        Number of rows before these.
    total_rows : int, optional
        Total number of rows. By default that of this page.
    """
    return _json(
        {
            "success": True,
            "id": 0,
            "start_row": start_row,
            "num_rows": len(rows),
            "total_rows": len(rows) if total_rows is None else total_rows,
            "msg": rows,
        }
    )


def failure(message: str) -> bytes:
    """An RMA reply that reports a failure: ``success`` is false and ``msg`` is a string."""
    return _json({"success": False, "id": 0, "start_row": 0, "num_rows": 0, "total_rows": 0, "msg": message})


def connectivity_rows(experiment: SyntheticExperiment) -> list[Row]:
    """The ApiConnectivity rows of an experiment: one for each of its lines, or one if it has none."""
    shared: Row = {
        "data_set_id": experiment.id,
        "gender": experiment.sex,
        "injection_structures": "/".join(map(str, experiment.injection_structure_ids)),
        "injection_volume": experiment.injection_volume,
        "injection_x": experiment.injection_ap,
        "injection_y": experiment.injection_dv,
        "injection_z": experiment.injection_ml,
        "product_id": experiment.product_id,
        "specimen_name": experiment.specimen_name,
        "storage_directory": experiment.storage_directory,
        "strain": experiment.strain,
        "structure_abbrev": experiment.primary_structure_acronym,
        "structure_id": experiment.primary_structure_id,
        "structure_name": ontology.structure(experiment.primary_structure_id).name,
    }
    lines: tuple[LineRecord | None, ...] = experiment.lines or (None,)
    return [
        {
            **shared,
            "transgenic_line": None if line is None else _line(line),
            "transgenic_line_id": None if line is None else line.allen_id,
        }
        for line in lines
    ]


def search_row(experiment: SyntheticExperiment) -> Row:
    """The row of the source search: hyphenated keys, empty strings for wild type and unknown strain."""
    primary = ontology.structure(experiment.primary_structure_id)
    return {
        "id": experiment.id,
        "name": experiment.specimen_name,
        "structure-id": primary.id,
        "structure-abbrev": primary.acronym,
        "structure-name": primary.name,
        "structure-color": primary.color_hex_triplet,
        "strain": experiment.strain or "",
        "transgenic-line": _line_name(experiment),
        "gender": experiment.sex,
        "product-id": experiment.product_id,
        "injection-volume": experiment.injection_volume,
        "injection-coordinates": [experiment.injection_ap, experiment.injection_dv, experiment.injection_ml],
        "injection-structures": _injection_structures(experiment),
        "sum": experiment.projection_volume,
        "num-voxels": None,
    }


def unionize_rows(atlas: SyntheticAtlas, experiment_id: int) -> list[Row]:
    """All ProjectionStructureUnionize rows of an experiment with 19 fields each; none for an unknown id."""
    return [dataclasses.asdict(row) for row in atlas.unionize(experiment_id)] if experiment_id in atlas else []


def structure_rows(*, structure_sets: bool) -> list[Row]:
    """All structures as Structure model rows in graph order, optionally with their sets."""
    records = ontology.ontology().structures
    return [{**_structure(r), "structure_sets": _sets(r)} if structure_sets else _structure(r) for r in records]


def structure_tree() -> Row:
    """The root of the structure graph download, each node with its ``children``."""
    nodes = {record.id: {**_structure(record), "children": []} for record in ontology.ontology().structures}
    root: Row = {}
    for record in ontology.ontology().structures:
        if record.parent_structure_id is None:
            root = nodes[record.id]
        else:
            nodes[record.parent_structure_id]["children"].append(nodes[record.id])
    return root


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


def _line(line: LineRecord) -> Row:
    code = {"driver": "D", "reporter": "R"}.get(line.type_name or "")
    return {
        "description": line.description,
        "id": line.allen_id,
        "name": line.name,
        "originating_lab": "Nobody" if code else None,
        "stock_number": line.stock_number,
        "sub_image_annotation_id": None,
        "transgenic_line_source_name": "Invented" if code else None,
        "transgenic_line_type_code": code,
        "transgenic_line_type_name": line.type_name,
        "url_prefix": None,
        "url_suffix": None,
    }


def _line_name(experiment: SyntheticExperiment) -> str:
    # These two forms do not state the type of a line, so lines of type "wild type" are left out.
    return "/".join(line.name for line in experiment.lines if line.type_name != "wild type")


def _injection_structures(experiment: SyntheticExperiment) -> list[Row]:
    records = map(ontology.structure, experiment.injection_structure_ids)
    return [{"id": r.id, "abbreviation": r.acronym, "name": r.name, "color": r.color_hex_triplet} for r in records]


def _structure(record: StructureRecord) -> Row:
    path = ontology.path_of(record.id)
    return {
        "id": record.id,
        "acronym": record.acronym,
        "atlas_id": None,
        "color_hex_triplet": record.color_hex_triplet,
        "depth": len(path) - 1,
        "failed": False,
        "graph_id": ontology.GRAPH_ID,
        "graph_order": record.graph_order,
        "hemisphere_id": 3,
        "name": record.name,
        "ontology_id": 1,
        "parent_structure_id": record.parent_structure_id,
        "safe_name": record.name.replace(",", ""),
        "st_level": len(path) - 1,
        "structure_id_path": f"/{'/'.join(map(str, path))}/",
        "weight": 8690,
    }


def _sets(record: StructureRecord) -> list[Row]:
    return [{"id": number, "name": ontology.STRUCTURE_SETS[number]} for number in record.structure_set_ids]


def _ruby(hashes: Iterable[Row]) -> str:
    """The list in the notation of a Ruby array of hashes."""
    texts = (", ".join(f"{json.dumps(key)}=>{json.dumps(value)}" for key, value in h.items()) for h in hashes)
    return "[" + ", ".join(f"{{{text}}}" for text in texts) + "]"


def _csv_cell(column: str, text: str) -> str:
    # As in the real export, the line of a wild type is a quoted empty string; other empty cells are not quoted.
    quoted = (column == "transgenic-line" and not text) or any(mark in text for mark in ',"\n')
    return '"' + text.replace('"', '""') + '"' if quoted else text


def _json(value: Row) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()

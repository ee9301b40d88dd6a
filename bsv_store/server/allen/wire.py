"""The catalog in Allen's formats: experiments in two forms, structures in two, unionize tables, and the envelope."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from bsv_store.catalog.records import UNIONIZE_FIELDS, ExperimentRecord, LineRecord, Ontology, StructureRecord

Row = dict[str, Any]

GRAPH_ID: Final = 1
"""The structure graph of the adult mouse."""

CONNECTIVITY_FIELDS: Mapping[str, type] = {
    "data_set_id": int,
    "gender": str,
    "injection_structures": str,
    "injection_volume": float,
    "injection_x": int,
    "injection_y": int,
    "injection_z": int,
    "product_id": int,
    "specimen_name": str,
    "storage_directory": str,
    "strain": str,
    "structure_abbrev": str,
    "structure_id": int,
    "structure_name": str,
    "transgenic_line": dict,
    "transgenic_line_id": int,
}
"""The fields of ApiConnectivity, with the types of their values, which may also be null."""

STRUCTURE_FIELDS: Mapping[str, type] = {
    "id": int,
    "acronym": str,
    "atlas_id": int,
    "color_hex_triplet": str,
    "depth": int,
    "failed": bool,
    "graph_id": int,
    "graph_order": int,
    "hemisphere_id": int,
    "name": str,
    "ontology_id": int,
    "parent_structure_id": int,
    "safe_name": str,
    "st_level": int,
    "structure_id_path": str,
    "weight": int,
}
"""The fields of Structure."""

_TYPES: Mapping[str, type] = {"i8": int, "f8": float, "?": bool}
UNIONIZE_TYPES: Mapping[str, type] = {
    "id": int,
    **{name: _TYPES[dtype] for name, _, dtype in UNIONIZE_FIELDS if name != "id"},
}
"""The fields of ProjectionStructureUnionize, in the order of Allen's replies."""


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
    return _enveloped(_json(rows), len(rows), start_row, total_rows)


def unionize_envelope(
    columns: Mapping[str, Sequence[Any]], *, start_row: int = 0, total_rows: int | None = None
) -> bytes:
    """An RMA reply with unionize rows, given by column; see `envelope`."""
    template = "{" + ",".join(f'"{name}":%s' for name in UNIONIZE_TYPES) + "}"
    texts = (_texts(columns[name], kind) for name, kind in UNIONIZE_TYPES.items())
    rows = [template % cells for cells in zip(*texts, strict=True)]
    return _enveloped(f"[{','.join(rows)}]".encode(), len(rows), start_row, total_rows)


def failure(message: str) -> bytes:
    """An RMA reply that reports a failure: ``success`` is false and ``msg`` is a string."""
    return _json({"success": False, "id": 0, "start_row": 0, "num_rows": 0, "total_rows": 0, "msg": message})


def connectivity_rows(record: ExperimentRecord, structure_name: str) -> list[Row]:
    """The ApiConnectivity rows of an experiment: one for each of its lines, or one if it has none."""
    shared: Row = {
        "data_set_id": record.id,
        "gender": record.sex,
        "injection_structures": "/".join(map(str, record.injection_structure_ids)),
        "injection_volume": record.injection_volume,
        "injection_x": record.injection_ap,
        "injection_y": record.injection_dv,
        "injection_z": record.injection_ml,
        "product_id": record.product_id,
        "specimen_name": record.specimen_name,
        "storage_directory": record.storage_directory,
        "strain": record.strain,
        "structure_abbrev": record.primary_structure_acronym,
        "structure_id": record.primary_structure_id,
        "structure_name": structure_name,
    }
    lines: tuple[LineRecord | None, ...] = record.lines or (None,)
    return [
        {
            **shared,
            "transgenic_line": None if line is None else _line(line),
            "transgenic_line_id": None if line is None else line.allen_id,
        }
        for line in lines
    ]


def search_row(record: ExperimentRecord, structures: Mapping[int, StructureRecord]) -> Row:
    """The row of the source search: hyphenated keys, empty strings for wild type and unknown strain.

    Parameters
    ----------
    record : ExperimentRecord
    structures : mapping of int to StructureRecord
        By id.
    """
    primary = structures[record.primary_structure_id]
    injected = [structures[i] for i in record.injection_structure_ids]
    coordinates = [record.injection_ap, record.injection_dv, record.injection_ml]
    return {
        "id": record.id,
        "name": record.specimen_name,
        "structure-id": primary.id,
        "structure-abbrev": primary.acronym,
        "structure-name": primary.name,
        "structure-color": primary.color_hex_triplet,
        "strain": record.strain or "",
        "transgenic-line": line_names(record),
        "gender": record.sex,
        "product-id": record.product_id,
        "injection-volume": record.injection_volume,
        "injection-coordinates": None if None in coordinates else coordinates,
        "injection-structures": [
            {"id": r.id, "abbreviation": r.acronym, "name": r.name, "color": r.color_hex_triplet} for r in injected
        ],
        "sum": record.projection_volume,
        "num-voxels": None,
    }


def line_names(record: ExperimentRecord) -> str:
    """The lines in forms that do not state their type, which therefore omit those of type "wild type"."""
    return "/".join(line.name for line in record.lines if line.type_name != "wild type")


def structure_rows(ontology: Ontology, *, structure_sets: bool) -> list[Row]:
    """All structures as Structure model rows in graph order, optionally with their sets.

    An ontology without sets gives rows without the key ``structure_sets``: they are not known.
    """
    rows = [_structure(record, path) for record, path in zip(ontology.structures, _paths(ontology), strict=True)]
    if structure_sets and ontology.has_structure_sets:
        names = ontology.structure_set_names
        for row, record in zip(rows, ontology.structures, strict=True):
            row["structure_sets"] = [{"id": i, "name": names.get(i)} for i in record.structure_set_ids]
    return rows


def structure_tree(ontology: Ontology) -> list[Row]:
    """The rows of the structure graph download: the root, each node with its ``children``."""
    nodes = {row["id"]: {**row, "children": []} for row in structure_rows(ontology, structure_sets=False)}
    for node in nodes.values():
        if node["parent_structure_id"] is not None:
            nodes[node["parent_structure_id"]]["children"].append(node)
    return [node for node in nodes.values() if node["parent_structure_id"] is None]


def _paths(ontology: Ontology) -> list[tuple[int, ...]]:
    paths: dict[int, tuple[int, ...]] = {}
    for record in ontology.structures:
        above = () if record.parent_structure_id is None else paths[record.parent_structure_id]
        paths[record.id] = (*above, record.id)
    return list(paths.values())


def _structure(record: StructureRecord, path: tuple[int, ...]) -> Row:
    return {
        "id": record.id,
        "acronym": record.acronym,
        "atlas_id": None,
        "color_hex_triplet": record.color_hex_triplet,
        "depth": len(path) - 1,
        "failed": False,
        "graph_id": GRAPH_ID,
        "graph_order": record.graph_order,
        "hemisphere_id": 3,
        "name": record.name,
        "ontology_id": 1,
        "parent_structure_id": record.parent_structure_id,
        "safe_name": record.name.replace(",", ""),
        "st_level": None,
        "structure_id_path": f"/{'/'.join(map(str, path))}/",
        "weight": 8690,
    }


def _line(line: LineRecord) -> Row:
    return {
        "description": line.description,
        "id": line.allen_id,
        "name": line.name,
        "originating_lab": None,
        "stock_number": line.stock_number,
        "sub_image_annotation_id": None,
        "transgenic_line_source_name": None,
        "transgenic_line_type_code": {"driver": "D", "reporter": "R"}.get(line.type_name or ""),
        "transgenic_line_type_name": line.type_name,
        "url_prefix": None,
        "url_suffix": None,
    }


def _texts(values: Sequence[Any], kind: type) -> map[str]:
    if kind is bool:
        return map({True: "true", False: "false"}.__getitem__, values)
    # repr of a float is the shortest text that gives the same float.
    return map(repr, values)


def _enveloped(rows: bytes, count: int, start_row: int, total_rows: int | None) -> bytes:
    head = {
        "success": True,
        "id": 0,
        "start_row": start_row,
        "num_rows": count,
        "total_rows": count if total_rows is None else total_rows,
    }
    return _json(head)[:-1] + b',"msg":' + rows + b"}"


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()

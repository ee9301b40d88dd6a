"""Small, right bodies of every format, for tests to break."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bsv_store.volumes.grid import Grid

Row = dict[str, Any]

GRID = Grid(100)


WEB_COLUMNS = (
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

MHD = """ObjectType = Image
NDims = 3
BinaryData = True
BinaryDataByteOrderMSB = False
CompressedData = False
ElementSpacing = 100 100 100
DimSize = 132 80 114
ElementType = MET_FLOAT
ElementDataFile = density.raw
"""

NRRD_HEADER = {
    "type": "float",
    "dimension": "3",
    "space": "left-posterior-superior",
    "sizes": "132 80 114",
    "space directions": "(100,0,0) (0,100,0) (0,0,100)",
    "kinds": "domain domain domain",
    "endian": "little",
    "encoding": "gzip",
    "space origin": "(0,0,0)",
}


def envelope(rows: object, **changes: object) -> bytes:
    count = len(rows) if isinstance(rows, list) else 0
    counts = {"start_row": 0, "num_rows": count, "total_rows": count}
    return json.dumps({"success": True, "id": 0, **counts, "msg": rows, **changes}).encode()


def bare(rows: object) -> bytes:
    return json.dumps(rows).encode()


# -- structures ---------------------------------------------------------------------------------------------------


def structure(structure_id: int, parent: int | None, order: int, acronym: str, **changes: object) -> Row:
    row: Row = {
        "id": structure_id,
        "parent_structure_id": parent,
        "graph_order": order,
        "acronym": acronym,
        "name": f"name of {acronym}",
        "color_hex_triplet": "0A1b2C",
        "graph_id": 1,
    }
    return {**row, **changes}


def structures() -> list[Row]:
    return [
        structure(997, None, 0, "root", color_hex_triplet="ffffff"),
        structure(8, 997, 1, "grey"),
        structure(1, 8, 2, "TMv", color_hex_triplet="019399"),
        structure(10, 8, 3, "CUL4, 5"),
    ]


# -- experiments --------------------------------------------------------------------------------------------------


def api_row(experiment_id: int = 100140756, **changes: object) -> Row:
    row: Row = {
        "data_set_id": experiment_id,
        "gender": "M",
        "injection_structures": "502/926",
        "injection_volume": 0.25,
        "injection_x": 9240,
        "injection_y": 3070,
        "injection_z": 8990,
        "product_id": 5,
        "specimen_name": "Penk-IRES2-Cre-neo-249961",
        "storage_directory": "/external/0378/",
        "strain": "C57BL/6J",
        "structure_abbrev": "SUB",
        "structure_id": 502,
        "structure_name": "Subiculum",
        "transgenic_line": None,
        "transgenic_line_id": None,
    }
    return {**row, **changes}


def line(name: str = "Penk-IRES2-Cre-neo", line_id: int = 298725927, kind: str | None = "driver") -> Row:
    return {
        "id": line_id,
        "name": name,
        "description": "Enriched in layers 2 and 6.",
        "stock_number": "025112",
        "transgenic_line_type_name": kind,
    }


def with_line(experiment_id: int, **line_fields: Any) -> Row:
    fields = line(**line_fields)
    return api_row(experiment_id, transgenic_line=fields, transgenic_line_id=fields["id"])


def search_row(experiment_id: int = 100140756, changes: Mapping[str, object] | None = None) -> Row:
    row: Row = {
        "id": experiment_id,
        "name": "378-557",
        "structure-id": 184,
        "structure-abbrev": "FRP",
        "structure-name": "Frontal pole, cerebral cortex",
        "structure-color": "268f45",
        "strain": "",
        "transgenic-line": "",
        "gender": "F",
        "product-id": 5,
        "injection-volume": 0.15,
        "injection-coordinates": [2290, 2450, 7160],
        "injection-structures": [{"id": 993, "abbreviation": "MOs"}, {"id": 184, "abbreviation": "FRP"}],
        "sum": 3.5,
        "num-voxels": None,
    }
    return {**row, **(changes or {})}


def web_row(experiment_id: int = 100140756, changes: Mapping[str, str] | None = None) -> dict[str, str]:
    row = {
        "id": str(experiment_id),
        "transgenic-line": "",
        "product-id": "5",
        "structure-id": "184",
        "structure-abbrev": "FRP",
        "structure-name": "Frontal pole, cerebral cortex",
        "name": "378-557",
        "injection-volume": "0.1561897932",
        "injection-structures": '[{"id"=>184, "name"=>"Frontal pole, all"}, {"id"=>993, "name"=>"Motor"}]',
        "gender": "M",
        "strain": "",
        "sum": "3.86036112",
        "structure-color": "268f45",
        "num-voxels": "",
        "injection-coordinates": "[2290, 2450, 7160]",
        "selected": "false",
        "experiment_page_url": f"https://connectivity.brain-map.org/projection/experiment/{experiment_id}",
    }
    return {**row, **(changes or {})}


def csv_body(rows: Sequence[Mapping[str, str]], columns: Sequence[str] = WEB_COLUMNS) -> bytes:
    def cell(text: str) -> str:
        return '"' + text.replace('"', '""') + '"' if set(text) & set(',"\n') else text

    lines = [",".join(columns), *(",".join(cell(row[column]) for column in columns) for row in rows)]
    return ("\n".join(lines) + "\n").encode()


# -- unionizes ----------------------------------------------------------------------------------------------------


def unionize(
    experiment_id: int = 1,
    structure_id: int = 997,
    hemisphere_id: int = 3,
    is_injection: bool = False,
    **changes: object,
) -> Row:
    row: Row = {
        "id": experiment_id * 1000 + structure_id * 10 + hemisphere_id,
        "section_data_set_id": experiment_id,
        "structure_id": structure_id,
        "hemisphere_id": hemisphere_id,
        "is_injection": is_injection,
        "sum_pixels": 2.6e14,
        "sum_projection_pixels": 10.5,
        "sum_pixel_intensity": 7,
        "sum_projection_pixel_intensity": 0.0,
        "projection_density": 0.5,
        "projection_intensity": 300.25,
        "projection_energy": 150.125,
        "volume": 1.5,
        "projection_volume": 0.1 + 0.2,
        "normalized_projection_volume": 0.01,
        "max_voxel_density": 1.0,
        "max_voxel_x": 8330,
        "max_voxel_y": 2650,
        "max_voxel_z": 4370,
    }
    return {**row, **changes}


def unionizes(experiment_id: int = 1, *, injection: bool = True, projection: bool = True) -> list[Row]:
    """A small complete table: every signal on the right side."""
    kinds = [True] * injection + [False] * projection
    return [
        unionize(experiment_id, structure_id, hemisphere_id, kind)
        for structure_id in (997, 8)
        for hemisphere_id in (3, 2)
        for kind in kinds
    ]


SDK_COLUMNS = ("", *sorted({*unionize(), "experiment_id"} - {"section_data_set_id"}))


def sdk_csv(rows: Sequence[Row], columns: Sequence[str] = SDK_COLUMNS) -> bytes:
    def cell(place: int, row: Row, column: str) -> str:
        if column == "":
            return str(place)
        value = row["section_data_set_id"] if column == "experiment_id" else row.get(column, "more")
        return repr(value) if not isinstance(value, str) else value

    lines = [",".join(columns)]
    lines += [",".join(cell(place, row, column) for column in columns) for place, row in enumerate(rows)]
    return ("\n".join(lines) + "\n").encode()


# -- grids --------------------------------------------------------------------------------------------------------


def voxels(grid: Grid = GRID) -> NDArray[np.float32]:
    """Values that differ along every axis, most of them 0."""
    array = np.zeros(grid.shape, np.float32)
    array[3, 5, 7] = 1.0
    array[-1, 0, 2] = 0.25
    array[10, 11:60, 12] = np.linspace(0.01, 0.9, 49, dtype=np.float32)
    return array


def raw(array: NDArray[Any], dtype: str = "<f4") -> bytes:
    return array.astype(dtype).tobytes(order="F")


def density_zip(members: Mapping[str, bytes] | None = None, *, mhd: str = MHD, **infos: Any) -> bytes:
    """A download; ``infos`` sets fields of the ZipInfo of the last member."""
    content = members if members is not None else {"density.mhd": mhd.encode(), "density.raw": raw(voxels())}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in content.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            if name == list(content)[-1]:
                for key, value in infos.items():
                    setattr(info, key, value)
            archive.writestr(info, data)
    return buffer.getvalue()


def nrrd(data: bytes | None = None, *, without: Sequence[str] = (), **changes: str) -> bytes:
    """An NRRD file; keyword names stand for header fields, with _ for spaces. ``data`` is already packed."""
    fields = {**NRRD_HEADER, **{key.replace("_", " "): value for key, value in changes.items()}}
    lines = [
        "NRRD0004",
        "# made for a test",
        *(f"{key}: {value}" for key, value in fields.items() if key not in without),
    ]
    packed = gzip.compress(raw(voxels()), 1, mtime=0) if data is None else data
    return "\n".join(lines).encode() + b"\n\n" + packed

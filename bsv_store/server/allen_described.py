"""The addresses of the Allen API for the OpenAPI document. What they answer: docs/mirror.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bsv_store.server.allen.files import ZIP_MEMBERS
from bsv_store.server.allen.messages import BINARY, ZIP
from bsv_store.server.data.operation import DescribedRoute, Parameter
from bsv_store.server.data.parameters import choice
from bsv_store.vocabulary import VOLUME_KINDS

_EXPERIMENT = Parameter(name="experiment_id", kind="integer", words="Allen's id of the experiment.", least=1)
_CRITERIA = Parameter(name="criteria", kind="string", words="A query in RMA, or a service of the connectivity atlas.")
# Strings, because a value that is not valid is answered with status 200 and an error in the envelope.
_ROWS = (
    Parameter(name="start_row", kind="string", words="Number of rows to leave out at the start."),
    Parameter(name="num_rows", kind="string", words="Maximum number of rows, or all."),
    Parameter(name="count", kind="string", words="Whether total_rows is the number of all rows: true or false."),
    Parameter(name="include", kind="string", words="Associations to include, such as structure_sets."),
)
_REFUSED: Final = (
    "A query that is not valid or not supported is answered with status 200, success false and the reason as msg."
)


def _envelope(*, success: bool, msg: Mapping[str, Any]) -> dict[str, Any]:
    count = {"type": "integer", "minimum": 0}
    members = {"id": {"const": 0}, "start_row": count, "num_rows": count, "total_rows": count}
    return {
        "type": "object",
        "required": ["success", *members, "msg"],
        "properties": {"success": {"const": success}, **members, "msg": msg},
    }


_ENVELOPE: Final = {
    "oneOf": [
        _envelope(success=True, msg={"type": "array", "items": {"type": "object"}}),
        _envelope(success=False, msg={"type": "string"}),
    ]
}
_NOT_FOUND: Final = {404: "An HTML page, as the Allen API returns for an unknown address"}
_NO_FILE: Final = {
    404: "An HTML page, as the Allen API returns for an unknown file",
    503: "An HTML page, if other large files are being computed",
}


def _query(name: str, path: str, summary: str, *parameters: Parameter) -> DescribedRoute:
    return DescribedRoute(
        route_name=f"allen_{name}",
        path=path,
        summary=summary,
        group="allen",
        parameters=parameters,
        schema=_ENVELOPE,
        pages=_NOT_FOUND,
        description=_REFUSED,
    )


def _file(name: str, path: str, summary: str, *parameters: Parameter, media_type: str = BINARY) -> DescribedRoute:
    return DescribedRoute(
        route_name=f"allen_{name}",
        path=path,
        summary=summary,
        group="allen",
        parameters=parameters,
        media_types=(media_type,),
        has_ranges=True,
        pages=_NO_FILE,
    )


DESCRIBED: Final = (
    _query(
        "query",
        "/api/v2/data/query.json",
        "A query in RMA",
        Parameter(name="q", kind="string", words="The query, such as model::Structure.", example="model::Structure"),
        _CRITERIA,
        *_ROWS,
    ),
    _query(
        "model_query",
        "/api/v2/data/{model}/query.json",
        "A query for one model",
        Parameter(name="model", kind="string", words="Name of the model.", example="ApiConnectivity"),
        _CRITERIA,
        *_ROWS,
    ),
    _query(
        "structure_graph",
        "/api/v2/structure_graph_download/{graph_id}.json",
        "The ontology as a tree",
        Parameter(name="graph_id", kind="integer", words="1: the adult mouse. There are no others.", example=1),
    ),
    _file(
        "grid_files",
        "/grid_data/download/{experiment_id}",
        "Volumes of an experiment at 100 um as a ZIP file, if the store has them",
        _EXPERIMENT,
        Parameter(name="include", kind="strings", words="Only these volumes.", choices=tuple(ZIP_MEMBERS)),
        media_type=ZIP,
    ),
    _file(
        "grid_file",
        "/grid_data/download_file/{experiment_id}",
        "A volume of an experiment as NRRD",
        _EXPERIMENT,
        choice("image", VOLUME_KINDS, "Kind of volume.", default="projection_density"),
        Parameter(name="resolution", kind="integer", words="Edge of a voxel in um.", default=100, least=10, most=100),
    ),
    _file(
        "annotation",
        "/informatics-archive/current-release/mouse_ccf/annotation/ccf_2017/annotation_{spacing_um}.nrrd",
        "The annotation as NRRD",
        Parameter(name="spacing_um", kind="integer", words="Edge of a voxel in um.", least=10, most=100),
    ),
    _file(
        "template",
        "/informatics-archive/current-release/mouse_ccf/average_template/average_template_{spacing_um}.nrrd",
        "The average template as NRRD",
        Parameter(name="spacing_um", kind="integer", words="Edge of a voxel in um.", least=10, most=100),
    ),
)

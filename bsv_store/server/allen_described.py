"""The addresses of the Allen API for the OpenAPI document. What they answer: docs/mirror.md."""

from __future__ import annotations

from typing import Final

from bsv_store.server.allen.files import ZIP_MEMBERS
from bsv_store.server.allen.messages import BINARY, ZIP
from bsv_store.server.data.operation import DescribedRoute, Parameter
from bsv_store.server.data.parameters import choice
from bsv_store.vocabulary import VOLUME_KINDS

_EXPERIMENT = Parameter(name="experiment_id", kind="integer", words="Allen's id of the experiment.", least=1)
_CRITERIA = Parameter(name="criteria", kind="string", words="A query in RMA, or a service of the connectivity atlas.")
_ROWS = (
    Parameter(name="start_row", kind="integer", words="Number of rows to leave out at the start.", least=0),
    Parameter(name="num_rows", kind="string", words="Maximum number of rows, or all."),
)


def _allen(name: str, path: str, summary: str, *parameters: Parameter, media_type: str | None = None) -> DescribedRoute:
    return DescribedRoute(
        route_name=f"allen_{name}",
        path=path,
        summary=summary,
        group="allen",
        parameters=parameters,
        media_types=("application/json" if media_type is None else media_type,),
    )


DESCRIBED: Final = (
    _allen(
        "query",
        "/api/v2/data/query.json",
        "A query in RMA",
        Parameter(name="q", kind="string", words="The query, such as model::Structure."),
        _CRITERIA,
        *_ROWS,
    ),
    _allen(
        "model_query",
        "/api/v2/data/{model}/query.json",
        "A query for one model",
        Parameter(name="model", kind="string", words="Such as SectionDataSet."),
        _CRITERIA,
        *_ROWS,
    ),
    _allen(
        "structure_graph",
        "/api/v2/structure_graph_download/{graph_id}.json",
        "The ontology as a tree",
        Parameter(name="graph_id", kind="integer", words="1: the adult mouse.", example=1, least=1),
    ),
    _allen(
        "grid_files",
        "/grid_data/download/{experiment_id}",
        "Volumes of an experiment at 200 um as a ZIP file, if the store has them",
        _EXPERIMENT,
        Parameter(name="include", kind="strings", words="Only these volumes.", choices=tuple(ZIP_MEMBERS)),
        media_type=ZIP,
    ),
    _allen(
        "grid_file",
        "/grid_data/download_file/{experiment_id}",
        "A volume of an experiment as NRRD",
        _EXPERIMENT,
        choice("image", VOLUME_KINDS, "Kind of volume.", default="projection_density"),
        Parameter(name="resolution", kind="integer", words="Edge of a voxel in um.", default=100, least=10, most=100),
        media_type=BINARY,
    ),
    _allen(
        "annotation",
        "/informatics-archive/current-release/mouse_ccf/annotation/ccf_2017/annotation_{spacing_um}.nrrd",
        "The annotation as NRRD",
        Parameter(name="spacing_um", kind="integer", words="Edge of a voxel in um.", least=10, most=100),
        media_type=BINARY,
    ),
    _allen(
        "template",
        "/informatics-archive/current-release/mouse_ccf/average_template/average_template_{spacing_um}.nrrd",
        "The average template as NRRD",
        Parameter(name="spacing_um", kind="integer", words="Edge of a voxel in um.", least=10, most=100),
        media_type=BINARY,
    ),
)

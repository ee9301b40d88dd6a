"""The addresses of the Allen API, and the reply to a request."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from bsv_store.server.allen import queries, wire
from bsv_store.server.allen.files import ZIP_MEMBERS, nrrd_file, volume_dtype, zip_file
from bsv_store.server.allen.messages import BINARY, JSON, ZIP, Reply, Request, page
from bsv_store.server.allen.source import AllenSource
from bsv_store.vocabulary import SPACINGS_UM, VOLUME_KINDS

PREFIXES: Final = ("/api/v2/", "/grid_data/", "/informatics-archive/")
"""All addresses begin with one of these."""

_QUERY = re.compile(r"/api/v2/data/query\.json")
_MODEL_QUERY = re.compile(r"/api/v2/data/([A-Za-z]+)/query\.json")
_GRAPH = re.compile(r"/api/v2/structure_graph_download/([0-9]{1,18})\.json")
_GRID_ZIP = re.compile(r"/grid_data/download/([0-9]{1,18})")
_GRID_FILE = re.compile(r"/grid_data/download_file/([0-9]{1,18})")
_ANNOTATION = re.compile(
    r"/informatics-archive/current-release/mouse_ccf/annotation/ccf_2017/annotation_([0-9]{1,4})\.nrrd"
)
_TEMPLATE = re.compile(
    r"/informatics-archive/current-release/mouse_ccf/average_template/average_template_([0-9]{1,4})\.nrrd"
)
_SPACINGS = {str(spacing): spacing for spacing in SPACINGS_UM}


def reply_to(source: AllenSource, request: Request) -> Reply:
    """The reply to a request: 200 with the data, or a page with 404. Unsupported queries fail in their envelope."""
    for pattern, handler in _ROUTES:
        if match := pattern.fullmatch(request.path):
            return handler(source, request, *match.groups())
    return page(404, "Not found")


def _query(source: AllenSource, request: Request) -> Reply:
    text = request.parameters.get("q") or request.parameters.get("criteria") or ""
    return Reply(200, queries.answer(source, text, request.parameters), JSON)


def _model_query(source: AllenSource, request: Request, model: str) -> Reply:
    criteria = request.parameters.get("criteria", "")
    text = f"model::{model}" + (f",rma::criteria,{criteria}" if criteria else "")
    return Reply(200, queries.answer(source, text, request.parameters), JSON)


def _graph(source: AllenSource, _: Request, graph_id: str) -> Reply:
    if int(graph_id) != wire.GRAPH_ID:
        return Reply(200, wire.failure(f"unknown structure graph {graph_id}"), JSON)
    return Reply(200, wire.envelope(wire.structure_tree(source.ontology())), JSON)


def _grid_zip(source: AllenSource, request: Request, experiment_id: str) -> Reply:
    named = request.parameters.get("include")
    asked = list(ZIP_MEMBERS) if named is None else named.split(",")
    found = {
        member: voxels
        for member in ZIP_MEMBERS
        if member in asked and (voxels := source.zip_member(int(experiment_id), member)) is not None
    }
    # Without a choice, all that there are.
    if not found or (named is not None and len(found) != len(asked)):
        return page(404, f"There are no grids {','.join(asked)} of {experiment_id}")
    return Reply(200, zip_file(found), ZIP)


def _grid_file(source: AllenSource, request: Request, experiment_id: str) -> Reply:
    image = request.parameters.get("image", "projection_density")
    resolution = request.parameters.get("resolution", "100")
    # Not by their synonyms, which Allen does not know.
    kind = VOLUME_KINDS[image].name if image in VOLUME_KINDS else None
    spacing = _SPACINGS.get(resolution)
    voxels = None if kind is None or spacing is None else source.volume(int(experiment_id), kind, spacing)
    if voxels is None:
        return page(404, f"There is no {image} of {experiment_id} at {resolution} um")
    return Reply(200, nrrd_file(voxels, dtype=volume_dtype(voxels.spacing_um)), BINARY)


def _annotation(source: AllenSource, _: Request, resolution: str) -> Reply:
    spacing = _SPACINGS.get(resolution)
    voxels = None if spacing is None else source.annotation(spacing)
    if voxels is None:
        return page(404, f"There is no annotation at {resolution} um")
    return Reply(200, nrrd_file(voxels, dtype="u4"), BINARY)


def _template(source: AllenSource, _: Request, resolution: str) -> Reply:
    spacing = _SPACINGS.get(resolution)
    voxels = None if spacing is None else source.template(spacing)
    if voxels is None:
        return page(404, f"There is no template at {resolution} um")
    return Reply(200, nrrd_file(voxels, dtype=voxels.dtype or "u2"), BINARY)


_ROUTES: tuple[tuple[re.Pattern[str], Callable[..., Reply]], ...] = (
    (_QUERY, _query),
    (_MODEL_QUERY, _model_query),
    (_GRAPH, _graph),
    (_GRID_ZIP, _grid_zip),
    (_GRID_FILE, _grid_file),
    (_ANNOTATION, _annotation),
    (_TEMPLATE, _template),
)

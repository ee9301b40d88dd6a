"""The routes ``/v1/images``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from starlette.routing import BaseRoute, Route

from bsv_store import check
from bsv_store.errors import InputError
from bsv_store.server.images import precomputed
from bsv_store.server.images.anatomy import DEFAULT_LEVEL, checked_level, coarse_annotation, outlines_json, position_um
from bsv_store.server.images.colors import COLOR_MAPS, colors_of, png
from bsv_store.server.images.downloads import brain_nifti, nifti
from bsv_store.server.images.facts import source_facts
from bsv_store.server.images.images import (
    PLANE_NAMES,
    checked_query,
    images_of,
)
from bsv_store.server.images.replies import (
    BINARY,
    PNG,
    Body,
    accepts_gzip,
    ascii_header,
    body_of,
    etag_of,
    is_known,
    json_body,
    not_modified,
    reply_of,
)
from bsv_store.server.images.sources import SOURCE_NAMES, Shown, number, plane_by, version_by, whole_number
from bsv_store.vocabulary import COLOR_SCALES, HEMISPHERES, THEMES, PlaneRow
from bsv_store.volumes.grid import ARRAY_AXES, EXTENT_UM, Grid

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from starlette.requests import Request
    from starlette.responses import Response

_COLOR_NAMES = ("scale", "vmin", "vmax", "map", "theme", "zoom")
_MAX_ZOOM = 8


async def information(request: Request) -> Response:
    """Facts about a version or a volume: grid, groups, arrays, units."""
    images = images_of(request)
    query = dict(checked_query(request, *SOURCE_NAMES))
    facts = await images.looked_up(("facts", *query.items()), lambda: source_facts(images.store, query))
    annotations = await images.annotations()
    facts = facts | {"annotations": [file.grid.spacing_um for file in annotations]}
    body = json_body(facts, compress=accepts_gzip(request))
    return _reply_now(request, body, body.data)


async def values(request: Request) -> Response:
    """The values of a plane, row by row, little-endian, in the type of the stored array; NaN = no data."""
    images = images_of(request)
    query = checked_query(request, *SOURCE_NAMES, *PLANE_NAMES)
    shown = await images.shown(query)
    orientation, index = plane_by(query, shown.grid)
    compress = accepts_gzip(request)
    parts = ("values", shown.identity, orientation.name, index)
    etag = etag_of(*parts, compress=compress)
    if is_known(request, etag):
        return not_modified(etag, is_pinned=shown.is_pinned)
    found = images.replies.find(etag)
    if found is not None:
        return reply_of(found, etag, is_pinned=shown.is_pinned)
    plane = await images.plane(shown, orientation, index)
    headers = _plane_headers(shown, orientation, index)
    if compress:
        return await images.reply(
            request,
            parts,
            lambda: body_of(_little_endian(plane()), BINARY, compress=True, headers=headers),
            is_pinned=shown.is_pinned,
        )
    return reply_of(Body(_little_endian(plane()), BINARY, headers=headers), etag, is_pinned=shown.is_pinned)


async def picture(request: Request) -> Response:
    """A plane as a PNG image, in the colors of the figures."""
    images = images_of(request)
    query = checked_query(request, *SOURCE_NAMES, *PLANE_NAMES, *_COLOR_NAMES)
    shown = await images.shown(query)
    orientation, index = plane_by(query, shown.grid)
    scale = None if "scale" not in query else check.choice("scale", query["scale"], COLOR_SCALES).name
    theme = check.choice("theme", query.get("theme", "light"), THEMES)
    vmin = None if "vmin" not in query else number("vmin", query["vmin"])
    vmax = None if "vmax" not in query else number("vmax", query["vmax"])
    zoom = whole_number("zoom", query.get("zoom", "1"))
    if not 1 <= zoom <= _MAX_ZOOM:
        raise InputError(f"zoom must be 1 to {_MAX_ZOOM}, got {zoom}")
    color_map = query.get("map")
    plane = await images.plane(shown, orientation, index)

    def make() -> Body:
        image = plane()
        colors = colors_of(
            image,
            theme=theme,
            scale=scale,
            vmin=vmin,
            vmax=vmax,
            color_map=color_map,
            is_signed=shown.is_signed or bool((image < 0).any()),
        )
        return Body(png(image, colors, zoom=zoom), PNG)

    parts = ("png", shown.identity, orientation.name, index, scale, theme.name, vmin, vmax, color_map, zoom)
    return await images.reply(request, parts, make, is_pinned=shown.is_pinned)


async def value_range(request: Request) -> Response:
    """Extremes, quantiles and a histogram of the values."""
    images = images_of(request)
    shown = await images.shown(checked_query(request, *SOURCE_NAMES))
    found = await images.range(shown)
    etag = etag_of("range", shown.identity, compress=accepts_gzip(request))
    if is_known(request, etag):
        return not_modified(etag, is_pinned=shown.is_pinned)
    return reply_of(json_body(found, compress=accepts_gzip(request)), etag, is_pinned=shown.is_pinned)


async def structures(request: Request) -> Response:
    """Id, acronym, name, color and parent of each structure, in ontology order."""
    checked_query(request)
    found = await images_of(request).structures()
    body = json_body(found.as_json(), compress=accepts_gzip(request))
    return _reply_now(request, body, body.data)


async def structure_position(request: Request) -> Response:
    """A point in a structure, um: AP, DV, ML."""
    images = images_of(request)
    query = dict(checked_query(request, "structure", "hemisphere"))
    half = check.choice("hemisphere", query.get("hemisphere", "right"), HEMISPHERES).name
    name = check.text("structure", query.get("structure"), such_as="VISp")
    files = await images.annotations()
    found = await images.looked_up(("position", name, half), lambda: position_um(images.store, files, name, half))
    body = json_body({"structure": name, "at_um": found}, compress=False)
    return _reply_now(request, body, body.data)


async def structure_ids(request: Request) -> Response:
    """The structure ids of a plane, row by row, little-endian uint32; 0 = outside the brain."""
    images = images_of(request)
    query = checked_query(request, "spacing_um", *PLANE_NAMES)
    term, known = await images.annotation(_spacing(query))
    orientation, index = plane_by(query, term.grid)
    block = await images.block(term, orientation, index)

    def make() -> Body:
        ids = known.ids_of(block.plane(orientation, index))
        headers = _grid_headers(term.grid, orientation, index) | {"Bsv-Dtype": "<u4"}
        return body_of(_little_endian(ids), BINARY, compress=accepts_gzip(request), headers=headers)

    parts = ("ids", term.identity, orientation.name, index)
    return await images.reply(request, parts, make, is_pinned=False)


async def outlines(request: Request) -> Response:
    """The outlines of structures in a plane, um: those of a level of the ontology, a structure set, or structures."""
    images = images_of(request)
    query = checked_query(request, "spacing_um", "level", "structure_set", *PLANE_NAMES, several=("structure",))
    term, known = await images.annotation(_spacing(query))
    orientation, index = plane_by(query, term.grid)
    named = tuple(request.query_params.getlist("structure"))
    if sum((bool(named), "level" in query, "structure_set" in query)) > 1:
        raise InputError("give one of level, structure_set and structure")
    members: tuple[int, ...] | None = None
    level = DEFAULT_LEVEL
    if named:
        rows = await images.looked_up(("rows", *named), lambda: images.store.atlas.structures(list(named)))
        members = tuple(row.id for row in rows)
    elif "structure_set" in query:
        number_of_set = whole_number("structure_set", query["structure_set"])
        rows = await images.looked_up(("set", number_of_set), lambda: images.store.atlas.structure_set(number_of_set))
        members = tuple(row.id for row in rows)
    elif "level" in query:
        level = checked_level(whole_number("level", query["level"]))
    block = await images.block(term, orientation, index)

    def make() -> Body:
        table = known.at_level(level) if members is None else known.within(members)
        found = outlines_json(block.plane(orientation, index), table, term.grid.spacing_um)
        document = {"spacing_um": term.grid.spacing_um, "extent_um": _extent(orientation), "outlines": found}
        return json_body(document, compress=accepts_gzip(request))

    parts = ("outlines", term.identity, orientation.name, index, level, members, known.identity)
    return await images.reply(request, parts, make, is_pinned=False)


async def volume(request: Request) -> Response:
    """A group of a version, or a volume, of 100 or 50 um as a compressed NIfTI file."""
    images = images_of(request)
    query = dict(checked_query(request, *SOURCE_NAMES))
    shown = await images.shown(query)

    def make() -> Body:
        return Body(nifti(images.store, query), "application/gzip")

    return await images.reply(request, ("nifti", shown.identity), make, is_pinned=shown.is_pinned, is_long=True)


async def regions(request: Request) -> Response:
    """The mean of each group in each structure, as a table."""
    images = images_of(request)
    query = dict(checked_query(request, "version", "content"))
    if "version" not in query:
        raise InputError("version is missing", hint="For example: ?version=visual@1.")
    version, _ = await images.looked_up(("version", *query.items()), lambda: version_by(images.store, query))
    files = await images.annotations()
    known = await images.structures()

    def make() -> Body:
        table = images.store.datasets.regions(version).to_csv(index=False)
        return body_of(table.encode(), "text/csv; charset=utf-8", compress=accepts_gzip(request))

    hashes = tuple(file.array_sha256 for file in files)
    parts = ("regions", version.content_sha256, known.identity, hashes)
    return await images.reply(request, parts, make, is_pinned=False, is_long=True)


async def brain(request: Request) -> Response:
    """The voxels inside the brain, according to the annotation, of 100 or 50 um as a compressed NIfTI file."""
    images = images_of(request)
    query = checked_query(request, "spacing_um")
    file = coarse_annotation(await images.annotations(), _spacing(query))
    known = await images.structures()

    def make() -> Body:
        return Body(brain_nifti(images.store, file.grid, known), "application/gzip")

    parts = ("brain", file.array_sha256, known.identity)
    return await images.reply(request, parts, make, is_pinned=False, is_long=True)


async def color_maps(request: Request) -> Response:
    """256 colors of each color map as hexadecimal digits, and the themes of the figures."""
    checked_query(request)
    themes = {
        row.name: {
            name: getattr(row, name)
            for name in ("background", "ink", "muted", "line", "no_data", "signal", "difference")
        }
        for row in THEMES.values()
    }
    maps = json.loads(COLOR_MAPS.read_text(encoding="ascii"))
    body = json_body({"maps": maps, "themes": themes}, compress=accepts_gzip(request))
    return _reply_now(request, body, body.data)


async def precomputed_info(request: Request) -> Response:
    """The document ``info`` of a volume in Neuroglancer's format."""
    checked_query(request)
    shown = await images_of(request).shown(_path_source(request))
    body = json_body(precomputed.info(shown), compress=accepts_gzip(request))
    return _reply_now(request, body, body.data)


async def precomputed_chunk(request: Request) -> Response:
    """A chunk of a volume in Neuroglancer's format."""
    checked_query(request)
    images = images_of(request)
    shown = await images.shown(_path_source(request))
    key = request.path_params["key"]
    if key != precomputed.key_of(shown.grid):
        raise InputError(f"the volume has no scale {key[:20]!r}", hint=f"It has {precomputed.key_of(shown.grid)}.")
    name = request.path_params["chunk"]
    ranges = precomputed.chunk_ranges(shown.grid, name)
    parts = ("chunk", shown.identity, name)
    etag = etag_of(*parts, compress=accepts_gzip(request))
    found = images.replies.find(etag)
    if found is not None and not is_known(request, etag):
        return reply_of(found, etag, is_pinned=shown.is_pinned)
    blocks = await precomputed.chunk_blocks(images, shown, *ranges[0])
    return await images.reply(
        request,
        parts,
        lambda: body_of(precomputed.chunk_bytes(shown, blocks, ranges), BINARY, compress=accepts_gzip(request)),
        is_pinned=shown.is_pinned,
    )


def _path_source(request: Request) -> dict[str, str]:
    """The parameters that name a source, from the path."""
    path = cast("Mapping[str, Any]", request.path_params)
    if "experiment" in path:
        return {name: str(path[name]) for name in ("experiment", "kind", "spacing_um")}
    query = {"version": str(path["version"]), "statistic": str(path["statistic"])}
    which = str(path["group"])
    # Maps of comparisons have no groups.
    if which != "all":
        group, _, minus = which.partition("-")
        query |= {"group": group} | ({"minus": minus} if minus else {})
    return query


def _spacing(query: Mapping[str, str]) -> int | None:
    return None if "spacing_um" not in query else Grid(whole_number("spacing_um", query["spacing_um"])).spacing_um


def _extent(orientation: PlaneRow) -> list[int]:
    return [EXTENT_UM[ARRAY_AXES.index(orientation.right)], EXTENT_UM[ARRAY_AXES.index(orientation.down)]]


def _grid_headers(grid: Grid, orientation: PlaneRow, index: int) -> dict[str, str]:
    down, right = (grid.shape[ARRAY_AXES.index(axis)] for axis in (orientation.down, orientation.right))
    return {
        "Bsv-Shape": f"{down},{right}",
        "Bsv-Plane": orientation.name,
        "Bsv-Index": str(index),
        "Bsv-At-Um": f"{(index + 0.5) * grid.spacing_um:g}",
        "Bsv-Spacing-Um": str(grid.spacing_um),
        "Bsv-Extent-Um": ",".join(map(str, _extent(orientation))),
    }


def _plane_headers(shown: Shown, orientation: PlaneRow, index: int) -> dict[str, str]:
    return _grid_headers(shown.grid, orientation, index) | {
        "Bsv-Dtype": shown.dtype.newbyteorder("<").str,
        "Bsv-Unit": ascii_header(shown.unit),
    }


def _little_endian(array: NDArray[np.generic]) -> bytes:
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def _reply_now(request: Request, body: Body, *parts: object) -> Response:
    """A small document, determined by its own bytes."""
    etag = etag_of(*parts, compress=body.is_compressed)
    if is_known(request, etag):
        return not_modified(etag, is_pinned=False)
    return reply_of(body, etag, is_pinned=False)


_VERSION = "/v1/images/precomputed/version/{version}/{statistic}/{group}"
_EXPERIMENT = "/v1/images/precomputed/experiment/{experiment:int}/{kind}/{spacing_um:int}"

ROUTES: list[BaseRoute] = [
    Route("/v1/images/info", information),
    Route("/v1/images/slice", values),
    Route("/v1/images/slice.png", picture),
    Route("/v1/images/colors", color_maps),
    Route("/v1/images/range", value_range),
    Route("/v1/images/structures", structures),
    Route("/v1/images/position", structure_position),
    Route("/v1/images/annotation", structure_ids),
    Route("/v1/images/outlines", outlines),
    Route("/v1/images/volume.nii.gz", volume),
    Route("/v1/images/brain.nii.gz", brain),
    Route("/v1/images/regions.csv", regions),
    Route(f"{_VERSION}/info", precomputed_info),
    Route(f"{_VERSION}/{{key}}/{{chunk}}", precomputed_chunk),
    Route(f"{_EXPERIMENT}/info", precomputed_info),
    Route(f"{_EXPERIMENT}/{{key}}/{{chunk}}", precomputed_chunk),
]

"""Operations on structures, the annotation and volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bsv_store.formats.table import IMAGE_FORMATS
from bsv_store.server.data.formats import TABLE_TYPES
from bsv_store.server.data.operation import Operation, Parameter, routes_of
from bsv_store.server.data.parameters import (
    EXPERIMENT_ID,
    FORMAT,
    HEMISPHERE,
    HEMISPHERE_RULE,
    KIND,
    SPACING,
    STRUCTURE_SET,
)
from bsv_store.server.data.replies import json_reply, table_reply
from bsv_store.server.data.schemas import TABLE, an_object, list_of
from bsv_store.server.data.written_file import MEDIA_TYPES, ending_of, written_file

if TYPE_CHECKING:
    from starlette.responses import Response

    from bsv_store.server.data.operation import Call

IMAGE_ENDINGS = tuple(each.ending.removeprefix(".") for each in IMAGE_FORMATS if each.marker is None)


def _structures(call: Call) -> Response:
    atlas, values = call.store.atlas, call.values
    if values["structure_set"] is not None:
        rows = atlas.structure_set(values["structure_set"])
    elif values["inside"] is not None:
        rows = atlas.structure_tree(values["inside"])
    else:
        rows = atlas.structures(list(atlas.name_map()))
    return json_reply(call, {"structures": rows})


def _find_structures(call: Call) -> Response:
    found = call.store.atlas.find_structures(call.values["text"], **call.given("limit"))
    return json_reply(call, found)


def _structure(call: Call) -> Response:
    atlas, structure = call.store.atlas, call.values["structure"]
    path = atlas.structure_path(structure)
    tree = atlas.structure_tree(structure)
    return json_reply(call, {"structure": path[-1], "path": path, "descendants": tree[1:]})


def _structure_sets(call: Call) -> Response:
    return json_reply(call, {"structure_sets": call.store.atlas.structure_sets()})


def _voxel_counts(call: Call) -> Response:
    return table_reply(call, call.store.atlas.voxel_counts(**call.given("structures", "structure_set", "spacing_um")))


def _mask(call: Call) -> Response:
    structures = call.values["structures"]
    ending = ending_of(call.values["format"], IMAGE_ENDINGS)
    given = call.given("spacing_um", "hemisphere", "include_descendants", "like_allen")
    name = f"mask_{'_'.join(map(str, structures))}_{call.values['spacing_um']}um.{ending}"
    return written_file(
        call.request,
        name,
        ending,
        content=f"mask {call.store.catalog.content_digest()} {structures} {given}",
        write=lambda path: call.store.atlas.export_mask(structures, path, **given),
    )


def _volume(call: Call) -> Response:
    identifier = call.values["experiment_id"]
    facts = call.store.volumes.describe(identifier, **call.given("kind", "spacing_um"))
    return json_reply(call, facts)


def _volume_file(call: Call) -> Response:
    identifier = call.values["experiment_id"]
    ending = ending_of(call.values["format"], IMAGE_ENDINGS)
    given = call.given("kind", "spacing_um", "hemisphere_rule", "like_allen")
    recorded = call.store.volumes.recorded(identifier, kind=given["kind"], spacing_um=given["spacing_um"])
    return written_file(
        call.request,
        f"{identifier}_{given['kind']}_{given['spacing_um']}um.{ending}",
        ending,
        content=f"volume {recorded.layout.file_sha256} {call.store.catalog.content_digest()} {given}",
        write=lambda path: call.store.volumes.export(identifier, path, **given),
    )


_FILE_FORMAT = Parameter(
    name="format", kind="string", words="Ending of the file.", choices=IMAGE_ENDINGS, default="nii.gz"
)
_LIKE_ALLEN = Parameter(name="like_allen", kind="boolean", words="Header like that of Allen's files (NRRD only).")
_FILE_TYPES = tuple(dict.fromkeys(MEDIA_TYPES.get(each, "application/octet-stream") for each in IMAGE_ENDINGS))
_STRUCTURES = Parameter(name="structures", kind="structures", words="Structures, as acronyms or ids.", example="VISp")
_TABLE: dict[str, Any] = {"media_types": TABLE_TYPES, "schema": TABLE, "is_table": True, "is_kept": True}

OPERATIONS = (
    Operation(
        path="/v1/structures",
        answer=_structures,
        summary="All structures, or those inside one or in a set, in ontology order",
        group="atlas",
        parameters=(
            Parameter(name="inside", kind="structure", words="Only this structure and its descendants."),
            STRUCTURE_SET,
        ),
        schema=an_object(structures=list_of("object")),
        is_kept=True,
    ),
    Operation(
        path="/v1/structures/find",
        answer=_find_structures,
        summary="Structures whose acronym or name contains a text, or is similar to it",
        group="atlas",
        parameters=(
            Parameter(name="text", kind="string", words="The text.", is_required=True, example="visual"),
            Parameter(
                name="limit", kind="integer", words="Maximum number of structures.", default=50, least=1, most=5_000
            ),
        ),
        is_kept=True,
    ),
    Operation(
        path="/v1/structures/{structure}",
        answer=_structure,
        summary="One structure with its ancestors and descendants",
        group="atlas",
        parameters=(Parameter(name="structure", kind="structure", words="Acronym or id.", example="VISp"),),
        schema=an_object(structure={"type": "object"}, path=list_of("object"), descendants=list_of("object")),
        is_kept=True,
    ),
    Operation(
        path="/v1/structure-sets",
        answer=_structure_sets,
        summary="Allen's structure sets",
        group="atlas",
        schema=an_object(structure_sets=list_of("object")),
        is_kept=True,
    ),
    Operation(
        path="/v1/voxel-counts",
        answer=_voxel_counts,
        summary="Numbers of voxels of structures in the annotation",
        group="atlas",
        parameters=(_STRUCTURES, STRUCTURE_SET, SPACING, FORMAT),
        **_TABLE,
    ),
    Operation(
        path="/v1/mask",
        answer=_mask,
        summary="The voxels of structures as an image file: 1 inside, 0 outside",
        group="atlas",
        parameters=(
            Parameter(
                name="structures",
                kind="structures",
                words="Structures, as acronyms or ids.",
                is_required=True,
                example="VISp",
            ),
            SPACING,
            HEMISPHERE,
            Parameter(name="include_descendants", kind="boolean", words="Also the voxels of all descendants."),
            _LIKE_ALLEN,
            _FILE_FORMAT,
        ),
        media_types=_FILE_TYPES,
        is_long=True,
    ),
    Operation(
        path="/v1/volumes/{experiment_id}",
        answer=_volume,
        summary="Facts about a volume: grid, values, hashes and source",
        group="volumes",
        parameters=(EXPERIMENT_ID, KIND, SPACING),
        is_kept=True,
    ),
    Operation(
        path="/v1/volumes/{experiment_id}/file",
        answer=_volume_file,
        summary="A volume as an image file",
        group="volumes",
        parameters=(EXPERIMENT_ID, KIND, SPACING, HEMISPHERE_RULE, _LIKE_ALLEN, _FILE_FORMAT),
        media_types=_FILE_TYPES,
        is_long=True,
    ),
)

ROUTES = routes_of(OPERATIONS)

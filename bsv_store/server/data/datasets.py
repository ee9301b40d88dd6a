"""Operations on datasets and their versions, and on the store as a whole."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from bsv_store.catalog.selection.words import selection_words
from bsv_store.datasets.share.export import VERSION_FORMATS
from bsv_store.datasets.weights import members_with_weights
from bsv_store.server.data.experiments import sorted_page
from bsv_store.server.data.formats import TABLE_TYPES
from bsv_store.server.data.listed_versions import listed_versions
from bsv_store.server.data.operation import Operation, Parameter, routes_of
from bsv_store.server.data.parameters import (
    FORMAT,
    HEMISPHERES,
    LIMIT,
    OFFSET,
    REF,
    SORT,
    STRUCTURE_SET,
)
from bsv_store.server.data.replies import json_reply, table_reply
from bsv_store.server.data.schemas import TABLE, an_object, list_of
from bsv_store.server.data.written_file import MEDIA_TYPES, ending_of, written_file
from bsv_store.vocabulary import AXES, COMPARISON_MAPS, STATISTICS

if TYPE_CHECKING:
    from starlette.responses import Response

    from bsv_store.datasets.version import DatasetVersion
    from bsv_store.server.data.operation import Call

VERSION_ENDINGS = tuple(each.ending.removeprefix(".") for each in VERSION_FORMATS if each.marker is None)


def _datasets(call: Call) -> Response:
    return json_reply(call, {"datasets": call.store.datasets.list()})


def _versions(call: Call) -> Response:
    frame = listed_versions(call.store)
    return table_reply(call, sorted_page(call, frame), total=len(frame))


def _version(call: Call) -> Response:
    return json_reply(call, version_facts(_found(call)))


def _found(call: Call) -> DatasetVersion:
    return call.store.dataset(call.values["ref"])


def version_facts(version: DatasetVersion) -> dict[str, Any]:
    """The facts about a version, its groups, checks, origin and provenance; members are in a table of their own."""
    recipe = version.recipe
    grid = None
    if recipe.has_voxels:
        grid = {"spacing_um": recipe.spacing_um, "shape": version.grid.shape, "axes": list(AXES)}
    return {
        "ref": version.ref,
        "name": version.name,
        "number": version.number,
        "tags": version.tags,
        "quantity": version.quantity,
        "unit": version.unit,
        "rules": version.rules,
        "selection_words": selection_words(version.recipe.selection),
        "recipe": version.recipe.to_dict(),
        "fingerprint": version.fingerprint,
        "algorithm_version": version.algorithm_version,
        "content_sha256": version.content_sha256,
        "file_sha256": version.file_sha256,
        "size_bytes": version.size_bytes,
        "grid": grid,
        "groups": [asdict(group) for group in version.groups],
        "axes": version.axes,
        "members": sum(member.group is not None for member in version.experiments),
        "left_out": len(version.left_out),
        "created_at": version.created_at,
        "created_by": version.created_by,
        "software": version.software,
        "origin": {**asdict(version.origin), "words": str(version.origin)},
        "twins": version.twins,
        "checks": version.checks,
        "provenance": version.provenance(),
    }


def _members(call: Call) -> Response:
    frame = members_with_weights(_found(call))
    return table_reply(call, sorted_page(call, frame), total=len(frame))


def _stale(call: Call) -> Response:
    return json_reply(call, {"reports": call.store.datasets.stale(call.values["ref"])})


def _lineage(call: Call) -> Response:
    return json_reply(call, call.store.datasets.lineage(call.values["ref"]))


def _cite(call: Call) -> Response:
    return json_reply(call, call.store.datasets.cite(call.values["ref"]).to_dict())


def _diff(call: Call) -> Response:
    return json_reply(call, call.store.datasets.diff(call.values["ref"], call.values["other"]))


def _regions(call: Call) -> Response:
    given = call.given("structures", "structure_set", "groups", "hemisphere", "over_animals")
    frame = call.store.datasets.regions(call.values["ref"], **given)
    return table_reply(call, sorted_page(call, frame), total=len(frame))


def _animal_regions(call: Call) -> Response:
    given = call.given("structures", "structure_set", "groups", "hemisphere")
    frame = call.store.datasets.animal_regions(call.values["ref"], **given)
    return table_reply(call, sorted_page(call, frame), total=len(frame))


def _comparison(call: Call) -> Response:
    frame = _found(call).comparison_table()
    return table_reply(call, sorted_page(call, frame), total=len(frame))


def _export(call: Call) -> Response:
    version = _found(call)
    ending = ending_of(call.values["format"], VERSION_ENDINGS)
    given = call.given("statistic", "group", "like_allen")
    parts = [version.ref, given.get("statistic"), None if "group" not in given else f"group{given['group']}"]
    # Texts of members and citations depend on the catalog, the others on the result alone.
    content = f"version {version.file_sha256} {call.store.catalog.content_digest()} {given}"
    return written_file(
        call.request,
        f"{'_'.join(part for part in parts if part is not None)}.{ending}",
        ending,
        content=content,
        write=lambda path: version.export(path, **given),
    )


def _status(call: Call) -> Response:
    status = call.store.status()
    return json_reply(
        call,
        {
            "store_id": status.store_id,
            "database": "sqlite" if call.store.database.is_sqlite else "postgresql",
            "schema_revision": status.schema_revision,
            "release": status.release,
            "at": status.at,
            "catalog": status.catalog,
        },
    )


_TABLE: dict[str, Any] = {
    "media_types": TABLE_TYPES,
    "schema": TABLE,
    "is_table": True,
    "is_kept": True,
    "group": "datasets",
}
_PAGE = (SORT, OFFSET, LIMIT, FORMAT)
_REGIONS = (
    REF,
    Parameter(name="structures", kind="structures", words="Only these structures.", example="VISp,VISl"),
    STRUCTURE_SET,
    Parameter(name="groups", kind="integers", words="Only the groups with these numbers, from 0.", least=0),
    HEMISPHERES,
)

OPERATIONS = (
    Operation(
        path="/v1/datasets",
        answer=_datasets,
        summary="All datasets: number of versions, size, tags",
        group="datasets",
        schema=an_object(datasets=list_of("object")),
        is_kept=True,
    ),
    Operation(
        path="/v1/versions",
        answer=_versions,
        summary="All versions of all datasets",
        parameters=_PAGE,
        **_TABLE,
    ),
    Operation(
        path="/v1/versions/{ref}",
        answer=_version,
        summary="One version: recipe, groups, tags, checks, origin and provenance",
        group="datasets",
        parameters=(REF,),
        schema=an_object(
            ref={"type": "string"}, recipe={"type": "object"}, groups=list_of("object"), checks=list_of("object")
        ),
        is_kept=True,
    ),
    Operation(
        path="/v1/versions/{ref}/members",
        answer=_members,
        summary="The selected experiments of a version: group and weight, or why they were left out",
        parameters=(REF, *_PAGE),
        **_TABLE,
    ),
    Operation(
        path="/v1/versions/{ref}/regions",
        answer=_regions,
        summary="Mean of each group of a version over structures",
        parameters=(
            *_REGIONS,
            Parameter(name="over_animals", kind="boolean", words="Mean and spread over the animals of a group."),
            *_PAGE,
        ),
        **_TABLE,
    ),
    Operation(
        path="/v1/versions/{ref}/animal-regions",
        answer=_animal_regions,
        summary="Mean of each animal of a version over structures",
        parameters=(*_REGIONS, *_PAGE),
        **_TABLE,
    ),
    Operation(
        path="/v1/versions/{ref}/comparison",
        answer=_comparison,
        summary="The table of a comparison by structure, the smallest p first: means, difference, effect size, p",
        parameters=(REF, *_PAGE),
        **_TABLE,
    ),
    Operation(
        path="/v1/versions/{ref}/stale",
        answer=_stale,
        summary="The changes in the store since a version was computed",
        group="datasets",
        parameters=(REF,),
        schema=an_object(reports=list_of("object")),
        is_kept=True,
    ),
    Operation(
        path="/v1/versions/{ref}/lineage",
        answer=_lineage,
        summary="The volumes, unionize tables and lists from which a version was computed",
        group="datasets",
        parameters=(REF,),
        is_kept=True,
    ),
    Operation(
        path="/v1/versions/{ref}/cite",
        answer=_cite,
        summary="Draft citation of a version: text, BibTeX and RIS",
        group="datasets",
        parameters=(REF,),
        schema=an_object(methods={"type": "string"}, bibtex={"type": "string"}, ris={"type": "string"}),
        is_kept=True,
    ),
    Operation(
        path="/v1/versions/{ref}/diff",
        answer=_diff,
        summary="The differences between two versions: recipe, members, voxels",
        group="datasets",
        parameters=(REF, Parameter(name="other", kind="string", words="The other version.", is_required=True)),
        is_kept=True,
        is_long=True,
    ),
    Operation(
        path="/v1/versions/{ref}/file",
        answer=_export,
        summary="A version as a file: the result, an image, a table, references, or a bundle for another store",
        group="datasets",
        parameters=(
            REF,
            Parameter(name="format", kind="string", words="Ending of the file.", choices=VERSION_ENDINGS, default="nc"),
            Parameter(
                name="statistic",
                kind="string",
                words="What an image shows.",
                choices=(*STATISTICS, *COMPARISON_MAPS),
            ),
            Parameter(name="group", kind="integer", words="Number of one group, from 0; all by default.", least=0),
            Parameter(name="like_allen", kind="boolean", words="Header like that of Allen's files (NRRD only)."),
        ),
        media_types=tuple(dict.fromkeys(MEDIA_TYPES.get(each, "application/octet-stream") for each in VERSION_ENDINGS)),
        is_long=True,
    ),
    Operation(
        path="/v1/status",
        answer=_status,
        summary="Release, schema and content of the store",
        group="server",
        schema=an_object(store_id={"type": "string"}, release={"type": "string"}, catalog={"type": "object"}),
    ),
)

ROUTES = routes_of(OPERATIONS)

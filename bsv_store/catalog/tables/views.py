"""The views and tables for users of SQL, described column by column.

The documentation and the command line print ``schema_markdown()``, the frames take their columns and types from here,
and a test compares the descriptions with the databases.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    String,
    Table,
    TableClause,
    column,
    table,
)
from sqlalchemy.types import TypeEngine

from bsv_store.catalog.database.models import Base
from bsv_store.catalog.database.models.base import UtcDateTime
from bsv_store.catalog.records import UNIONIZE_COLUMNS
from bsv_store.text import listed, near_names
from bsv_store.vocabulary import DATASET_STANDINGS, MEASURES

ColumnKind = Literal["integer", "float", "text", "boolean", "time"]


@dataclass(frozen=True, slots=True)
class ColumnDescription:
    """A column that SQL users may rely on."""

    name: str
    kind: ColumnKind
    description: str


@dataclass(frozen=True, slots=True)
class TableDescription:
    """A view or table that SQL users may rely on."""

    name: str
    description: str
    columns: tuple[ColumnDescription, ...]


def _described(name: str, description: str, columns: Iterable[tuple[str, ColumnKind, str]]) -> TableDescription:
    return TableDescription(name, description, tuple(ColumnDescription(*described) for described in columns))


_EXPERIMENTS = _described(
    "experiments",
    "The experiments, one flat row each, withdrawn ones included. Source: Allen's experiment lists, except for columns "
    "that name another source.",
    (
        ("experiment_id", "integer", "Allen's id of the experiment (section data set)"),
        ("specimen_name", "text", "Allen's name of the mouse"),
        ("product_id", "integer", "Allen's product; 31 is the retina"),
        ("primary_structure", "text", "Acronym of the structure with the most of the injection; case matters"),
        ("primary_structure_id", "integer", "Allen's id of that structure"),
        ("primary_structure_name", "text", "Full name of that structure"),
        ("transgenic_line", "text", "Lines that are not wild type, sorted, joined by '/'; null = wild type"),
        ("strain", "text", "Strain of the mouse; null = unknown"),
        ("sex", "text", "M or F; null = not known"),
        ("injection_volume", "float", "Injection volume, mm3, both hemispheres"),
        ("injection_ap", "integer", "Injection coordinate, um from the anterior end; null = unknown"),
        ("injection_dv", "integer", "Injection coordinate, um from the top; null = unknown"),
        ("injection_ml", "integer", "Injection coordinate, um from the left; the midline is 5,700; null = unknown"),
        (
            "injected_hemisphere",
            "text",
            "left or right: the hemisphere with the larger part of the injection, according to "
            "hemisphere_source; null = unknown, as for the retina",
        ),
        (
            "hemisphere_source",
            "text",
            "unionize: by the injection volumes of both hemispheres; coordinate: by injection_ml, if they are unknown",
        ),
        ("injection_volume_left", "float", "mm3, from the unionize rows of the root; null = unknown"),
        ("injection_volume_right", "float", "mm3, from the unionize rows of the root; null = unknown"),
        (
            "bilateral",
            "boolean",
            "The other hemisphere has at least 1 % of the injection volume; null = unknown",
        ),
        (
            "projection_volume",
            "float",
            "Projection volume outside the injection site, mm3, both hemispheres: from Allen's list (sum), "
            "otherwise from the unionize rows of the root; null = neither is in the store",
        ),
        (
            "injection_outside_primary",
            "float",
            "Share of the injection volume outside the primary structure, 0 to 1, from the unionize rows of the root "
            "and of that structure; null = unknown",
        ),
        (
            "laterality_index",
            "float",
            "(ipsilateral - contralateral) / (ipsilateral + contralateral) of the projection volume outside the "
            "injection site, -1 to 1, from the unionize rows of the root; null = unknown",
        ),
        ("withdrawn", "boolean", "Not in the current list: the newest API list, or else the newest CSV export"),
    ),
)


def _measure_description(name: str) -> str:
    row = MEASURES[name]
    return f"{row.words}, {row.unit}" if row.unit else row.words


_UNIONIZE_COLUMNS: tuple[tuple[str, ColumnKind, str], ...] = (
    ("experiment_id", "integer", "The experiment"),
    ("structure_id", "integer", "The structure; parents already contain their children"),
    ("structure", "text", "Acronym of the structure; case matters"),
    ("structure_name", "text", "Full name of the structure"),
    ("hemisphere_id", "integer", "1 left, 2 right, 3 both"),
    ("hemisphere", "text", "left, right or both"),
    (
        "side",
        "text",
        "ipsilateral or contralateral to the injected hemisphere, or both; null if that hemisphere is unknown",
    ),
    *((name, "float", _measure_description(name)) for name in UNIONIZE_COLUMNS if name in MEASURES),
    ("max_voxel_x", "integer", "AP of the densest voxel, um; 0 where the density is 0"),
    ("max_voxel_y", "integer", "DV of the densest voxel, um; 0 where the density is 0"),
    ("max_voxel_z", "integer", "ML of the densest voxel, um; 0 where the density is 0"),
)

_INJECTION_SUMMARY = _described(
    "injection_summary",
    "Signal by structure and hemisphere inside the injection site. No row = no overlap, or not in the store, "
    "or not measured (see measured_structures). Source: Allen's unionize tables; structures from the ontology.",
    _UNIONIZE_COLUMNS,
)

_PROJECTIONS = _described(
    "projections",
    "Signal by structure and hemisphere outside the injection site. No row = no overlap, or not in the store, "
    "or not measured (see measured_structures). Source: Allen's unionize tables; structures from the ontology.",
    _UNIONIZE_COLUMNS,
)

_MEASURED_STRUCTURES = _described(
    "measured_structures",
    "The structures in which Allen measures signal: the members of set 184527634 without ENTmv, SCig-a, SCig-b, SCig-c,"
    " im, smd, grf and mtV, which have no row in any table of the API, and with root, VS, VL, V3, AQ, V4, V4r and c,"
    ' which have. For any other structure a missing row means "not measured", not "no overlap". Source: set 184527634'
    " of the ontology, and which structures have rows in 107 tables of the API.",
    (
        ("structure_id", "integer", "Allen's id of the structure"),
        ("structure", "text", "Acronym; case matters"),
        ("structure_name", "text", "Full name"),
    ),
)

_DATASET_VERSIONS = _described(
    "dataset_versions",
    "The versions of all datasets, one row each. Source: recorded by bsv-store when it computed them.",
    (
        ("name", "text", "Name of the dataset"),
        ("number", "integer", "Number of the version"),
        ("fingerprint", "text", "SHA-256 over recipe, inputs and algorithm version"),
        ("content_sha256", "text", "SHA-256 of the result arrays"),
        ("spacing_um", "integer", "Edge of a voxel, um; 0 for a comparison by structure"),
        ("group_count", "integer", "Groups of the result"),
        ("member_count", "integer", "Experiments in the result"),
        ("created_at", "time", "Time of creation, UTC"),
        ("created_by", "text", "User who created it"),
        ("software", "text", "Versions of bsv-store, NumPy, h5py and Python"),
        ("recipe", "text", "The recipe as canonical JSON"),
        ("path", "text", "Path of the file, relative to the folder of the store"),
        ("size_bytes", "integer", "Size of the file"),
        ("standing", "text", "; ".join(row.name for row in DATASET_STANDINGS.values() if row.in_catalog)),
        ("imported_at", "time", "Time of the import, UTC; null = computed in this store"),
        ("imported_by", "text", "User who imported it"),
        ("trusted_at", "time", "Time when a user marked it as trusted, UTC"),
        ("trusted_by", "text", "User who marked it as trusted"),
    ),
)

VIEWS: Mapping[str, TableDescription] = MappingProxyType(
    {
        described.name: described
        for described in (_EXPERIMENTS, _INJECTION_SUMMARY, _PROJECTIONS, _MEASURED_STRUCTURES, _DATASET_VERSIONS)
    }
)
"""The views, by name."""

# Tables that SQL users may rely on. Their columns are described in the models.
_TABLES: Mapping[str, str] = {
    "structure": "The structures of the ontology.",
    "structure_ancestor": "Each structure with each of its ancestors, itself included; join it to include descendants.",
    "structure_set": "Allen's sets of structures; 167587189 has the summary structures.",
    "structure_set_member": "The members of each set.",
    "transgenic_line": "The transgenic lines.",
    "experiment_line": "The lines of each experiment's mouse; some have two.",
    "experiment_injection_structure": "The injection structures of each experiment, primary and secondary.",
    "unionize": "Signal by experiment, structure, hemisphere and part (inside or outside the injection site).",
    "annotation": "The annotation files, which assign a structure to each voxel; one row per spacing.",
    "template": "The files of the average template, an image of the average brain; one row per spacing.",
    "named_selection": "Saved selections; the highest number of a name is the current one.",
    "exclusion": "The exclusion list: experiments that selections leave out, with the reasons.",
    "unionize_coverage": "The experiments whose unionize rows are in the store completely, by part.",
    "unionize_revision": "The halves of unionize tables that were replaced, with their hashes and origin.",
    "dataset": "The datasets; the view dataset_versions has their versions.",
    "dataset_version": "The versions, with the ids that the tables below refer to.",
    "dataset_group": "The groups of each version, in the order of the result's first axis.",
    "dataset_member": "The selected experiments of each version: their group, or why they were left out.",
    "dataset_check": "Versions that were computed again, with the outcome.",
    "activity": "Who changed the store, and when; rows are only added.",
}

_UNIONIZE_DESCRIPTIONS = {name: description for name, _, description in _UNIONIZE_COLUMNS}

_DESCRIPTIONS: Mapping[tuple[str, str], str] = {
    ("structure", "name"): "Full name",
    ("structure", "color_hex_triplet"): "Allen's color, six hexadecimal digits",
    ("structure", "parent_structure_id"): "Parent structure; null for the root",
    ("structure_ancestor", "descendant_id"): "The structure",
    ("structure_ancestor", "ancestor_id"): "A structure that contains it, or itself",
    ("structure_set", "id"): "Allen's id of the set",
    ("structure_set", "name"): "Name of the set, if the source has it",
    ("annotation", "id"): "The store's own id",
    ("template", "id"): "The store's own id",
    ("named_selection", "id"): "The store's own id",
    ("named_selection", "name"): "Name of the selection",
    ("named_selection", "saved_by"): "User who saved it",
    ("named_selection", "saved_at"): "Time, UTC",
    ("exclusion", "id"): "The store's own id",
    ("exclusion", "reason"): "Why the experiment is left out",
    ("exclusion", "excluded_by"): "User who put it on the list",
    ("exclusion", "excluded_at"): "Time, UTC",
    ("exclusion", "lifted_at"): "Time when it was taken off the list, UTC; null while it is on the list",
    ("transgenic_line", "id"): "The store's own id",
    ("transgenic_line", "name"): "Name of the line",
    ("transgenic_line", "allen_id"): "Allen's id; null if the list has names only",
    ("transgenic_line", "description"): "Allen's description",
    ("transgenic_line", "stock_number"): "Number in the source's catalog",
    ("unionize_coverage", "row_count"): "Rows of this part",
    ("unionize_revision", "id"): "The store's own id",
    ("unionize_revision", "row_count"): "Rows of this part",
    ("dataset", "id"): "The store's own id",
    ("dataset", "name"): "Name of the dataset",
    ("dataset", "created_at"): "Creation time of its first version, UTC",
    ("dataset", "created_by"): "User who created its first version",
    ("dataset_version", "id"): "The store's own id",
    ("dataset_version", "number"): "Number of the version, from 1",
    ("dataset_version", "algorithm_version"): "Version of the algorithm",
    ("dataset_version", "size_bytes"): "Size of the file",
    ("dataset_version", "file_sha256"): "SHA-256 of the file",
    ("dataset_version", "spacing_um"): "Edge of a voxel, um; 0 for a comparison by structure",
    ("dataset_version", "group_count"): "Groups of the result",
    ("dataset_version", "created_at"): "Time of creation, UTC",
    ("dataset_version", "created_by"): "User who created it",
    ("dataset_group", "label"): "Name of the group",
    ("dataset_group", "member_count"): "Number of experiments",
    ("dataset_member", "version_id"): "id in dataset_version",
    ("dataset_member", "group_number"): "number in dataset_group; null = left out",
    ("dataset_member", "left_out_reason"): "Why the experiment was left out",
    ("dataset_member", "injected_hemisphere"): "left or right, where the hemisphere rule used it",
    ("activity", "id"): "The store's own id",
    ("activity", "host"): "Name of the user's host",
    ("dataset_check", "id"): "The store's own id",
    ("dataset_check", "checked_at"): "Time, UTC",
    ("dataset_check", "checked_by"): "User who did it",
}

_KINDS: Mapping[ColumnKind, TypeEngine[Any]] = {
    "integer": BigInteger(),
    "float": Double(),
    "text": String(),
    "boolean": Boolean(),
    "time": UtcDateTime(),
}


def view(name: str) -> TableClause:
    """A view for SQLAlchemy queries, with its columns and their types."""
    return table(name, *(column(described.name, _KINDS[described.kind]) for described in VIEWS[name].columns))


def tables() -> Mapping[str, TableDescription]:
    """The tables that SQL users may rely on, by name."""
    return {name: _of_table(Base.metadata.tables[name], description) for name, description in _TABLES.items()}


# The words of SQLite and Postgres.
_UNKNOWN_TABLE = re.compile(r'no such table: (\w+)|relation "(\w+)" does not exist', re.IGNORECASE)


def unknown_name_hint(error: str) -> str | None:
    """What to do about a database's message, if it is about an unknown name; otherwise None."""
    if "no such" not in error.lower() and "does not exist" not in error.lower():
        return None
    hint = "`bsv-store sql --schema` lists the views and tables with their columns."
    unknown = _UNKNOWN_TABLE.search(error)
    near = near_names(unknown[1] or unknown[2], [*VIEWS, *_TABLES], limit=3) if unknown else []
    return f"Did you mean {listed(near)}? {hint}" if near else hint


def schema_markdown() -> str:
    """The views and tables with all their columns, as Markdown."""
    parts = ["## Views", *map(_markdown, VIEWS.values()), "## Tables", *map(_markdown, tables().values())]
    return "\n\n".join(parts) + "\n"


def _of_table(model: Table, description: str) -> TableDescription:
    return _described(
        model.name, description, ((each.name, _kind(each), _column_description(each)) for each in model.columns)
    )


def _kind(of: Column[Any]) -> ColumnKind:
    python_type = of.type.python_type
    kinds: Mapping[type, ColumnKind] = {int: "integer", float: "float", str: "text", bool: "boolean"}
    return kinds.get(python_type, "time")


def _column_description(of: Column[Any]) -> str:
    own = _DESCRIPTIONS.get((of.table.name, of.name)) or of.comment
    if own:
        return own
    if of.table.name == "unionize" and of.name in _UNIONIZE_DESCRIPTIONS:
        return _UNIONIZE_DESCRIPTIONS[of.name]
    return "; ".join(f"id in {key.column.table.name}" for key in of.foreign_keys)


def _markdown(described: TableDescription) -> str:
    rows = [f"| {each.name} | {each.kind} | {each.description} |" for each in described.columns]
    head = f"### {described.name}\n\n{described.description}"
    return "\n".join([f"{head}\n", "| column | type | meaning |", "|---|---|---|", *rows])

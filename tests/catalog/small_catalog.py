"""A catalog made by hand: small enough to know every answer by heart, with the atlas's awkward cases in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import Connection, insert

from bsv_store.catalog.database.models import (
    Experiment,
    ExperimentInjectionStructure,
    ExperimentLine,
    SourceSnapshot,
    Structure,
    StructureAncestor,
    StructureSet,
    StructureSetMember,
    TransgenicLine,
    Unionize,
    UnionizeCoverage,
)
from bsv_store.catalog.database.schema import HEAD
from bsv_store.catalog.records import UNIONIZE_FIELDS
from bsv_store.catalog.sealing import seal_everything
from bsv_store.catalog.structures import UNIONIZE_STRUCTURE_SET_ID

# id, acronym, name, parent; parents first, in graph order.
STRUCTURES: tuple[tuple[int, str, str, int | None], ...] = (
    (997, "root", "root", None),
    (8, "grey", "Basic cell groups and regions", 997),
    (315, "Isocortex", "Isocortex", 8),
    (669, "VIS", "Visual areas", 315),
    (385, "VISp", "Primary visual area", 669),
    (593, "VISp1", "Primary visual area, layer 1", 385),
    (409, "VISl", "Lateral visual area", 669),
    (533, "VISpm", "posteromedial visual area", 669),
    (677, "VISC", "Visceral area", 315),
    (672, "CP", "Caudoputamen", 8),
    (549, "TH", "Thalamus", 8),
    (599, "CM", "Central medial nucleus of the thalamus", 549),
    (1, "TMv", "Tuberomammillary nucleus, ventral part", 8),
    (1091, "CUL4, 5", "Lobules IV-V", 8),
    (753, "cm", "cingulum bundle, a name that differs by case", 997),
    (304325711, "retina", "retina", 997),
)

NOT_MEASURED = {593}
"""VISp1 is an example of structures without unionize records."""

LINES: tuple[tuple[int, str, str | None], ...] = (
    (1, "Rbp4-Cre_KL100", "driver"),
    (2, "Slc17a8-IRES2-Cre", "driver"),
    (3, "wt", "wild type"),
    (4, "Ai75(RCL-nt)", "reporter"),
)


def _experiment(id_: int, structure: int, **values: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": id_,
        "specimen_name": f"mouse-{id_}",
        "product_id": 5,
        "primary_structure_id": structure,
        "transgenic_line": None,
        "strain": "C57BL/6J",
        "sex": "M",
        "injection_volume": id_ / 1000,
        "injection_ap": 8000,
        "injection_dv": 1500,
        "injection_ml": 8500,
        "projection_volume": 1.0,
        "injected_hemisphere": "right",
        "hemisphere_source": "coordinate",
        "injection_volume_left": None,
        "injection_volume_right": None,
        "storage_directory": None,
        "source_kind": "api",
        "withdrawn": False,
        "lines": (),
        "secondary": (),
    }
    unknown = set(values) - set(row)
    assert not unknown, unknown
    return {**row, **values}


_MEASURED = {"hemisphere_source": "unionize"}

EXPERIMENTS: tuple[dict[str, Any], ...] = (
    _experiment(1, 385, sex="F", secondary=(385, 533)),
    _experiment(101, 385, injection_ap=8100, injection_volume_left=0.0, injection_volume_right=0.101, **_MEASURED),
    # 2 % on the left: bilateral.
    _experiment(102, 593, injection_volume_left=0.002, injection_volume_right=0.1, **_MEASURED),
    _experiment(
        103,
        533,
        injected_hemisphere="left",
        injection_ml=3000,
        injection_volume_left=0.103,
        injection_volume_right=0.001,
        **_MEASURED,
    ),
    _experiment(
        104,
        409,
        injection_ap=None,
        injection_dv=None,
        injection_ml=None,
        injected_hemisphere=None,
        hemisphere_source=None,
    ),
    _experiment(
        105,
        677,
        secondary=(677, 385),
        hemisphere_source="unionize",
        injection_volume_left=0.0,
        injection_volume_right=0.105,
    ),
    _experiment(106, 599),
    _experiment(107, 753),
    _experiment(108, 1091, sex=None, strain=None),
    # Injected into an eye, so the side is not known.
    _experiment(109, 304325711, product_id=31, sex="F", injected_hemisphere=None, hemisphere_source=None),
    _experiment(110, 1, injection_volume=None),
    _experiment(201, 385, transgenic_line="Rbp4-Cre_KL100", lines=(1,)),
    _experiment(202, 409, transgenic_line="Rbp4-Cre_KL100", lines=(1,), injected_hemisphere="left", injection_ml=2500),
    _experiment(203, 677, transgenic_line="Ai75(RCL-nt)", lines=(4,), product_id=35),
    # Two lines, one of them of the type wild type: not a wild type.
    _experiment(204, 385, transgenic_line="Slc17a8-IRES2-Cre", lines=(2, 3)),
    # The other way round: nothing but a line of the type wild type.
    _experiment(205, 672, lines=(3,)),
    _experiment(206, 672, transgenic_line="Ai75(RCL-nt)/Rbp4-Cre_KL100", lines=(1, 4), strain="FVB.CD1(ICR)"),
    _experiment(301, 385, withdrawn=True),
    _experiment(302, 672, withdrawn=True, transgenic_line="Rbp4-Cre_KL100", lines=(1,)),
    _experiment(303, 549, injection_ap=1000, injection_dv=1000, injection_ml=1000, injected_hemisphere="left"),
)

ALL_IDS = tuple(row["id"] for row in EXPERIMENTS)
CURRENT_IDS = tuple(row["id"] for row in EXPERIMENTS if not row["withdrawn"])

EXCLUDED_IDS = (1, 101, 204, 301)
"""Those that are on the exclusion list, where a fixture puts them there; 301 is withdrawn besides."""

# Signal outside the injection: experiment -> structure -> (left, right), as projection_volume in mm3.
PROJECTIONS: Mapping[int, Mapping[int, tuple[float, float]]] = {
    101: {997: (0.5, 1.5), 672: (0.1, 0.4), 533: (0.0, 0.3)},
    102: {997: (0.2, 0.8), 672: (0.05, 0.0)},
    103: {997: (0.9, 0.1), 672: (0.3, 0.02), 599: (0.2, 0.0)},
    201: {997: (0.0, 2.0), 533: (0.0, 1.25)},
    301: {997: (1.0, 1.0), 672: (1.0, 1.0)},
}
# Signal inside the injection, of the root.
INJECTIONS: Mapping[int, tuple[float, float]] = {
    101: (0.0, 0.101),
    102: (0.002, 0.1),
    103: (0.103, 0.001),
    # Its projections are not known.
    105: (0.0, 0.105),
}


def fill(connection: Connection) -> None:
    """Write all of it into an empty catalog."""
    _fill_ontology(connection)
    lines = [{"id": id_, "name": name, "type_name": kind} for id_, name, kind in LINES]
    connection.execute(insert(TransgenicLine), lines)
    plain = [{k: v for k, v in row.items() if k not in ("lines", "secondary")} for row in EXPERIMENTS]
    connection.execute(insert(Experiment), plain)
    connection.execute(
        insert(ExperimentLine),
        [{"experiment_id": row["id"], "transgenic_line_id": line} for row in EXPERIMENTS for line in row["lines"]],
    )
    connection.execute(
        insert(ExperimentInjectionStructure),
        [
            {"experiment_id": row["id"], "structure_id": structure}
            for row in EXPERIMENTS
            for structure in row["secondary"] or (row["primary_structure_id"],)
        ],
    )
    connection.execute(insert(Unionize), list(unionize_rows()))
    _fill_coverage(connection)
    seal_everything(connection, HEAD)


def _fill_ontology(connection: Connection) -> None:
    parents = {id_: parent for id_, _, _, parent in STRUCTURES}

    def path(id_: int | None) -> list[int]:
        return [] if id_ is None else [*path(parents[id_]), id_]

    connection.execute(
        insert(Structure),
        [
            {
                "id": id_,
                "acronym": acronym,
                "name": name,
                "parent_structure_id": parent,
                "depth": len(path(id_)) - 1,
                "graph_order": order,
                "structure_id_path": f"/{'/'.join(map(str, path(id_)))}/",
                "color_hex_triplet": "08858C",
                "withdrawn": False,
            }
            for order, (id_, acronym, name, parent) in enumerate(STRUCTURES)
        ],
    )
    connection.execute(
        insert(StructureAncestor),
        [
            {"descendant_id": id_, "ancestor_id": ancestor, "distance": distance}
            for id_, *_ in STRUCTURES
            for distance, ancestor in enumerate(reversed(path(id_)))
        ],
    )
    connection.execute(insert(StructureSet), [{"id": UNIONIZE_STRUCTURE_SET_ID, "name": None}])
    connection.execute(
        insert(StructureSetMember),
        [
            {"structure_set_id": UNIONIZE_STRUCTURE_SET_ID, "structure_id": id_}
            for id_, *_ in STRUCTURES
            if id_ not in NOT_MEASURED | {997}
        ],
    )


def unionize_rows() -> Iterator[dict[str, Any]]:
    """Rows for both sides and their sum; what is 0 has no row."""
    number = 1
    for is_injection, source in ((True, {k: {997: v} for k, v in INJECTIONS.items()}), (False, PROJECTIONS)):
        for experiment, targets in source.items():
            for structure, (left, right) in targets.items():
                for hemisphere, volume in ((1, left), (2, right), (3, left + right)):
                    if volume:
                        number += 1
                        yield _unionize(experiment, structure, hemisphere, is_injection, volume, number)


def _unionize(
    experiment: int, structure: int, hemisphere: int, is_injection: bool, volume: float, number: int
) -> dict[str, Any]:
    row: dict[str, Any] = {column: 0 if kind == "i8" else 0.0 for _, column, kind in UNIONIZE_FIELDS}
    row.update(
        experiment_id=experiment,
        structure_id=structure,
        hemisphere_id=hemisphere,
        is_injection=is_injection,
        id=number,
        projection_volume=volume,
        normalized_projection_volume=volume / (experiment / 1000),
        projection_density=volume / 10,
        sum_pixel_intensity=2.6e14,
        max_voxel_density=0.5,
        max_voxel_x=8000,
    )
    return row


def _fill_coverage(connection: Connection) -> None:
    snapshot = {
        "id": 1,
        "what": "unionizes",
        "kind": "api",
        "source": "by hand",
        "upstream_date": date(2020, 7, 1),
        "taken_at": datetime(2024, 5, 17, 12, tzinfo=UTC),
        "content_sha256": "0" * 64,
        "row_count": 0,
        "added": 0,
        "changed": 0,
        "withdrawn": 0,
    }
    connection.execute(insert(SourceSnapshot), [snapshot])
    parts: Mapping[str, Mapping[int, object]] = {"injection": INJECTIONS, "projection": PROJECTIONS}
    connection.execute(
        insert(UnionizeCoverage),
        [
            {"experiment_id": id_, "part": part, "snapshot_id": 1, "row_count": 1, "content_sha256": "0" * 64}
            for part, source in parts.items()
            for id_ in source
        ],
    )

"""A generated catalog of the size and shape of the atlas: ontology, experiments and unionize tables."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bsv_store.catalog.database.engine import Database
from bsv_store.catalog.ingest import ingest_experiments, ingest_structures, ingest_unionizes
from bsv_store.catalog.records import (
    ROOT_STRUCTURE_ID,
    UNIONIZE_FIELDS,
    ExperimentList,
    ExperimentRecord,
    Ontology,
    StructureRecord,
    UnionizeTable,
)

# Numbers of the atlas: structures, those with unionize records, summary structures, primary injection structures.
NODES, MEASURED, SUMMARY, PRIMARIES = 1_327, 840, 316, 217
UNIONIZE_SET, SUMMARY_SET = 184527634, 167587189
# Structures that an injection touches: 3 x 840 + 3 x 27 is about 2,600 rows.
TOUCHED = 27
FIRST_EXPERIMENT = 100_000_000
# Experiments of one request to the API.
EXPERIMENTS_A_TABLE = 25


def structure_ids() -> NDArray[np.int64]:
    """Ids of the generated structures in graph order; the root first."""
    return np.concatenate([[ROOT_STRUCTURE_ID], np.arange(10_000, 10_000 + NODES - 1)]).astype(np.int64)


def fill_lists(database: Database, experiments: int) -> None:
    """Ingest the generated ontology and experiment list."""
    ids = structure_ids().tolist()
    nodes = [
        StructureRecord(
            id=identifier,
            acronym="root" if number == 0 else f"S{number}",
            name=f"structure {number}",
            # Each node has four children, which gives six levels, the depth of most structures of the atlas.
            parent_structure_id=None if number == 0 else ids[_parent(number)],
            graph_order=number,
            color_hex_triplet="08858C",
            structure_set_ids=_sets(number),
        )
        for number, identifier in enumerate(ids)
    ]
    ingest_structures(database, Ontology(tuple(nodes)), source="made up")
    random = np.random.default_rng(1)
    records = [
        ExperimentRecord(
            id=FIRST_EXPERIMENT + number,
            primary_structure_id=ids[_primary(number)],
            primary_structure_acronym=f"S{_primary(number)}",
            product_id=5,
            strain="C57BL/6J",
            sex="F" if number % 2 else "M",
            injection_volume=0.1,
            injection_ap=int(random.integers(200, 1300)) * 10,
            injection_dv=int(random.integers(50, 780)) * 10,
            injection_ml=int(random.integers(50, 1100)) * 10,
            injection_structure_ids=(ids[_primary(number)],),
        )
        for number in range(experiments)
    ]
    ingest_experiments(database, ExperimentList("api", tuple(records), len(records)), source="made up")


def _parent(number: int) -> int:
    return (number - 1) // 4


def _primary(experiment: int) -> int:
    """The number of the primary injection structure of an experiment by its number."""
    return MEASURED - PRIMARIES + experiment % PRIMARIES


def _sets(number: int) -> tuple[int, ...]:
    sets = []
    if number < MEASURED:
        sets.append(UNIONIZE_SET)
    if MEASURED - SUMMARY <= number < MEASURED:
        sets.append(SUMMARY_SET)
    return tuple(sorted(sets))


def unionize_tables(experiments: int) -> Iterator[UnionizeTable]:
    """The unionize rows of all experiments, in batches of experiments, as readers return them."""
    for start in range(0, experiments, EXPERIMENTS_A_TABLE):
        yield _table(np.arange(start, min(start + EXPERIMENTS_A_TABLE, experiments)))


def _table(numbers: NDArray[np.int64]) -> UnionizeTable:
    keys = [_keys(_primary(number)) for number in numbers.tolist()]
    key_columns = np.concatenate(keys)
    count = len(key_columns)
    random = np.random.default_rng(int(numbers[0]))
    columns: dict[str, NDArray[np.generic]] = {
        name: random.random(count) if code == "f8" else np.zeros(count, dtype=code) for _, name, code in UNIONIZE_FIELDS
    }
    columns["experiment_id"] = np.repeat(FIRST_EXPERIMENT + numbers, len(keys[0])).astype(np.int64)
    columns["structure_id"] = key_columns[:, 0]
    columns["hemisphere_id"] = key_columns[:, 1]
    columns["is_injection"] = key_columns[:, 2].astype(bool)
    columns["id"] = np.arange(count, dtype=np.int64)
    # Most structures have no signal at all.
    columns["projection_volume"] = np.where(random.random(count) < 0.5, 0.0, random.exponential(0.01, count))
    columns["normalized_projection_volume"] = np.asarray(columns["projection_volume"]) / 0.1
    return UnionizeTable(columns, frozenset({"injection", "projection"}))


@lru_cache(maxsize=PRIMARIES)
def _keys(primary: int) -> NDArray[np.int64]:
    """The structure, hemisphere and half of each row of an experiment, by its primary structure; sorted."""
    ids = structure_ids()
    # The root, so that the injected hemisphere is derived too, and the primary structure with those that contain it.
    inside = {primary, _parent(primary), _parent(_parent(primary))}
    inside |= set(range(TOUCHED - len(inside)))
    keys = [(ids[number], hemisphere, False) for number in range(MEASURED) for hemisphere in (1, 2, 3)]
    keys += [(ids[number], hemisphere, True) for number in inside for hemisphere in (1, 2, 3)]
    return np.array(sorted(keys), dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Loaded:
    """Number of ingested rows, and the time for that, without the time to generate them."""

    rows: int
    wall_s: float
    cpu_s: float


def fill_unionizes(database: Database, experiments: int) -> Loaded:
    """Ingest all generated unionize rows."""
    rows, wall, cpu = 0, 0.0, 0.0
    for table in unionize_tables(experiments):
        wall_start, cpu_start = time.perf_counter(), time.process_time()
        # The volumes are made up, so they differ from those of the list.
        rows += ingest_unionizes(database, table, source="made up", kind="api", replace=True).rows
        wall += time.perf_counter() - wall_start
        cpu += time.process_time() - cpu_start
    return Loaded(rows, wall, cpu)

"""A small store with all that datasets need: a few structures, experiments, unionize rows and sparse volumes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import delete, update

from bsv_store import DatasetVersion, Selection
from bsv_store.catalog.annotations import record_annotation
from bsv_store.catalog.database.models import Experiment, StoredVolume
from bsv_store.catalog.ingest import ingest_experiments, ingest_structures, ingest_unionizes
from bsv_store.catalog.records import (
    ROOT_STRUCTURE_ID,
    UNIONIZE_FIELDS,
    ExperimentList,
    ExperimentRecord,
    LineRecord,
    Ontology,
    StructureRecord,
    UnionizeTable,
)
from bsv_store.catalog.volumes import record_volume
from bsv_store.vocabulary import VolumeKind
from bsv_store.volumes.annotation import Annotation, AnnotationFile, publish_annotation
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.library import VolumeFile, publish_volume
from bsv_store.volumes.volume import Volume
from tests.sealing import sealed_changes

if TYPE_CHECKING:
    from bsv_store import Store
    from bsv_store.averaging.grouping.grouping import Grouping

VISP, VISPM, VISL, MOP = 385, 533, 409, 985
STRUCTURES = (
    (ROOT_STRUCTURE_ID, "root", None),
    (8, "grey", ROOT_STRUCTURE_ID),
    (669, "VIS", 8),
    (VISP, "VISp", 669),
    (VISPM, "VISpm", 669),
    (VISL, "VISl", 669),
    (MOP, "MOp", 8),
)


@dataclass(frozen=True)
class Fact:
    """What is known of one experiment; injection volumes in mm3, left and right."""

    id: int
    structure: int
    ap: int | None
    left: float
    right: float
    line: str | None = None

    @property
    def injected(self) -> str:
        return "left" if self.left > self.right else "right"

    @property
    def volume(self) -> float:
        return self.left + self.right


FACTS = (
    Fact(1, VISP, 8000, 0.0, 0.2),
    Fact(2, VISP, 8100, 0.0, 0.4),
    Fact(3, VISP, 8500, 0.5, 0.001, line="Rbp4-Cre_KL100"),
    Fact(4, VISL, 9000, 0.02, 0.3),
    Fact(5, VISPM, 9400, 0.25, 0.0, line="Rbp4-Cre_KL100"),
    Fact(6, MOP, 4000, 0.0, 0.15),
    Fact(7, MOP, None, 0.0, 0.1),
)
SHAPE = Grid(100).shape
IDS = tuple(fact.id for fact in FACTS)
BY_ID = {fact.id: fact for fact in FACTS}
# Both hemispheres of every experiment with a coordinate, enough for most tests.
VISUAL = Selection(injected_in="VIS")


def fill(store: Store, *, volumes: Iterable[int] = IDS, unionizes: Iterable[int] = IDS) -> None:
    """Take in structures, experiments, and the volumes and injection rows of these experiments."""
    ontology = Ontology(
        tuple(
            StructureRecord(identifier, acronym, f"the {acronym}", parent, order, "FFFFFF")
            for order, (identifier, acronym, parent) in enumerate(STRUCTURES)
        ),
        has_structure_sets=False,
    )
    ingest_structures(store.database, ontology, source="test")
    ingest_experiments(store.database, experiment_list(FACTS), source="test")
    add_unionizes(store, unionizes)
    for identifier in volumes:
        add_volume(store, identifier)


def change_experiments(store: Store, facts: Sequence[Fact]) -> None:
    """Replace the experiments of the store by these facts: the ids that are missing are withdrawn."""
    ingest_experiments(store.database, experiment_list(facts), source="test 2", allow_shrinking=True)


def experiment_list(facts: Sequence[Fact]) -> ExperimentList:
    acronyms = {identifier: acronym for identifier, acronym, _ in STRUCTURES}
    records = tuple(
        ExperimentRecord(
            fact.id,
            fact.structure,
            acronyms[fact.structure],
            injection_volume=fact.volume,
            injection_ap=fact.ap,
            injection_dv=None if fact.ap is None else 2000,
            injection_ml=None if fact.ap is None else (4000 if fact.injected == "left" else 7000),
            injection_structure_ids=(fact.structure,),
            lines=() if fact.line is None else (LineRecord(fact.line, type_name="driver"),),
        )
        for fact in facts
    )
    return ExperimentList("api", records, len(records))


def fill_with(store: Store, facts: Sequence[Fact]) -> None:
    """Take in structures, and experiments of one's own with their volumes and injection rows."""
    fill(store, volumes=(), unionizes=())
    ingest_experiments(store.database, experiment_list(facts), source="test", allow_shrinking=True)
    add_root_rows(store, facts)
    for fact in facts:
        add_volume(store, fact.id)


def forget_listed_volumes(store: Store) -> None:
    """Make the experiment list one without injection volumes, so that only unionize rows have them."""
    with sealed_changes(store.database) as connection:
        connection.execute(update(Experiment).values(injection_volume=None))


def add_unionizes(store: Store, ids: Iterable[int]) -> None:
    """The root's injection rows of these experiments."""
    add_root_rows(store, [BY_ID[identifier] for identifier in sorted(ids)])


def add_root_rows(store: Store, facts: Sequence[Fact]) -> None:
    """The root's injection rows that go with the volumes of these facts, ascending by id."""
    rows: list[dict[str, Any]] = []
    for fact in facts:
        for hemisphere, volume in ((1, fact.left), (2, fact.right), (3, fact.volume)):
            if volume > 0:
                rows.append(
                    {
                        "experiment_id": fact.id,
                        "structure_id": ROOT_STRUCTURE_ID,
                        "hemisphere_id": hemisphere,
                        "is_injection": True,
                        "id": fact.id * 10 + hemisphere,
                        "projection_volume": volume,
                    }
                )
    if not rows:
        return
    columns = {
        column: np.array([row.get(column, 0) for row in rows], dtype=dtype) for _, column, dtype in UNIONIZE_FIELDS
    }
    table = UnionizeTable(columns, frozenset({"injection"}))
    ingest_unionizes(store.database, table, source="test", kind="file")


@lru_cache(maxsize=64)
def voxels(identifier: int, *, seed: int = 0, kind: VolumeKind = "projection_density") -> NDArray[np.float32]:
    """A volume of that experiment: float32, shape (132, 80, 114), 2 % non-zero; read-only."""
    random = np.random.default_rng([identifier, seed, len(kind)])
    array = np.zeros(SHAPE, np.float32)
    where = random.integers(array.size, size=24_000)
    array.reshape(-1)[where] = random.random(where.size, dtype=np.float32)
    array.setflags(write=False)
    return array


def add_volume(
    store: Store,
    identifier: int,
    *,
    seed: int = 0,
    kind: VolumeKind = "projection_density",
    array: NDArray[np.float32] | None = None,
) -> VolumeFile:
    """Publish and record a volume."""
    content = voxels(identifier, seed=seed, kind=kind) if array is None else array
    file = publish_volume(store.files, Volume(kind, content), experiment_id=identifier, source="test")
    with store.database.writing() as connection:
        earlier = record_volume(connection, file)
    if earlier is not None:
        store.files.trash(earlier, "replaced")
    return file


def remove_volume(store: Store, identifier: int) -> None:
    """Remove the records of an experiment's volumes."""
    with sealed_changes(store.database) as connection:
        connection.execute(delete(StoredVolume).where(StoredVolume.experiment_id == identifier))


def add_annotation(store: Store, ids: NDArray[np.uint32]) -> AnnotationFile:
    """Publish and record an annotation."""
    annotation = Annotation.from_planes(Grid.from_shape(ids.shape), lambda first, last: ids[first:last])
    file = publish_annotation(store.files, annotation, source="test")
    with store.database.writing() as connection:
        record_annotation(connection, file)
    return file


def ask(
    store: Store,
    selection: Selection = VISUAL,
    grouping: Grouping | None = None,
    *,
    name: str = "test",
    **parts: Any,
) -> DatasetVersion:
    """The version that answers a recipe."""
    return store.aggregate(selection, group_by=grouping, name=name, **parts)

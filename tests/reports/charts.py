"""A small store with a catalog, an annotation and a volume, for tests of figures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import insert, update

from bsv_store import Store, create_store
from bsv_store.catalog.database.models import Structure, StructureSet, StructureSetMember
from bsv_store.reports.anatomy import DIVISION_SET_ID
from bsv_store.vocabulary import SUMMARY_STRUCTURE_SET_ID
from bsv_store.volumes.grid import Grid
from tests.catalog import small_catalog
from tests.datasets.world import add_annotation, add_volume
from tests.sealing import sealed_changes

ISOCORTEX, VISP, VISL, VISPM, TH, CP = 315, 385, 409, 533, 549, 672
COLORS = {ISOCORTEX: "70FF71", TH: "FF7080", CP: "98D6F9"}
# Experiments with unionize tables, and what was injected: 101 and 201 VISp, 102 VISp1, 103 VISpm.
MEASURED = (101, 102, 103, 201)
VOLUMES = (101, 102, 103)


@contextmanager
def small_store(folder: Path) -> Iterator[Store]:
    """The catalog of `small_catalog` with sets and colors of structures, an annotation and two volumes."""
    with create_store(folder) as store:
        fill(store)
        yield store


def fill(store: Store) -> None:
    """Write all of it into an empty store."""
    with store.database.writing() as connection:
        small_catalog.fill(connection)
    with sealed_changes(store.database) as connection:
        for set_id, members in (
            (DIVISION_SET_ID, (ISOCORTEX, TH)),
            (SUMMARY_STRUCTURE_SET_ID, (VISP, VISL, VISPM, TH, CP)),
        ):
            connection.execute(insert(StructureSet), [{"id": set_id, "name": None}])
            connection.execute(
                insert(StructureSetMember),
                [{"structure_set_id": set_id, "structure_id": member} for member in members],
            )
        for identifier, color in COLORS.items():
            change = update(Structure).where(Structure.id == identifier)
            connection.execute(change.values(color_hex_triplet=color))
    add_annotation(store, annotation())
    for identifier in VOLUMES:
        add_volume(store, identifier, array=signal(identifier))


def annotation() -> NDArray[np.uint32]:
    """A brain AP 2-12, DV 1-7, ML 1-10.4 mm: VISp above DV 2.5 mm, below TH, with CP in the first 4 mm."""
    ids = np.zeros(Grid(100).shape, np.uint32)
    ids[20:120, 10:25, 10:104] = VISP
    ids[20:120, 25:70, 10:104] = TH
    ids[20:60, 25:70, 10:104] = CP
    return ids


def signal(identifier: int) -> NDArray[np.float32]:
    """Cubes of 1 mm of 0.8: 101 on the right, 103 on the left, 102 on the right in front and on the left."""
    values = np.zeros(Grid(100).shape, np.float32)
    right, left = slice(80, 90), slice(24, 34)
    if identifier == 102:
        values[60:70, 40:50, right] = 0.8
    values[80:90, 40:50, right if identifier == 101 else left] = 0.8
    return values

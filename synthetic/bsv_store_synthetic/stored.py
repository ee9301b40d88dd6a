"""The brain of a store, such as Allen's, as the anatomy of a synthetic atlas."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bsv_store.catalog.records import StructureRecord
from bsv_store.errors import MissingDataError
from bsv_store.server.allen.files import Voxels
from bsv_store.server.allen.store_source import StoreSource
from bsv_store.text import listed_ids
from bsv_store_synthetic.anatomy import GRID, Anatomy
from bsv_store_synthetic.atlas import SyntheticAtlas
from bsv_store_synthetic.experiments import PRIMARY_STRUCTURES
from bsv_store_synthetic.ontology import Tree
from bsv_store_synthetic.projections import PATHWAYS

if TYPE_CHECKING:
    from bsv_store.store.store import Store

_FINE_UM = 25


class StoredAnatomy(Anatomy):
    """The structures and the annotation of a store, in which synthetic experiments are placed.

    Parameters
    ----------
    store : Store
        It must stay open. It needs Allen's ontology with structure sets, and the annotation at 100 um, which is derived
        from a finer one.

    Raises
    ------
    MissingDataError
        If the store does not have them, they lack a structure that synthetic experiments are injected in, or the
        annotation has structures that the current ontology lacks.
    DamagedFileError
        If the file of the annotation is damaged.
    """

    def __init__(self, store: Store) -> None:
        self._source = StoreSource(store)
        records = self._source.ontology()
        measured = store.sql("SELECT structure_id FROM measured_structures")["structure_id"]
        self._tree = Tree(records, measured=measured.tolist())
        annotation = store.atlas.annotation(spacing_um=GRID.spacing_um)
        present = set(np.unique(annotation).tolist())
        self._labels = tuple(record for record in records.structures if record.id in present)
        unknown = present - {0, *(record.id for record in self._labels)}
        if unknown:
            raise MissingDataError(
                f"the ontology of {store.path} lacks structures that its annotation has: {listed_ids(unknown)}",
                hint="Update it: bsv-store sync structures.",
            )
        missing = [name for name in (*PRIMARY_STRUCTURES, *PATHWAYS) if not self._has_voxels(name, present)]
        if missing:
            raise MissingDataError(
                f"the annotation of {store.path} has no voxel in {', '.join(missing)}",
                hint="Use a store with Allen's structures and annotation: bsv-store sync structures, sync annotation.",
            )
        order = np.array([0, *(record.id for record in self._labels)], np.uint32)
        sorter = np.argsort(order)
        codes = sorter[np.searchsorted(order, annotation, sorter=sorter)]
        self._codes = codes.astype(np.min_scalar_type(2 * len(order)))
        self._codes.flags.writeable = False
        self._identity = store.atlas.recorded_annotation(spacing_um=GRID.spacing_um).array_sha256

    def _has_voxels(self, acronym: str, present: set[int]) -> bool:
        return acronym in self._tree and bool(self._tree.descendants(self._tree.structure(acronym).id) & present)

    @property
    def identity(self) -> str:
        """See `Anatomy.identity`."""
        return self._identity

    @property
    def tree(self) -> Tree:
        """See `Anatomy.tree`."""
        return self._tree

    @property
    def labels(self) -> tuple[StructureRecord, ...]:
        """See `Anatomy.labels`."""
        return self._labels

    @property
    def codes(self) -> NDArray[Any]:
        """See `Anatomy.codes`."""
        return self._codes

    @property
    def drawn_um(self) -> int:
        """See `Anatomy.drawn_um`."""
        return GRID.spacing_um if self.annotation_voxels(_FINE_UM) is None else _FINE_UM

    def annotation_voxels(self, spacing_um: int) -> Voxels | None:
        """See `Anatomy.annotation_voxels`."""
        return self._source.annotation(spacing_um)

    def template_voxels(self, spacing_um: int) -> Voxels | None:
        """See `Anatomy.template_voxels`."""
        return self._source.template(spacing_um)


@contextmanager
def atlas_in(store: Path | str | None, *, experiments: int, seed: int = 0) -> Iterator[SyntheticAtlas]:
    """A context manager for a synthetic atlas in the brain of a store, which it keeps open.

    Parameters
    ----------
    store : path or None
        A folder, or the address of a server; None for the invented brain.
    experiments, seed : int
        See `SyntheticAtlas`.

    Raises
    ------
    MissingDataError, DamagedFileError
        See `StoredAnatomy`.
    BsvStoreError
        If the store cannot be opened.
    """
    if store is None:
        yield SyntheticAtlas(seed=seed, experiments=experiments)
        return
    from bsv_store.store.opening import open_store

    with open_store(store) as opened:
        yield SyntheticAtlas(seed=seed, experiments=experiments, anatomy=StoredAnatomy(opened))

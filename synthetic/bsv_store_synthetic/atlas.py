"""The synthetic atlas: all data that the server offers, computed on demand."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bsv_store.catalog.records import LineRecord, Ontology, StructureRecord
from bsv_store.errors import InputError
from bsv_store.vocabulary import Hemisphere, VolumeKind
from bsv_store_synthetic import unionize, volumes
from bsv_store_synthetic.anatomy import INVENTED, Anatomy
from bsv_store_synthetic.experiments import FIRST_ID, plan

# Structures with a smaller part of the injection are not listed as injection structures.
_LISTED_PART = 0.02


@dataclass(frozen=True, slots=True)
class SyntheticExperiment:
    """One experiment of the catalog. Coordinates in um and volumes in mm3 agree with its unionize records.

    Attributes
    ----------
    lines : tuple of LineRecord
        Sorted by name. A wild type has no lines, or only lines of type "wild type".
    projection_volume : float
        Outside the injection, both hemispheres: ``sum`` in the experiment lists.
    injection_volumes : tuple of float
        Left and right.
    injection_structure_ids : tuple of int
        Summary structures with at least 2 % of the injection, and the primary one; ascending.
    """

    number: int
    id: int
    specimen_name: str
    sex: str
    strain: str | None
    product_id: int
    lines: tuple[LineRecord, ...]
    primary_structure_id: int
    primary_structure_acronym: str
    injection_ap: int
    injection_dv: int
    injection_ml: int
    injection_volume: float
    injection_volumes: tuple[float, float]
    projection_volume: float
    injection_structure_ids: tuple[int, ...]
    storage_directory: str

    @property
    def is_wild_type(self) -> bool:
        """Whether there are no lines, or only lines of type "wild type"."""
        return all(line.type_name == "wild type" for line in self.lines)

    @property
    def injected_hemisphere(self) -> Hemisphere:
        """The hemisphere with the larger injection volume."""
        left, right = self.injection_volumes
        return "left" if left > right else "right"


@dataclass(frozen=True, slots=True)
class SyntheticAtlas:
    """An atlas with Allen's data formats and synthetic data.

    Parameters
    ----------
    seed : int
        Determines the experiments.
    experiments : int
        Number of experiments. Experiment k does not depend on it.
    anatomy : Anatomy
        The brain; by default an invented one. `bsv_store_synthetic.stored.StoredAnatomy` is that of a store.

    Raises
    ------
    InputError
        If ``experiments`` is below 1.

    Examples
    --------
    >>> atlas = SyntheticAtlas(experiments=2)
    >>> atlas.experiment(atlas.experiment_ids[0]).primary_structure_acronym
    'VISp'
    """

    seed: int = 0
    experiments: int = 24
    anatomy: Anatomy = field(default=INVENTED, repr=False)

    def __post_init__(self) -> None:
        if self.experiments < 1:
            raise InputError(
                f"experiments must be a positive integer, got {self.experiments}", hint="For example: experiments=24."
            )

    @property
    def ontology(self) -> Ontology:
        """The structure tree, in graph order."""
        return self.anatomy.tree.ontology

    @property
    def structures(self) -> tuple[StructureRecord, ...]:
        """All structures, in graph order."""
        return self.ontology.structures

    def structure(self, name: int | str) -> StructureRecord:
        """The structure with this id or acronym; KeyError if there is none."""
        return self.anatomy.tree.structure(name)

    @property
    def annotation(self) -> NDArray[np.uint32]:
        """uint32 array, shape (132, 80, 114), axes [ap, dv, ml]: structure id, 0 outside the brain; read-only."""
        return self.anatomy.annotation

    @property
    def experiment_ids(self) -> tuple[int, ...]:
        """Ids of all experiments, ascending."""
        return tuple(range(FIRST_ID, FIRST_ID + self.experiments))

    def __contains__(self, experiment_id: object) -> bool:
        return isinstance(experiment_id, int) and FIRST_ID <= experiment_id < FIRST_ID + self.experiments

    def experiment(self, experiment_id: int) -> SyntheticExperiment:
        """The experiment with this id; KeyError if there is none. The first call computes its volumes."""
        return _experiment(self.anatomy, self.seed, self._number(experiment_id))

    def unionize(self, experiment_id: int) -> tuple[unionize.UnionizeRow, ...]:
        """All unionize records of an experiment; KeyError if the id is unknown."""
        return unionize.unionize(self.anatomy, self.seed, self._number(experiment_id))

    def volume(self, experiment_id: int, kind: VolumeKind = "projection_density") -> NDArray[np.float32]:
        """float32 array, shape (132, 80, 114), axes [ap, dv, ml]: a volume at 100 um; KeyError if the id is unknown."""
        return volumes.volume(self.anatomy, self.seed, self._number(experiment_id), kind)

    def _number(self, experiment_id: int) -> int:
        if experiment_id not in self:
            raise KeyError(experiment_id)
        return experiment_id - FIRST_ID


@lru_cache(maxsize=8192)
def _experiment(anatomy: Anatomy, seed: int, number: int) -> SyntheticExperiment:
    drawn = plan(anatomy, seed, number)
    injected = unionize.root_rows(anatomy, seed, number, is_injection=True)
    left, right = (injected[side].projection_volume if side in injected else 0.0 for side in (1, 2))
    return SyntheticExperiment(
        number=number,
        id=drawn.id,
        specimen_name=drawn.specimen_name,
        sex=drawn.sex,
        strain=drawn.strain,
        product_id=drawn.product_id,
        lines=drawn.lines,
        primary_structure_id=drawn.primary_structure_id,
        primary_structure_acronym=anatomy.tree.structure(drawn.primary_structure_id).acronym,
        injection_ap=drawn.injection_ap,
        injection_dv=drawn.injection_dv,
        injection_ml=drawn.injection_ml,
        injection_volume=injected[3].projection_volume,
        injection_volumes=(left, right),
        projection_volume=unionize.root_rows(anatomy, seed, number, is_injection=False)[3].projection_volume,
        injection_structure_ids=_injection_structures(anatomy, seed, number),
        storage_directory=f"/external/synthetic/prod0/image_series_{drawn.id}/",
    )


def _injection_structures(anatomy: Anatomy, seed: int, number: int) -> tuple[int, ...]:
    rows = [r for r in unionize.unionize(anatomy, seed, number) if r.is_injection and r.hemisphere_id == 3]
    summary = {record.id for record in anatomy.tree.summary_structures()}
    listed = {r.structure_id for r in rows if r.normalized_projection_volume >= _LISTED_PART} & summary
    return tuple(sorted(listed | {plan(anatomy, seed, number).primary_structure_id}))

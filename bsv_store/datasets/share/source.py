"""The interface of a version that exports, bundles and citations use."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    import h5py
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from bsv_store.averaging.members import Member
    from bsv_store.averaging.recipe import Recipe
    from bsv_store.catalog.database.engine import Database
    from bsv_store.datasets.groups import GroupInfo
    from bsv_store.datasets.origin import Origin
    from bsv_store.datasets.provenance import Provenance
    from bsv_store.vocabulary import Axis
    from bsv_store.volumes.grid import Grid


class VersionSource(Protocol):
    """The attributes of `DatasetVersion` that this package uses."""

    @property
    def name(self) -> str:
        """Of the dataset."""

    @property
    def number(self) -> int:
        """From 1."""

    @property
    def ref(self) -> str:
        """Name and number."""

    @property
    def recipe(self) -> Recipe:
        """The recipe."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of recipe, groups, inputs and algorithm version."""

    @property
    def content_sha256(self) -> str:
        """SHA-256 of the result arrays."""

    @property
    def algorithm_version(self) -> int:
        """Of the algorithm that computed it."""

    @property
    def created_at(self) -> datetime:
        """Aware UTC."""

    @property
    def created_by(self) -> str:
        """User name."""

    @property
    def software(self) -> str:
        """Versions of the software that computed it."""

    @property
    def origin(self) -> Origin:
        """Whether it was computed in this store or imported."""

    @property
    def groups(self) -> tuple[GroupInfo, ...]:
        """All groups."""

    @property
    def axes(self) -> tuple[Axis, ...]:
        """Axes of the coordinate bins."""

    @property
    def empty_groups(self) -> tuple[GroupInfo, ...]:
        """Groups without experiments."""

    @property
    def experiments(self) -> tuple[Member, ...]:
        """All selected experiments."""

    @property
    def left_out(self) -> tuple[Member, ...]:
        """Experiments that were left out."""

    @property
    def members(self) -> pd.DataFrame:
        """All selected experiments, one row each."""

    @property
    def grid(self) -> Grid:
        """The voxel grid of the result."""

    @property
    def quantity(self) -> str:
        """Quantity and unit of the mean."""

    @property
    def tags(self) -> tuple[str, ...]:
        """When it was looked up."""

    @property
    def database(self) -> Database | None:
        """The database of its store; None for a pickled version."""

    @property
    def path(self) -> Path:
        """The result file."""

    @property
    def size_bytes(self) -> int:
        """Of the result file."""

    @property
    def file_sha256(self) -> str:
        """Of the result file."""

    def open(self) -> AbstractContextManager[h5py.File]:
        """The result file open for reading, every byte checked."""

    def weights(self) -> dict[int, float]:
        """The weight of each member by experiment id."""

    def group_ranges(self) -> dict[str, NDArray[np.float64]]:
        """Edges and centers of the groups."""

    def provenance(self) -> Provenance:
        """The lists, the ontology and the annotation behind it."""

"""What the routes need from a source of data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from bsv_store.catalog.records import ExperimentRecord, Ontology
from bsv_store.catalog.tables.unionize_rows import RowCondition
from bsv_store.server.allen.files import Voxels, ZipMember
from bsv_store.server.allen.rma import Paging
from bsv_store.vocabulary import VolumeKind


@dataclass(frozen=True, slots=True)
class UnionizePage:
    """Some of the unionize rows that a query matches.

    Attributes
    ----------
    columns : mapping of str to sequence
        Values by field of ProjectionStructureUnionize.
    total : int
        Number of rows that match; without a count, that of this page.
    """

    columns: Mapping[str, Sequence[Any]]
    total: int


class AllenSource(Protocol):
    """The data behind the routes. Safe to share between threads."""

    def ontology(self) -> Ontology:
        """The structures with their sets, in graph order; without any structure if it is not known."""

    def experiments(self) -> Sequence[ExperimentRecord]:
        """The current experiment list, ascending by id."""

    def unionizes(
        self, conditions: Sequence[RowCondition], order: Sequence[tuple[str, bool]], paging: Paging
    ) -> UnionizePage:
        """Unionize rows, in a fixed order unless another one is given.

        An experiment whose table is not complete has no rows, so that no client takes it for complete.

        Parameters
        ----------
        conditions : sequence of RowCondition
            All must hold. Columns are named by the fields of ProjectionStructureUnionize.
        order : sequence of (str, bool)
            Fields to sort by, and whether in descending order.
        paging : Paging

        Raises
        ------
        QueryRefusedError
            If there are too many rows for one reply.
        """

    def volume(self, experiment_id: int, kind: VolumeKind, spacing_um: int) -> Voxels | None:
        """A volume, or None if there is none."""

    def zip_member(self, experiment_id: int, member: ZipMember) -> Voxels | None:
        """A volume at 100 um that the API has as a MetaImage, or None if there is none."""

    def annotation(self, spacing_um: int) -> Voxels | None:
        """The annotation, or None if there is none."""

    def template(self, spacing_um: int) -> Voxels | None:
        """The average template, or None if there is none."""

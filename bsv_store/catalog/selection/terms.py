"""The terms of the rules of selections, so that the rules are defined once for the database and for memory.

The rules are in `bsv_store.catalog.selection.names` (what may be named) and `bsv_store.catalog.selection.resolve`
(which experiments are selected). They only combine terms, which have two implementations: SQL in
`bsv_store.catalog.selection.sql_terms`, and columns in memory in `bsv_store.catalog.selection.image`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from bsv_store.catalog.selection.criteria import Criteria
    from bsv_store.catalog.structures import StructureRef, StructureRow
    from bsv_store.vocabulary import UnionizePart, VolumeKind

C = TypeVar("C")
"""A condition: for each experiment true, false or unknown. Unknown does not match."""


class Names(Protocol):
    """What the catalog knows by name or id."""

    def structures(self, refs: Sequence[StructureRef]) -> Sequence[StructureRow]:
        """The structures, in the order given.

        Raises
        ------
        UnknownStructureError
            If the ontology does not have all of them.
        """
        ...

    def check_targets(self, targets: Collection[StructureRow]) -> None:
        """Refuse targets in which Allen does not measure signal: an empty result would be wrong.

        Raises
        ------
        SelectionError
            If Allen does not measure one of them.
        """

    def lines(self) -> Collection[str]:
        """The names of all transgenic lines."""
        ...

    def values(self, column: str) -> Collection[Any]:
        """The known values of a column of the view ``experiments``."""
        ...

    def experiments(self, ids: Collection[int]) -> Collection[int]:
        """Those of the ids that are experiments, withdrawn or not."""
        ...

    def excluded(self, ids: Collection[int]) -> Mapping[int, str]:
        """The reason for each of the ids that is on the exclusion list, ascending by id."""
        ...


class Terms(Names, Protocol[C]):
    """Conditions on experiments. Columns are those of the view ``experiments``."""

    def every(self, conditions: Iterable[C]) -> C:
        """Whether all conditions hold; true if there are none."""
        ...

    def some(self, conditions: Iterable[C]) -> C:
        """Whether at least one condition holds; false if there are none."""
        ...

    def opposite(self, condition: C) -> C:
        """Whether a condition does not hold. The condition must not be unknown for any experiment."""
        ...

    def certain(self, condition: C) -> C:
        """Whether a condition holds: false where it is unknown, and so never unknown itself."""
        ...

    def equals(self, column: str, value: str | bool) -> C:
        """Whether a column has a value."""
        ...

    def among(self, column: str, values: Collection[Any]) -> C:
        """Whether a column has one of some values."""
        ...

    def at_least(self, column: str, value: float) -> C:
        """Whether a number is at least a limit."""
        ...

    def at_most(self, column: str, value: float) -> C:
        """Whether a number is at most a limit."""
        ...

    def is_missing(self, column: str) -> C:
        """Whether a column has no value. This is never unknown."""
        ...

    def coordinates(self) -> Sequence[Any]:
        """AP, DV and ML of the injection coordinate in um, for arithmetic. Comparing them gives conditions."""
        ...

    def identified(self, ids: Collection[int]) -> C:
        """Whether the id is one of these. This is never unknown."""
        ...

    def on_exclusion_list(self) -> C:
        """Whether the experiment is on the exclusion list. This is never unknown."""
        ...

    def inside(self, structure_ids: Collection[int]) -> C:
        """Whether the primary injection structure is one of these or of their descendants."""
        ...

    def touching(self, structure_ids: Collection[int]) -> C:
        """Whether any injection structure is one of these or of their descendants."""
        ...

    def of_lines(self, names: Collection[str]) -> C:
        """Whether the mouse has one of these lines."""
        ...

    def with_volume(self, kind: VolumeKind, spacing_um: int) -> C:
        """Whether the store has the volume."""
        ...

    def covered(self, part: UnionizePart) -> C:
        """Whether the store has this half of the unionize table. This is never unknown."""
        ...

    def overlapping(self, structure_ids: Collection[int], least: float) -> C:
        """Whether the share of the injection inside the structures is at least a limit."""
        ...

    def projecting(self, structure_ids: Collection[int], leaf: Criteria) -> C:
        """Whether the signal in one of the structures exceeds the threshold of a part of a selection."""
        ...

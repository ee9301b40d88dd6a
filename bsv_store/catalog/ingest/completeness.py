"""Check that unionize tables are complete.

A table may have been saved for some structures only, and a reply may have been truncated. Such a table is refused,
because the missing rows would mean "no overlap".
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from bsv_store.catalog.database.id_lists import id_in
from bsv_store.catalog.database.models import Experiment, ExperimentInjectionStructure, Structure
from bsv_store.catalog.records import ROOT_STRUCTURE_ID, UnionizeTable
from bsv_store.catalog.structures import measured_structures
from bsv_store.errors import IncompleteTableError
from bsv_store.text import ids_option, listed, number_of
from bsv_store.vocabulary import MEASURED_HEMISPHERES

_BOTH = MEASURED_HEMISPHERES["both"].unionize_id
# If the children of a structure fill it, the sum of their pixels agrees with its own within 1.2e-7 in all real tables.
_FILLED = 1e-6
_NAMED = 8


@dataclass(frozen=True, slots=True)
class OntologyFacts:
    """The facts of the ontology that complete tables depend on.

    Attributes
    ----------
    parents : mapping of int to int or None
        The parent of each structure.
    acronyms : mapping of int to str
        Acronym of each structure, in graph order.
    measured : frozenset of int or None
        The structures in which Allen measures signal; None if the ontology has no structure sets.
    """

    parents: Mapping[int, int | None]
    acronyms: Mapping[int, str]
    measured: frozenset[int] | None


def ontology_facts(connection: Connection) -> OntologyFacts:
    """Read the facts that complete tables depend on from the ontology in the store."""
    query = select(Structure.id, Structure.parent_structure_id, Structure.acronym, Structure.withdrawn)
    rows = connection.execute(query.order_by(Structure.graph_order, Structure.id)).all()
    measured = measured_structures(connection)
    if measured is not None:
        # New tables cannot have structures that are missing from the newest ontology.
        measured -= {row.id for row in rows if row.withdrawn}
    return OntologyFacts(
        {row.id: row.parent_structure_id for row in rows}, {row.id: row.acronym for row in rows}, measured
    )


def injected_structures(connection: Connection, experiment_ids: Collection[int]) -> dict[int, frozenset[int]]:
    """The structures in which each experiment was injected according to the experiment list, by experiment id."""
    primary = select(Experiment.id, Experiment.primary_structure_id).where(
        id_in(connection, Experiment.id, experiment_ids)
    )
    every = select(ExperimentInjectionStructure.experiment_id, ExperimentInjectionStructure.structure_id).where(
        id_in(connection, ExperimentInjectionStructure.experiment_id, experiment_ids)
    )
    found: dict[int, set[int]] = {}
    for experiment_id, structure_id in [*connection.execute(primary), *connection.execute(every)]:
        found.setdefault(experiment_id, set()).add(structure_id)
    return {experiment_id: frozenset(structures) for experiment_id, structures in found.items()}


def check_complete_tables(
    table: UnionizeTable,
    facts: OntologyFacts,
    source: str,
    *,
    injected: Mapping[int, Collection[int]] = MappingProxyType({}),
) -> None:
    """Check that the halves in ``table.parts`` are complete for each experiment.

    Outside the injection site, each measured structure must have rows, unless it has none of its pixels there: it has
    rows inside the injection site, or its siblings fill its parent. Inside the injection site, the root and the
    measured structures in which the experiment was injected must have rows. In a table of both halves, the ancestors
    of each structure must have rows too.

    Parameters
    ----------
    table : UnionizeTable
    facts : OntologyFacts
    source : str
        Name of the table, for errors.
    injected : mapping of int to collection of int
        The structures in which experiments with a known injection volume were injected. These experiments must have
        rows inside the injection site.

    Raises
    ------
    IncompleteTableError
        If rows are missing; the message lists and counts the structures.
    """
    for experiment_id, rows in _by_experiment(table):
        missing = _missing(rows, table.parts, facts, injected=injected.get(experiment_id))
        for where, structures in missing.items():
            if structures:
                raise _error(source, experiment_id, where, structures, facts)


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of one experiment."""

    structure: NDArray[np.int64]
    is_injection: NDArray[np.bool_]
    hemisphere: NDArray[np.int64]
    pixels: NDArray[np.float64]

    def structures(self, *, is_injection: bool) -> set[int]:
        """The structures that have rows in one half."""
        return set(np.unique(self.structure[self.is_injection == is_injection]).tolist())

    def pixels_by_structure(self) -> dict[int, float]:
        """Number of pixels by structure, in both hemispheres and both halves."""
        found: dict[int, float] = {}
        both = self.hemisphere == _BOTH
        for structure, pixels in zip(self.structure[both].tolist(), self.pixels[both].tolist(), strict=True):
            found[structure] = found.get(structure, 0.0) + pixels
        return found


def _by_experiment(table: UnionizeTable) -> Iterator[tuple[int, _Rows]]:
    columns = table.columns
    ids, starts = np.unique(columns["experiment_id"], return_index=True)
    for experiment_id, start, stop in zip(ids.tolist(), starts, [*starts[1:], len(table)], strict=True):
        names = ("structure_id", "is_injection", "hemisphere_id", "sum_pixels")
        yield experiment_id, _Rows(*(columns[name][start:stop] for name in names))


def _missing(
    rows: _Rows, parts: Collection[str], facts: OntologyFacts, *, injected: Collection[int] | None
) -> dict[str, list[int]]:
    """The structures whose rows are missing, by half."""
    inside = rows.structures(is_injection=True)
    outside = rows.structures(is_injection=False)
    missing: dict[str, list[int]] = {}
    if "projection" in parts:
        required = {ROOT_STRUCTURE_ID} if facts.measured is None else set(facts.measured)
        above = _ancestors(outside, facts) - outside
        absent = required - outside - above - (inside - {ROOT_STRUCTURE_ID})
        missing["outside"] = _ordered(above | _unexplained(absent, rows, facts) if absent else above, facts)
    if "injection" in parts:
        required = {ROOT_STRUCTURE_ID} if inside or injected is not None else set()
        # In an ontology without sets, the other structures may be ones that Allen does not measure.
        required |= set(injected or ()) & (facts.measured or frozenset())
        # Summaries of Brain Street View, which have rows inside the injection site only, may not have all ancestors.
        above = _ancestors(inside, facts) if "projection" in parts else set()
        missing["inside"] = _ordered((required | above) - inside, facts)
    return missing


def _ancestors(structures: Collection[int], facts: OntologyFacts) -> set[int]:
    """The ancestors of structures, which must have rows too, because they contain these structures."""
    found: set[int] = set()
    for structure in structures:
        above = facts.parents.get(structure)
        while above is not None and above not in found:
            found.add(above)
            above = facts.parents.get(above)
    return found if facts.measured is None else found & facts.measured


def _unexplained(absent: Collection[int], rows: _Rows, facts: OntologyFacts) -> set[int]:
    """The structures whose absence the other rows do not explain."""
    pixels = rows.pixels_by_structure()
    children: dict[int, float] = {}
    for structure, count in pixels.items():
        above = facts.parents.get(structure)
        if above is not None:
            children[above] = children.get(above, 0.0) + count

    def is_explained(structure: int) -> bool:
        above = facts.parents.get(structure)
        if above is None:
            return False
        if above not in pixels:
            return above in absent and is_explained(above)
        return children.get(above, 0.0) >= (1 - _FILLED) * pixels[above]

    return {structure for structure in absent if not is_explained(structure)}


def _ordered(structures: Collection[int], facts: OntologyFacts) -> list[int]:
    return [structure for structure in facts.acronyms if structure in structures]


def _error(
    source: str, experiment_id: int, where: str, structures: Sequence[int], facts: OntologyFacts
) -> IncompleteTableError:
    names = listed((facts.acronyms[structure] for structure in structures), limit=_NAMED)
    expected = "" if facts.measured is None or where == "inside" else f" of {len(facts.measured):,} measured structures"
    count = f"{len(structures):,}{expected}" if expected else number_of(len(structures), "structure")
    return IncompleteTableError(
        f"the unionize table of experiment {experiment_id} in {source} is incomplete: rows {where} the injection site "
        f"are missing for {count}: {names}",
        hint=f"Download the complete table: bsv-store sync unionizes {ids_option([experiment_id])}",
    )

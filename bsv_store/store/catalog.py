"""What ``store.catalog`` offers: each question in a transaction of its own."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from bsv_store.catalog import structures
from bsv_store.catalog.ingest import diff_snapshots, snapshots
from bsv_store.catalog.search import matrix as matrices
from bsv_store.catalog.search import ranking, searches
from bsv_store.catalog.search import structures as structure_search
from bsv_store.catalog.selection import shared
from bsv_store.catalog.selection.resolve import excluded_from
from bsv_store.catalog.selection.selection import Selection, as_selection
from bsv_store.catalog.tables import frames as queries
from bsv_store.check import options as options_of
from bsv_store.check import text, whole_number

if TYPE_CHECKING:
    import pandas as pd

    from bsv_store.catalog.database.engine import Database
    from bsv_store.catalog.ingest import Snapshot, SnapshotDiff
    from bsv_store.catalog.search.structures import FoundStructures, StructureSetRow
    from bsv_store.catalog.selection.shared import ExcludedExperiment, SavedSelection
    from bsv_store.catalog.structures import StructureRef, StructureRow
    from bsv_store.catalog.tables.frames import SelectionSummary


class Catalog:
    """The catalog of an open store: ``store.catalog``. Options and errors are those of the functions named.

    Parameters
    ----------
    database : Database
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    # -- searches -----------------------------------------------------------------------------------------------------

    def search_sources(self, structures: StructureRef | Sequence[StructureRef], **options: Any) -> pd.DataFrame:
        """The experiments injected in structures: `bsv_store.catalog.search.searches.search_sources`."""
        with self._database.reading() as connection:
            return searches.search_sources(connection, structures, **options_of(searches.search_sources, options))

    def search_targets(self, targets: StructureRef | Sequence[StructureRef], **options: Any) -> pd.DataFrame:
        """The experiments that project to targets: `bsv_store.catalog.search.searches.search_targets`."""
        with self._database.reading() as connection:
            return searches.search_targets(connection, targets, **options_of(searches.search_targets, options))

    def search_injections(self, point: Sequence[float], **options: Any) -> pd.DataFrame:
        """The experiments injected nearest to a point: `bsv_store.catalog.search.searches.search_injections`."""
        with self._database.reading() as connection:
            return searches.search_injections(connection, point, **options_of(searches.search_injections, options))

    def search_correlation(self, seed: int, **options: Any) -> pd.DataFrame:
        """The experiments that project most like one: `bsv_store.catalog.search.searches.search_correlation`."""
        with self._database.reading() as connection:
            return searches.search_correlation(connection, seed, **options_of(searches.search_correlation, options))

    # -- how much signal where ----------------------------------------------------------------------------------------

    def unionizes(self, experiments: Selection | Iterable[int], **options: Any) -> pd.DataFrame:
        """The unionize rows of experiments: `bsv_store.catalog.tables.frames.unionizes_frame`."""
        with self._database.reading() as connection:
            return queries.unionizes_frame(connection, experiments, **options_of(queries.unionizes_frame, options))

    def matrix(self, selection: Selection | None = None, **options: Any) -> pd.DataFrame:
        """The projection matrix: `bsv_store.catalog.search.matrix.projection_matrix`."""
        with self._database.reading() as connection:
            return matrices.projection_matrix(
                connection, _all_if_none(selection), **options_of(matrices.projection_matrix, options)
            )

    def matrix_sql(self, selection: Selection | None = None, **options: Any) -> str:
        """The projection matrix as one SELECT: `bsv_store.catalog.search.matrix.matrix_sql`."""
        with self._database.reading() as connection:
            return matrices.matrix_sql(connection, _all_if_none(selection), **options_of(matrices.matrix_sql, options))

    def rank_structures(self, experiment_ids: Iterable[int], *, is_injection: bool, **options: Any) -> pd.DataFrame:
        """The structures with the most signal: `bsv_store.catalog.search.ranking.rank_structures`."""
        with self._database.reading() as connection:
            return ranking.rank_structures(
                connection, experiment_ids, is_injection=is_injection, **options_of(ranking.rank_structures, options)
            )

    # -- structures ---------------------------------------------------------------------------------------------------

    def find_structures(self, text: str, *, limit: int | None = None) -> FoundStructures:
        """The structures whose acronym or name has the text in it, else those nearest to it; the best first."""
        with self._database.reading() as connection:
            return structure_search.find_or_near(connection, text, limit=limit)

    def structure_tree(self, structure: StructureRef) -> tuple[StructureRow, ...]:
        """A structure and all inside it, in ontology order; raises `UnknownStructureError`."""
        with self._database.reading() as connection:
            return structures.subtree(connection, structure)

    def structure_sets(self) -> tuple[StructureSetRow, ...]:
        """Allen's sets of structures."""
        with self._database.reading() as connection:
            return structure_search.structure_sets(connection)

    def structure_set(self, set_id: int = 167587189) -> tuple[StructureRow, ...]:
        """The members of a structure set, in ontology order; the summary structures by default."""
        with self._database.reading() as connection:
            return structures.structure_set(connection, set_id)

    # -- what was taken in --------------------------------------------------------------------------------------------

    def summary(self, selection: Selection | None = None) -> SelectionSummary:
        """Counts of the selected experiments by line, primary structure, product, sex, strain and hemisphere."""
        with self._database.reading() as connection:
            return queries.summary(connection, _all_if_none(selection))

    def snapshots(self) -> list[Snapshot]:
        """The lists, ontologies and tables taken in, in the order they came."""
        with self._database.reading() as connection:
            return snapshots(connection)

    def diff(self, old: int, new: int) -> SnapshotDiff:
        """What changed from one snapshot of the experiment list to another; raises `InputError`."""
        with self._database.reading() as connection:
            return diff_snapshots(connection, whole_number("old", old, least=1), whole_number("new", new, least=1))

    # -- what the lab shares ------------------------------------------------------------------------------------------

    def selection(self, name: str) -> Selection:
        """The selection of that name, or with ``name@number`` what it meant then; raises `InputError`."""
        with self._database.reading() as connection:
            return shared.find_selection(connection, text("name", name, such_as="visual")).selection

    def selections(self, *, history: str | None = None) -> list[SavedSelection]:
        """What all names mean today, or all that one name ever meant."""
        with self._database.reading() as connection:
            if history is not None:
                text("history", history, such_as="visual")
            return shared.named_selections(connection, history=history)

    def save_selection(
        self, name: str, selection: Selection, *, note: str | None = None, replace: bool = False
    ) -> SavedSelection:
        """The selection as it now stands under a name: `bsv_store.catalog.selection.shared.save_selection`."""
        return shared.save_selection(self._database, name, as_selection(selection), note=note, replace=replace)

    def exclude(self, experiment_ids: Collection[int], reason: str, *, replace: bool = False) -> tuple[int, ...]:
        """Leave experiments out of selections from now on: `bsv_store.catalog.selection.shared.exclude`."""
        return shared.exclude(self._database, experiment_ids, reason, replace=replace)

    def lift_exclusion(self, experiment_ids: Collection[int]) -> tuple[int, ...]:
        """Use experiments again: `bsv_store.catalog.selection.shared.lift_exclusion`."""
        return shared.lift_exclusion(self._database, experiment_ids)

    def exclusions(self, *, history: bool = False) -> list[ExcludedExperiment]:
        """The exclusions in force, or all that ever were."""
        with self._database.reading() as connection:
            return shared.exclusions(connection, history=history)

    def excluded_from(self, selection: Selection) -> dict[int, str]:
        """What the exclusion list takes from a selection: the reason by experiment id."""
        with self._database.reading() as connection:
            return excluded_from(connection, as_selection(selection))


def _all_if_none(selection: Selection | None) -> Selection:
    return Selection() if selection is None else as_selection(selection)

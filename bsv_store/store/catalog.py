"""``store.catalog``: unionize tables, the projection matrix, snapshots, saved selections and the exclusion list."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bsv_store import check
from bsv_store.catalog.selection.selection import as_selection, selection_or_all

if TYPE_CHECKING:
    import pandas as pd

    from bsv_store.catalog.database.engine import Database
    from bsv_store.catalog.experiment_details import ExperimentDetails
    from bsv_store.catalog.ingest import Snapshot, SnapshotDiff
    from bsv_store.catalog.ingest.unionize_history import ReplacedUnionizes
    from bsv_store.catalog.records import ExperimentRecord
    from bsv_store.catalog.selection.exclusions import ExcludedExperiment
    from bsv_store.catalog.selection.saved import SavedSelection
    from bsv_store.catalog.selection.selection import Selection, SelectionLike
    from bsv_store.catalog.structures import StructureRef
    from bsv_store.catalog.tables.frames import SelectionSummary
    from bsv_store.catalog.tables.unionize_rows import RowCondition, UnionizeRows
    from bsv_store.catalog.verify import CatalogCheck
    from bsv_store.maintenance.core_copy import CatalogCopy
    from bsv_store.maintenance.stored_unionizes import StoredUnionizes
    from bsv_store.progress import Progress
    from bsv_store.vocabulary import (
        MatrixLayout,
        MatrixRows,
        MatrixStatistic,
        Measure,
        MeasuredHemisphere,
        MissingPolicy,
    )
    from bsv_store.volumes.stored_object import StoredObject


class Catalog:
    """The catalog of an open store: ``store.catalog``.

    Every method runs in a separate transaction. Names that the catalog does not have raise `UnknownStructureError`,
    `UnknownExperimentError` or `SelectionError`; an experiment on the exclusion list that is named by id raises
    `ExcludedExperimentError`; arguments that are not valid raise `InputError`.

    Parameters
    ----------
    database : Database
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    # -- integrity --------------------------------------------------------------------------------------------------

    def verify(self, *, progress: Progress | None = None) -> CatalogCheck:
        """Check all rows that enter results for damage. Files of volumes and datasets are not opened.

        Each of these rows has a seal, a hash that was stored together with it. `Store.aggregate` and `Datasets.rebuild`
        check the seals of the rows that they read; this method checks all rows, including all unionize tables.

        Parameters
        ----------
        progress : Progress, optional

        Returns
        -------
        CatalogCheck
            ``is_intact``, and the rows that were changed, are missing or were added by another program. Damage is
            reported, not raised.
        """
        from bsv_store.catalog.verify import verify_catalog

        return verify_catalog(self._database, progress=progress)

    # -- copies -----------------------------------------------------------------------------------------------------

    def change_marker(self) -> str:
        """A string that proves, at the cost of one small query, that nothing changed: compare two of them.

        Equal markers of one open store mean that no transaction was committed in between. Different markers do not
        mean that the content differs; compare `content_digest` then.
        """
        return self._database.change_marker()

    def content_digest(self) -> str:
        """A hash that changes with any row of `export_copy`. Takes tens of milliseconds in a catalog of full size."""
        from bsv_store.maintenance.core_copy import content_digest

        with self._database.reading() as connection:
            return content_digest(connection)

    def export_copy(self, path: Path | str) -> CatalogCopy:
        """Copy the catalog, without unionize rows, to a new SQLite file with the newest schema.

        The copy can be the database of a mirror of this store. Its table ``unionize`` has only the rows that the view
        ``experiments`` reads, and ``unionize_seal`` is empty; `stored_unionizes` returns what belongs there. Empty are
        also the tables about users, jobs and this machine: activity, access tokens, claims, verifications, the use of
        volumes, and the history of the schema. Absolute paths in columns about origins are reduced to the file name;
        the seals of these rows are made again, all other seals are copied. The changes of the catalog are in
        ``catalog_change_base`` alone. Equal contents give equal bytes in one process.

        Parameters
        ----------
        path : path
            A new file. Its folder also gets temporary files of the same size.

        Returns
        -------
        CatalogCopy
            Hash and size of the file, and what it is a copy of.

        Raises
        ------
        InputError
            If the file exists.
        DamagedCatalogError
            If a row that must be sealed again is damaged.
        NoSpaceError, StoreError
            If the file cannot be written.
        """
        from bsv_store.maintenance.core_copy import export_core

        self._database.require_original()
        return export_core(self._database, check.path("path", path))

    def files(self) -> list[StoredObject]:
        """All files that the catalog names, with their hashes: volumes, annotations, templates, and results."""
        from bsv_store.maintenance.inventory import expected_objects

        with self._database.reading() as connection:
            return list(expected_objects(connection))

    def stored_unionizes(self, experiment_ids: Collection[int]) -> StoredUnionizes:
        """All unionize rows of some experiments as they are in the database, for a copy of the catalog.

        Excluded and withdrawn experiments are included; experiments without a table have no rows.

        Parameters
        ----------
        experiment_ids : collection of int

        Returns
        -------
        StoredUnionizes
            ``rows`` is a structured array with the columns of the table ``unionize``, little-endian, sorted by its
            primary key: experiment_id, structure_id, hemisphere_id, is_injection. ``content`` identifies it.
        """
        from bsv_store.maintenance.stored_unionizes import stored_unionizes

        named = check.several("experiment_ids", experiment_ids, such_as="[100141219]")
        ids = [check.identifier("experiment_ids", each) for each in named]
        with self._database.reading() as connection:
            return stored_unionizes(connection, ids)

    # -- signal by structure ----------------------------------------------------------------------------------------

    def unionizes(
        self,
        selection: SelectionLike,
        *,
        structures: StructureRef | Sequence[StructureRef] | None = None,
        include_descendants: bool = False,
        is_injection: bool | None = None,
        hemisphere: MeasuredHemisphere | None = None,
        missing: MissingPolicy = "error",
    ) -> pd.DataFrame:
        """The unionize rows of the selected experiments, by experiment, then in ontology order.

        All rows are of one state of the catalog: they are read in one transaction, which takes about 10 s and 160 MB of
        memory per million rows, and as much memory again while its blocks are joined. On SQLite with the rollback
        journal, writers wait until it has ended. If the rows need not be of one state, ask for a few hundred
        experiments at a time.

        Parameters
        ----------
        selection : Selection or experiment ids
        structures : str, int or sequence of them, optional
            Only these structures, as acronyms or ids.
        include_descendants : bool
            Also the rows of all descendants of ``structures``. A parent's row already contains its children.
        is_injection : bool, optional
            True: inside the injection site; False: outside; None: both, as separate rows.
        hemisphere : {'left', 'right', 'both'}, optional
            By default all three, as separate rows.
        missing : {'error', 'leave_out'}
            What to do about experiments whose unionize table, or the half of it that is asked for, is not in the store:
            raise `MissingDataError`, or leave its rows out with a `MissingUnionizesWarning`;
            ``frame.attrs["without_unionizes"]`` lists these experiments. The same policy applies if the selection
            itself depends on tables that are not in the store.

        Raises
        ------
        MissingDataError
            If tables are missing and ``missing`` is 'error'.
        InputError
            If Allen does not measure signal in one of the structures, nor in a descendant that is included.
        """
        from bsv_store.catalog.tables.frames import unionizes_frame

        with self._database.reading() as connection:
            return unionizes_frame(
                connection,
                as_selection(selection),
                structures=structures,
                include_descendants=include_descendants,
                is_injection=is_injection,
                hemisphere=hemisphere,
                missing=missing,
            )

    def matrix(
        self,
        selection: SelectionLike | None = None,
        *,
        rows: MatrixRows = "sources",
        sources: StructureRef | Sequence[StructureRef] | None = None,
        targets: StructureRef | Sequence[StructureRef] | None = None,
        structure_set: int | None = None,
        hemisphere: MeasuredHemisphere | Sequence[MeasuredHemisphere] = ("ipsilateral", "contralateral"),
        measure: Measure = "normalized_projection_volume",
        statistic: MatrixStatistic = "mean",
        layout: MatrixLayout = "wide",
        limit: int | None = None,
        missing: MissingPolicy = "leave_out",
    ) -> pd.DataFrame:
        """The projection matrix: a measure by source (or experiment) and target structure.

        Parameters
        ----------
        selection : Selection or experiment ids, optional
            By default all experiments that are neither withdrawn nor on the exclusion list.
        rows : {'sources', 'experiments'}
            One row per primary injection structure, or per experiment.
        sources : str, int or sequence of them, optional
            Pool the experiments by the nearest of these structures that contains their primary structure. Experiments
            in none of them are left out.
        targets : str, int or sequence of them, optional
            By default the members of ``structure_set``. A parent's value already contains its children.
        structure_set : int, optional
            Allen's id; by default 167587189, the summary structures. 184527634 contains nearly all measured structures.
        hemisphere : {'ipsilateral', 'contralateral', 'left', 'right', 'both'}, or a sequence of them
            Of the target.
        measure : Measure
            Of the unionize rows outside the injection site.
        statistic : {'mean', 'median', 'n'}
            Over the experiments of a source; 'n' is their number.
        layout : {'wide', 'transposed', 'long'}
            One row per source or experiment, one row per target, or one row per cell.
        limit : int, optional
            Maximum number of targets, counted by hemisphere, or of rows of the long layout: those with the largest
            values.
        missing : {'leave_out', 'error'}
            What to do about experiments whose unionize table is not in the store, or whose injected hemisphere is
            needed and not known: leave them out with a `MissingUnionizesWarning` or `UnknownHemisphereWarning`, or
            raise `MissingDataError`.

        Returns
        -------
        pandas.DataFrame
            float64; rows (``source`` or ``experiment_id``) and columns (``hemisphere``, ``target``; ``target`` alone if
            one hemisphere is given as a string) in ontology order. The long layout has these labels and the measure, or
            n, as columns; the largest value comes first, and cells that are NaN are left out. 0 where the store has an
            experiment's table and the table has no row for the target (no overlap); NaN where the store has no table.
            ``frame.attrs["n"]`` is the number of experiments with a value;
            ``frame.attrs["without_unionizes"]`` lists the experiments without a table, which do not count;
            ``frame.attrs["without_hemisphere"]`` those that do not count in ipsilateral and contralateral columns.

        Raises
        ------
        EmptySelectionError
            If no experiment matches.
        InputError
            If a target is a structure in which Allen does not measure signal.
        """
        from bsv_store.catalog.search.matrix import projection_matrix

        with self._database.reading() as connection:
            return projection_matrix(
                connection,
                selection_or_all(selection),
                rows=rows,
                sources=sources,
                targets=targets,
                structure_set=structure_set,
                hemisphere=hemisphere,
                measure=measure,
                statistic=statistic,
                layout=layout,
                limit=limit,
                missing=missing,
            )

    def matrix_sql(
        self,
        selection: SelectionLike | None = None,
        *,
        sources: StructureRef | Sequence[StructureRef] | None = None,
        targets: StructureRef | Sequence[StructureRef] | None = None,
        structure_set: int | None = None,
        hemisphere: MeasuredHemisphere | Sequence[MeasuredHemisphere] = ("ipsilateral", "contralateral"),
        measure: Measure = "normalized_projection_volume",
        statistic: MatrixStatistic = "mean",
    ) -> str:
        """The matrix by source as one SELECT that works on both databases, for use with `Store.sql`.

        Its columns are source, hemisphere, target, n (experiments) and, unless the statistic is 'n', the measure.
        Sources without a table in the store are absent. Parameters and errors are those of `matrix`.
        """
        from bsv_store.catalog.search.matrix import matrix_sql

        with self._database.reading() as connection:
            return matrix_sql(
                connection,
                selection_or_all(selection),
                sources=sources,
                targets=targets,
                structure_set=structure_set,
                hemisphere=hemisphere,
                measure=measure,
                statistic=statistic,
            )

    def rank_structures(
        self,
        selection: SelectionLike,
        *,
        is_injection: bool = False,
        structures: StructureRef | Sequence[StructureRef] | None = None,
        structure_set: int | None = None,
        hemisphere: MeasuredHemisphere | Sequence[MeasuredHemisphere] = ("left", "right"),
        measure: Measure = "normalized_projection_volume",
        threshold: float = 0.01,
        limit: int | None = 5,
    ) -> pd.DataFrame:
        """The structures with the most signal of each experiment, like AllenSDK's ``rank_structures``.

        Parameters
        ----------
        selection : Selection or experiment ids
        is_injection : bool
            True: inside the injection site; False: outside.
        structures : str, int or sequence of them, optional
            Rank these structures. Overlapping ones count the same signal twice.
        structure_set : int, optional
            Rank the members of this set; by default 167587189, the summary structures, which do not overlap.
        hemisphere : {'left', 'right', 'both'}, or a sequence of them
            'both' together with another one counts the same signal twice.
        measure : Measure
        threshold : float
            The measure must exceed it.
        limit : int, optional
            Maximum number of structures per experiment.

        Returns
        -------
        pandas.DataFrame
            Columns experiment_id, rank (from 1), structure (acronym), structure_id, hemisphere and the measure.

        Raises
        ------
        MissingDataError
            If the store does not have the unionize table of an experiment.
        """
        from bsv_store.catalog.search.rank import rank_structures

        with self._database.reading() as connection:
            return rank_structures(
                connection,
                as_selection(selection),
                is_injection=is_injection,
                structures=structures,
                structure_set=structure_set,
                hemisphere=hemisphere,
                measure=measure,
                threshold=threshold,
                limit=limit,
            )

    def unionize_rows(
        self,
        conditions: Sequence[RowCondition] = (),
        *,
        order: Sequence[tuple[str, bool]] = (),
        start: int = 0,
        limit: int = 100_000,
        count: bool = True,
    ) -> UnionizeRows:
        """The unionize rows of the whole store that fulfill conditions, for servers and other programs.

        An experiment counts only if its table is completely in the store: both halves, or the one half to which the
        conditions on ``is_injection`` restrict the rows. Without this rule, missing rows would be taken for "no
        overlap".

        Parameters
        ----------
        conditions : sequence of RowCondition
            All must hold.
        order : sequence of (str, bool)
            Columns to sort by, and whether in descending order; then by experiment, structure, hemisphere and half.
        start : int
            Number of rows to skip.
        limit : int
            Maximum number of rows to return.
        count : bool
            Also count all rows that fulfill the conditions.

        Returns
        -------
        UnionizeRows
            ``columns``, the 19 columns of table ``unionize`` as tuples, and ``total``.

        Raises
        ------
        DamagedCatalogError
            If rows of these experiments and structures differ from what was stored.
        """
        from bsv_store.catalog.tables.unionize_rows import unionize_rows

        with self._database.reading() as connection:
            return unionize_rows(
                connection,
                conditions,
                order=order,
                start=check.whole_number("start", start, least=0),
                limit=check.whole_number("limit", limit, least=0),
                count=check.boolean("count", count),
            )

    # -- contents ---------------------------------------------------------------------------------------------------

    def experiment_list(self) -> tuple[ExperimentRecord, ...]:
        """The current experiments as records of a list, ascending by id: what another store would ingest.

        Withdrawn experiments are left out, as in the lists of the Allen Institute. The exclusion list has no effect.

        Raises
        ------
        DamagedCatalogError
            If rows differ from what was stored.
        """
        from bsv_store.catalog.tables.lists import experiment_list

        with self._database.reading() as connection:
            return experiment_list(connection)

    def describe(self, experiment_id: int) -> ExperimentDetails:
        """The lines, injection structures, volumes and unionize tables of one experiment, excluded or not.

        Raises
        ------
        UnknownExperimentError
            If the catalog does not have it.
        """
        from bsv_store.catalog.experiment_details import experiment_details

        identifier = check.identifier("experiment_id", experiment_id)
        with self._database.reading() as connection:
            return experiment_details(connection, identifier)

    def summary(self, selection: SelectionLike | None = None) -> SelectionSummary:
        """Numbers of the selected experiments by line, primary structure, product, sex, strain and hemisphere.

        If the selection depends on unionize tables, experiments whose tables are not in the store are not counted; a
        `MissingUnionizesWarning` lists them.
        """
        from bsv_store.catalog.tables.frames import summary

        with self._database.reading() as connection:
            return summary(connection, selection_or_all(selection))

    def snapshots(self) -> list[Snapshot]:
        """The experiment lists, ontologies and unionize tables that were stored, oldest first."""
        from bsv_store.catalog.ingest import snapshots

        with self._database.reading() as connection:
            return snapshots(connection)

    def unionize_history(self, selection: SelectionLike | None = None) -> list[ReplacedUnionizes]:
        """The unionize tables that were replaced, with their hashes and origin, but without their rows.

        Parameters
        ----------
        selection : Selection or experiment ids, optional
            By default all experiments that are neither withdrawn nor on the exclusion list.

        Returns
        -------
        list of ReplacedUnionizes
            One for each replaced half of a table, sorted by experiment, oldest first.

        Raises
        ------
        UnknownStructureError, UnknownExperimentError, SelectionError
            If the selection names what the catalog does not have.
        """
        from bsv_store.catalog.ingest.unionize_history import unionize_history
        from bsv_store.catalog.selection.resolve import resolve
        from bsv_store.catalog.without_unionizes import report_undecided

        wanted = selection_or_all(selection)
        with self._database.reading() as connection:
            report_undecided(connection, wanted, missing="leave_out")
            return unionize_history(connection, resolve(connection, wanted))

    def diff(self, old: int, new: int) -> SnapshotDiff:
        """The differences between two snapshots of the experiment list.

        Numbers that differ by at most 1e-9, relatively, are the same.

        Parameters
        ----------
        old, new : int
            Snapshot ids.
        """
        from bsv_store.catalog.ingest import diff_snapshots

        with self._database.reading() as connection:
            return diff_snapshots(
                connection, check.whole_number("old", old, least=1), check.whole_number("new", new, least=1)
            )

    # -- saved selections -------------------------------------------------------------------------------------------

    def selection(self, name: str) -> Selection:
        """The saved selection of that name; ``name@number`` is an earlier selection of the same name.

        Raises
        ------
        InputError
            If there is none; the hint suggests similar names.
        """
        from bsv_store.catalog.selection.saved import find_selection

        with self._database.reading() as connection:
            return find_selection(connection, check.text("name", name, such_as="visual")).selection

    def selections(self, *, history: str | None = None) -> list[SavedSelection]:
        """All saved selections.

        Parameters
        ----------
        history : str, optional
            A name: return every selection that was ever saved under it instead.
        """
        from bsv_store.catalog.selection.saved import saved_selections

        if history is not None:
            check.text("history", history, such_as="visual")
        with self._database.reading() as connection:
            return saved_selections(connection, history=history)

    def save_selection(
        self, name: str, selection: SelectionLike, *, note: str | None = None, replace: bool = False
    ) -> SavedSelection:
        """Save a selection under a name, for all users of the store.

        Parameters
        ----------
        name : str
        selection : Selection or experiment ids
        note : str, optional
        replace : bool
            Replace the current selection of that name. The old one remains available as ``name@number``.

        Raises
        ------
        InputError
            If the name is not valid, or is in use for another selection and ``replace`` is False.
        BusyError
            If another process saved a selection under that name at the same moment.
        """
        from bsv_store.catalog.selection.saved import save_selection

        return save_selection(self._database, name, as_selection(selection), note=note, replace=replace)

    # -- the exclusion list -----------------------------------------------------------------------------------------

    def exclude(self, experiment_ids: Collection[int], reason: str, *, replace: bool = False) -> tuple[int, ...]:
        """Put experiments on the exclusion list.

        Selections leave them out from then on, and naming one by id is an error; see `Selection`.

        Parameters
        ----------
        experiment_ids : collection of int
        reason : str
        replace : bool
            Replace the reason of experiments that are on the list.

        Returns
        -------
        tuple of int
            The experiments that were added or whose reason changed, ascending.

        Raises
        ------
        InputError
            If no reason is given, or an experiment is on the list for another reason and ``replace`` is False.
        """
        from bsv_store.catalog.selection.exclusions import exclude

        return exclude(self._database, experiment_ids, reason, replace=replace)

    def lift_exclusion(self, experiment_ids: Collection[int]) -> tuple[int, ...]:
        """Remove experiments from the exclusion list; returns their ids, ascending.

        Raises
        ------
        InputError
            If one of them is not on the list. Nothing is changed then.
        """
        from bsv_store.catalog.selection.exclusions import lift_exclusion

        return lift_exclusion(self._database, experiment_ids)

    def exclusions(self, *, history: bool = False) -> list[ExcludedExperiment]:
        """The exclusion list, by experiment.

        Parameters
        ----------
        history : bool
            Include exclusions that were lifted.
        """
        from bsv_store.catalog.selection.exclusions import exclusions

        with self._database.reading() as connection:
            return exclusions(connection, history=history)

    def excluded_from(self, selection: SelectionLike | None = None) -> dict[int, str]:
        """The experiments that a selection leaves out because of the exclusion list: reason by experiment id."""
        from bsv_store.catalog.selection.resolve import excluded_from

        with self._database.reading() as connection:
            return excluded_from(connection, selection_or_all(selection))

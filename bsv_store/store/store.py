"""The store as its users see it: one object that ties the rooms together and holds no rules of its own."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bsv_store import check as arguments
from bsv_store.catalog.database import schema
from bsv_store.store.atlas import Anatomy
from bsv_store.store.creation import connect
from bsv_store.store.volumes import SingleVolumes
from bsv_store.volumes.files import StoreFiles
from bsv_store.volumes.volume import volume_kind

if TYPE_CHECKING:
    from datetime import date
    from typing import Self

    import pandas as pd

    from bsv_store.acquisition.adopt import AdoptReport
    from bsv_store.acquisition.fetch import FetchReport
    from bsv_store.acquisition.plan import Plan
    from bsv_store.acquisition.sync import UnionizeSyncReport
    from bsv_store.averaging.grouping.grouping import Grouping
    from bsv_store.catalog.ingest import IngestReport
    from bsv_store.catalog.selection.selection import Selection
    from bsv_store.catalog.tables.status import CatalogStatus
    from bsv_store.config import StoreConfig
    from bsv_store.datasets.version import DatasetVersion
    from bsv_store.datasets.workers import Executor
    from bsv_store.progress import Progress
    from bsv_store.store.catalog import Catalog
    from bsv_store.store.datasets import Versions


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """Where a store is and what it holds."""

    path: Path
    store_id: str
    database: str
    schema_revision: str
    catalog: CatalogStatus


class Store(Anatomy, SingleVolumes):
    """An open store. Use `open_store`; close it, or use it in a ``with`` statement.

    Attributes
    ----------
    path : pathlib.Path
    config : StoreConfig
    """

    def __init__(self, path: Path, config: StoreConfig, *, read_only: bool) -> None:
        self.path = path
        self.config = config
        self.database = connect(path, config, read_only=read_only)
        self.files = StoreFiles(path, config.file_mode, config.directory_mode)

    def close(self) -> None:
        """Close the connections to the database."""
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r})"

    # -- what the store knows -------------------------------------------------------------------------------------

    @property
    def catalog(self) -> Catalog:
        """Searches, matrices, structures, snapshots, named selections and exclusions."""
        from bsv_store.store.catalog import Catalog

        return Catalog(self.database)

    def search_point(self, point: Sequence[float], selection: Selection | None = None, **options: Any) -> pd.DataFrame:
        """The experiments by their volume's value at a point: `bsv_store.catalog.search.point.search_point`."""
        from bsv_store.catalog.search.point import search_point

        known = arguments.options(search_point, options)
        return search_point(self.database, self.files, self._selection(selection), point, **known)

    def status(self) -> StoreStatus:
        """Where the store is and what it holds."""
        from bsv_store.catalog.tables.status import catalog_status

        with self.database.reading() as connection:
            catalog = catalog_status(connection)
        return StoreStatus(self.path, self.config.store_id, self.config.database, schema.HEAD, catalog)

    def select(self, selection: Selection | None = None) -> tuple[int, ...]:
        """Ids of the experiments that a selection matches, ascending; all that are not withdrawn by default.

        Raises
        ------
        UnknownStructureError, UnknownExperimentError, SelectionError
            If the selection names what the catalog does not have.
        """
        from bsv_store.catalog.selection.resolve import resolve

        with self.database.reading() as connection:
            return resolve(connection, self._selection(selection))

    def experiments(self, selection: Selection | None = None) -> pd.DataFrame:
        """The experiments that a selection matches, one row each, columns as in the view ``experiments``."""
        from bsv_store.catalog.tables.frames import experiments_frame

        with self.database.reading() as connection:
            return experiments_frame(connection, self._selection(selection))

    def sql(
        self,
        statement: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        row_limit: int | None = None,
        time_limit_s: float = 60.0,
    ) -> pd.DataFrame:
        """The result of a query over the views and tables; the database refuses whatever would write.

        Parameters
        ----------
        statement : str
            One SELECT; ``:name`` stands for a parameter.
        parameters : mapping, optional
        row_limit : int, optional
            Return no more rows than these.
        time_limit_s : float
            Give up after so many seconds.

        Raises
        ------
        QueryError
            If the statement is wrong, would write, or takes too long.
        """
        from bsv_store.catalog.tables.sql import run_sql

        return run_sql(self.database, statement, parameters, row_limit=row_limit, time_limit_s=time_limit_s)

    # -- taking in files ------------------------------------------------------------------------------------------

    def ingest_structures(self, file: Path | str) -> IngestReport:
        """Take in a structure ontology from a file; raises `FormatError`, and stores nothing, if it is not sound."""
        from bsv_store.acquisition.ingest_files import ingest_structure_file

        return ingest_structure_file(self.database, arguments.path("file", file))

    def ingest_experiments(self, file: Path | str, *, upstream_date: date | None = None) -> IngestReport:
        """Take in an experiment list from a file.

        Parameters
        ----------
        file : path
        upstream_date : datetime.date, optional
            Day the list was made; by default a date in the file's name, else unknown, which counts as older than any.

        Raises
        ------
        FormatError
            If the file is not one, or not sound; nothing is stored then.
        """
        from bsv_store.acquisition.ingest_files import ingest_experiment_file

        return ingest_experiment_file(self.database, arguments.path("file", file), upstream_date=upstream_date)

    def ingest_unionizes(self, file: Path | str) -> IngestReport:
        """Take in projection structure unionize rows from a file.

        Raises
        ------
        FormatError, UnknownExperimentError
            If it is not sound, or the catalog lacks one of its experiments; nothing is stored then.
        """
        from bsv_store.acquisition.ingest_files import ingest_unionize_file

        return ingest_unionize_file(self.database, arguments.path("file", file))

    def adopt(
        self,
        folder: Path | str,
        *,
        experiment_ids: Collection[int] | None = None,
        progress: Progress | None = None,
    ) -> AdoptReport:
        """Take in a cache folder of Brain Street View or AllenSDK; bad files are reported and skipped.

        Parameters
        ----------
        folder : path
            Only read.
        experiment_ids : collection of int, optional
            Take in only what belongs to these experiments; all by default.
        progress : Progress, optional

        Raises
        ------
        NotACacheError
            If the folder is neither.
        """
        from bsv_store.acquisition.adopt import adopt_cache

        return adopt_cache(
            self.database,
            self.files,
            arguments.path("folder", folder),
            experiment_ids=experiment_ids,
            progress=progress,
        )

    # -- bringing data from the Allen API -------------------------------------------------------------------------

    def sync_structures(self, *, api_url: str | None = None) -> IngestReport:
        """Bring the structure ontology up to date from the Allen API."""
        from bsv_store.acquisition.sync import sync_structures
        from bsv_store.sources.allen import AllenClient

        with AllenClient(api_url=api_url) as client:
            return sync_structures(self.database, client)

    def sync_experiments(self, *, api_url: str | None = None) -> IngestReport:
        """Bring the experiment list up to date from the Allen API."""
        from bsv_store.acquisition.sync import sync_experiments
        from bsv_store.sources.allen import AllenClient

        with AllenClient(api_url=api_url) as client:
            return sync_experiments(self.database, client)

    def sync_unionizes(
        self,
        selection: Selection | None = None,
        *,
        refresh: bool = False,
        offline: bool = False,
        api_url: str | None = None,
        progress: Progress | None = None,
    ) -> UnionizeSyncReport:
        """Bring the unionize tables of a selection into the store; options and errors are those of `fetch`."""
        from bsv_store.acquisition.clients import client_unless
        from bsv_store.acquisition.sync import sync_unionizes

        ids = self.select(selection)
        with client_unless(offline, api_url) as client:
            return sync_unionizes(self.database, client, ids, refresh=refresh, progress=progress)

    def plan_sync_unionizes(self, selection: Selection | None = None, *, refresh: bool = False) -> Plan:
        """What `sync_unionizes` would take, as `plan_fetch` says it of volumes."""
        from bsv_store.acquisition.plan import plan_unionizes

        return plan_unionizes(self.database, self.files, self.select(selection), refresh=refresh)

    def fetch(
        self,
        selection: Selection,
        *,
        kind: str = "projection_density",
        spacing_um: int = 100,
        refresh: bool = False,
        workers: int = 4,
        offline: bool = False,
        api_url: str | None = None,
        progress: Progress | None = None,
    ) -> FetchReport:
        """Bring the volumes of a selection into the store, those that it lacks.

        What cannot be had is in the report, with the reason; the rest is fetched all the same.

        Parameters
        ----------
        kind, spacing_um
            Of the volumes.
        refresh : bool
            Download again what the store has.
        workers : int
            Downloads at the same time.
        offline : bool
            Open no connection; what the store lacks is then an error.
        api_url : str, optional
            Default: the variable ``BSV_STORE_API_URL``, else Allen's.
        progress : Progress, optional

        Raises
        ------
        EmptySelectionError, MissingDataError
            If no experiment matches; if ``offline`` and the store lacks some, which it names.
        """
        from bsv_store.acquisition.clients import client_unless
        from bsv_store.acquisition.fetch import fetch_volumes

        ids = self._some(selection)
        with client_unless(offline, api_url, connections=arguments.whole_number("workers", workers, least=1)) as client:
            return fetch_volumes(
                self.database,
                self.files,
                client,
                ids,
                kind=volume_kind(kind),
                spacing_um=spacing_um,
                refresh=refresh,
                workers=workers,
                progress=progress,
            )

    def plan_fetch(
        self,
        selection: Selection,
        *,
        kind: str = "projection_density",
        spacing_um: int = 100,
        refresh: bool = False,
        workers: int = 4,
    ) -> Plan:
        """What `fetch` would take: what is there and missing, requests, bytes, time, room. Opens no connection."""
        from bsv_store.acquisition.plan import plan_volumes

        options: dict[str, Any] = {"spacing_um": spacing_um, "refresh": refresh, "workers": workers}
        return plan_volumes(self.database, self.files, self._some(selection), kind=volume_kind(kind), **options)

    # -- results --------------------------------------------------------------------------------------------------

    def aggregate(
        self,
        selection: Selection,
        *,
        name: str,
        group_by: Grouping | None = None,
        kind: str = "projection_density",
        spacing_um: int = 100,
        normalize: str = "none",
        hemisphere: str = "none",
        statistics: str | Sequence[str] = ("mean",),
        missing: str = "error",
        progress: Progress | None = None,
        executor: Executor | None = None,
        workers: int | None = None,
        **options: Any,
    ) -> DatasetVersion:
        """A version of a dataset: the average volume of each group of the selected experiments.

        The same question over the same inputs returns the version that answered it before, without computing.

        Parameters
        ----------
        name : str
            Of the dataset that the version belongs to.
        group_by : Grouping, optional
            See `by_coordinate`, `by_region`, `by_field`, `crossed`; one group by default.
        kind, spacing_um
            Of the volumes.
        normalize : {'none', 'injection_volume'}
        hemisphere : {'none', 'subtract_contralateral', ...}
        statistics : str or sequence of str
            Of 'mean', 'sd', 'sem', 'min', 'max', 'n'; the mean always comes with them.
        missing : {'error', 'leave_out'}
            What to do about experiments that lack a volume or what the recipe needs.
        executor, workers : Executor, int
            Who computes: an executor of ``concurrent.futures``, a client of Dask, or so many processes.
        **options
            Further parts of the `bsv_store.averaging.recipe.Recipe`.

        Raises
        ------
        RecipeError
            If a part of the question is unknown.
        EmptySelectionError
            If no experiment matches.
        MissingDataError
            If inputs are missing and ``missing`` is 'error'; it names them and the command that brings them.
        DamagedFileError
            If an input is not what was stored.
        """
        from bsv_store.averaging.grouping.grouping import no_grouping
        from bsv_store.averaging.recipe import Recipe
        from bsv_store.datasets.aggregate import aggregate

        parts: dict[str, Any] = {
            "kind": kind,
            "spacing_um": spacing_um,
            "grouping": no_grouping() if group_by is None else group_by,
            "normalize": normalize,
            "hemisphere": hemisphere,
            "statistics": tuple(arguments.several("statistics", statistics, such_as="['mean', 'sd']")),
            "missing": missing,
        }
        arguments.refuse_unknown("aggregate", options, {part.name for part in fields(Recipe)} - {*parts, "selection"})
        recipe = Recipe(selection=self._selection(selection), **parts, **options)
        return aggregate(
            self.database, self.files, recipe, name=name, progress=progress, executor=executor, workers=workers
        )

    @cached_property
    def versions(self) -> Versions:
        """The versions of all datasets: compare, trace, rebuild, tag, delete, import."""
        from bsv_store.store.datasets import Versions

        return Versions(self.database, self.files)

    def dataset(self, ref: str) -> DatasetVersion:
        """A version of a dataset: ``name@3``, ``name@tag``, ``name@latest`` or ``name``.

        Raises
        ------
        UnknownDatasetError
            If there is none; near names are suggested.
        """
        return self.versions.find(ref)

    def datasets(self) -> pd.DataFrame:
        """All versions of all datasets, one row each, by name and number.

        Columns: name, number, group_count, member_count, spacing_um, created_at (aware UTC on both databases),
        created_by, fingerprint, size_bytes.
        """
        return self.versions.frame()

    def _some(self, selection: Selection) -> tuple[int, ...]:
        from bsv_store.catalog.selection.resolve import resolve_nonempty

        with self.database.reading() as connection:
            return resolve_nonempty(connection, self._selection(selection))

    @staticmethod
    def _selection(selection: Selection | None) -> Selection:
        from bsv_store.catalog.selection.selection import Selection, as_selection

        return Selection() if selection is None else as_selection(selection)

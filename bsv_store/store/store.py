"""`Store`: an open store. Its methods correspond to the commands, its namespaces to the groups of commands."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bsv_store import check
from bsv_store._version import __version__
from bsv_store.config import read_store_config, sql_timeout
from bsv_store.errors import BsvStoreError, ReadOnlyStoreError, StoreMismatchError
from bsv_store.html import card, text_card
from bsv_store.store.connection import check_store, connect
from bsv_store.text import masked
from bsv_store.vocabulary import COMPARISON_ORDERS, MISSING_POLICIES, VOLUME_KINDS

if TYPE_CHECKING:
    from datetime import date
    from typing import Self

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from bsv_store.acquisition.adopt_report import AdoptReport
    from bsv_store.acquisition.annotation import AnnotationReport
    from bsv_store.acquisition.fetch import FetchReport
    from bsv_store.acquisition.plan import Plan
    from bsv_store.acquisition.sync import UnionizeSyncReport
    from bsv_store.acquisition.template import TemplateReport
    from bsv_store.averaging.grouping import Grouping
    from bsv_store.averaging.recipe import Recipe
    from bsv_store.catalog.database.engine import Database
    from bsv_store.catalog.ingest import IngestReport
    from bsv_store.catalog.selection.selection import SelectionLike
    from bsv_store.catalog.structures import StructureRef
    from bsv_store.catalog.tables.status import CatalogStatus
    from bsv_store.config import StoreConfig
    from bsv_store.datasets.groups import GroupInfo
    from bsv_store.datasets.version import DatasetVersion
    from bsv_store.datasets.workers import Executor
    from bsv_store.maintenance.state import Upkeep
    from bsv_store.progress import Progress
    from bsv_store.remote.mirror import Mirror
    from bsv_store.reproduce import Reproduction
    from bsv_store.store.admin import Admin
    from bsv_store.store.atlas import Atlas
    from bsv_store.store.catalog import Catalog
    from bsv_store.store.datasets import Datasets
    from bsv_store.store.search import Search
    from bsv_store.store.volumes import Volumes
    from bsv_store.vocabulary import (
        AnimalWeight,
        BilateralRule,
        ClusterStatistic,
        ComparisonOrder,
        Covariate,
        EffectSize,
        HemisphereRule,
        Measure,
        MeasuredHemisphere,
        MissingPolicy,
        Normalization,
        PublishedTable,
        ResultDtype,
        Statistic,
        TwoSampleStatistic,
        VolumeKind,
    )
    from bsv_store.volumes.files import StoreFiles
    from bsv_store.volumes.library import VolumeFile


def _reopened(path: Path, store_id: str, read_only: bool, origin: str) -> Store:
    """Open a copied store; raises StoreMismatchError if its path now contains another store."""
    config = read_store_config(path)
    if config.store_id != store_id:
        raise StoreMismatchError(
            f"the folder {path} is store {config.store_id}, but the copied object is of store {store_id}",
            hint="Open the store again with open_store().",
        )
    store = Store(path, config, read_only=read_only, origin=origin)
    try:
        check_store(path, config, store.database)
    except BaseException:
        store.close()
        raise
    return store


def remote_store(mirror: Mirror, origin: str) -> Store:
    """The store on the server that a mirror follows."""
    from bsv_store.config import StoreConfig
    from bsv_store.remote.database import MirrorDatabase
    from bsv_store.remote.files import cached_files

    config = StoreConfig(store_id=mirror.state.store_id)
    database = MirrorDatabase(mirror)
    return Store(
        mirror.folder,
        config,
        read_only=True,
        origin=origin,
        database=database,
        files=cached_files(mirror.folder, database, mirror.client),
        mirror=mirror,
    )


@dataclass(frozen=True, slots=True)
class ServerState:
    """The server of a store.

    Attributes
    ----------
    url : str
    checked_at : datetime.datetime
        When it was last asked for a newer catalog; aware UTC.
    is_offline : bool
        Whether it could not be reached since.
    """

    url: str
    checked_at: datetime
    is_offline: bool

    @property
    def words(self) -> str:
        """The state in words."""
        return f"{'offline' if self.is_offline else 'online'}, catalog of {self.checked_at:%Y-%m-%d %H:%M:%S} UTC"


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """The location, content and state of a store. ``print()`` shows a short summary.

    Attributes
    ----------
    path : pathlib.Path
        The folder; of a store on a server, that of the copy of its catalog.
    origin : str
        Why this store was chosen: 'argument', an environment variable, a configuration file, or 'default'.
    store_id : str
    database : str
        'sqlite' or the URL of the database; of a store on a server, 'sqlite' or 'postgresql'.
    schema_revision : str
    release : str
        Version of bsv-store.
    at : datetime.datetime
        Time of this status; aware UTC.
    catalog : CatalogStatus
        The content.
    upkeep : Upkeep or None
        Temporary files, trash, claims of running jobs, and disk space; None for a store on a server.
    server : ServerState or None
        None for a folder.
    """

    path: Path
    origin: str
    store_id: str
    database: str
    schema_revision: str
    release: str
    at: datetime
    catalog: CatalogStatus
    upkeep: Upkeep | None
    server: ServerState | None = None

    def _repr_html_(self) -> str:
        return text_card("Status of the store", str(self))

    def __str__(self) -> str:
        from bsv_store.text import fact_lines

        facts = [
            ("Store", f"{self.path if self.server is None else self.server.url} (from {self.origin})"),
            ("Database", f"{self.database}, schema {self.schema_revision}"),
            *([] if self.server is None else [("Server", self.server.words)]),
        ]
        return f"{fact_lines(facts)}\n{self.catalog}"


class Store:
    """An open store, as `open_store` returns it. Close it, or use it in a ``with`` statement.

    A store can be pickled and copied, for example to use it in other processes. The copy opens the same folder or
    address again; the token is not part of it.

    Parameters named ``selection`` accept a `Selection` or experiment ids: ``store.select([100141219])``.

    Attributes
    ----------
    path : pathlib.Path
        The store's folder; of a store on a server, the folder of the copy of its catalog.
    url : str or None
        The address of a store on a server.
    config : StoreConfig
        The content of ``store.toml``.
    origin : str
        Why this folder was chosen: 'argument', an environment variable, a configuration file, or 'default'.
    catalog : Catalog
        Unionize tables, the projection matrix, snapshots, saved selections and the exclusion list.
    search : Search
        Searches for experiments: by source, target, injection coordinate, correlation and point.
    atlas : Atlas
        Structures, the annotation, masks, and signal by structure from voxels.
    volumes : Volumes
        Single volumes.
    datasets : Datasets
        Datasets and their versions.
    admin : Admin
        Administration: verify, repair, back up, and see who changed the store.
    """

    def __init__(
        self,
        path: Path,
        config: StoreConfig,
        *,
        read_only: bool,
        origin: str = "argument",
        database: Database | None = None,
        files: StoreFiles | None = None,
        mirror: Mirror | None = None,
    ) -> None:
        self.path = path
        self.config = config
        self.origin = origin
        self.database = connect(path, config, read_only=read_only) if database is None else database
        self._files = files
        self._mirror = mirror

    @cached_property
    def files(self) -> StoreFiles:
        """The files of the store's folder; of a store on a server, those in the cache and on the server."""
        from bsv_store.volumes.files import StoreFiles

        if self._files is not None:
            return self._files
        return StoreFiles(self.path, self.config.file_mode, self.config.directory_mode)

    @property
    def url(self) -> str | None:
        """The address of a store on a server; None for a folder."""
        return None if self._mirror is None else self._mirror.url

    def refresh(self) -> None:
        """Ask the server for a newer catalog now, instead of at most once a minute. Nothing to do for a folder.

        Raises
        ------
        StoreMismatchError
            If there is another store at the address than before.
        TokenError
            If the server does not accept the token (any more).

        Warns
        -----
        BsvStoreWarning
            If the server cannot be reached.
        """
        if self._mirror is not None:
            self._mirror.revalidate()

    def check(self) -> None:
        """Check that folder and database still belong together and have the schema of this version.

        Another process may have upgraded, moved or restored the store since it was opened.

        Raises
        ------
        NotAStoreError, StoreMismatchError, SchemaTooOldError, SchemaTooNewError
            If the store must be opened again, or cannot be used.
        StoreUnreachableError, BusyError
            If the folder or the database cannot be reached.
        """
        if self._mirror is not None:
            self._mirror.revalidate()
            return
        check_store(self.path, read_store_config(self.path), self.database)

    def close(self) -> None:
        """Close the connections to the database or the server."""
        self.database.close()
        if self._mirror is not None:
            self._mirror.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Store({self.url or str(self.path)!r})"

    def _repr_html_(self) -> str:
        from bsv_store.catalog.tables.status import content_counts

        facts: list[tuple[str, object]] = [
            ("Folder", self.path),
            ("Database", masked(self.config.database)),
            ("Access", "read-only" if self.database.read_only else "read and write"),
        ]
        if (server := self._server_state()) is not None:
            facts = [("Server", server.url), ("State", server.words), ("Access", "read-only")]
        try:
            with self.database.reading() as connection:
                facts += content_counts(connection)
            notes = ["store.status() says more; store.experiments(), store.datasets.list() list the content."]
        except BsvStoreError as error:
            notes = [error.message]
        return card("bsv-store", kind=f"store {self.config.store_id}", facts=facts, notes=notes)

    def _server_state(self) -> ServerState | None:
        if self._mirror is None:
            return None
        return ServerState(self._mirror.url, self._mirror.checked_at, self._mirror.is_offline)

    def __reduce__(self) -> tuple[Callable[..., Store], tuple[Any, ...]]:
        # A copy opens the store again by its path or address, even in another process.
        if self._mirror is not None:
            return remote_store, (self._mirror, self.origin)
        return _reopened, (self.path, self.config.store_id, self.database.read_only, self.origin)

    # -- namespaces -----------------------------------------------------------------------------------------------

    @cached_property
    def catalog(self) -> Catalog:
        """Unionize tables, the projection matrix, snapshots, saved selections and the exclusion list."""
        from bsv_store.store.catalog import Catalog

        return Catalog(self.database)

    @cached_property
    def search(self) -> Search:
        """Searches for experiments: by source, target, injection coordinate, correlation and point."""
        from bsv_store.store.search import Search

        return Search(self.database, self.files)

    @cached_property
    def atlas(self) -> Atlas:
        """Structures, the annotation, masks, and signal by structure from voxels."""
        from bsv_store.store.atlas import Atlas

        return Atlas(self.database, self.files)

    @cached_property
    def volumes(self) -> Volumes:
        """Single volumes: read, describe, export, check."""
        from bsv_store.store.volumes import Volumes

        return Volumes(self.database, self.files)

    @cached_property
    def datasets(self) -> Datasets:
        """Datasets and their versions: list, compare, trace, rebuild, tag, delete, import."""
        from bsv_store.store.datasets import Datasets

        return Datasets(self.database, self.files)

    @cached_property
    def admin(self) -> Admin:
        """Administration: verify, repair, back up, and see who changed the store."""
        from bsv_store.store.admin import Admin

        return Admin(self.config, self.database, self.files, url=self.url)

    # -- queries --------------------------------------------------------------------------------------------------

    def status(self) -> StoreStatus:
        """The location, the content and the state of the store."""
        from bsv_store.catalog.database import schema
        from bsv_store.catalog.tables.status import catalog_status
        from bsv_store.maintenance.state import upkeep

        with self.database.reading() as connection:
            catalog = catalog_status(connection)
            objects = (
                sum(each.volumes for each in catalog.volumes)
                + len(catalog.annotations)
                + len(catalog.templates)
                + catalog.dataset_versions
            )
            state = upkeep(connection, self.files, objects=objects) if self._mirror is None else None
        return StoreStatus(
            self.path,
            self.origin,
            self.config.store_id,
            self.config.database if self._mirror is None else self._mirror.state.database,
            schema.HEAD,
            __version__,
            datetime.now(UTC),
            catalog,
            state,
            self._server_state(),
        )

    def select(
        self, selection: SelectionLike | None = None, *, missing: MissingPolicy = "leave_out"
    ) -> tuple[int, ...]:
        """Ids of the selected experiments, ascending.

        Parameters
        ----------
        selection : Selection or experiment ids, optional
            By default all experiments that are neither withdrawn nor on the exclusion list.
        missing : {'leave_out', 'error'}
            What to do if experiments may match by their targets, but their unionize tables are not in the store, or
            their injected hemisphere is needed and not known: leave them out with a `MissingUnionizesWarning` or
            `UnknownHemisphereWarning`, or raise `MissingDataError`.

        Raises
        ------
        UnknownStructureError, UnknownExperimentError, SelectionError
            If the selection names what the catalog does not have.
        """
        from bsv_store.catalog.selection.resolve import resolve
        from bsv_store.catalog.selection.selection import selection_or_all
        from bsv_store.catalog.without_unionizes import report_undecided

        policy = check.choice("missing", missing, MISSING_POLICIES).name
        wanted = selection_or_all(selection)
        with self.database.reading() as connection:
            ids = resolve(connection, wanted)
            report_undecided(connection, wanted, missing=policy)
        return ids

    def experiments(
        self, selection: SelectionLike | None = None, *, missing: MissingPolicy = "leave_out"
    ) -> pd.DataFrame:
        """The selected experiments, one row each, with the columns of the view ``experiments``.

        Parameters
        ----------
        selection : Selection or experiment ids, optional
            By default all experiments that are neither withdrawn nor on the exclusion list.
        missing : {'leave_out', 'error'}
            As for `select`.

        Raises
        ------
        UnknownStructureError, UnknownExperimentError, SelectionError
            If the selection names what the catalog does not have.
        """
        from bsv_store.catalog.selection.selection import selection_or_all
        from bsv_store.catalog.tables.frames import experiments_frame

        with self.database.reading() as connection:
            return experiments_frame(connection, selection_or_all(selection), missing=missing)

    def reproduce(self, name: PublishedTable) -> Reproduction:
        """Published counts of experiments next to those of this catalog, with the reason for each difference.

        The lab's exclusion list does not matter here; withdrawn experiments are not counted.

        Parameters
        ----------
        name : {'knox_2019_table_1', 'allensdk_notebook', 'oh_2014'}
            The table: a row of ``bsv_store.vocabulary.PUBLISHED_TABLES``, with its citation.

        Raises
        ------
        InputError
            If there is no such table.
        MissingDataError
            If the store has no experiments, or another ontology than Allen's.

        Examples
        --------
        >>> print(store.reproduce("knox-2019-table-1"))  # doctest: +SKIP
        """
        from bsv_store.reproduce import reproduce

        with self.database.reading() as connection:
            return reproduce(connection, name)

    def sql(
        self,
        statement: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        limit: int | None = None,
        timeout_s: float | None = None,
        max_bytes: int = 1_000_000_000,
        allow_superuser: bool = False,
    ) -> pd.DataFrame:
        """The result of a query over the views and tables. The database refuses statements that would write.

        A store on a server runs it there, in the dialect of its database and with its limits on time and rows; if the
        server cannot be reached and its database is SQLite, it runs on the copy of the catalog.

        Parameters
        ----------
        statement : str
            One SELECT; ``:name`` marks a parameter.
        parameters : mapping, optional
            Values of the parameters, by name.
        limit : int, optional
            Maximum number of rows to return.
        timeout_s : float, optional
            Timeout in seconds. By default the setting ``sql_timeout``.
        max_bytes : int
            Maximum size of the result in memory, in bytes.
        allow_superuser : bool
            Allow the query to run as a superuser. On Postgres, queries run as the reader role, which ``bsv-store db
            grant`` creates, or otherwise as the store's account; if that is a superuser, they are refused by default.

        Raises
        ------
        QueryError
            If the statement is invalid, would write, calls a function that is not allowed, takes too long or returns
            too much, or would run as a superuser.
        StoreUnreachableError
            If the server cannot be reached, and its database is not SQLite.
        """
        from bsv_store.catalog.tables.sql import run_sql

        return run_sql(
            self.database,
            statement,
            parameters,
            row_limit=limit,
            time_limit_s=sql_timeout(self.path if self._mirror is None else self.config, timeout_s),
            max_bytes=max_bytes,
            allow_superuser=allow_superuser,
        )

    # -- files into the store -------------------------------------------------------------------------------------

    def ingest_structures(
        self, file: Path | str, *, upstream_date: date | None = None, allow_shrinking: bool = False
    ) -> IngestReport:
        """Store the structure ontology from a file.

        An ontology that is older than the current one is stored as history.

        Parameters
        ----------
        file : path
            A structure graph of the Allen API, AllenSDK's ``structures.json``, or the CSV of allenCCF.
        upstream_date : datetime.date, optional
            Date of the ontology. By default the date in the file's name, if any. An ontology without a date counts as
            older than one with a date, and as older than the current one if structures are missing from it.
        allow_shrinking : bool
            Accept an ontology from which many of the current structures are missing, or any if its date is unknown. The
            missing structures are marked as withdrawn.

        Raises
        ------
        FormatError
            If the file is not a valid ontology. Nothing is stored then.
        IncompleteListError
            If many of the current structures, or most of Allen's in an empty store, are missing from it, unless
            ``allow_shrinking``. Nothing is stored then.
        """
        from bsv_store.acquisition.ingest_files import ingest_structure_file

        self._require_folder()
        return ingest_structure_file(
            self.database,
            check.path("file", file),
            upstream_date=upstream_date,
            allow_shrinking=check.boolean("allow_shrinking", allow_shrinking),
        )

    def ingest_experiments(
        self, file: Path | str, *, upstream_date: date | None = None, allow_shrinking: bool = False
    ) -> IngestReport:
        """Store an experiment list from a file.

        Parameters
        ----------
        file : path
            A reply of the Allen API, AllenSDK's ``experiments.json``, or the CSV export of the Allen web site.
        upstream_date : datetime.date, optional
            Date of the list. By default the date in the file's name, if any; a list without a date counts as older than
            all lists with a date.
        allow_shrinking : bool
            Accept a list that seems to be incomplete: more than 10 experiments of the newest list of its kind are
            missing (more than a tenth, for short lists), or the first list of the store has fewer than 2,000.

        Raises
        ------
        FormatError
            If the file is not a valid experiment list. Nothing is stored then.
        IncompleteListError
            If the list seems to be incomplete, unless ``allow_shrinking``. Nothing is stored then.
        """
        from bsv_store.acquisition.ingest_files import ingest_experiment_file

        self._require_folder()
        return ingest_experiment_file(
            self.database,
            check.path("file", file),
            upstream_date=upstream_date,
            allow_shrinking=check.boolean("allow_shrinking", allow_shrinking),
        )

    def ingest_unionizes(
        self, file: Path | str, *, upstream_date: date | None = None, replace: bool = False
    ) -> IngestReport:
        """Store unionize tables from a file.

        A stored table is replaced only if both tables have a date and the new one is newer. Hash, date and source of
        replaced tables are recorded, see `Catalog.unionize_history`.

        Parameters
        ----------
        file : path
            A reply of the Allen API as JSON, or the CSV of an AllenSDK cache; optionally compressed with gzip.
        upstream_date : datetime.date, optional
            Date of the table. By default the date in the file's name, if any; otherwise unknown.
        replace : bool
            Replace stored tables regardless of their dates, and store rows whose injection volume differs from that in
            the experiment list. Incomplete tables are still refused.

        Raises
        ------
        FormatError, UnknownExperimentError
            If the file is not valid, or one of its experiments is not in the catalog. Nothing is stored then.
        IncompleteTableError
            If rows of an experiment are missing, as in a table saved for some structures only. Nothing is stored then.
        InputError
            Unless ``replace``: if the stored table may be newer, or the injection volume of the root differs from that
            in the experiment list. Nothing is stored then.
        """
        from bsv_store.acquisition.ingest_files import ingest_unionize_file

        self._require_folder()
        return ingest_unionize_file(
            self.database, check.path("file", file), upstream_date=upstream_date, replace=replace
        )

    def ingest_annotation(self, file: Path | str, *, replace: bool = False) -> AnnotationReport:
        """Store the annotation of the CCFv3 from an NRRD file.

        Parameters
        ----------
        file : path
            Its spacing is read from its shape.
        replace : bool
            Replace an annotation of the same spacing that differs.

        Raises
        ------
        FormatError, FrameError
            If the file is not a valid annotation on a CCFv3 grid. Nothing is stored then.
        UnknownStructureError
            If the store has no ontology, or the annotation has structures that the ontology does not have.
        InputError
            If the store has another annotation of this spacing and ``replace`` is False.
        """
        from bsv_store.acquisition.annotation import ingest_annotation_file

        self._require_folder()
        return ingest_annotation_file(self.database, self.files, check.path("file", file), replace=replace)

    def ingest_template(self, file: Path | str, *, replace: bool = False) -> TemplateReport:
        """Store the average template of the CCFv3 from an NRRD file.

        Parameters
        ----------
        file : path
            ``average_template_10|25|50|100.nrrd`` of the Allen Institute, or an image with the same axes and grid.
        replace : bool
            Replace a template of the same spacing that differs.

        Raises
        ------
        FormatError, FrameError
            If the file is not a valid template on a CCFv3 grid, or contradicts the annotation. Nothing is stored then.
        InputError
            If the store has another template of this spacing and ``replace`` is False.
        """
        from bsv_store.acquisition.template import ingest_template_file

        self._require_folder()
        return ingest_template_file(self.database, self.files, check.path("file", file), replace=replace)

    def adopt(
        self,
        folder: Path | str,
        *,
        experiment_ids: Collection[int] | None = None,
        allow_shrinking: bool = False,
        progress: Progress | None = None,
    ) -> AdoptReport:
        """Copy the content of a cache folder of Brain Street View or AllenSDK into the store.

        Every file is checked. Invalid files are skipped and listed in the report.

        Parameters
        ----------
        folder : path
            The cache; it is only read.
        experiment_ids : collection of int, optional
            Only files of these experiments, which the catalog need not have yet. By default all files.
        allow_shrinking : bool
            Accept lists from which many current structures or experiments are missing; the experiments are then marked
            as withdrawn.
        progress : Progress, optional

        Raises
        ------
        NotACacheError
            If the folder is neither kind of cache.
        """
        from bsv_store.acquisition.adopt import adopt_cache

        self._require_folder()
        return adopt_cache(
            self.database,
            self.files,
            check.path("folder", folder),
            experiment_ids=experiment_ids,
            allow_shrinking=allow_shrinking,
            progress=progress,
        )

    # -- data from the Allen API ----------------------------------------------------------------------------------

    def sync_structures(self, *, api_url: str | None = None, allow_shrinking: bool = False) -> IngestReport:
        """Update the structure ontology from the Allen API.

        Parameters
        ----------
        api_url : str, optional
            By default the setting ``api_url``, which is Allen's address unless it was set.
        allow_shrinking : bool
            Accept an ontology from which many of the current structures are missing.

        Raises
        ------
        UpstreamError
            If the API cannot be reached or its reply is not valid. Nothing is stored then.
        IncompleteListError
            If many of the current structures, or most of Allen's in an empty store, are missing from it, unless
            ``allow_shrinking``. Nothing is stored then.
        """
        from bsv_store.acquisition.sync import sync_structures
        from bsv_store.sources.allen import AllenClient

        self._require_folder()
        with AllenClient(api_url=api_url, store=self.path) as client:
            return sync_structures(self.database, client, allow_shrinking=allow_shrinking)

    def sync_experiments(self, *, allow_shrinking: bool = False, api_url: str | None = None) -> IngestReport:
        """Update the experiment list from the Allen API.

        Parameters
        ----------
        allow_shrinking : bool
            Accept a list from which more than 10 experiments of the newest one are missing (more than a tenth, for
            short lists).
        api_url : str, optional
            By default the setting ``api_url``, which is Allen's address unless it was set.

        Raises
        ------
        IncompleteListError
            If the list seems to be incomplete, unless ``allow_shrinking``. Nothing is stored then.
        UpstreamError
            If the API cannot be reached or its reply is not valid. Nothing is stored then.
        """
        from bsv_store.acquisition.sync import sync_experiments
        from bsv_store.sources.allen import AllenClient

        self._require_folder()
        with AllenClient(api_url=api_url, store=self.path) as client:
            return sync_experiments(
                self.database, client, allow_shrinking=check.boolean("allow_shrinking", allow_shrinking)
            )

    def sync_unionizes(
        self,
        selection: SelectionLike | None = None,
        *,
        refresh: bool = False,
        limit: int | None = None,
        offline: bool = False,
        api_url: str | None = None,
        progress: Progress | None = None,
    ) -> UnionizeSyncReport:
        """Download the missing unionize tables of the selected experiments.

        Parameters
        ----------
        selection : Selection or experiment ids, optional
            By default all experiments that are neither withdrawn nor on the exclusion list.
        refresh : bool
            Also download tables that the store has.
        limit : int, optional
            Maximum number of missing tables to download; the next call continues.
        offline : bool
            Open no connection; missing tables are then an error.
        api_url : str, optional
            By default the setting ``api_url``, which is Allen's address unless it was set.
        progress : Progress, optional

        Raises
        ------
        InputError
            If ``limit`` is combined with ``refresh`` or ``offline``.
        NothingDownloadedError
            If every download failed, and the store has none of the tables; with the report.
        MissingDataError
            If ``offline`` and tables are missing; the message names the experiments.
        """
        from bsv_store.acquisition.clients import client_unless
        from bsv_store.acquisition.sync import sync_unionizes
        from bsv_store.acquisition.work.outcome import require_any_success

        self._require_folder()
        if limit is None:
            ids = self.select(selection)
        else:
            check.without("limit", "offline", offline)
            ids = self.plan_sync_unionizes(selection, refresh=refresh, limit=limit).experiment_ids
        with client_unless(offline, api_url, store=self.path) as client:
            report = sync_unionizes(self.database, client, ids, refresh=refresh, progress=progress)
        require_any_success([report])
        return report

    def sync_template(
        self,
        *,
        spacing_um: int = 100,
        refresh: bool = False,
        download_url: str | None = None,
        progress: Progress | None = None,
    ) -> TemplateReport:
        """Download the average template of the CCFv3 from Allen's file server, unless the store has it.

        It is the background of slices, see `bsv_store.reports.slices`. A template that fits the store's annotation only
        with a reversed axis is refused.

        Parameters
        ----------
        spacing_um : {10, 25, 50, 100}
            Edge of a voxel in um.
        refresh : bool
            Download it even if the store has it.
        download_url : str, optional
            By default the setting ``download_url``, which is Allen's address unless it was set.
        progress : Progress, optional

        Raises
        ------
        UpstreamError
            If the download fails or is not valid. Nothing is stored then.
        FrameError
            If it contradicts the annotation. Nothing is stored then.
        """
        from bsv_store.acquisition.template import sync_template
        from bsv_store.sources.allen import AllenClient

        self._require_folder()
        with AllenClient(download_url=download_url, store=self.path) as client:
            return sync_template(self.database, self.files, client, spacing_um, refresh=refresh, progress=progress)

    def plan_sync_unionizes(
        self, selection: SelectionLike | None = None, *, refresh: bool = False, limit: int | None = None
    ) -> Plan:
        """Plan `sync_unionizes`, as `plan_fetch` does for volumes."""
        from bsv_store.acquisition.plan import plan_unionizes

        self._require_folder()
        plan = plan_unionizes(self.database, self.files, self.select(selection), refresh=refresh)
        return plan if limit is None else plan.first(limit)

    def sync_annotation(
        self,
        *,
        spacing_um: int = 100,
        refresh: bool = False,
        download_url: str | None = None,
        progress: Progress | None = None,
    ) -> AnnotationReport:
        """Download the annotation of the CCFv3 from Allen's file server, unless the store has it.

        Parameters
        ----------
        spacing_um : {10, 25, 50, 100}
            Edge of a voxel in um.
        refresh : bool
            Download it even if the store has it.
        download_url : str, optional
            By default the setting ``download_url``, which is Allen's address unless it was set.
        progress : Progress, optional

        Raises
        ------
        UpstreamError
            If the download fails or is not valid. Nothing is stored then.
        UnknownStructureError
            If the store has no ontology, or the annotation has structures that the ontology does not have.
        """
        from bsv_store.acquisition.annotation import sync_annotation
        from bsv_store.sources.allen import AllenClient

        self._require_folder()
        with AllenClient(download_url=download_url, store=self.path) as client:
            return sync_annotation(self.database, self.files, client, spacing_um, refresh=refresh, progress=progress)

    def fetch(
        self,
        selection: SelectionLike,
        *,
        kind: VolumeKind = "projection_density",
        spacing_um: int = 100,
        refresh: bool = False,
        verify: bool = False,
        workers: int | None = None,
        limit: int | None = None,
        offline: bool = False,
        api_url: str | None = None,
        progress: Progress | None = None,
    ) -> FetchReport:
        """Download the missing volumes of the selected experiments.

        Volumes that cannot be downloaded are listed in the report with the reason; the others are stored. If the server
        cannot be reached, the run stops after a few failures, and the report counts what was not attempted.

        A stored volume whose file is missing or has another size is fetched again; with ``verify=True`` also one whose
        bytes have changed. It counts as present even if it contradicts what is known of its experiment by now:
        `Volumes.check` finds such volumes, and ``refresh=True`` downloads them again.

        Parameters
        ----------
        selection : Selection or experiment ids
        kind : VolumeKind
        spacing_um : {10, 25, 50, 100}
            Edge of a voxel in um.
        refresh : bool
            Also download volumes that the store has.
        verify : bool
            Read and hash the stored files, and fetch those that have changed again. By default only files that are
            missing, truncated, or were found damaged by ``store.admin.verify`` are.
        workers : int, optional
            Number of simultaneous downloads, by default the setting ``fetch_workers`` (4); at most the setting
            ``max_connections`` (16), which all runs on the store share.
        limit : int, optional
            Maximum number of missing volumes to download; the next call continues.
        offline : bool
            Open no connection; missing volumes are then an error.
        api_url : str, optional
            By default the setting ``api_url``, which is Allen's address unless it was set.
        progress : Progress, optional
            By default a bar in notebooks and terminals, see the setting ``progress``; ``bsv_store.NO_PROGRESS`` shows
            none.

        Raises
        ------
        EmptySelectionError
            If no experiment matches.
        InputError
            If ``limit`` is combined with ``refresh``, because the next call would download the same data again, or with
            ``offline``; or ``verify`` with ``refresh``.
        NothingDownloadedError
            If every download failed, and the store has none of the volumes; with the report.
        MissingDataError
            If ``offline`` and volumes are missing; the message names the experiments.
        DamagedFileError
            If ``offline`` and ``verify``, and stored volumes have changed; the message names the experiments.
        """
        from bsv_store.acquisition.clients import client_unless
        from bsv_store.acquisition.fetch import fetch_volumes
        from bsv_store.acquisition.work.connections import checked_workers
        from bsv_store.acquisition.work.outcome import require_any_success

        self._require_folder()
        damaged: tuple[VolumeFile, ...] | None = None
        if limit is not None:
            check.without("limit", "offline", offline)
        if limit is None and not check.boolean("verify", verify):
            ids = self._nonempty(selection)
        else:
            plan = self.plan_fetch(
                selection,
                kind=kind,
                spacing_um=spacing_um,
                refresh=refresh,
                verify=verify,
                workers=workers,
                limit=limit,
                progress=progress,
            )
            ids, damaged = plan.experiment_ids, plan.damaged
        connections = checked_workers(workers, self.path)
        with client_unless(offline, api_url, store=self.path, connections=connections) as client:
            report = fetch_volumes(
                self.database,
                self.files,
                client,
                ids,
                kind=check.choice("kind", kind, VOLUME_KINDS).name,
                spacing_um=spacing_um,
                refresh=refresh,
                workers=workers,
                damaged=damaged,
                progress=progress,
            )
        require_any_success([report])
        return report

    def plan_fetch(
        self,
        selection: SelectionLike,
        *,
        kind: VolumeKind = "projection_density",
        spacing_um: int = 100,
        refresh: bool = False,
        verify: bool = False,
        workers: int | None = None,
        limit: int | None = None,
        progress: Progress | None = None,
    ) -> Plan:
        """Plan `fetch`: volumes present and missing, requests, bytes, time and disk space. Nothing is downloaded.

        Parameters and errors are those of `fetch`; ``progress`` reports the hashing of ``verify``.
        """
        from bsv_store.acquisition.plan import plan_volumes

        self._require_folder()
        plan = plan_volumes(
            self.database,
            self.files,
            self._nonempty(selection),
            kind=check.choice("kind", kind, VOLUME_KINDS).name,
            spacing_um=spacing_um,
            refresh=refresh,
            verify=verify,
            workers=workers,
            progress=progress,
        )
        return plan if limit is None else plan.first(limit)

    def fetch_inputs(
        self,
        selection: SelectionLike,
        *,
        kind: VolumeKind = "projection_density",
        spacing_um: int = 100,
        exclude_injection: bool = False,
        weight_by_data_mask: bool = False,
        missing: MissingPolicy = "leave_out",
        workers: int | None = None,
        offline: bool = False,
        api_url: str | None = None,
        progress: Progress | None = None,
    ) -> tuple[UnionizeSyncReport | FetchReport, ...]:
        """Download everything that `aggregate` with these arguments needs: unionize tables, volumes and masks.

        Tables and volumes that cannot be downloaded are listed in the reports with the reason; the others are stored.

        Parameters
        ----------
        selection : Selection or experiment ids
        kind, spacing_um, exclude_injection, weight_by_data_mask
            As for `aggregate`.
        missing : {'error', 'leave_out'}
            'error' stops at the first table or volume that cannot be downloaded, because `aggregate` with
            ``missing='error'`` then cannot succeed.
        workers, offline, api_url, progress
            As for `fetch`.

        Returns
        -------
        tuple of reports
            One for the unionize tables, then one for each kind of volume.

        Raises
        ------
        EmptySelectionError
            If no experiment matches.
        NoSpaceError
            If the disk does not have enough space for everything. Nothing is downloaded then.
        NothingDownloadedError
            If every download failed, and the store has nothing of it; with the reports.
        MissingDataError
            If ``offline`` and something is missing; the message names the experiments.
        """
        from bsv_store.acquisition.fill import fill, plan_fill
        from bsv_store.acquisition.work.outcome import require_any_success
        from bsv_store.averaging.recipe import Recipe
        from bsv_store.catalog.selection.selection import as_selection

        self._require_folder()
        recipe = Recipe(
            selection=as_selection(selection),
            kind=kind,
            spacing_um=spacing_um,
            exclude_injection=exclude_injection,
            weight_by_data_mask=weight_by_data_mask,
            missing=missing,
        )
        plan = plan_fill(
            self.database,
            self.files,
            self._nonempty(recipe.selection),
            unionizes=True,
            volumes=[(each, recipe.spacing_um) for each in recipe.kinds],
            workers=workers,
        )
        if not offline:
            plan.require_disk_space()
        reports = fill(
            self.database,
            self.files,
            plan,
            offline=offline,
            stop_at_failure=recipe.missing == "error",
            api_url=api_url,
            progress=progress,
        )
        require_any_success(reports)
        return reports

    # -- results --------------------------------------------------------------------------------------------------

    def aggregate(
        self,
        selection: SelectionLike,
        *,
        name: str,
        group_by: Grouping | str | Sequence[str] | None = None,
        kind: VolumeKind = "projection_density",
        spacing_um: int = 100,
        normalize: Normalization = "none",
        hemisphere_rule: HemisphereRule = "none",
        bilateral_rule: BilateralRule = "larger_side",
        exclude_injection: bool = False,
        weight_by_data_mask: bool = False,
        weight_by: AnimalWeight = "none",
        statistics: Statistic | Sequence[Statistic] = ("mean",),
        missing: MissingPolicy = "error",
        dtype: ResultDtype = "float32",
        fetch_damaged: bool = False,
        api_url: str | None = None,
        progress: Progress | None = None,
        executor: Executor | None = None,
        workers: int | None = None,
    ) -> DatasetVersion:
        """Average the volumes of the selected experiments by group, as a version of a dataset.

        If a version of the dataset has the same recipe and inputs, it is returned without computing anything.

        Parameters
        ----------
        selection : Selection or experiment ids
        name : str
            Dataset that the version belongs to.
        group_by : Grouping or str, optional
            `by_coordinate`, `by_region`, `by_field`, `by_selection`, `crossed`, or a name: an axis ('AP', 'DV', 'ML')
            for five bins of equal width, or a field such as 'line'. By default all experiments are in one group.
        kind : VolumeKind
        spacing_um : {10, 25, 50, 100}
            Edge of a voxel in um.
        normalize : Normalization
            What each volume is divided by, see ``bsv_store.vocabulary.NORMALIZATIONS``.
        hemisphere_rule : {'none', 'subtract_contralateral', 'flip_to_right', 'flip_to_left', 'fold_ipsilateral'}
            How each volume is transformed according to its injected hemisphere.
        bilateral_rule : {'larger_side', 'error', 'leave_out'}
            What to do about experiments injected on both sides, where the hemisphere rule needs one side.
        exclude_injection : bool
            Do not count voxels inside the injection site (injection fraction above 0).
        weight_by_data_mask : bool
            Weight every voxel by the fraction of it that has data.
        weight_by : {'none', 'injection_overlap'}
            Weight of each experiment, as in `Search.targets_of`: with 'injection_overlap' the share of its injection
            volume inside its primary injection structure or, if grouped by region, inside the regions of its group.
            Experiments of weight 0 are left out. Cannot be combined with ``weight_by_data_mask``.
        statistics : str or sequence of str
            Names of ``bsv_store.vocabulary.STATISTICS``. The mean is always computed.
        missing : {'error', 'leave_out'}
            What to do about experiments whose volume or other data that the recipe needs is not in the store.
        dtype : {'float32', 'float64'}
            Of the result. Sums are float64 in any case.
        fetch_damaged : bool
            Fetch volumes again whose stored file turns out to be damaged, and name them in a `DamagedVolumeWarning`,
            instead of raising `DamagedFileError`.
        api_url : str, optional
            For ``fetch_damaged``. By default the variable ``BSV_STORE_API_URL``, else Allen's address.
        progress : Progress, optional
        executor : Executor, optional
            An executor of ``concurrent.futures`` or a Dask client that computes. The result does not depend on it.
        workers : int, optional
            Number of processes that compute, or with ``executor`` the number of tasks in flight.

        Returns
        -------
        DatasetVersion
            Its ``was_computed`` tells whether this call computed it.

        Raises
        ------
        RecipeError
            If a part of the recipe is not valid.
        EmptySelectionError
            If no experiment matches.
        MissingDataError
            If inputs are missing and ``missing`` is 'error'. The hint is the command that fetches them.
        DamagedCatalogError
            If rows of the catalog that enter the result, or those of the version that has it, are damaged.
        DamagedFileError
            If the file of an input is missing or differs from what was stored, and was not fetched again. Also with
            ``missing='leave_out'``: a damaged volume is not a missing one.
        """
        from bsv_store.averaging.grouping.grouping import as_grouping
        from bsv_store.averaging.recipe import Recipe
        from bsv_store.catalog.selection.selection import as_selection

        recipe = Recipe(
            selection=as_selection(selection),
            kind=kind,
            spacing_um=spacing_um,
            grouping=as_grouping(group_by),
            normalize=normalize,
            hemisphere_rule=hemisphere_rule,
            bilateral_rule=bilateral_rule,
            exclude_injection=exclude_injection,
            weight_by_data_mask=weight_by_data_mask,
            weight_by=weight_by,
            statistics=tuple(check.several("statistics", statistics, such_as="['mean', 'sd']")),
            missing=missing,
            dtype=dtype,
        )
        return self._computed(
            recipe,
            name=name,
            fetch_damaged=fetch_damaged,
            api_url=api_url,
            progress=progress,
            executor=executor,
            workers=workers,
        )

    def compare_voxels(
        self,
        a: SelectionLike | GroupInfo,
        b: SelectionLike | GroupInfo,
        *,
        name: str,
        labels: Sequence[str] | None = None,
        kind: VolumeKind = "projection_density",
        spacing_um: int = 100,
        normalize: Normalization = "none",
        hemisphere_rule: HemisphereRule = "none",
        bilateral_rule: BilateralRule = "larger_side",
        exclude_injection: bool = False,
        statistics: Statistic | Sequence[Statistic] = ("mean",),
        missing: MissingPolicy = "error",
        dtype: ResultDtype = "float32",
        test: TwoSampleStatistic | None = None,
        covariates: Covariate | Sequence[Covariate] = (),
        permutations: int = 10_000,
        seed: int = 0,
        cluster: ClusterStatistic = "none",
        cluster_threshold_p: float = 0.001,
        fetch_damaged: bool = False,
        api_url: str | None = None,
        progress: Progress | None = None,
        executor: Executor | None = None,
        workers: int | None = None,
    ) -> DatasetVersion:
        """Compare the volumes of two groups of experiments at each voxel, as a version of a dataset.

        The version has the averages of the two groups, as `aggregate` computes them, and maps without groups: the
        difference, t and p, see ``bsv_store.vocabulary.COMPARISON_MAPS``. Each experiment is one animal. p is
        two-sided, by permutation of the animals between the groups; ``p_max_t`` is corrected for all tested voxels by
        the maximum of the absolute t. Tested are the voxels where every experiment has data and at least one has
        signal. The maps are NaN elsewhere, except that the difference is 0 where no experiment has signal.

        If a version of the dataset has the same recipe and inputs, it is returned without computing anything.

        Parameters
        ----------
        a, b : Selection, experiment ids, or GroupInfo
            The two groups; the difference is a minus b. A group of a version (``version.groups[0]``) stands for its
            members; `Datasets.compare_groups` also uses the rules of the version.
        name : str
            Dataset that the version belongs to.
        labels : sequence of two str, optional
            Labels of the groups; by default those of the groups of a version, or the criteria that differ between the
            selections, such as 'VISp' and 'VISl'; 'a' and 'b' for lists of ids.
        kind, spacing_um, normalize, hemisphere_rule, bilateral_rule, exclude_injection, statistics, missing, dtype
            As for `aggregate`. Voxels that are inside the injection site of one of the experiments are not tested if
            injection sites are excluded.
        test : {'welch', 'student'}, optional
            Welch's or Student's t. By default 'welch', with covariates 'student', the only one that allows them.
        covariates : str or sequence of str
            Names of ``bsv_store.vocabulary.COVARIATES``, such as 'injection_volume', that are taken into account by the
            procedure of Freedman and Lane: the difference is that at equal values of the covariates.
        permutations : int
            Number of permutations. If there are fewer distinct ones, p is exact.
        seed : int
            Of the random permutations; the same seed gives the same result.
        cluster : {'none', 'extent', 'tfce'}
            Also compute p of the extent of clusters, or of threshold-free cluster enhancement. Needs the extra
            ``stats``.
        cluster_threshold_p : float
            Uncorrected p at which voxels form clusters, for 'extent'.
        fetch_damaged, api_url, progress
            As for `aggregate`.
        executor, workers
            As for `aggregate`, for the averages. The test runs in this process with as many threads as workers, by
            default one for each processor.

        Returns
        -------
        DatasetVersion
            ``version.statistic("difference")`` has shape (ap, dv, ml).

        Raises
        ------
        RecipeError
            If a part of the recipe is not valid, an experiment is in both groups, a group has fewer than two
            experiments with data, or a covariate is constant or collinear with the groups.
        EmptySelectionError
            If no experiment matches one of the selections.
        MissingDataError
            If inputs are missing and ``missing`` is 'error'. The hint is the command that fetches them.
        DamagedCatalogError
            If rows of the catalog that enter the result, or those of the version that has it, are damaged.
        DamagedFileError
            If the file of an input is missing or differs from what was stored, and was not fetched again.

        Warns
        -----
        BsvStoreWarning
            If the groups are too small for any difference to have a p of 0.05.
        """
        from bsv_store.averaging.comparison.comparison import Comparison, checked_covariates, checked_test
        from bsv_store.averaging.recipe import Recipe
        from bsv_store.datasets.comparison import two_sides, union_of, warn_if_few

        sides = two_sides(a, b, labels)
        names = checked_covariates(covariates)
        recipe = Recipe(
            selection=union_of(sides),
            kind=kind,
            spacing_um=spacing_um,
            grouping=sides,
            normalize=normalize,
            hemisphere_rule=hemisphere_rule,
            bilateral_rule=bilateral_rule,
            exclude_injection=exclude_injection,
            statistics=tuple(check.several("statistics", statistics, such_as="['mean', 'sd']")),
            missing=missing,
            dtype=dtype,
            comparison=Comparison(
                permutations=permutations,
                seed=seed,
                test=checked_test(test, names),
                covariates=names,
                cluster=cluster,
                cluster_threshold_p=cluster_threshold_p,
            ),
        )
        version = self._computed(
            recipe,
            name=name,
            fetch_damaged=fetch_damaged,
            api_url=api_url,
            progress=progress,
            executor=executor,
            workers=workers,
        )
        warn_if_few(version)
        return version

    def compare_structures(
        self,
        a: SelectionLike | GroupInfo,
        b: SelectionLike | GroupInfo,
        *,
        name: str | None = None,
        labels: Sequence[str] | None = None,
        targets: StructureRef | Sequence[StructureRef] | None = None,
        structure_set: int | None = None,
        within: StructureRef | None = None,
        include_sources: bool = False,
        include_fiber_tracts: bool = False,
        measure: Measure = "normalized_projection_volume",
        hemisphere: MeasuredHemisphere | Sequence[MeasuredHemisphere] = "both",
        test: TwoSampleStatistic | None = None,
        effect_size: EffectSize = "hedges_g",
        covariates: Covariate | Sequence[Covariate] = (),
        permutations: int = 10_000,
        bootstrap: int = 10_000,
        confidence: float = 0.95,
        seed: int = 0,
        sort_by: ComparisonOrder = "p",
        limit: int | None = None,
        missing: MissingPolicy = "leave_out",
        progress: Progress | None = None,
    ) -> pd.DataFrame:
        """Compare the signal of two groups of experiments in each structure, from their unionize tables.

        Each experiment is one animal. Signal inside the injection site is not included. Tests are two-sided.

        Parameters
        ----------
        a, b : Selection, experiment ids, or GroupInfo
            The two groups; the difference is a minus b. A group of a version (``version.groups[0]``) stands for its
            members; the rules of the version, such as its normalization and weights, do not apply.
        name : str, optional
            Store the comparison as a version of this dataset, which can be looked up, cited, rebuilt and shared like
            any other (`DatasetVersion.comparison_table`). If the dataset has a version with the same recipe and inputs,
            its table is returned without computing anything.
        labels : sequence of two str, optional
            Labels of the groups; by default those of the groups of a version, or the criteria that differ between the
            selections, such as 'VISp' and 'VISl'; 'a' and 'b' for lists of ids.
        targets, structure_set, within, include_sources, include_fiber_tracts, measure
            As for `Search.targets_of`.
        hemisphere : MeasuredHemisphere or sequence of them
            'both', 'left', 'right', or 'ipsilateral' and 'contralateral', relative to the injected hemisphere. With
            several, each structure has a row for each of them, and corrections are for all rows.
        test, covariates, permutations, seed
            As for `compare_voxels`.
        effect_size : {'hedges_g', 'cohens_d'}
        bootstrap : int
            Number of draws for the interval of the difference.
        confidence : float
            Of the interval.
        sort_by : {'p', 'effect_size', 'difference'}
            What the rows are sorted by: p by permutation, or the absolute effect size or difference.
        limit : int, optional
            Maximum number of rows to return. All structures are tested in any case.
        missing : {'leave_out', 'error'}
            What to do about experiments whose unionize table is not in the store, or whose injected hemisphere or
            covariate is needed and not known: leave them out with a warning, or raise `MissingDataError`.
        progress : Progress, optional

        Returns
        -------
        pandas.DataFrame
            One row for each structure with signal in one of the animals, and hemisphere. Columns structure,
            structure_id, structure_name, hemisphere, mean_a, mean_b, difference, lower and upper (bootstrap interval
            of the difference), effect_size, t, p (of t under normality), p_permutation, p_fdr (p corrected by the
            procedure of Benjamini and Hochberg), p_max_t (p by permutation, corrected by the maximum of the absolute
            t).
            The attributes ``frame.attrs`` are the arguments that determine the result, ``labels``, ``n`` (of each
            group), ``experiment_ids`` (of each group), ``tests`` (number of rows that the corrections are for),
            ``permutations`` (computed ones), ``exact`` (whether these are all distinct ones), ``without_signal``
            (structures that were not tested), ``without_unionizes``, ``without_hemisphere`` and ``without_covariate``
            (ids of experiments that were left out), ``recipe`` (canonical JSON) and ``fingerprint`` (SHA-256 of recipe,
            members, covariates and values: equal for equal results, and for the same comparison with and without
            ``name``). With ``name``, ``dataset`` names the version, and ``was_computed`` is False if it existed before.

        Raises
        ------
        RecipeError
            If an argument is not valid, an experiment is in both groups, a group has fewer than two experiments with
            data, or a covariate is constant or collinear with the groups.
        EmptySelectionError
            If no experiment matches one of the selections.
        UnknownStructureError
            If the ontology does not have a structure.
        MissingDataError
            If data are missing and ``missing`` is 'error', or no experiment is left.
        InputError
            If SciPy (extra ``stats``) is not installed.

        Warns
        -----
        MissingUnionizesWarning, UnknownHemisphereWarning, LeftOutWarning
            If experiments were left out.
        BsvStoreWarning
            If the groups are too small for any difference to have a p of 0.05.
        """
        from bsv_store.averaging.comparison.structure_comparison import structure_comparison
        from bsv_store.averaging.inputs import gather_inputs
        from bsv_store.catalog.search.found import check_limit
        from bsv_store.catalog.without_unionizes import report_undecided
        from bsv_store.datasets.comparison import structure_recipe, two_sides
        from bsv_store.datasets.structure_table import computed_table, warn_about

        sides = two_sides(a, b, labels)
        # Before the comparison, which may take a minute.
        check_limit(limit)
        order = check.choice("sort_by", sort_by, COMPARISON_ORDERS).name
        comparison = structure_comparison(
            include_sources=include_sources,
            include_fiber_tracts=include_fiber_tracts,
            measure=measure,
            hemisphere=hemisphere,
            test=test,
            effect_size=effect_size,
            covariates=covariates,
            permutations=permutations,
            bootstrap=bootstrap,
            confidence=confidence,
            seed=seed,
        )
        with self.database.reading() as connection:
            recipe = structure_recipe(
                connection,
                sides,
                comparison,
                targets=targets,
                structure_set=structure_set,
                within=within,
                missing=missing,
            )
            for side in sides.groups:
                report_undecided(connection, side.selection, missing=recipe.missing)
            inputs = gather_inputs(connection, recipe) if name is None else None
        if inputs is not None:
            frame = computed_table(inputs, sort_by=order, limit=limit, progress=progress)
        else:
            assert name is not None
            version = self._computed(
                recipe,
                name=name,
                fetch_damaged=False,
                api_url=None,
                progress=progress,
                executor=None,
                workers=None,
            )
            frame = version.comparison_table(sort_by=order, limit=limit)
            frame.attrs.update({"was_computed": version.was_computed, "standing": version.origin.standing})
        warn_about(frame, comparison)
        return frame

    def _computed(
        self,
        recipe: Recipe,
        *,
        name: str,
        fetch_damaged: bool,
        api_url: str | None,
        progress: Progress | None,
        executor: Executor | None,
        workers: int | None,
    ) -> DatasetVersion:
        from functools import partial

        from bsv_store.acquisition.fill import fetch_damaged as replace_damaged
        from bsv_store.catalog.selection.in_store import needs_unionizes
        from bsv_store.catalog.without_unionizes import report_undecided
        from bsv_store.datasets.aggregate import aggregate
        from bsv_store.remote.results import local_results

        undecided = [selection for selection in recipe.selections if any(map(needs_unionizes, selection.leaves()))]
        if undecided:
            with self.database.reading() as connection:
                # The groups of a comparison are parts of its selection.
                for selection in undecided[:1] if recipe.comparison is not None else undecided:
                    report_undecided(connection, selection, missing="leave_out")
        replace = partial(
            replace_damaged,
            self.database,
            self.files,
            kinds=recipe.kinds,
            spacing_um=recipe.spacing_um,
            api_url=api_url,
            progress=progress,
        )
        return aggregate(
            self.database,
            self.files,
            recipe,
            name=name,
            progress=progress,
            executor=executor,
            workers=workers,
            replace_damaged=replace if check.boolean("fetch_damaged", fetch_damaged) else None,
            publisher=local_results(self.database, self.files),
        )

    def dataset(self, ref: str | DatasetVersion) -> DatasetVersion:
        """A version of a dataset.

        Parameters
        ----------
        ref : str or DatasetVersion
            ``name@3``, ``name@tag``, ``name@latest``, or ``name`` for the latest; or the version itself.

        Raises
        ------
        InputError
            If the text is not a valid reference.
        UnknownDatasetError
            If the store does not have it; the hint suggests similar names.
        DamagedCatalogError
            If its recipe, groups or members are not the ones that were stored.
        """
        return self.datasets.get(ref)

    def volume(
        self, experiment_id: int, *, kind: VolumeKind = "projection_density", spacing_um: int = 100
    ) -> NDArray[np.float32]:
        """The volume of an experiment, as from ``store.volumes.read``, which has more options.

        Parameters
        ----------
        experiment_id : int
        kind : VolumeKind
        spacing_um : {10, 25, 50, 100}
            Edge of a voxel in um.

        Returns
        -------
        ndarray of float32, shape (ap, dv, ml)
            NaN = no data.

        Raises
        ------
        MissingDataError
            If the store does not have it. The hint is the command that fetches it.
        DamagedFileError
            If its file differs from what was published.
        """
        return self.volumes.read(experiment_id, kind=kind, spacing_um=spacing_um)

    def _require_folder(self) -> None:
        if self._mirror is not None:
            raise ReadOnlyStoreError(
                f"{self._mirror.url} is a store on a server and can only be read",
                hint="Change it on a computer that has its folder: --store FOLDER",
            )

    def _nonempty(self, selection: SelectionLike) -> tuple[int, ...]:
        from bsv_store.catalog.selection.selection import as_selection
        from bsv_store.catalog.without_unionizes import selected_ids

        with self.database.reading() as connection:
            return selected_ids(connection, as_selection(selection))

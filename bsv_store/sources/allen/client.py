"""Client of the Allen API, which returns checked values."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Generic, Protocol, Self, TypeVar
from urllib.parse import urlsplit

from bsv_store._version import __version__
from bsv_store.catalog.records import ExperimentList, Ontology, UnionizeTable
from bsv_store.config import setting
from bsv_store.errors import FormatError, InputError, NotFoundUpstreamError, UpstreamError
from bsv_store.formats.annotation import read_annotation_nrrd
from bsv_store.formats.density_zip import read_density_zip
from bsv_store.formats.envelope import Envelope, read_envelope
from bsv_store.formats.experiments import experiments_from_rows
from bsv_store.formats.nrrd import read_nrrd, spool_nrrd
from bsv_store.formats.structures import read_structures
from bsv_store.formats.template import read_template_nrrd
from bsv_store.formats.unionizes import BOTH_PARTS, unionize_table_from_rows
from bsv_store.sources.allen import addresses, credentials
from bsv_store.sources.allen.gate import Clock
from bsv_store.sources.allen.retry import RetryPolicy
from bsv_store.sources.allen.transfer import (
    RETRY_HINT,
    Request,
    Transfer,
    ignore_bytes,
)
from bsv_store.vocabulary import VolumeKind
from bsv_store.volumes.annotation import Annotation
from bsv_store.volumes.files import store_errors
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.spool import SpooledVolume, VolumeSpool
from bsv_store.volumes.template import Template
from bsv_store.volumes.volume import Volume

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Rows = list[dict[str, Any]]

MEBIBYTE = 1024 * 1024
_LIST_LIMIT = 128 * MEBIBYTE
# For each experiment; a real table is 1.6 MB of JSON.
_UNIONIZE_LIMIT = 16 * MEBIBYTE
_HEADER_LIMIT = MEBIBYTE
_MAX_PAGES = 200
_MAX_VOXEL_BYTES = 8


class _CcfReader(Protocol[T_co]):
    """Reads a file of the CCF, such as `read_annotation_nrrd`."""

    def __call__(
        self, source: bytes | Path, *, what: str, spacing_um: int | None, on_block: Callable[[], None]
    ) -> T_co:
        """The content of the file."""


@dataclass(frozen=True, slots=True)
class Reply(Generic[T]):
    """A checked value and its origin.

    Attributes
    ----------
    value : T
    source : str
        The final address, after redirects; for several pages, that of the first page.
    size_bytes : int
        Length of all bodies.
    """

    value: T
    source: str
    size_bytes: int


def max_connections(store: Path | None = None) -> int:
    """The connections to one host that all runs on a store share: the setting ``max_connections``."""
    value = setting("max_connections", store=store).value
    assert isinstance(value, int)
    return value


class AllenClient:
    """Client of the Allen API. Safe to share between threads; use it as a context manager, or close it.

    Parameters
    ----------
    api_url : str, optional
        Base address. By default the setting ``api_url``.
    download_url : str, optional
        Base address of the file server that has the annotation. By default the setting ``download_url``.
    store : pathlib.Path, optional
        The folder of the store whose settings apply.
    connect_timeout_s, read_timeout_s : float
        Maximum time without a response.
    deadline_s : float
        Maximum time for one object, all attempts together; 16 times as long for a volume at 10 um.
    attempts : int
        Maximum number of attempts for one object.
    backoff_s : float
        First delay between two attempts. It doubles up to 8 s, with jitter.
    connections : int
        Maximum number of simultaneous requests. The API documents no limit; keep this small.
    user_agent : str, optional
    clock : Clock, optional
        For tests.

    Raises
    ------
    InputError
        If an address is not a plain http or https address, or a number is out of range.

    Notes
    -----
    Proxies and trusted certificates are taken from the environment, passwords only from the file named by the setting
    ``netrc`` (variable ``BSV_STORE_NETRC``). Redirects are followed to the same host, or between Allen's hosts.
    """

    def __init__(
        self,
        *,
        api_url: str | None = None,
        download_url: str | None = None,
        store: Path | None = None,
        connect_timeout_s: float = 10.0,
        read_timeout_s: float = 60.0,
        deadline_s: float = 600.0,
        attempts: int = 4,
        backoff_s: float = 1.0,
        connections: int = 4,
        user_agent: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        if min(connect_timeout_s, read_timeout_s, deadline_s) <= 0 or backoff_s < 0 or min(attempts, connections) < 1:
            raise InputError("timeouts and the deadline must be positive, attempts and connections at least 1")
        self.api_url = addresses.api_url(api_url, store=store)
        self.download_url = addresses.download_url(download_url, store=store)
        self.connections = connections
        self.max_connections = max_connections(store)
        policy = RetryPolicy(connect_timeout_s, read_timeout_s, deadline_s, attempts, backoff_s, connections)
        agent = user_agent or f"bsv-store/{__version__} (python-requests)"
        logins = credentials.logins([self.api_url, self.download_url])
        self._transfer = Transfer(policy, user_agent=agent, logins=logins, clock=clock)

    @property
    def host(self) -> str:
        """Name and port of the API server."""
        return urlsplit(self.api_url).netloc

    @property
    def download_host(self) -> str:
        """Name and port of the file server."""
        return urlsplit(self.download_url).netloc

    def structures(self) -> Reply[Ontology]:
        """The structure graph of the adult mouse with its structure sets.

        Raises
        ------
        UpstreamError
            If the download fails.
        """
        what = "the structure graph"
        pages = self._rows(lambda row: addresses.structures_url(self.api_url, start_row=row), what, _LIST_LIMIT)
        # The reader takes the bytes of a file; a list of rows is one of the forms it knows.
        return pages.parsed(lambda rows: read_structures(json.dumps(rows).encode(), what=what))

    def experiments(self, *, upstream_date: date | None = None) -> Reply[ExperimentList]:
        """The whole experiment list.

        Parameters
        ----------
        upstream_date : datetime.date, optional
            Date of the list. By default today (UTC).

        Raises
        ------
        UpstreamError
            If the download fails.
        """
        what = "the experiment list"
        day = upstream_date or datetime.now(UTC).date()
        pages = self._rows(lambda row: addresses.experiments_url(self.api_url, start_row=row), what, _LIST_LIMIT)
        return pages.parsed(lambda rows: experiments_from_rows(rows, what=what, upstream_date=day))

    def unionizes(
        self, experiment_ids: Sequence[int], *, on_bytes: Callable[[int], None] = ignore_bytes
    ) -> Reply[UnionizeTable]:
        """The complete unionize tables of experiments, inside and outside the injection.

        Parameters
        ----------
        experiment_ids : sequence of int
            A few: each takes about 1.6 MB. Experiments without rows in the API are absent from the table.
        on_bytes : callable
            Called with the number of received bytes. It may raise to stop the transfer.

        Raises
        ------
        NotFoundUpstreamError
            If the API has no rows of any of the experiments.
        UpstreamError
            If the download fails, or the reply has rows of other experiments.
        """
        ids = sorted(set(experiment_ids))
        if not ids:
            raise InputError("experiment_ids must not be empty")
        what = f"unionize rows of experiment{'s' * (len(ids) > 1)} {', '.join(map(str, ids))}"
        limit = _HEADER_LIMIT + _UNIONIZE_LIMIT * len(ids)
        pages = self._rows(
            lambda row: addresses.unionizes_url(self.api_url, ids, start_row=row), what, limit, on_bytes=on_bytes
        )
        reply = pages.parsed(lambda rows: unionize_table_from_rows(rows, BOTH_PARTS, what=what))
        found = reply.value.experiment_ids
        if others := sorted(set(found) - set(ids)):
            raise UpstreamError(
                f"{what}: the reply has rows of experiment {others[0]}, which was not requested; asked {reply.source}",
                hint=RETRY_HINT,
            )
        if not found:
            raise NotFoundUpstreamError(
                f"{what}: the Allen API has none; asked {reply.source}", hint="Exclude the experiment."
            )
        return reply

    def volume(
        self,
        experiment_id: int,
        *,
        kind: VolumeKind = "projection_density",
        spacing_um: int = 100,
        scratch: Path | None = None,
        spool: VolumeSpool | None = None,
        on_bytes: Callable[[int], None] = ignore_bytes,
    ) -> Reply[Volume | SpooledVolume]:
        """A volume of an experiment.

        Projection density at 100 um is downloaded as the zip that Brain Street View downloads, everything else as NRRD.

        Parameters
        ----------
        experiment_id : int
        kind : VolumeKind
        spacing_um : int
        scratch : pathlib.Path, optional
            Temporary file for the download, which the caller removes. By default it is held in memory.
        spool : VolumeSpool, optional
            Temporary file for the voxels. By default they are held in memory, and always for the zip, which is small.
        on_bytes : callable
            Called with the number of received bytes. It may raise to stop the transfer.

        Raises
        ------
        NotFoundUpstreamError
            If the experiment has no such volume.
        UpstreamError
            If the download fails, or is not a valid volume.
        NoSpaceError, StoreError
            If ``scratch`` or ``spool`` cannot be written.
        InputError
            If the spacing is not valid.
        """
        grid = Grid(spacing_um)
        what = f"{kind} at {spacing_um} um of experiment {experiment_id}"
        as_zip = kind == "projection_density" and spacing_um == 100
        url = (
            addresses.density_zip_url(self.api_url, experiment_id)
            if as_zip
            else addresses.nrrd_url(self.api_url, experiment_id, kind, spacing_um)
        )

        def read(sink: BinaryIO) -> Volume | SpooledVolume:
            _refuse_json(sink, what=what)
            if as_zip:
                return read_density_zip(sink.read(), what=what)
            body = sink.read() if scratch is None else scratch
            if spool is not None:
                return spool_nrrd(body, kind, spool, what=what, spacing_um=spacing_um)
            return read_nrrd(body, kind, what=what, spacing_um=spacing_um)

        limit = _HEADER_LIMIT + _MAX_VOXEL_BYTES * grid.size
        with _sink(scratch) as sink:
            # Volumes at 10 um are hundreds of megabytes.
            factor = max(1.0, grid.size / Grid(25).size)
            request = Request(url, what, limit, sink, on_bytes, can_resume=True, deadline_factor=factor)
            volume, source = self._transfer.get(request, read)
            return Reply(volume, source, sink.seek(0, 2))

    def annotation(
        self,
        spacing_um: int,
        *,
        scratch: Path | None = None,
        on_bytes: Callable[[int], None] = ignore_bytes,
    ) -> Reply[Annotation]:
        """The annotation of the CCFv3 of 2017. Its structure ids are not checked against the ontology.

        Parameters
        ----------
        spacing_um : int
        scratch : pathlib.Path, optional
            Temporary file for the download, which the caller removes. By default it is held in memory.
        on_bytes : callable
            Called with the number of received bytes, and with 0 during decompression. It may raise to stop the work.

        Raises
        ------
        NotFoundUpstreamError
            If the server does not have it.
        UpstreamError
            If the download fails, or is not a valid annotation.
        InputError
            If the spacing is not valid.
        """
        url = self.annotation_source(spacing_um)
        return self._ccf_file("annotation", spacing_um, url, read_annotation_nrrd, scratch, on_bytes)

    def annotation_source(self, spacing_um: int) -> str:
        """The address of :meth:`annotation`."""
        return addresses.annotation_url(self.download_url, spacing_um)

    def template(
        self,
        spacing_um: int,
        *,
        scratch: Path | None = None,
        on_bytes: Callable[[int], None] = ignore_bytes,
    ) -> Reply[Template]:
        """The average template of the CCFv3. Arguments and errors are those of `annotation`."""
        url = self.template_source(spacing_um)
        return self._ccf_file("template", spacing_um, url, read_template_nrrd, scratch, on_bytes)

    def template_source(self, spacing_um: int) -> str:
        """The address of :meth:`template`."""
        return addresses.template_url(self.download_url, spacing_um)

    def _ccf_file(
        self,
        name: str,
        spacing_um: int,
        url: str,
        reader: _CcfReader[T],
        scratch: Path | None,
        on_bytes: Callable[[int], None],
    ) -> Reply[T]:
        """A file of the CCF from the file server, read by ``reader``."""
        grid = Grid(spacing_um)
        what = f"the {name} at {spacing_um} um"

        def read(sink: BinaryIO) -> T:
            body = sink.read() if scratch is None else scratch
            return reader(body, what=what, spacing_um=spacing_um, on_block=partial(on_bytes, 0))

        with _sink(scratch) as sink:
            limit = _HEADER_LIMIT + _MAX_VOXEL_BYTES * grid.size
            # The template at 10 um is hundreds of megabytes.
            factor = max(1.0, grid.size / Grid(25).size)
            try:
                request = Request(url, what, limit, sink, on_bytes, can_resume=True, deadline_factor=factor)
                value, source = self._transfer.get(request, read)
            except NotFoundUpstreamError as error:
                raise NotFoundUpstreamError(
                    error.message, hint=f"Check the address, or use a file: bsv-store ingest {name}."
                ) from error
            return Reply(value, source, sink.seek(0, 2))

    def abort(self) -> None:
        """Abort all transfers: the threads that wait for them get an error."""
        self._transfer.abort()

    def close(self) -> None:
        """Close all connections."""
        self._transfer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _rows(
        self,
        url_from: Callable[[int], str],
        what: str,
        limit_bytes: int,
        *,
        on_bytes: Callable[[int], None] = ignore_bytes,
    ) -> _Pages:
        """All rows of a reply, page by page until their number is the total that the server states."""
        rows: Rows = []
        size = 0
        first_source = ""
        total: int | None = None
        for _ in range(_MAX_PAGES):
            url, start = url_from(len(rows)), len(rows)
            request = Request(url, what, limit_bytes - size, on_bytes=on_bytes)
            (page, length), source = self._transfer.get(request, partial(_page, start, what=what))
            first_source = first_source or source
            rows += page.messages
            size += length
            total = page.total_rows if total is None else total
            if page.total_rows != total or len(rows) > total:
                raise UpstreamError(f"{what}: the reply changed between pages; asked {url}", hint=RETRY_HINT)
            if len(rows) == total:
                if start and _has_repeats(rows):
                    break
                return _Pages(rows, what, first_source, size)
            if not page.messages:
                break
        raise UpstreamError(
            f"{what}: incomplete or repeated pages ({len(rows)} of {total} rows); asked {url_from(0)}",
            hint=RETRY_HINT,
        )


@dataclass(frozen=True, slots=True)
class _Pages:
    """All rows of a reply, not checked yet."""

    rows: Rows
    what: str
    source: str
    size_bytes: int

    def parsed(self, read: Callable[[Rows], T]) -> Reply[T]:
        """The reply with the result of ``read`` for the rows."""
        try:
            return Reply(read(self.rows), self.source, self.size_bytes)
        except FormatError as error:
            raise UpstreamError(
                f"{error.message}; asked {self.source}",
                hint="The data of the Allen API are invalid, or in a form that this version does not know.",
            ) from error


def _page(start_row: int, sink: BinaryIO, *, what: str) -> tuple[Envelope, int]:
    body = sink.read()
    page = read_envelope(body, what=what)
    if page.start_row != start_row:
        raise FormatError(f"{what}: the reply starts at row {page.start_row}, but row {start_row} was requested")
    return page, len(body)


@contextmanager
def _sink(scratch: Path | None) -> Iterator[BinaryIO]:
    """A file for a body: in memory, or on disk with its errors translated."""
    if scratch is None:
        with BytesIO() as memory:
            yield memory
        return
    with store_errors(scratch), scratch.open("w+b") as file:
        yield file


def _has_repeats(rows: Rows) -> bool:
    return len({json.dumps(row, sort_keys=True) for row in rows}) < len(rows)


def _refuse_json(sink: BinaryIO, *, what: str) -> None:
    """Raise with the API's message if it sent JSON instead of a volume, as for an experiment without one."""
    start = sink.read(1)
    sink.seek(0)
    if start == b"{":
        read_envelope(sink.read(_HEADER_LIMIT), what=what)
        raise FormatError(f"{what}: the server sent rows instead of a volume")

"""Estimates of downloads: requests, bytes, time and disk space. No connection is opened."""

from __future__ import annotations

import itertools
import math
import shutil
import statistics
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection, Select, func, select

from bsv_store.acquisition.presence import (
    check_known,
    damaged_volumes,
    experiments_with_unionizes,
    present_volumes,
)
from bsv_store.acquisition.tasks.unionizes import UNIONIZE_BATCH
from bsv_store.acquisition.work.connections import checked_workers
from bsv_store.catalog.database.engine import Database
from bsv_store.catalog.database.models import SourceSnapshot, StoredVolume
from bsv_store.check import boolean, whole_number, without
from bsv_store.errors import NoSpaceError
from bsv_store.html import card, table
from bsv_store.progress import Progress, shown_progress
from bsv_store.text import duration_text, number_of, size_text
from bsv_store.vocabulary import VOLUME_KINDS, VolumeKind
from bsv_store.volumes.files import StoreFiles
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.library import VolumeFile

# Of the typical sizes in the vocabulary.
_TYPICAL_SPACING_UM = 100
# Of one experiment: 2,600 rows as JSON, and in the database with its indices.
_UNIONIZE_DOWNLOAD, _UNIONIZE_STORED = 1_600_000, 800_000

# The recent rate is estimated from up to this many arrivals, and from at least this many intervals between them.
_MAX_ARRIVALS = 200
_MIN_INTERVALS = 5
# Longer intervals are ignored: nothing was being downloaded.
_MAX_INTERVAL_S = 120.0
# Disk space that must remain free.
_MARGIN_BYTES = 100_000_000
_VOXEL_BYTES = 4


@dataclass(frozen=True, slots=True)
class Plan:
    """The experiments whose data are present and missing, and the estimated cost of the download.

    Attributes
    ----------
    what : str
        For example "projection_density at 100 um".
    present, missing : tuple of int
        Experiments, in the requested order.
    requests : int
    download_bytes, store_bytes : int
        Approximate sizes of the downloads, and of the same data in the store. Estimated from the store's own files of
        this kind if it has any, else from a typical experiment.
    free_bytes : int
        Free space on the disk of the store's folder. Unionize tables go into the database; with Postgres it is
        elsewhere.
    seconds : float or None
        Approximate duration at the recent rate; None if no rate is known.
    workers : int
        Number of simultaneous downloads.
    scratch_bytes_each : int
        Maximum size of temporary files of each of these downloads, at 25 and 10 um: the download itself, and four bytes
        per voxel.
    kind : VolumeKind or None
        None for unionize tables.
    spacing_um : int or None
        None for unionize tables.
    refresh : bool
        Whether everything is downloaded again.
    postponed : int
        Number of missing experiments that `first` has left for a later run.
    damaged : tuple of VolumeFile
        Recorded volumes of missing experiments, whose files are missing, truncated or changed.
    """

    what: str
    present: tuple[int, ...]
    missing: tuple[int, ...]
    requests: int
    download_bytes: int
    store_bytes: int
    free_bytes: int
    seconds: float | None
    workers: int = 1
    scratch_bytes_each: int = 0
    kind: VolumeKind | None = None
    spacing_um: int | None = None
    refresh: bool = False
    postponed: int = 0
    damaged: tuple[VolumeFile, ...] = ()

    def _repr_html_(self) -> str:
        return plan_card([self])

    @property
    def experiment_ids(self) -> tuple[int, ...]:
        """The experiments of the plan: those present, then those to download."""
        return (*self.present, *self.missing)

    @property
    def scratch_bytes(self) -> int:
        """Maximum size of temporary files during the downloads."""
        return min(self.workers, len(self.missing)) * self.scratch_bytes_each

    @property
    def fits_on_disk(self) -> bool:
        """Whether the disk has space for the data, the temporary files, and a margin."""
        return not self.missing or self.store_bytes + self.scratch_bytes + _MARGIN_BYTES <= self.free_bytes

    def first(self, count: int) -> Plan:
        """The plan limited to the first ``count`` missing experiments; the others are left for a later run.

        Raises
        ------
        InputError
            If the count is not a positive integer, or present data are refreshed: the next run would download the same
            data again.
        """
        whole_number("limit", count, least=1)
        without("limit", "refresh", self.refresh)
        if count >= len(self.missing):
            return self
        share = count / len(self.missing)
        missing = self.missing[:count]
        return replace(
            self,
            missing=missing,
            damaged=tuple(file for file in self.damaged if file.experiment_id in missing),
            postponed=self.postponed + len(self.missing) - count,
            requests=math.ceil(self.requests * share),
            download_bytes=round(self.download_bytes * share),
            store_bytes=round(self.store_bytes * share),
            seconds=None if self.seconds is None else self.seconds * share,
        )

    def summary(self) -> str:
        """The plan in one sentence."""
        if not self.missing:
            return f"{self.what}: all {len(self.present)} present."
        damaged = f" ({len(self.damaged)} of them damaged)" if self.damaged else ""
        return f"{self.what}: {len(self.present)} present, {len(self.missing)} missing{damaged}; {_cost_text(self)}."

    def require_disk_space(self) -> None:
        """See ``FillPlan.require_disk_space``."""
        FillPlan((self,)).require_disk_space()


@dataclass(frozen=True, slots=True)
class FillPlan:
    """Plans that are carried out one after the other on one disk, for example for unionize tables and volumes.

    Attributes
    ----------
    parts : tuple of Plan
    """

    parts: tuple[Plan, ...]

    @property
    def requests(self) -> int:
        """Number of requests of all parts."""
        return sum(part.requests for part in self.parts)

    @property
    def download_bytes(self) -> int:
        """Approximate size of all downloads."""
        return sum(part.download_bytes for part in self.parts)

    @property
    def store_bytes(self) -> int:
        """Approximate size of all data in the store."""
        return sum(part.store_bytes for part in self.parts)

    @property
    def scratch_bytes(self) -> int:
        """Maximum size of temporary files; the parts are downloaded one after the other."""
        return max((part.scratch_bytes for part in self.parts), default=0)

    @property
    def free_bytes(self) -> int:
        """Free space on the disk of the store's folder."""
        return min(part.free_bytes for part in self.parts)

    @property
    def seconds(self) -> float | None:
        """Approximate duration; None unless it is known for every part with something to download."""
        times = [part.seconds for part in self.parts if part.missing]
        return None if None in times else sum(time for time in times if time is not None)

    @property
    def fits_on_disk(self) -> bool:
        """Whether the disk has space for the data of all parts, the temporary files, and a margin."""
        return not self.requests or self.store_bytes + self.scratch_bytes + _MARGIN_BYTES <= self.free_bytes

    def _repr_html_(self) -> str:
        return plan_card(self.parts)

    def summary(self) -> str:
        """One line for each part, and one for the total if there are several."""
        lines = [part.summary() for part in self.parts]
        return "\n".join(lines if len(lines) == 1 else [*lines, f"total: {_cost_text(self)}."])

    def require_disk_space(self) -> None:
        """Check that the disk has space for all parts.

        Raises
        ------
        NoSpaceError
            If not; the message says how much is needed and how much is free.
        """
        if not self.fits_on_disk:
            needing = [part for part in self.parts if part.missing]
            what = " and ".join(f"{part.what} of {number_of(len(part.missing), 'experiment')}" for part in needing)
            temporary = f" and up to {size_text(self.scratch_bytes)} for temporary files" if self.scratch_bytes else ""
            fewer = ", or use fewer workers" if temporary else ""
            raise NoSpaceError(
                f"{what} {'needs' if len(needing) == 1 else 'need'} about {size_text(self.store_bytes)}{temporary}, "
                f"but only {size_text(self.free_bytes)} are free",
                hint=f"Free some disk space, or fetch fewer experiments at a time{fewer}.",
            )


def plan_card(parts: Sequence[Plan]) -> str:
    """The HTML of plans that are carried out one after the other."""
    rows = [
        [
            part.what,
            len(part.present),
            len(part.missing),
            size_text(part.download_bytes),
            size_text(part.store_bytes),
            "not known" if part.seconds is None else duration_text(part.seconds),
        ]
        for part in parts
    ]
    columns = ["what", "present", "missing", "download", "in the store", "time"]
    whole = FillPlan(tuple(parts))
    notes = [] if not parts or whole.fits_on_disk else ["The disk does not have enough space."]
    return card("Plan of a download", table(columns, rows), kind="estimates", notes=notes)


def plan_volumes(
    database: Database,
    files: StoreFiles,
    experiment_ids: Iterable[int],
    *,
    kind: VolumeKind = "projection_density",
    spacing_um: int = 100,
    refresh: bool = False,
    verify: bool = False,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Plan:
    """Plan `bsv_store.acquisition.fetch.fetch_volumes`. Nothing is written, and no connection is opened.

    Parameters
    ----------
    verify : bool
        Read and hash the stored files; those that have changed count as missing. Otherwise only missing files and those
        of another size do.
    workers : int, optional
        Number of simultaneous downloads, by default the setting ``fetch_workers``: at 25 and 10 um each needs disk
        space for temporary files.
    progress : Progress, optional
        Of the hashing.

    Raises
    ------
    UnknownExperimentError
        If the catalog does not have one of the experiments.
    InputError
        If the spacing is not valid, or ``verify`` is combined with ``refresh``.
    """
    workers = checked_workers(workers, files.root)
    if boolean("verify", verify):
        without("verify", "refresh, which downloads everything again", refresh)
    ids = list(dict.fromkeys(experiment_ids))
    grid = Grid(spacing_um)
    spacing_um = grid.spacing_um
    check_known(database, ids)
    of_kind = (StoredVolume.kind == kind, StoredVolume.spacing_um == spacing_um)
    with database.reading() as connection:
        mean = connection.execute(select(func.avg(StoredVolume.size_bytes)).where(*of_kind)).scalar()
        query = select(StoredVolume.fetched_at).where(StoredVolume.source.like("http%"))
        seconds = _seconds_each(_arrivals(connection, query.where(*of_kind)))
        others = [] if seconds is not None else _rates(connection)
    present: set[int] = set()
    damaged: tuple[VolumeFile, ...] = ()
    if not refresh:
        damaged = damaged_volumes(
            database,
            files,
            ids,
            kind=kind,
            spacing_um=spacing_um,
            verify=verify,
            workers=workers,
            progress=shown_progress(progress),
        )
        present = present_volumes(database, files, ids, kind=kind, spacing_um=spacing_um)
        present -= {file.experiment_id for file in damaged}
    scale = grid.size / Grid(_TYPICAL_SPACING_UM).size
    row = VOLUME_KINDS[kind]
    download, stored = row.download_bytes * scale, row.stored_bytes * scale
    if mean is not None:
        download, stored = download * float(mean) / stored, float(mean)
    if others:
        # No recent rate for this kind and spacing: use the highest rate, in bytes, of any other.
        seconds = download / max(others)
    plan = _plan(f"{kind} at {spacing_um} um", ids, present, files, 1, (download, stored), seconds)
    scratch = round(download) + _VOXEL_BYTES * grid.size if grid.is_large else 0
    return replace(
        plan,
        workers=workers,
        scratch_bytes_each=scratch,
        kind=kind,
        spacing_um=spacing_um,
        refresh=refresh,
        damaged=damaged,
    )


def plan_unionizes(
    database: Database,
    files: StoreFiles,
    experiment_ids: Iterable[int],
    *,
    refresh: bool = False,
    batch: int = UNIONIZE_BATCH,
) -> Plan:
    """Plan `bsv_store.acquisition.sync.sync_unionizes`. Nothing is written, and no connection is opened.

    Parameters
    ----------
    batch : int
        Experiments of one request.

    Raises
    ------
    UnknownExperimentError
        If the catalog does not have one of the experiments.
    """
    ids = list(dict.fromkeys(experiment_ids))
    check_known(database, ids)
    with database.reading() as connection:
        present = set() if refresh else experiments_with_unionizes(connection, ids)
        arrivals = _arrivals(
            connection,
            select(SourceSnapshot.taken_at).where(SourceSnapshot.what == "unionizes", SourceSnapshot.kind == "api"),
        )
    each = _seconds_each(arrivals)
    bytes_each = (_UNIONIZE_DOWNLOAD, _UNIONIZE_STORED)
    seconds_each = None if each is None else each / batch
    return replace(_plan("unionize tables", ids, present, files, batch, bytes_each, seconds_each), refresh=refresh)


def _plan(
    what: str,
    ids: Sequence[int],
    present: Collection[int],
    files: StoreFiles,
    batch: int,
    bytes_each: tuple[float, float],
    seconds_each: float | None,
) -> Plan:
    missing = tuple(i for i in ids if i not in present)
    download, stored = bytes_each
    return Plan(
        what=what,
        present=tuple(i for i in ids if i in present),
        missing=missing,
        requests=-(-len(missing) // batch),
        download_bytes=round(len(missing) * download),
        store_bytes=round(len(missing) * stored),
        free_bytes=shutil.disk_usage(files.root).free,
        seconds=None if seconds_each is None else len(missing) * seconds_each,
    )


def _arrivals(connection: Connection, times: Select[datetime]) -> list[datetime]:
    """The times of the latest arrivals, ascending."""
    (column,) = times.selected_columns
    return sorted(connection.execute(times.order_by(column.desc()).limit(_MAX_ARRIVALS)).scalars())


def _rates(connection: Connection) -> list[float]:
    """The recent rate of each kind and spacing of volumes, in bytes per second."""
    rates = []
    grids = select(StoredVolume.kind, StoredVolume.spacing_um).distinct()
    for kind, spacing_um in connection.execute(grids).all():
        query = select(StoredVolume.fetched_at).where(
            StoredVolume.kind == kind, StoredVolume.spacing_um == spacing_um, StoredVolume.source.like("http%")
        )
        seconds = _seconds_each(_arrivals(connection, query))
        if seconds:
            size = VOLUME_KINDS[kind].download_bytes * Grid(spacing_um).size / Grid(_TYPICAL_SPACING_UM).size
            rates.append(size / seconds)
    return rates


def _seconds_each(arrivals: Sequence[datetime]) -> float | None:
    gaps = [(later - earlier).total_seconds() for earlier, later in itertools.pairwise(arrivals)]
    gaps = [gap for gap in gaps if gap < _MAX_INTERVAL_S]
    return statistics.fmean(gaps) if len(gaps) >= _MIN_INTERVALS else None


def _cost_text(plan: Plan | FillPlan) -> str:
    temporary = f" (and up to {size_text(plan.scratch_bytes)} for temporary files)" if plan.scratch_bytes else ""
    duration = "no recent rate" if plan.seconds is None else f"about {duration_text(plan.seconds)} at the recent rate"
    return (
        f"{number_of(plan.requests, 'request')}, about {size_text(plan.download_bytes)} to download and "
        f"{size_text(plan.store_bytes)} to store{temporary}, {duration}; {size_text(plan.free_bytes)} free on the disk"
        f"{'' if plan.fits_on_disk else ': NOT ENOUGH DISK SPACE'}"
    )

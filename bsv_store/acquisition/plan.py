"""What a fetch or a synchronization would do, before it does it: requests, bytes, time, room. Nobody is asked."""

from __future__ import annotations

import itertools
import math
import shutil
import statistics
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection, Select, func, select

from bsv_store.acquisition.presence import check_known, covered_experiments, present_volumes
from bsv_store.acquisition.sync import UNIONIZE_BATCH
from bsv_store.acquisition.work.outcome import size_text
from bsv_store.catalog.database.engine import Database
from bsv_store.catalog.database.models import SourceSnapshot, StoredVolume
from bsv_store.errors import NoSpaceError
from bsv_store.text import number_of
from bsv_store.vocabulary import VOLUME_KINDS, VolumeKind
from bsv_store.volumes.files import StoreFiles
from bsv_store.volumes.grid import Grid

# Of the typical sizes in the vocabulary.
_TYPICAL_SPACING_UM = 100
# Of one experiment: 2,600 rows as JSON, and in the database with its indices.
_UNIONIZE_DOWNLOAD, _UNIONIZE_STORED = 1_600_000, 800_000

_LATEST = 200
_FEWEST = 5
# A longer pause between two arrivals is not a slow network, but nobody fetching.
_LONGEST_GAP_S = 120.0
_MARGIN_BYTES = 100_000_000
_VOXEL_BYTES = 4


@dataclass(frozen=True, slots=True)
class Plan:
    """What there is and what there is to do.

    Attributes
    ----------
    what : str
        For example "projection_density at 100 um".
    present, missing : tuple of int
        Experiments, in the order in which they were asked for.
    requests : int
    download_bytes, store_bytes : int
        About what will come over the network, and what it will take in the store; from the store's own files of this
        kind where there are some, else from a typical experiment.
    free_bytes : int
        Room on the disk of the store's folder. Tables go into the database, which for Postgres lies elsewhere.
    seconds : float or None
        About how long it takes at the rate of the latest arrivals; None where none has been seen.
    workers : int
        How many are brought at a time.
    scratch_bytes_each : int
        At most so much lies under ``tmp/`` for each of these, at 25 and 10 um: the download, and four bytes per voxel.
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

    @property
    def scratch_bytes(self) -> int:
        """Room that it takes at most while it is under way, and gives back."""
        return min(self.workers, len(self.missing)) * self.scratch_bytes_each

    @property
    def has_room(self) -> bool:
        """Whether the disk has room for it, for what it takes meanwhile, and a little more."""
        return not self.missing or self.store_bytes + self.scratch_bytes + _MARGIN_BYTES <= self.free_bytes

    def first(self, count: int) -> Plan:
        """The plan of bringing only so many of the missing, and leaving the others for another time."""
        if count >= len(self.missing):
            return self
        share = count / len(self.missing)
        return replace(
            self,
            missing=self.missing[:count],
            requests=math.ceil(self.requests * share),
            download_bytes=round(self.download_bytes * share),
            store_bytes=round(self.store_bytes * share),
            seconds=None if self.seconds is None else self.seconds * share,
        )

    def summary(self) -> str:
        """One sentence for people."""
        if not self.missing:
            return f"{self.what}: all {len(self.present)} are there."
        room = "" if self.has_room else ": NOT ENOUGH ROOM"
        return (
            f"{self.what}: {len(self.present)} there, {len(self.missing)} missing; {self.requests} requests, about "
            f"{size_text(self.download_bytes)} to download and {_room_text(self)}, {_time_text(self.seconds)}; "
            f"{size_text(self.free_bytes)} free on the disk{room}."
        )

    def require_room(self) -> None:
        """Accept the plan if the disk has room for it, as `FillPlan.require_room` does.

        Raises
        ------
        NoSpaceError
            That says how much is needed and how much there is.
        """
        FillPlan((self,)).require_room()


@dataclass(frozen=True, slots=True)
class FillPlan:
    """Plans that are carried out one after the other on one disk, such as all unionize tables and all volumes.

    Attributes
    ----------
    parts : tuple of Plan
    """

    parts: tuple[Plan, ...]

    @property
    def requests(self) -> int:
        """Of all parts."""
        return sum(part.requests for part in self.parts)

    @property
    def download_bytes(self) -> int:
        """About what will come over the network."""
        return sum(part.download_bytes for part in self.parts)

    @property
    def store_bytes(self) -> int:
        """About what it will take in the store."""
        return sum(part.store_bytes for part in self.parts)

    @property
    def scratch_bytes(self) -> int:
        """Room that any of the parts takes while it is under way: one is over when the next begins."""
        return max((part.scratch_bytes for part in self.parts), default=0)

    @property
    def free_bytes(self) -> int:
        """Room on the disk of the store's folder."""
        return min(part.free_bytes for part in self.parts)

    @property
    def seconds(self) -> float | None:
        """About how long it takes; None where that is not known of every part with something to do."""
        times = [part.seconds for part in self.parts if part.missing]
        return None if None in times else sum(time for time in times if time is not None)

    @property
    def has_room(self) -> bool:
        """Whether the disk has room for all parts together, for what they take meanwhile, and a little more."""
        return not self.requests or self.store_bytes + self.scratch_bytes + _MARGIN_BYTES <= self.free_bytes

    def summary(self) -> str:
        """A line for each part, and one for all."""
        together = (
            f"together: {self.requests} requests, about {size_text(self.download_bytes)} to download and "
            f"{_room_text(self)}, {_time_text(self.seconds)}; {size_text(self.free_bytes)} free on the disk"
            f"{'' if self.has_room else ': NOT ENOUGH ROOM'}."
        )
        return "\n".join([*(part.summary() for part in self.parts), together])

    def require_room(self) -> None:
        """Accept the plans if the disk has room for them all.

        Raises
        ------
        NoSpaceError
            That says how much is needed and how much there is.
        """
        if not self.has_room:
            needing = [part for part in self.parts if part.missing]
            what = " and ".join(f"{part.what} of {number_of(len(part.missing), 'experiment')}" for part in needing)
            meanwhile = f" and up to {size_text(self.scratch_bytes)} under way" if self.scratch_bytes else ""
            fewer = ", or use fewer workers" if meanwhile else ""
            raise NoSpaceError(
                f"{what} {'takes' if len(needing) == 1 else 'take'} about {size_text(self.store_bytes)}{meanwhile}, "
                f"and {size_text(self.free_bytes)} are free",
                hint=f"Free some room, or bring a part of them{fewer}.",
            )


def plan_volumes(
    database: Database,
    files: StoreFiles,
    experiment_ids: Iterable[int],
    *,
    kind: VolumeKind = "projection_density",
    spacing_um: int = 100,
    refresh: bool = False,
    workers: int = 4,
) -> Plan:
    """What fetching the volumes of some experiments would do. Nothing is written, nobody is asked.

    Parameters
    ----------
    workers : int
        Downloads at the same time: at 25 and 10 um each needs room of its own.

    Raises
    ------
    UnknownExperimentError
        If the catalog lacks one of the experiments.
    InputError
        If there is no such grid.
    """
    ids = list(dict.fromkeys(experiment_ids))
    grid = Grid(spacing_um)
    check_known(database, ids)
    of_kind = (StoredVolume.kind == kind, StoredVolume.spacing_um == spacing_um)
    with database.reading() as connection:
        mean = connection.execute(select(func.avg(StoredVolume.size_bytes)).where(*of_kind)).scalar()
        query = select(StoredVolume.fetched_at).where(StoredVolume.source.like("http%"))
        seconds = _seconds_each(_arrivals(connection, query.where(*of_kind)))
        others = [] if seconds is not None else _rates(connection)
    present = set() if refresh else present_volumes(database, files, ids, kind=kind, spacing_um=spacing_um)
    scale = grid.size / Grid(_TYPICAL_SPACING_UM).size
    row = VOLUME_KINDS[kind]
    download, stored = row.download_bytes * scale, row.stored_bytes * scale
    if mean is not None:
        download, stored = download * float(mean) / stored, float(mean)
    if others:
        # None of these have come lately: then at the rate, in bytes, at which others did.
        seconds = download / max(others)
    plan = _plan(f"{kind} at {spacing_um} um", ids, present, files, 1, (download, stored), seconds)
    scratch = round(download) + _VOXEL_BYTES * grid.size if grid.is_large else 0
    return replace(plan, workers=workers, scratch_bytes_each=scratch)


def plan_unionizes(
    database: Database,
    files: StoreFiles,
    experiment_ids: Iterable[int],
    *,
    refresh: bool = False,
    batch: int = UNIONIZE_BATCH,
) -> Plan:
    """What synchronizing the unionize tables of some experiments would do. Nothing is written, nobody is asked.

    Parameters
    ----------
    batch : int
        Experiments asked for at once.

    Raises
    ------
    UnknownExperimentError
        If the catalog lacks one of the experiments.
    """
    ids = list(dict.fromkeys(experiment_ids))
    check_known(database, ids)
    with database.reading() as connection:
        covered = set() if refresh else covered_experiments(connection, ids)
        arrivals = _arrivals(
            connection,
            select(SourceSnapshot.taken_at).where(SourceSnapshot.what == "unionizes", SourceSnapshot.kind == "api"),
        )
    each = _seconds_each(arrivals)
    return _plan(
        "unionize tables",
        ids,
        covered,
        files,
        batch,
        (_UNIONIZE_DOWNLOAD, _UNIONIZE_STORED),
        None if each is None else each / batch,
    )


def _plan(
    what: str,
    ids: Sequence[int],
    there: Collection[int],
    files: StoreFiles,
    batch: int,
    bytes_each: tuple[float, float],
    seconds_each: float | None,
) -> Plan:
    missing = tuple(i for i in ids if i not in there)
    download, stored = bytes_each
    return Plan(
        what=what,
        present=tuple(i for i in ids if i in there),
        missing=missing,
        requests=-(-len(missing) // batch),
        download_bytes=round(len(missing) * download),
        store_bytes=round(len(missing) * stored),
        free_bytes=shutil.disk_usage(files.root).free,
        seconds=None if seconds_each is None else len(missing) * seconds_each,
    )


def _arrivals(connection: Connection, times: Select[datetime]) -> list[datetime]:
    """The latest arrivals, oldest first."""
    (column,) = times.selected_columns
    return sorted(connection.execute(times.order_by(column.desc()).limit(_LATEST)).scalars())


def _rates(connection: Connection) -> list[float]:
    """Bytes per second at which the latest volumes of each kind and spacing came."""
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
    gaps = [gap for gap in gaps if gap < _LONGEST_GAP_S]
    return statistics.fmean(gaps) if len(gaps) >= _FEWEST else None


def _room_text(plan: Plan | FillPlan) -> str:
    meanwhile = f" (and up to {size_text(plan.scratch_bytes)} under way)" if plan.scratch_bytes else ""
    return f"{size_text(plan.store_bytes)} to store{meanwhile}"


def _time_text(seconds: float | None) -> str:
    return "no rate seen yet" if seconds is None else f"about {duration_text(seconds)} at the rate seen"


def duration_text(seconds: float) -> str:
    """A duration for people."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"

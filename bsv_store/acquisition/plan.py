"""What a fetch or a synchronization would do, before it does it: requests, bytes, time, room. Nobody is asked."""

from __future__ import annotations

import itertools
import shutil
import statistics
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Select, func, select

from bsv_store.acquisition.outcome import size_text
from bsv_store.acquisition.presence import check_known, covered_experiments, present_volumes
from bsv_store.acquisition.sync import UNIONIZE_BATCH
from bsv_store.catalog.engine import Database
from bsv_store.catalog.models import SourceSnapshot, StoredVolume
from bsv_store.errors import NoSpaceError
from bsv_store.volumes.files import StoreFiles
from bsv_store.volumes.grid import Grid
from bsv_store.volumes.volume import VolumeKind

# Bytes of a volume at 100 um as it is downloaded and as it is stored: experiment 158375425, and for the energies, of
# which no real file is at hand, those of the densities.
_TYPICAL: dict[VolumeKind, tuple[int, int]] = {
    "projection_density": (386_000, 698_000),
    "projection_energy": (386_000, 698_000),
    "injection_density": (7_500, 8_000),
    "injection_fraction": (7_500, 8_100),
    "injection_energy": (7_500, 8_000),
    "data_mask": (72_700, 69_200),
}
_TYPICAL_SPACING_UM = 100
# Of one experiment: 2,600 rows as JSON, and in the database with its indices.
_UNIONIZE_DOWNLOAD, _UNIONIZE_STORED = 1_600_000, 800_000

_LATEST = 200
_FEWEST = 5
# A longer pause between two arrivals is not a slow network, but nobody fetching.
_LONGEST_GAP_S = 120.0
_MARGIN_BYTES = 100_000_000


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
    """

    what: str
    present: tuple[int, ...]
    missing: tuple[int, ...]
    requests: int
    download_bytes: int
    store_bytes: int
    free_bytes: int
    seconds: float | None

    @property
    def has_room(self) -> bool:
        """Whether the disk has room for it, and a little more."""
        return not self.missing or self.store_bytes + _MARGIN_BYTES <= self.free_bytes

    def summary(self) -> str:
        """One sentence for people."""
        if not self.missing:
            return f"{self.what}: all {len(self.present)} are there."
        time = "no rate seen yet" if self.seconds is None else f"about {duration_text(self.seconds)} at the rate seen"
        room = "" if self.has_room else ": NOT ENOUGH ROOM"
        return (
            f"{self.what}: {len(self.present)} there, {len(self.missing)} missing; {self.requests} requests, about "
            f"{size_text(self.download_bytes)} to download and {size_text(self.store_bytes)} to store, {time}; "
            f"{size_text(self.free_bytes)} free on the disk{room}."
        )

    def require_room(self) -> None:
        """Accept the plan if the disk has room for it.

        Raises
        ------
        NoSpaceError
            That says how much is needed and how much there is.
        """
        require_room([self])


def require_room(plans: Sequence[Plan]) -> None:
    """Accept plans if the disk has room for all of them together.

    Raises
    ------
    NoSpaceError
        That says how much is needed and how much there is.
    """
    needing = [plan for plan in plans if plan.missing]
    needed = sum(plan.store_bytes for plan in needing)
    if needing and needed + _MARGIN_BYTES > needing[0].free_bytes:
        what = " and ".join(f"{plan.what} of {len(plan.missing)} experiments" for plan in needing)
        raise NoSpaceError(
            f"{what} {'takes' if len(needing) == 1 else 'take'} about {size_text(needed)}, and "
            f"{size_text(needing[0].free_bytes)} are free",
            hint="Free some room, or bring a part of them.",
        )


def plan_volumes(
    database: Database,
    files: StoreFiles,
    experiment_ids: Iterable[int],
    *,
    kind: VolumeKind = "projection_density",
    spacing_um: int = 100,
    refresh: bool = False,
) -> Plan:
    """What fetching the volumes of some experiments would do. Nothing is written, nobody is asked.

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
        arrivals = _arrivals(
            connection, select(StoredVolume.fetched_at).where(*of_kind, StoredVolume.source.like("http%"))
        )
    present = set() if refresh else present_volumes(database, files, ids, kind=kind, spacing_um=spacing_um)
    scale = grid.size / Grid(_TYPICAL_SPACING_UM).size
    download, stored = (size * scale for size in _TYPICAL[kind])
    if mean is not None:
        download, stored = download * float(mean) / stored, float(mean)
    return _plan(f"{kind} at {spacing_um} um", ids, present, files, 1, (download, stored), _seconds_each(arrivals))


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


def _seconds_each(arrivals: Sequence[datetime]) -> float | None:
    gaps = [(later - earlier).total_seconds() for earlier, later in itertools.pairwise(arrivals)]
    gaps = [gap for gap in gaps if gap < _LONGEST_GAP_S]
    return statistics.fmean(gaps) if len(gaps) >= _FEWEST else None


def duration_text(seconds: float) -> str:
    """A duration for people."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"

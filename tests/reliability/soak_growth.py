"""Quantities that must not grow during a soak: memory, descriptors, temporary files and so on."""

from __future__ import annotations

import contextlib
import os
import statistics
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.postgres import PostgresServer
from tests.reliability.soak_processes import PROCESSES, SoakProcess, SoakServer
from tests.reliability.soak_report import Report
from tests.reliability.soak_worker import Places


@dataclass(frozen=True)
class Limit:
    """How much a quantity may grow from the end of the warm-up to the end.

    Attributes
    ----------
    absolute : float
        In the unit of the quantity.
    relative : float
        As a part of its median.
    """

    absolute: float
    relative: float = 0.0


# Of a process: descriptors and memory. Of the machine: the others.
LIMITS: Final[dict[str, Limit]] = {
    "descriptors": Limit(6),
    "pss_mb": Limit(25, 0.15),
    "temporary_entries": Limit(12),
    "temporary_mb": Limit(20, 0.25),
    "store_temporaries": Limit(12),
    "trash_files": Limit(60, 0.5),
    "claims": Limit(20),
    "connections": Limit(12),
}
# With fewer operations of each process, caches and pools are still filling, so that growth is not meaningful.
_WARM_OPERATIONS: Final = 200 * PROCESSES
# The activity of users is never deleted.
DATABASE_BYTES_PER_OPERATION: Final = 4_000


class Growth:
    """Samples of what the processes and the store need.

    Parameters
    ----------
    places : Places
    postgres : PostgresServer or None
    """

    def __init__(self, places: Places, postgres: PostgresServer | None) -> None:
        self._places = places
        self._postgres = postgres
        self._series: dict[tuple[str, int], list[tuple[float, float]]] = defaultdict(list)

    def sample(self, server: SoakServer, processes: list[SoakProcess], elapsed: float) -> None:
        """Measure everything once, some seconds after the start."""
        long_lived: dict[str, int | None] = {each.name: each.pid for each in processes if not each.is_mortal}
        long_lived["server"] = server.process.pid
        for pid in server.workers()[:1]:
            long_lived["server worker"] = pid
        for name, each in long_lived.items():
            if each is not None:
                with contextlib.suppress(OSError):
                    self._add(f"descriptors of {name}", each, elapsed, len(list(Path(f"/proc/{each}/fd").iterdir())))
                    self._add(f"pss_mb of {name}", each, elapsed, _pss_mb(each))
        entries, size = _content(self._places.temporary)
        self._add("temporary_entries", 0, elapsed, entries)
        self._add("temporary_mb", 0, elapsed, size / 1e6)
        self._add("store_temporaries", 0, elapsed, _content(self._places.store / "tmp")[0])
        self._add("trash_files", 0, elapsed, _content(self._places.store / "trash")[0])
        self._add("database_mb", 0, elapsed, self._database_bytes() / 1e6)
        for name, statement in (
            ("claims", "SELECT count(*) FROM claim"),
            ("connections", "SELECT count(*) FROM pg_stat_activity WHERE datname = 'soak'"),
        ):
            if self._postgres is not None:
                with self._postgres.connect("soak") as connection:
                    row = connection.execute(statement).fetchone()
                assert row is not None
                self._add(name, 0, elapsed, row[0])

    def _add(self, name: str, pid: int, elapsed: float, value: float) -> None:
        self._series[name, pid].append((elapsed, value))

    def _database_bytes(self) -> int:
        if self._postgres is None:
            return (self._places.store / "catalog.db").stat().st_size
        with self._postgres.connect("soak") as connection:
            row = connection.execute("SELECT pg_database_size('soak')").fetchone()
        assert row is not None
        return int(row[0])

    def check(self, report: Report) -> None:
        """Report the figures, and what grew more than its limit."""
        end = max(series[-1][0] for series in self._series.values())
        grown = report.grown if report.total >= _WARM_OPERATIONS else []
        for (name, _), series in self._series.items():
            # Without the warm-up, in which caches fill. Shorter series are of processes that were replaced.
            late = [(at, value) for at, value in series if at >= 0.45 * end]
            if len(late) < 20 or late[-1][0] < 0.95 * end:
                continue
            growth, median = _growth(late), statistics.median(value for _, value in late)
            report.figures[name] = f"median {median:.1f}, maximum {max(v for _, v in series):.1f}, {growth:+.1f}"
            kind = name.partition(" of ")[0]
            if kind == "database_mb":
                per_operation = growth * 1e6 / max(1, report.total / 2)
                report.figures[name] += f", {per_operation:.0f} bytes for each operation"
                if per_operation > DATABASE_BYTES_PER_OPERATION:
                    grown.append(f"{name}: {report.figures[name]}")
            elif growth > max(LIMITS[kind].absolute, LIMITS[kind].relative * median):
                grown.append(f"{name}: {report.figures[name]}")


def _growth(series: list[tuple[float, float]]) -> float:
    """How much a quantity grew, by the median of the slopes between all pairs of samples (Theil and Sen)."""
    step = max(1, len(series) // 150)
    points = series[::step]
    slopes = [
        (later[1] - earlier[1]) / (later[0] - earlier[0])
        for place, earlier in enumerate(points)
        for later in points[place + 1 :]
        if later[0] > earlier[0]
    ]
    return statistics.median(slopes) * (series[-1][0] - series[0][0])


def _content(folder: Path) -> tuple[int, int]:
    """Number and total size of the files below a folder."""
    count = size = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                size += os.lstat(os.path.join(parent, name)).st_size  # noqa: PTH118 - fast
                count += 1
    return count, size


def _pss_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1000
    raise OSError

"""The state of a store as metrics in the text format of Prometheus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from bsv_store._version import __version__

if TYPE_CHECKING:
    from bsv_store.maintenance.state import Upkeep
    from bsv_store.store.store import StoreStatus

Sample = tuple[dict[str, str], float]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric with its samples: pairs of labels and value."""

    name: str
    help: str
    samples: tuple[Sample, ...]


def prometheus_text(status: StoreStatus) -> str:
    """The metrics of a store that can be opened."""
    return _exposition(_metrics(status))


def unreachable_text() -> str:
    """The metric of a store that cannot be opened: ``bsv_store_up 0``."""
    return _exposition([Metric("bsv_store_up", _UP, ((({}, 0.0)),))])


_UP = "Whether the store can be opened (1) or not (0)."


def _metrics(status: StoreStatus) -> Iterable[Metric]:
    catalog, upkeep = status.catalog, status.upkeep
    info = {"store_id": status.store_id, "schema": status.schema_revision, "release": __version__}
    yield _one("bsv_store_up", _UP, 1)
    yield Metric("bsv_store_info", "The store, its schema, and the release of bsv-store.", ((info, 1.0),))
    yield _one("bsv_store_structures", "Structures of the ontology.", catalog.structures)
    yield _one("bsv_store_experiments", "Experiments in the catalog.", catalog.experiments)
    yield _one(
        "bsv_store_experiments_withdrawn", "Experiments that Allen has withdrawn.", catalog.withdrawn_experiments
    )
    yield _one("bsv_store_unionize_rows", "Rows of unionize tables.", catalog.unionize_rows)
    volumes = [({"kind": each.kind, "spacing_um": str(each.spacing_um)}, each) for each in catalog.volumes]
    yield Metric(
        "bsv_store_volumes", "Stored volumes.", tuple((labels, float(each.volumes)) for labels, each in volumes)
    )
    yield Metric(
        "bsv_store_volumes_bytes",
        "Size of stored volumes.",
        tuple((labels, float(each.size_bytes)) for labels, each in volumes),
    )
    yield _one("bsv_store_datasets", "Datasets.", catalog.datasets)
    yield _one("bsv_store_dataset_versions", "Versions of datasets.", catalog.dataset_versions)
    yield _one(
        "bsv_store_dataset_versions_unchecked",
        "Imported versions that were not recomputed.",
        catalog.unchecked_versions,
    )
    if upkeep is not None:
        yield from _upkeep(upkeep)
    newest: dict[str, datetime] = {}
    for each in catalog.latest_snapshots:
        newest[each.what] = max(each.taken_at, newest.get(each.what, each.taken_at))
    yield Metric(
        "bsv_store_list_timestamp_seconds",
        "Time at which the current list of each kind was stored.",
        tuple(({"what": what}, at.timestamp()) for what, at in sorted(newest.items())),
    )


def _upkeep(upkeep: Upkeep) -> Iterator[Metric]:
    folders = (("tmp", upkeep.temporary), ("trash", upkeep.trash))
    yield Metric(
        "bsv_store_folder_files", "Files in a folder.", tuple(({"folder": n}, float(s.files)) for n, s in folders)
    )
    yield Metric(
        "bsv_store_folder_bytes", "Size of a folder.", tuple(({"folder": n}, float(s.size_bytes)) for n, s in folders)
    )
    if upkeep.temporary.oldest_at is not None:
        # Files in the trash keep the time at which they were stored, which says nothing.
        yield _one(
            "bsv_store_tmp_oldest_timestamp_seconds",
            "Modification time of the oldest temporary file.",
            upkeep.temporary.oldest_at.timestamp(),
        )
    yield _one(
        "bsv_store_unverified_objects",
        "Volumes, annotations and results that were never verified.",
        upkeep.verification.never,
    )
    yield _one(
        "bsv_store_damaged_objects",
        "Objects that were found damaged and not found intact since.",
        upkeep.verification.damaged,
    )
    if upkeep.verification.oldest_at is not None:
        yield _one(
            "bsv_store_oldest_verification_timestamp_seconds",
            "Time of the last verification of the object that was not verified for the longest time.",
            upkeep.verification.oldest_at.timestamp(),
        )
    yield Metric(
        "bsv_store_claims",
        "Claims of jobs on objects: live, or left by jobs that ended.",
        (({"state": "live"}, float(upkeep.claims.live)), ({"state": "ended"}, float(upkeep.claims.ended))),
    )
    yield _one("bsv_store_disk_free_bytes", "Free space of the file system.", upkeep.disk.free_bytes)
    yield _one("bsv_store_disk_size_bytes", "Size of the file system.", upkeep.disk.total_bytes)
    if upkeep.disk.free_inodes is not None:
        yield _one("bsv_store_disk_free_inodes", "Free inodes of the file system.", upkeep.disk.free_inodes)


def _one(name: str, words: str, value: float) -> Metric:
    return Metric(name, words, (({}, float(value)),))


def _exposition(metrics: Iterable[Metric]) -> str:
    lines = []
    for metric in metrics:
        if not metric.samples:
            continue
        lines += [f"# HELP {metric.name} {_escaped(metric.help)}", f"# TYPE {metric.name} gauge"]
        for labels, value in metric.samples:
            text = ",".join(f'{name}="{_label(each)}"' for name, each in labels.items())
            number = f"{value:.0f}" if value == int(value) else repr(value)
            lines.append(f"{metric.name}{{{text}}} {number}" if text else f"{metric.name} {number}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _label(text: str) -> str:
    return _escaped(text).replace('"', r"\"")

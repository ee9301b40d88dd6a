"""Ingestion of records: in bulk, idempotent, each run recorded as a snapshot."""

from bsv_store.catalog.ingest.diff import ExperimentChange, FieldChange, SnapshotDiff, diff_snapshots
from bsv_store.catalog.ingest.experiments import ingest_experiments
from bsv_store.catalog.ingest.hemisphere import update_injected_hemispheres
from bsv_store.catalog.ingest.snapshot_log import IngestReport, Snapshot, snapshots
from bsv_store.catalog.ingest.structures import ingest_structures
from bsv_store.catalog.ingest.unionizes import ingest_unionizes

__all__ = [
    "ExperimentChange",
    "FieldChange",
    "IngestReport",
    "Snapshot",
    "SnapshotDiff",
    "diff_snapshots",
    "ingest_experiments",
    "ingest_structures",
    "ingest_unionizes",
    "snapshots",
    "update_injected_hemispheres",
]

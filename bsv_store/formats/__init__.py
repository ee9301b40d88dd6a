"""Readers of wire and file formats: bytes or a path in, checked values out. No database, no network.

Every reader takes ``what``, the name of the file or reply, for its errors, and raises `FormatError` (or its kinds
`EnvelopeError` and `FrameError`) for anything that is not exactly what it should be.
"""

from __future__ import annotations

from bsv_store.formats.annotation import read_annotation_nrrd
from bsv_store.formats.density_zip import read_density_raw, read_density_zip
from bsv_store.formats.envelope import Envelope, read_envelope, read_json, read_rows
from bsv_store.formats.experiments import experiments_from_rows, read_experiments
from bsv_store.formats.nrrd import read_nrrd, spool_nrrd
from bsv_store.formats.nrrd_writer import write_nrrd
from bsv_store.formats.structures import read_structures
from bsv_store.formats.unionizes import read_unionizes, unionize_table_from_rows

__all__ = [
    "Envelope",
    "experiments_from_rows",
    "read_annotation_nrrd",
    "read_density_raw",
    "read_density_zip",
    "read_envelope",
    "read_experiments",
    "read_json",
    "read_nrrd",
    "read_rows",
    "read_structures",
    "read_unionizes",
    "spool_nrrd",
    "unionize_table_from_rows",
    "write_nrrd",
]

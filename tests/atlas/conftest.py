"""A store with Allen's own annotation, which is read once for all tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from bsv_store import Store
from bsv_store.acquisition.annotation import AnnotationReport
from tests.stores import store_with


def fill_with_allens(store: Store, data: Path, reports: list[AnnotationReport]) -> None:
    """Add the real ontology, the experiment list of 2019 and Allen's annotation at 25 um."""
    cache = data / "allensdk_cache"
    store.ingest_structures(cache / "structures.json")
    store.ingest_experiments(cache / "experiments.json", allow_shrinking=True)
    reports.append(store.ingest_annotation(cache / "annotation/ccf_2017/annotation_25.nrrd"))


@pytest.fixture(scope="session")
def allen_reports() -> list[AnnotationReport]:
    """What was reported when Allen's annotation was ingested, once for each database."""
    return []


allen_store = store_with(fill_with_allens, "data", "allen_reports")

"""A small store for tests of pages, with names that would be harmful if they were not escaped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import update

from bsv_store import Store, open_store
from bsv_store.catalog.database.models import Experiment, Structure
from tests.reports.charts import TH, small_store
from tests.sealing import sealed_changes

HARMFUL = "<script>alert(1)</script>"
EXCLUDED = 102


@contextmanager
def pages_store(folder: Path) -> Iterator[Store]:
    """The store of the figures with the version ``sides@1``, open for reading only."""
    with small_store(folder) as store:
        store.aggregate([101, 103], name="sides", group_by="injected_hemisphere")
        store.datasets.tag("sides@1", "paper")
        store.catalog.exclude([EXCLUDED], HARMFUL)
        with sealed_changes(store.database) as connection:
            connection.execute(update(Experiment).where(Experiment.id == 101).values(specimen_name=HARMFUL))
            connection.execute(update(Structure).where(Structure.id == TH).values(name=HARMFUL))
    with open_store(folder, read_only=True) as store:
        yield store

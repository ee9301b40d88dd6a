"""A small store for tests of pages, with names that would be harmful if they were not escaped."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import update

from bsv_store import Store, open_store
from bsv_store.catalog.database.models import Experiment, Structure
from bsv_store.errors import BsvStoreWarning
from tests.reports.charts import TH, small_store
from tests.sealing import sealed_changes

HARMFUL = "<script>alert(1)</script>"
EXCLUDED = 102


@contextmanager
def pages_store(folder: Path) -> Iterator[Store]:
    """The store of the figures with the versions ``sides@1`` and ``structures@1``, open for reading only."""
    with small_store(folder) as store:
        store.aggregate([101, 103], name="sides", group_by="injected_hemisphere")
        store.datasets.tag("sides@1", "paper")
        with warnings.catch_warnings():
            # Two animals of each group are enough for a page.
            warnings.simplefilter("ignore", BsvStoreWarning)
            store.compare_structures((101, 201), (EXCLUDED, 103), name="structures", permutations=20, bootstrap=20)
        store.catalog.exclude([EXCLUDED], HARMFUL)
        with sealed_changes(store.database) as connection:
            connection.execute(update(Experiment).where(Experiment.id == 101).values(specimen_name=HARMFUL))
            connection.execute(update(Structure).where(Structure.id == TH).values(name=HARMFUL))
    with open_store(folder, read_only=True) as store:
        yield store

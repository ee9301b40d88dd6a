"""The versions that a server lists."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from bsv_store.store.store import Store


def listed_versions(store: Store) -> pd.DataFrame:
    """The rows of `Store.datasets.versions` that are in the catalog.

    A server can serve the copy of another server's store. Averages that its computer has computed from that are not
    listed: they have no number, and answers are kept until the catalog changes.
    """
    versions = store.datasets.versions()
    return versions[versions["number"] > 0].reset_index(drop=True)

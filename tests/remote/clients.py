"""What other processes do with a store on a server; not a test module, which they would import again."""

from __future__ import annotations

import sys

from bsv_store import Selection, open_store
from bsv_store.remote import unionizes


def read_everything(url: str, pack: int) -> None:
    """Print the number of unionize rows."""
    unionizes.PACK = pack  # type: ignore[misc]  # small, so that there are several
    with open_store(url) as store:
        sys.stdout.write(str(len(store.catalog.unionizes(Selection()))))

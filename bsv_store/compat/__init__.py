"""Brain Street View's functions over the shared store: change the import, and a script runs as before.

>>> from bsv_store.compat import fetch_connectivity_data           # instead of Brain Street View's own

The data come from the store that ``open_store()`` finds. What Brain Street View computes wrongly is corrected;
``bsv_rules=True`` reproduces it, to compare with figures already published (``docs/brain-street-view.md`` lists the
differences).
"""

from __future__ import annotations

from bsv_store.compat.connectivity import fetch_connectivity_data
from bsv_store.compat.search import fetch_upstream_regions, find_connectivity_experiments

__all__ = ["fetch_connectivity_data", "fetch_upstream_regions", "find_connectivity_experiments"]

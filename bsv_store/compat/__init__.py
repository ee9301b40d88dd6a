"""Brain Street View's functions on the shared store: scripts run after changing one import.

>>> from bsv_store.compat import fetch_connectivity_data           # instead of Brain Street View's own

The data come from the store that ``open_store()`` opens. Errors of Brain Street View are corrected; ``bsv_rules=True``
reproduces them, for comparison with published figures. ``docs/brain-street-view.md`` lists the differences.
"""

from __future__ import annotations

from bsv_store.compat.connectivity import fetch_connectivity_data
from bsv_store.compat.search import fetch_upstream_regions, find_connectivity_experiments

__all__ = ["fetch_connectivity_data", "fetch_upstream_regions", "find_connectivity_experiments"]

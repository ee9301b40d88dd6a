"""A synthetic connectivity atlas, and a local server that offers it like the Allen API.

It serves to try out bsv-store without a network, and to test programs that use it: a store is filled from the server by
the same HTTP requests and in the same file formats as from Allen. Structures, experiments and volumes are computed by
formulas, the same on every machine, and mean nothing. Ids of experiments start at 9,100,000,001, far above Allen's.

From a shell, ``bsv-store demo`` shows a complete example, and ``python -m bsv_store_synthetic`` runs the server alone.
Tests can make the server fail in many ways, see `bsv_store_synthetic.faults`.

Examples
--------
>>> with SyntheticServer(SyntheticAtlas(experiments=3)) as server:
...     server.url.startswith("http://127.0.0.1:")
True
"""

from __future__ import annotations

from bsv_store_synthetic.atlas import SyntheticAtlas, SyntheticExperiment
from bsv_store_synthetic.server import RequestLog, SyntheticServer

__all__ = ["RequestLog", "SyntheticAtlas", "SyntheticExperiment", "SyntheticServer"]

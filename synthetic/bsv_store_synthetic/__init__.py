"""A synthetic connectivity atlas, and a local server that offers it like the Allen API.

Use it to try bsv-store without a network, and to test programs that use bsv-store: a store is filled from the server
with the same HTTP requests and file formats as from Allen. Structures, experiments and volumes are computed by
formulas, identical on every machine, and have no biological meaning. Ids of experiments start at 9,100,000,001, far
above Allen's.

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

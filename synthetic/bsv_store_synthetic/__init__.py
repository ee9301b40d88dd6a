"""A made-up connectivity atlas and a loopback server that speaks Allen's wire formats over it.

For demonstrations and tests: a store is filled over the same HTTP path that serves real use.

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

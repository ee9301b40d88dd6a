"""Serve the synthetic atlas until interrupted: ``python -m bsv_store_synthetic --port 8080``."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Sequence

from bsv_store.errors import BsvStoreError
from bsv_store_synthetic.atlas import SyntheticAtlas
from bsv_store_synthetic.server import SyntheticServer


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code, once interrupted; the first line printed is the server's URL alone."""
    parser = argparse.ArgumentParser(prog="python -m bsv_store_synthetic", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0, the default, takes a free one")
    parser.add_argument("--experiments", type=int, default=24, help="number of experiments (24)")
    parser.add_argument("--seed", type=int, default=0, help="other seeds make other experiments (0)")
    options = parser.parse_args(arguments)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        atlas = SyntheticAtlas(seed=options.seed, experiments=options.experiments)
        server = SyntheticServer(atlas, port=options.port)
    except BsvStoreError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    with server:
        sys.stdout.write(f"{server.url}\n{options.experiments} made-up experiments; interrupt to stop.\n")
        sys.stdout.flush()
        stop.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())

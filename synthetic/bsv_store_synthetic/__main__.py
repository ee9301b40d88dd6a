"""The synthetic atlas as a local server: ``python -m bsv_store_synthetic --port 8080``."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Sequence

from bsv_store.errors import BsvStoreError
from bsv_store_synthetic.atlas import SyntheticAtlas
from bsv_store_synthetic.server import SyntheticServer
from bsv_store_synthetic.stored import atlas_in

_DESCRIPTION = """\
Serve a synthetic connectivity atlas on this machine, in the formats of the Allen API, until interrupted.
The data are computed by formulas and have no biological meaning. The first line printed is the URL of the server."""

_EPILOG = """\
Example, with --port 8080, in another shell:
  export BSV_STORE_API_URL=http://127.0.0.1:8080 BSV_STORE_DOWNLOAD_URL=http://127.0.0.1:8080
  bsv-store sync structures"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the server until interrupted, and return the exit code. The first line printed is its URL alone."""
    parser = argparse.ArgumentParser(
        prog="python -m bsv_store_synthetic",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=0, metavar="N", help="port on 127.0.0.1 (default: a free one)")
    parser.add_argument("--experiments", type=int, default=24, metavar="N", help="number of experiments (default: 24)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the experiments (default: 0)")
    parser.add_argument(
        "--anatomy",
        metavar="STORE",
        help="use the structures and the annotation of this store instead of a synthetic brain",
    )
    options = parser.parse_args(arguments)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        with atlas_in(options.anatomy, seed=options.seed, experiments=options.experiments) as atlas:
            _serve(atlas, options.port, stop)
    except BsvStoreError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


def _serve(atlas: SyntheticAtlas, port: int, stop: threading.Event) -> None:
    with SyntheticServer(atlas, port=port) as server:
        sys.stdout.write(f"{server.url}\n{atlas.experiments} synthetic experiments. Press Ctrl-C to stop.\n")
        sys.stdout.flush()
        stop.wait()


if __name__ == "__main__":
    sys.exit(main())

"""Times Brain Street View's fetch_connectivity_data; run by the interpreter of an environment that has it installed.

Usage: python peer_bsv.py CACHE RUNS IDS_FILE OPTIONS_JSON RESULT_NPZ. Prints one JSON object.
"""

import contextlib
import io
import json
import pathlib
import sys
import time

import numpy as np


def main() -> None:
    cache, runs, ids_file, options, result = sys.argv[1:]
    from bsv.fetch_connectivity_data import fetch_connectivity_data

    ids = json.loads(pathlib.Path(ids_file).read_text())
    seconds, cpu_seconds = [], []
    for _ in range(int(runs)):
        start, cpu_start = time.perf_counter(), time.process_time()
        with contextlib.redirect_stdout(io.StringIO()):
            combined = fetch_connectivity_data(ids, cache, "peer", **json.loads(options))[0]
        seconds.append(time.perf_counter() - start)
        cpu_seconds.append(time.process_time() - cpu_start)
    np.save(result, combined)
    status = pathlib.Path("/proc/self/status").read_text()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    print(json.dumps({"seconds": seconds, "cpu_seconds": cpu_seconds, "peak_mb": peak / 1024}))


main()

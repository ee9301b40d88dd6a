"""Run all benchmarks; print tables and write JSON: ``python -m benchmarks [--full]``."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import tempfile
from pathlib import Path

import numpy as np

from benchmarks import aggregation, backup, catalog, fetch, kernel, parts, permutations, server, startup, verify
from benchmarks.notes import note


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--full", action="store_true", help="at the size of the atlas: 2,917 experiments")
    parser.add_argument("--json", type=Path, default=aggregation.CHECKOUT / "build" / "benchmarks.json")
    parser.add_argument("--keep", type=Path, help="folder in which to keep the generated data (20 GB at full size)")
    arguments = parser.parse_args()
    folder = arguments.keep or Path(tempfile.mkdtemp(prefix="bsv-store-bench-"))
    try:
        averages = aggregation.run(folder, full=arguments.full)
    finally:
        if arguments.keep is None:
            shutil.rmtree(folder)
    note("the catalog, on both databases")
    of_catalog = catalog.run(full=arguments.full)
    note("fetching from loopback")
    of_fetch = fetch.run(full=arguments.full)
    note("short commands as processes")
    of_startup = startup.run()
    note("the inner loop of averages")
    of_kernel = kernel.run()
    note("parts of volumes, and 25 um")
    of_parts = parts.run()
    note("permutation tests of all voxels")
    of_permutations = permutations.run(full=arguments.full)
    note("the server under 50 clients")
    of_server = server.run(full=arguments.full)
    note("verifying")
    of_verify = verify.run(full=arguments.full)
    note("backing up, on both databases")
    of_backup = backup.run(full=arguments.full)
    results = {
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "numpy": np.__version__},
        "aggregation": [each.to_dict() for each in averages],
        "kernel": of_kernel,
        "parts": of_parts,
        "permutations": of_permutations,
        "catalog": of_catalog,
        "fetch": of_fetch,
        "server": of_server,
        "startup": of_startup,
        "verify": of_verify,
        "backup": of_backup,
    }
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(results, indent=1))
    print(aggregation.table(averages))
    print(kernel.table(of_kernel))
    print(parts.table(of_parts))
    print(permutations.table(of_permutations))
    print(catalog.table(of_catalog))
    print(fetch.table(of_fetch))
    print(server.table(of_server))
    print(startup.table(of_startup))
    print(verify.table(of_verify))
    print(catalog.table(of_backup))


if __name__ == "__main__":
    main()

"""Runs Brain Street View's own functions against a server, with the interpreter of its environment.

Usage: python bsv_client.py CACHE RESULTS ID... Writes results.json and combined.npy.
"""

import json
import sys
from pathlib import Path

import numpy as np
from bsv import fetch_connectivity_data, find_connectivity_experiments


def main() -> None:
    cache, results, *ids = sys.argv[1:]
    found = {
        "VISp": find_connectivity_experiments(["VISp"]),
        "wild type in VISp": find_connectivity_experiments(["VISp"], "0"),
        "VISp or MOp, also secondary": find_connectivity_experiments(["VISp", "MOp"], "", False),
    }
    combined, injections, _, regions = fetch_connectivity_data(
        [int(each) for each in ids], cache, "bsv", "injectionVolume", True
    )
    found["injections"] = {name: np.asarray(values).tolist() for name, values in injections.items()}
    found["regions"] = {name: np.asarray(values).tolist() for name, values in regions.items()}
    np.save(Path(results) / "combined.npy", combined)
    (Path(results) / "results.json").write_text(json.dumps(found))


main()

"""Runs AllenSDK's own functions against a server, with the interpreter of its environment.

Usage: python allensdk_client.py URL CACHE RESULTS ID... Writes results.json and one .npy file for each array.
"""

import json
import logging
import sys
from pathlib import Path

import numpy as np
from allensdk.api.queries.mouse_connectivity_api import MouseConnectivityApi
from allensdk.core.mouse_connectivity_cache import MouseConnectivityCache


def main() -> None:
    url, cache, results, *texts = sys.argv[1:]
    ids = [int(each) for each in texts]
    # It reports every download.
    logging.disable(logging.INFO)
    folder = Path(results)
    manifest = str(Path(cache) / "manifest.json")
    caches = {um: MouseConnectivityCache(manifest_file=manifest, base_uri=url, resolution=um) for um in (100, 50, 25)}
    at_100 = caches[100]
    api = MouseConnectivityApi(base_uri=url)
    unionizes = at_100.get_structure_unionizes(ids)
    matrix = at_100.get_projection_matrix(
        ids, projection_structure_ids=[997], hemisphere_ids=[1, 2], parameter="projection_volume"
    )
    found = {
        "structures": at_100.get_structure_tree().nodes(),
        "experiments": at_100.get_experiments(),
        "cre": [each["id"] for each in at_100.get_experiments(cre=True)],
        "wild type": [each["id"] for each in at_100.get_experiments(cre=False)],
        "unionizes": json.loads(unionizes.to_json(orient="records", double_precision=15)),
        "matrix": {"rows": [int(row) for row in matrix["rows"]], "matrix": matrix["matrix"].tolist()},
        "api unionizes": api.get_structure_unionizes(ids),
        "api injected": api.get_structure_unionizes(
            ids[:1], is_injection=True, hemisphere_ids=[3], structure_ids=[997]
        ),
        "api experiments": api.get_experiments_api(),
        "api sources": [
            row["id"] for row in api.experiment_source_search(injection_structures=["VISp"], transgenic_lines=[0])
        ],
        "api refused": api.experiment_source_search(injection_structures=["no such structure"]),
    }
    (folder / "results.json").write_text(json.dumps(found))
    for each in ids:
        for kind in ("projection_density", "injection_density", "injection_fraction", "data_mask"):
            np.save(folder / f"{kind}-100-{each}.npy", getattr(at_100, f"get_{kind}")(each)[0])
    np.save(folder / f"projection_density-50-{ids[0]}.npy", caches[50].get_projection_density(ids[0])[0])
    np.save(folder / f"injection_density-25-{ids[0]}.npy", caches[25].get_injection_density(ids[0])[0])
    np.save(folder / "annotation-100.npy", at_100.get_annotation_volume()[0])


main()

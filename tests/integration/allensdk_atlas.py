"""Runs AllenSDK's own functions on an ontology and volumes, with the interpreter of its environment.

Usage: python allensdk_atlas.py STRUCTURES FOLDER. FOLDER has annotation.npy, injection_density.npy and
injection_fraction.npy at 100 um; results.json and arrays are written into it.
"""

import json
import sys
from pathlib import Path

import numpy as np
from allensdk.api.queries.mouse_connectivity_api import MouseConnectivityApi
from allensdk.core.reference_space import ReferenceSpace
from allensdk.core.structure_tree import StructureTree


def main() -> None:
    structures, folder = Path(sys.argv[1]), Path(sys.argv[2])
    tree = StructureTree(json.loads(structures.read_text()))
    space = ReferenceSpace(tree, np.load(folder / "annotation.npy").astype(np.int64), [100, 100, 100])
    asked = [672, 385, 1, 672]
    density, fraction = (np.load(folder / f"injection_{each}.npy") for each in ("density", "fraction"))
    centroid = MouseConnectivityApi().calculate_injection_centroid(density, fraction, 100)
    numbers, labels = space.export_itksnap_labels()
    np.save(folder / "labels.npy", numbers)
    np.save(folder / "mask.npy", space.make_structure_mask([669]))
    found = {
        "by id": [each["acronym"] for each in tree.get_structures_by_id(asked)],
        "by acronym": [each["id"] for each in tree.get_structures_by_acronym(["VISp", "CP", "VISp"])],
        "by name": [each["id"] for each in tree.get_structures_by_name(["Caudoputamen", "root"])],
        "acronyms": tree.get_id_acronym_map(),
        "names": {str(key): value for key, value in tree.get_name_map().items()},
        "colors": {str(key): list(map(int, value)) for key, value in tree.get_colormap().items()},
        "descends": [tree.structure_descends_from(*pair) for pair in ((385, 669), (669, 385), (385, 385))],
        "overlaps": sorted(map(int, tree.has_overlaps([669, 385, 672]))),
        "total": {str(key): int(value) for key, value in space.total_voxel_map.items()},
        "direct": {str(key): int(value) for key, value in space.direct_voxel_map.items()},
        "centroid": list(map(float, centroid)),
        "label names": list(map(str, labels["LABEL"])),
        "label numbers": list(map(int, labels["IDX"])),
    }
    (folder / "results.json").write_text(json.dumps(found))


main()

"""Draws values by region with brainglobe-heatmap; run by the interpreter of an environment that has it installed.

Usage: python peer_heatmap.py FOLDER. The folder holds what the test wrote: ``annotation.npy`` (axes ap, dv, ml from
right to left, 100 um), ``structures.json`` and ``values.json``. ``drawn.json`` is what came back. HOME must be a folder
for the atlas, which is made here, so that nothing is downloaded.
"""

import json
import pathlib
import sys
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import meshio
import numpy as np
from brainglobe_atlasapi.atlas_generation.wrapup import wrapup_atlas_from_data
from matplotlib.patches import Polygon
from numpy.typing import NDArray
from skimage.measure import marching_cubes

SPACING = 100
ATLAS = "synthetic_mouse"


def write_meshes(
    folder: pathlib.Path, ids: NDArray[np.uint32], structures: list[dict[str, Any]]
) -> dict[int, pathlib.Path]:
    """The surfaces of the structures in um; paths by id."""
    folder.mkdir()
    paths = {}
    for structure in structures:
        below = [each["id"] for each in structures if structure["id"] in each["structure_id_path"]]
        inside = np.pad(np.isin(ids, below), 1).astype(np.float32)
        vertices, faces, *_ = marching_cubes(inside, 0.5, spacing=(SPACING,) * 3)
        paths[structure["id"]] = folder / f"{structure['id']}.obj"
        # The padding is one voxel, and indices are at the centers of voxels.
        meshio.Mesh(vertices - SPACING / 2, [("triangle", faces)]).write(paths[structure["id"]])
    return paths


def main() -> None:
    folder = pathlib.Path(sys.argv[1])
    ids = np.load(folder / "annotation.npy")
    structures = json.loads((folder / "structures.json").read_text())
    wrapup_atlas_from_data(
        atlas_name=ATLAS,
        atlas_minor_version=0,
        citation="unpublished",
        atlas_link="http://127.0.0.1",
        species="Mouse (Mus musculus)",
        resolution=(SPACING,) * 3,
        orientation="asr",
        root_id=structures[0]["id"],
        reference_stack=(ids > 0).astype(np.uint16),
        annotation_stack=ids,
        structures_list=structures,
        meshes_dict=write_meshes(folder / "meshes", ids, structures),
        working_dir=pathlib.Path.home() / ".brainglobe",
    )
    # After the atlas: it reads the configuration.
    import brainglobe_heatmap as bgh
    from brainrender import settings

    settings.OFFSCREEN = True
    values = json.loads((folder / "values.json").read_text())
    heatmap = bgh.Heatmap(
        values, position=6500, orientation="frontal", format="2D", atlas_name=f"{ATLAS}_{SPACING}um",
        check_latest=False, vmin=0, vmax=1,
    )  # fmt: skip
    figure, axes = plt.subplots()
    heatmap.plot_subplot(figure, axes)
    figure.savefig(folder / "drawn.png")
    regions: dict[str, list[dict[str, Any]]] = {}
    for patch in axes.patches:
        assert isinstance(patch, Polygon)
        points = patch.get_xy()
        found = {"color": list(patch.get_facecolor()), "low": points.min(0).tolist(), "high": points.max(0).tolist()}
        regions.setdefault(str(patch.get_label()), []).append(found)
    colors = {name: list(map(float, color)) for name, color in heatmap.colors.items() if name in values}
    (folder / "drawn.json").write_text(json.dumps({"regions": regions, "colors": colors}))


main()

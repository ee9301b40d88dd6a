"""Draws with Brain Street View's own functions; run by the interpreter of an environment that has it installed.

Usage: python peer_plots.py FOLDER. The folder holds what the test wrote; ``returned.npz`` is what came back.
"""

import pathlib
import pickle
import sys
from collections.abc import Iterator
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

SPACING = 20


def drawn(bsv: Any, folder: str, result: Any, atlas: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """What each picture shows, by name."""
    combined, injections, individual, regions = result
    view: tuple[Any, ...] = ("CP", 5, 15, "coronal", True, 2, "global", None)
    how = "none"
    yield "groups", bsv.plot_connectivity(combined, folder, *view, how, experiment_region_info=regions, **atlas)[0]
    yield "one group", bsv.plot_connectivity(combined[..., :1], folder, *view, how, **atlas)[0]
    yield "above", bsv.threshold_connectivity(combined[..., :1], folder, *view, 0.001, **atlas)[0]
    if individual is not None:
        yield "individual", bsv.plot_connectivity(individual, folder, *view, how, **atlas)[0]
    # One group: with several it fails on its own results too.
    view = (["VISp"], 5, 15, "coronal", True, 2, "global", None)
    bsv.plot_injections_combined(combined[..., 0], folder, *view, how, experiment_region_info=regions, **atlas)
    bsv.plot_connectivity_3d(injections, folder, "CP", plot_patch=True, animate=False, **atlas)
    yield "figures", np.array(len(plt.get_fignums()))
    plt.close("all")


def main() -> None:
    import bsv

    folder = pathlib.Path(sys.argv[1])
    asked = pickle.loads((folder / "asked.pkl").read_bytes())
    ours = pickle.loads((folder / "ours.pkl").read_bytes())
    theirs = bsv.fetch_connectivity_data(asked["ids"], str(folder / "cache"), "", "none", False, export_metadata=False)
    atlas = {"atlas_type": "ccf", "atlas_resolution": SPACING}
    returned: dict[str, Any] = {}
    for who, result in (*ours.items(), ("theirs", theirs)):
        returned |= {f"{who}-{what}": values for what, values in drawn(bsv, str(folder / "atlas"), result, atlas)}
    np.savez(folder / "returned.npz", **returned)


main()

"""Brain Street View's plotting functions take what our compatible function returns, and draw the same of it."""

from __future__ import annotations

import csv
import os
import pickle
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bsv_store import create_store
from bsv_store.compat import fetch_connectivity_data
from tests.compat.golden import cases, fill_catalog, make_bsv_cache
from tests.integration.environments import BRAIN_STREET_VIEW, bsv_catalog

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("foreign")]

SCRIPT = Path(__file__).with_name("peer_plots.py")
SPACING = 20
# Boxes in voxels of 100 um that stand in for the two structures, on the left; AP, DV, ML.
STRUCTURES = {"CP": ((40, 70), (30, 60), (20, 40)), "VISp": ((80, 96), (10, 20), (16, 36))}


def write_atlas(folder: Path, tree: Path) -> None:
    """An atlas as Brain Street View reads it: row numbers of the structure tree from 1, two structures, both sides."""
    folder.mkdir()
    shutil.copy(tree, folder / "ccf_structure_tree.csv")
    with tree.open(newline="") as file:
        acronyms = [row["acronym"] for row in csv.DictReader(file)]
    fine = 100 // SPACING
    volume = np.zeros((132 * fine, 80 * fine, 114 * fine), np.uint16)
    volume[10 * fine : 124 * fine, 6 * fine : 74 * fine, 8 * fine : 106 * fine] = 1
    for acronym, box in STRUCTURES.items():
        ap, dv, ml = (slice(low * fine, high * fine) for low, high in box)
        volume[ap, dv, ml] = volume[..., ::-1][ap, dv, ml] = acronyms.index(acronym) + 1
    np.save(folder / f"ccf_annotation_{SPACING}um.npy", volume)


def test_brain_street_view_draws_what_we_return(golden: Path, data: Path, tmp_path: Path) -> None:
    if not BRAIN_STREET_VIEW.is_there:
        pytest.skip("Brain Street View has no environment here: `make test-integration` makes it, or says why not")
    shutil.copy(data / "allenAtlasProjection_info.csv", bsv_catalog())
    write_atlas(tmp_path / "atlas", data / "structure_tree_safe_2017.csv")
    cache = make_bsv_cache(golden, tmp_path / "cache")
    ids = cases(golden)["none"]["experiment_ids"]
    with create_store(tmp_path / "store") as store:
        fill_catalog(store, data)
        store.adopt(cache)
        asked: dict[str, dict[str, Any]] = {"together": {}, "by AP": {"grouping_method": "AP", "load_all": True}}
        ours = {
            what: fetch_connectivity_data(
                ids,
                str(cache),
                "",
                "none",
                False,
                export_metadata=False,
                store=store,
                offline=True,
                **options,
            )
            for what, options in asked.items()
        }
    (tmp_path / "ours.pkl").write_bytes(pickle.dumps(ours))
    (tmp_path / "asked.pkl").write_bytes(pickle.dumps({"ids": ids}))
    done = subprocess.run(
        [BRAIN_STREET_VIEW.python, SCRIPT, tmp_path],
        env={**os.environ, "MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
        check=False,
        timeout=1800,
    )
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "returned.npz") as returned:
        # Not normalized and in one group: releases of Brain Street View differ in both.
        for what in ("groups", "one group", "above"):
            assert np.nanmax(np.abs(returned[f"together-{what}"])) > 0
            np.testing.assert_allclose(
                returned[f"together-{what}"], returned[f"theirs-{what}"], rtol=1e-6, atol=1e-9, err_msg=what
            )
        # Groups are the third axis of what was drawn.
        groups = ours["by AP"][0].shape[-1]
        assert groups > 1
        assert (returned["by AP-groups"].shape[2], returned["by AP-individual"].shape[2]) == (groups, len(ids))
        assert returned["together-figures"] == returned["theirs-figures"] > 0
        assert returned["by AP-figures"] > 0

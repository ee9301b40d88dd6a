"""Figures look as they did: small reference images, compared with a tolerance for other versions of Matplotlib."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bsv_store import Store, reports
from tests.reports.references import DPI, FIGURES, FOLDER

# Antialiasing differs a little between versions; a structure at another place differs much more.
_TOLERANCE = 0.008


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_looks_like_its_reference(blocks: Store, name: str, tmp_path: Path) -> None:
    from matplotlib.image import imread

    path = reports.save(FIGURES[name](blocks), tmp_path / f"{name}.png", dpi=DPI)
    drawn, reference = (np.asarray(imread(each))[..., :3] for each in (path, FOLDER / f"{name}.png"))
    assert drawn.shape == reference.shape
    hint = "if the change is intended: python -m tests.reports.references"
    assert np.abs(drawn - reference).mean() < _TOLERANCE, hint
    # A mirrored figure is as different as the tolerance is meant to show.
    assert np.abs(drawn[:, ::-1] - reference).mean() > 3 * _TOLERANCE

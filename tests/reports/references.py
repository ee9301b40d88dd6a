"""Small reference images, made from blocks only. To write them again: ``python -m tests.reports.references``."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from bsv_store import Store, create_store, reports

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOLDER = Path(__file__).resolve().parents[1] / "figures" / "reference"
DPI = 70

# Without the footer, which has the fingerprint.
FIGURES: Mapping[str, Callable[[Store], Figure]] = {
    "slices": lambda store: reports.slices(
        store,
        "lines@1",
        at_mm=[8.6, 9.0],
        emphasize=["VISp", "VISpm"],
        outlines=3,
        width_mm=85,
        footer=False,
    ),
    "slices-dark": lambda store: reports.slices(
        store,
        "folded@1",
        plane="horizontal",
        at_mm=[1.2, 1.5],
        shared=False,
        theme="dark",
        width_mm=85,
        footer=False,
    ),
    "difference": lambda store: reports.slices(
        store, "lines@1", minus=0, plane="sagittal", at_mm=[2.7, 8.6], width_mm=85, footer=False
    ),
    "projections": lambda store: reports.projections(store, "lines@1", emphasize="VISp", width_mm=85, footer=False),
    "region_map": lambda store: reports.region_map(
        store, {"VISp": 1.0, "VISpm": 0.3}, at_mm=[8.6, 9.0], width_mm=85, title="Values"
    ),
    "overlay": lambda store: reports.overlay(
        store, {"one": 1, "three": 3}, at_mm=[8.6, 9.0], width_mm=85, footer=False
    ),
}


def main() -> None:
    """Write all reference images."""
    from tests.reports.conftest import fill_with_versions

    with tempfile.TemporaryDirectory() as folder, create_store(Path(folder) / "store") as store:
        fill_with_versions(store)
        for name, draw in FIGURES.items():
            reports.save(draw(store), FOLDER / f"{name}.png", dpi=DPI, overwrite=True)


if __name__ == "__main__":
    main()

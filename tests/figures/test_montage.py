"""Labels on sheets of panels: those of neighboring structures, and those of color scales, keep their distance."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest

from bsv_store.figures.montage import draw
from bsv_store.figures.scale import scale_of
from bsv_store.figures.sheet import Layer, Panel, Row, Shape, Sheet

pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.path import Path

NAMES = ("VISal", "VISp", "VISpm")


def area(left: float) -> Path:
    return Path([(left, 2.0), (left + 1.2, 2.0), (left + 1.2, 3.0), (left, 3.0), (left, 2.0)])


def neighbors(step: float, target: str) -> Panel:
    """Three areas side by side, each a bit narrower than its label."""
    shapes = [
        Shape(name, area(2 + step * place), "black", "gray", (2.6 + step * place, 2.5), (1.2, 2.0, 3.0), name == target)
        for place, name in enumerate(NAMES)
    ]
    return Panel("", (0.0, 11.0, 8.0, 0.0), ("L", "R"), shapes=shapes)


@pytest.mark.parametrize("target", NAMES)
def test_labels_of_neighboring_structures_do_not_touch_and_the_target_keeps_its_own(target: str) -> None:
    panels = [neighbors(step, target) for step in np.arange(0.1, 3.3, 0.05)]
    sheet = Sheet("", panels, [Row("", [[]] * len(panels))], "")
    figure = draw(sheet, width_mm=180, theme="light", footer=False)
    renderer = FigureCanvasAgg(figure).get_renderer()
    numbers = set()
    for axes in figure.axes[: len(panels)]:
        # The second text of each label lies on its halo.
        labels = {text.get_text(): text for text in axes.texts if text.get_text() in NAMES}
        numbers.add(len(labels))
        assert target in labels
        boxes = [text.get_window_extent(renderer) for text in labels.values()]
        for one, other in combinations(boxes, 2):
            across = max(one.x0, other.x0) - min(one.x1, other.x1)
            down = max(one.y0, other.y0) - min(one.y1, other.y1)
            # In a line, at least 1 mm apart. The height of a text includes letters that are not there.
            assert across > 1 / 25.4 * figure.dpi or down > -1, list(labels)
    assert numbers == {2, 3}


@pytest.mark.parametrize("width_mm", [85.0, 180.0])
def test_labels_of_structures_stay_in_their_panel_and_off_the_names_of_its_ends(width_mm: float) -> None:
    edges = {"VISa": 0.1, "VISp": 3.0, "VISl": 10.9}
    shapes = [Shape(name, area(at), "black", "gray", (at, 1.6), (0.1, 1.4, 1.8)) for name, at in edges.items()]
    panel = Panel("AP 9.2 mm", (0.0, 11.0, 8.0, 0.0), ("contra", "ipsi"), shapes=shapes)
    figure = draw(Sheet("", [panel] * 4, [Row("", [[]] * 4)] * 2, ""), width_mm=width_mm, theme="light", footer=False)
    renderer = FigureCanvasAgg(figure).get_renderer()
    for axes in figure.axes[:4]:
        ends = [text.get_window_extent(renderer) for text in axes.texts if text.get_text() in panel.ends]
        labels = [text.get_window_extent(renderer) for text in axes.texts if text.get_text().startswith("VIS")]
        assert len(ends) == 2
        assert labels
        box = axes.get_window_extent(renderer)
        assert all(box.x0 - 1 <= label.x0 and label.x1 <= box.x1 + 1 for label in labels)
        assert not any(label.shrunk(1, 0.7).overlaps(end) for label in labels for end in ends)


@pytest.mark.parametrize("width_mm", [50.0, 85.0, 180.0])
@pytest.mark.parametrize(("scale", "high"), [("log", 0.87), ("log", 3e-5), ("power", 2e-6), ("linear", 123_456.0)])
def test_labels_of_a_color_scale_do_not_touch(scale: str, high: float, width_mm: float) -> None:
    values = np.array([[0.0, high]])
    found = scale_of([values], scale=scale, vmax=high)  # type: ignore[arg-type]
    layer = Layer(values, (0, 1, 1, 0), found.norm, found.colors)
    sheet = Sheet("", [Panel("", (0.0, 11.0, 8.0, 0.0), ("L", "R"))], [Row("", [[layer]])], "quantity", scale=found)
    figure = draw(sheet, width_mm=width_mm, theme="light", footer=False)
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [text.get_window_extent(renderer) for text in figure.axes[-1].get_xticklabels()]
    assert len(boxes) >= 2
    assert all(one.x1 < other.x0 for one, other in pairwise(boxes))

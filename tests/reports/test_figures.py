from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bsv_store.errors import InputError
from bsv_store.reports import draw_groups, plot_groups
from bsv_store.vocabulary import Axis
from bsv_store.volumes.grid import Grid


@dataclass(frozen=True)
class StandInGroup:
    label: str
    n: int
    lower: float | None = None
    upper: float | None = None


@dataclass(frozen=True)
class StandIn:
    """What a figure needs to know about a dataset version."""

    means: NDArray[Any]
    groups: tuple[StandInGroup, ...]
    axis: Axis | None = None
    ref: str = "visual@1"
    fingerprint: str = "0123456789abcdef"
    quantity: str = "projection density (fraction of voxel)"
    rules: tuple[str, ...] = ("divided by injection volume", "hemispheres as imaged")
    grid: Grid = field(default_factory=lambda: Grid(100))

    def statistic(self, name: str, *, group: int | None = None) -> NDArray[Any]:
        assert name == "mean"
        assert group is not None
        return self.means[group % len(self.means)]


def stand_in(groups: int = 2, *, signed: bool = False, empty: bool = False) -> StandIn:
    # One mean that all groups share, where many of them would fill the memory.
    means = np.zeros((min(groups, 7), *Grid(100).shape), np.float32)
    if not empty:
        means[:, 20:110, 20:60, 30:70] = 0.1
        # One bright voxel block: AP 9-10 mm, DV 3-4 mm, ML 8-9 mm.
        means[:, 90:100, 30:40, 80:90] = 0.9
        if signed:
            means[:, 90:100, 50:60, 80:90] = -0.7
    listed = tuple(StandInGroup(f"group {i}", i + 1, 8000.0, 9000.0) for i in range(groups))
    return StandIn(means, listed, axis="AP")


@pytest.mark.parametrize("ending", ["png", "pdf", "svg"])
def test_a_figure_is_written(tmp_path: Path, ending: str) -> None:
    path = plot_groups(stand_in(), tmp_path / f"a.{ending}")  # type: ignore[arg-type]
    assert path.stat().st_size > 1000
    assert [each.name for each in tmp_path.iterdir()] == [f"a.{ending}"]


def test_panels_are_upright_and_in_millimeters() -> None:
    figure = draw_groups(stand_in(1))  # type: ignore[arg-type]
    above, front, left = figure.axes[:3]
    expected = {
        # axes: (to the right, down) of the bright block's middle, mm
        above: (8.5, 9.5),
        front: (8.5, 3.5),
        left: (9.5, 3.5),
    }
    for axes, (right, down) in expected.items():
        image = axes.images[0]
        values = np.asarray(image.get_array())
        west, east, south, north = image.get_extent()
        assert (west, north) == (0, 0)
        row, column = (float(part.mean()) + 0.5 for part in np.nonzero(values > 0.5))
        assert column / values.shape[1] * east == pytest.approx(right)
        assert row / values.shape[0] * south == pytest.approx(down)
    assert above.get_ylabel() == "from above\nAP (mm)"
    assert left.get_xlabel() == "AP (mm)"


def test_titles_scale_and_unit() -> None:
    figure = draw_groups(stand_in(3))  # type: ignore[arg-type]
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == ["group 0\nn = 1", "group 1\nn = 2", "group 2\nn = 3"]
    limits = {image.get_clim() for axes in figure.axes for image in axes.images if image.get_extent()[1] > 1}
    assert len(limits) == 1
    assert figure.axes[-1].get_ylabel() == "projection density (fraction of voxel)"
    text = " ".join(each.get_text() for each in figure.texts)
    assert "visual@1" in text
    assert "0123456789ab" in text


def test_negative_values_get_a_scale_around_zero() -> None:
    figure = draw_groups(stand_in(1, signed=True))  # type: ignore[arg-type]
    low, high = figure.axes[1].images[0].get_clim()
    assert low == -high
    assert np.asarray(figure.axes[1].images[0].get_array()).min() == pytest.approx(-0.7)


def test_more_groups_than_fit_into_a_row_go_on_below(tmp_path: Path) -> None:
    figure = draw_groups(stand_in(7))  # type: ignore[arg-type]
    assert len([axes for axes in figure.axes if axes.images and axes.get_xlabel()]) == 21
    for axes in figure.axes:
        box = axes.get_position()
        assert 0 <= box.x0 < box.x1 <= 1
        assert 0 <= box.y0 < box.y1 <= 1


def test_many_groups_become_a_sheet_of_tiles() -> None:
    version = stand_in(23)
    figure = draw_groups(version)  # type: ignore[arg-type]
    sheet = figure.axes[0]
    width, height = figure.get_size_inches()
    tiles = [image.get_extent() for image in sheet.images]
    assert len(tiles) == 2 * 23
    for left, right, bottom, top in tiles:
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
    # No tile covers another.
    for number, (left, right, bottom, top) in enumerate(tiles):
        for other in tiles[:number]:
            assert right <= other[0] or other[1] <= left or bottom <= other[3] or other[2] <= top
    assert {image.get_clim() for image in sheet.images} == {sheet.images[0].get_clim()}
    labels = [text.get_text() for text in sheet.texts]
    assert {f"group {number}\nn = {number + 1}" for number in range(23)} <= set(labels)
    assert width / height < 3


def test_tiles_are_upright() -> None:
    figure = draw_groups(stand_in(11))  # type: ignore[arg-type]
    above, front = (np.asarray(image.get_array()) for image in figure.axes[0].images[:2])
    # The bright block: AP 9-10 mm, DV 3-4 mm, ML 8-9 mm.
    for values, (down, right) in ((above, (95, 85)), (front, (35, 85))):
        row, column = (part.mean() + 0.5 for part in np.nonzero(values > 0.5))
        assert (row, column) == (down, right)


def test_two_hundred_groups_fit_on_one_sheet(tmp_path: Path) -> None:
    figure = draw_groups(stand_in(200))  # type: ignore[arg-type]
    assert len(figure.axes) == 2
    assert max(figure.get_size_inches()) < 40


def test_long_labels_of_crossed_groups_break_between_the_factors() -> None:
    version = stand_in(50)
    label = "Rbp4-Cre_KL100 & AP 7,950-8,310 um"
    version = replace(version, groups=(StandInGroup(label, 1), *version.groups[1:]))
    figure = draw_groups(version)  # type: ignore[arg-type]
    assert figure.axes[0].texts[0].get_text() == "Rbp4-Cre_KL100\nAP 7,950-8,310 um\nn = 1"


@pytest.mark.parametrize("groups", [5, 12])
def test_long_titles_keep_to_their_own_panels(groups: int) -> None:
    label = "AP 8,595-9,940 um & Rorb-IRES2-Cre-neo-and-more"
    listed = tuple(StandInGroup(f"{label}{number}", number) for number in range(groups))
    figure = draw_groups(replace(stand_in(groups), groups=listed))  # type: ignore[arg-type]
    if groups == 12:
        titles = [text for text in figure.axes[0].texts if "n = " in text.get_text()]
    else:
        titles = [axes.title for axes in figure.axes if axes.get_title()]
    assert len(titles) == groups
    figure.canvas.draw()
    boxes = [title.get_window_extent() for title in titles]
    for number, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:number])


def test_titles_of_crossed_groups_break_alike() -> None:
    labels = ("AP 1-2 um & wild-type", "AP 8,595-9,940 um & Scnn1a-Tg3-Cre-and-more")
    listed = tuple(StandInGroup(label, 1) for label in labels)
    figure = draw_groups(replace(stand_in(2), groups=listed))  # type: ignore[arg-type]
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == ["AP 1-2 um\nwild-type\nn = 1", "AP 8,595-9,940 um\nScnn1a-Tg3-Cre-and-more\nn = 1"]


@pytest.mark.parametrize("groups", [2, 11])
def test_no_data_is_not_drawn_as_zero(groups: int) -> None:
    version = stand_in(groups)
    version.means[:, :, :, :10] = np.nan
    figure = draw_groups(version)  # type: ignore[arg-type]
    above = figure.axes[0].images[0]
    values = np.ma.masked_invalid(above.get_array())
    assert values.mask[:, :10].all()
    assert not values.mask[:, 10:].any()
    unknown, zero = above.cmap(values)[0, 0], above.cmap(above.norm(0.0))
    assert abs(unknown[:3] - np.array(zero[:3])).max() > 0.2
    assert "Gray: no data" in figure.texts[-1].get_text()
    assert "Gray" not in draw_groups(stand_in(groups)).texts[-1].get_text()  # type: ignore[arg-type]


@pytest.mark.parametrize("groups", [2, 11])
def test_a_group_without_experiments_is_labeled(groups: int) -> None:
    version = stand_in(groups)
    version = replace(version, groups=(StandInGroup("AP 1-2 um", 0), *version.groups[1:]))
    figure = draw_groups(version)  # type: ignore[arg-type]
    panels = figure.axes[:3] if groups == 2 else figure.axes[:1]
    said = [text.get_text() for axes in panels for text in axes.texts].count("no experiments")
    assert said == (3 if groups == 2 else 2)
    assert np.isnan(np.asarray(figure.axes[0].images[0].get_array())).all()


@pytest.mark.parametrize("groups", [1, 3, 11])
def test_the_rules_are_listed_below_the_title(groups: int) -> None:
    figure = draw_groups(stand_in(groups), subtitle="SYNTHETIC")  # type: ignore[arg-type]
    text = " ".join(each.get_text() for each in figure.texts)
    count = sum(range(1, groups + 1))
    assert "divided by injection volume" in text
    assert "hemispheres as imaged" in text
    assert f"{count} experiment{'s' if count > 1 else ''} in {groups} group" in text.replace("\n", " ")
    assert "SYNTHETIC" in text
    figure.canvas.draw()
    boxes = [each.get_window_extent() for each in figure.texts]
    for number, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:number])
    titles = [axes.title.get_window_extent() for axes in figure.axes if axes.get_title()]
    assert not any(box.overlaps(title) for box in boxes for title in titles)


def test_some_groups_can_be_chosen() -> None:
    figure = draw_groups(stand_in(30), groups=[4, 2])  # type: ignore[arg-type]
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == ["group 4\nn = 5", "group 2\nn = 3"]
    with pytest.raises(InputError, match="no group 30"):
        draw_groups(stand_in(30), groups=[30])  # type: ignore[arg-type]
    for none in ([], range(401)):
        with pytest.raises(InputError, match="cannot be drawn"):
            draw_groups(stand_in(500), groups=list(none))  # type: ignore[arg-type]


def test_groups_without_signal_or_data_can_be_drawn() -> None:
    for groups in (1, 11):
        draw_groups(stand_in(groups, empty=True))  # type: ignore[arg-type]
    version = stand_in(1)
    version.means[:] = np.nan
    draw_groups(version)  # type: ignore[arg-type]


def test_wrong_versions_and_groups_are_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"version .*got 'visual'") as caught:
        plot_groups("visual", tmp_path / "a.png")  # type: ignore[arg-type]
    assert "store.dataset('visual')" in str(caught.value.hint)
    with pytest.raises(InputError, match=r"groups .*got 1\.5"):
        draw_groups(stand_in(2), groups=1.5)  # type: ignore[arg-type]


def test_other_suffixes_are_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"path .*\.png, \.pdf, \.svg, got 'a\.txt'"):
        plot_groups(stand_in(1), tmp_path / "a.txt")  # type: ignore[arg-type]


def test_overwriting_can_be_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("mine")
    with pytest.raises(InputError, match="exists"):
        plot_groups(stand_in(1), tmp_path / "a.png", overwrite=False)  # type: ignore[arg-type]


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(InputError, match="Matplotlib is not installed") as caught:
        plot_groups(stand_in(1), tmp_path / "a.png")  # type: ignore[arg-type]
    assert "bsv-store[plot]" in str(caught.value.hint)

"""The 3-D view: the data in the page, and the page in a browser."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bsv_store import DatasetVersion, Store
from bsv_store.errors import (
    InputError,
    MissingDataError,
    MissingUnionizesWarning,
    UnknownDatasetError,
    UnknownStructureError,
)
from bsv_store.figures.brain import EXTENT_MM
from bsv_store.reports import region_values, view_3d
from bsv_store.reports.view3d import _palette
from tests.browser import opened_page
from tests.reports.charts import small_store

pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with small_store(tmp_path_factory.mktemp("view") / "store") as opened:
        yield opened


@pytest.fixture(scope="module")
def version(store: Store) -> DatasetVersion:
    """Group 0 was injected on the left (103), group 1 on the right (101)."""
    return store.aggregate([101, 103], name="sides", group_by="injected_hemisphere")


def scene_of(path: Path) -> Any:
    found = re.search(r'<script type="application/json" id="scene">(.*?)</script>', path.read_text(encoding="utf-8"))
    assert found is not None
    return json.loads(found[1])


def positions(item: dict[str, Any]) -> NDArray[np.float64]:
    """AP, DV, ML in mm."""
    fractions = np.frombuffer(base64.b64decode(item["positions"]), "<u2").reshape(-1, 3) / 65535
    return np.asarray(fractions * [*EXTENT_MM.values()])


def items(path: Path) -> dict[str, dict[str, Any]]:
    return {item["name"]: item for item in scene_of(path)["items"]}


def test_surfaces_are_where_the_signal_the_region_and_the_brain_are(
    store: Store, version: DatasetVersion, tmp_path: Path
) -> None:
    found = items(view_3d(store, version, tmp_path / "a.html", regions=["CP", "TH"]))
    assert list(found) == [
        "left (n = 1)", "right (n = 1)", "CP: Caudoputamen", "TH: Thalamus", "Brain",
    ]  # fmt: skip
    for name, low, high in (
        ("left (n = 1)", (8, 4, 2.4), (9, 5, 3.4)),
        ("right (n = 1)", (8, 4, 8), (9, 5, 9)),
        ("CP: Caudoputamen", (2, 2.5, 1), (6, 7, 10.4)),
        ("Brain", (2, 1, 1), (12, 7, 10.4)),
    ):
        points = positions(found[name])
        assert points.min(axis=0) == pytest.approx(low, abs=0.12), name
        assert points.max(axis=0) == pytest.approx(high, abs=0.12), name
    assert found["CP: Caudoputamen"]["color"] == "#98d6f9"
    assert found["left (n = 1)"]["color"] != found["right (n = 1)"]["color"]
    for item in found.values():
        size = 4 if item["wide"] else 2
        indices = np.frombuffer(base64.b64decode(item["indices"]), f"<u{size}")
        assert item["count"] == indices.size
        assert indices.max() == len(positions(item)) - 1


def test_points_lie_in_the_voxels_above_the_level(store: Store, tmp_path: Path) -> None:
    level: Any = np.float32(0.5)
    found = items(view_3d(store, 101, tmp_path / "a.html", style="points", level=level))
    points = positions(found["101"])
    assert len(points) == 1000
    assert (points >= np.array([8, 4, 8]) - 1e-3).all()
    assert (points <= np.array([9, 5, 9]) + 1e-3).all()
    silent = view_3d(store, 101, tmp_path / "b.html", level=0.9)
    assert "101" not in items(silent)
    assert "No signal at this level: 101." in scene_of(silent)["footer"]


def test_a_single_group_has_two_levels_which_the_page_names(store: Store, tmp_path: Path) -> None:
    scene = scene_of(view_3d(store, 101, tmp_path / "a.html", regions=None))
    assert [(item["name"], item["opacity"] == 1) for item in scene["items"]] == [
        ("101", True), ("101", False), ("Brain", False),
    ]  # fmt: skip
    assert scene["footer"].startswith("Surfaces at 0.12 and 0.4: ")
    assert scene["title"].endswith("(experiment 101)")
    assert scene["title"].startswith("Injection in ")
    assert scene_of(view_3d(store, 101, tmp_path / "b.html", footer=False))["footer"] == ""


def test_negative_values_are_items_of_their_own(store: Store, tmp_path: Path) -> None:
    name = store.aggregate([102], name="minus", hemisphere_rule="subtract_contralateral")
    found = items(view_3d(store, name, tmp_path / "a.html", level=0.2))
    assert positions(found["all (n = 1)"]).mean(axis=0) == pytest.approx([6.5, 4.5, 8.5], abs=0.05)
    assert positions(found["all (n = 1), negative"]).mean(axis=0) == pytest.approx([8.5, 4.5, 8.5], abs=0.05)


def test_halves_of_a_folded_version_are_contralateral_and_ipsilateral(store: Store, tmp_path: Path) -> None:
    folded = store.aggregate([101], name="folded", hemisphere_rule="fold_ipsilateral")
    assert scene_of(view_3d(store, folded, tmp_path / "a.html"))["sides"] == ["contra", "ipsi"]
    assert scene_of(view_3d(store, 101, tmp_path / "b.html"))["sides"] == ["L", "R"]


def test_twenty_experiments_have_different_colors() -> None:
    assert len(set(_palette(18))) == 18


def test_titles_cannot_break_the_page(store: Store, tmp_path: Path) -> None:
    title = '</script><script>alert("x")</script> & <b>@SCENE@</b>'
    path = view_3d(store, 101, tmp_path / "a.html", title=title)
    text = path.read_text(encoding="utf-8")
    assert scene_of(path)["title"] == title
    assert "<script>alert" not in text
    assert "http:" not in text.replace("http-equiv", "")
    assert "https:" not in text


def test_what_cannot_be_drawn_is_an_error(store: Store, version: DatasetVersion, tmp_path: Path) -> None:
    target = tmp_path / "a.html"
    with pytest.raises(InputError, match=r"path must end in \.html"):
        view_3d(store, version, tmp_path / "a.png")
    with pytest.raises(InputError, match="has no group 2"):
        view_3d(store, version, target, groups=[2])
    with pytest.raises(InputError, match="groups cannot be combined with experiments"):
        view_3d(store, 101, target, groups=[0])
    with pytest.raises(InputError, match="kind cannot be combined with a dataset version"):
        view_3d(store, version, target, kind="injection_density")
    with pytest.raises(InputError, match="spacing_um cannot be combined with a dataset version"):
        view_3d(store, version, target, spacing_um=50)
    for level in (-1, True, float("nan"), "high"):
        with pytest.raises(InputError, match=r"level must be a (positive|finite) number"):
            view_3d(store, 101, target, level=level)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="style"):
        view_3d(store, 101, target, style="cloud")  # type: ignore[arg-type]
    with pytest.raises(UnknownStructureError, match="XX"):
        view_3d(store, 101, target, regions="XX")
    with pytest.raises(InputError, match="no voxel of the annotation belongs to cm"):
        view_3d(store, 101, target, regions="cm")
    with pytest.raises(MissingDataError, match="experiment 201"):
        view_3d(store, 201, target)
    with pytest.raises(UnknownDatasetError):
        view_3d(store, "nothing", target)
    assert not target.exists()
    view_3d(store, 101, target)
    with pytest.raises(InputError, match="exists"):
        view_3d(store, 101, target)


@pytest.mark.parametrize("style", ["surface", "points"])
def test_the_page_draws_in_a_browser_without_network(
    store: Store, version: DatasetVersion, tmp_path: Path, style: Any
) -> None:
    from PIL import Image

    path = view_3d(store, version, tmp_path / "a.html", regions="CP", style=style, title="Both sides")
    assert path.stat().st_size < 5_000_000
    with opened_page(path) as opened:
        page = opened.page
        page.wait_for_selector("body[data-state=drawn]", timeout=30_000)

        def canvas(name: str) -> NDArray[np.float64]:
            page.wait_for_timeout(150)
            page.locator("canvas").screenshot(path=tmp_path / name)
            return np.asarray(Image.open(tmp_path / name).convert("RGB"), float)

        page.get_by_role("button", name="Above").click()
        above = canvas("above.png")
        # The orange of the first group is left of the green of the second, behind the middle: seen from above.
        orange = np.argwhere((above[..., 0] > 1.5 * above[..., 2] + 60) & (above[..., 0] > 1.5 * above[..., 1]))
        green = np.argwhere((above[..., 1] > 1.5 * above[..., 0] + 40) & (above[..., 1] > above[..., 2]))
        height, width = above.shape[:2]
        # Not the legend.
        orange, green = (each[each[:, 0] > height / 2] for each in (orange, green))
        assert len(orange) > 100
        assert len(green) > 100
        assert orange[:, 1].max() < width / 2 < green[:, 1].min()
        label = {text: page.locator(".end", has_text=text).bounding_box() for text in "LRAP"}
        assert label["L"]["x"] < label["R"]["x"]
        assert label["A"]["y"] < label["P"]["y"]
        page.get_by_label("left (n = 1)").uncheck()
        assert abs(canvas("without.png") - above).max() > 60
        page.mouse.move(450, 350)
        page.mouse.down()
        page.mouse.move(550, 300)
        page.mouse.up()
        assert abs(canvas("turned.png") - above).mean() > 1
        assert page.locator("h1").inner_text() == "Both sides"
        assert opened.messages == []
        assert opened.requests == [path.absolute().as_uri()]


# -- values by region -------------------------------------------------------------------------------------------------


def accepted_by_heatmap(values: Any) -> bool:
    """Whether brainglobe-heatmap takes it: numbers by acronym, or by 'left' and 'right' for each acronym."""
    for acronym, value in values.items():
        sides = value if isinstance(value, dict) else {"left": value}
        if not isinstance(acronym, str) or not sides or not set(sides) <= {"left", "right"}:
            return False
        if not all(type(each) is float for each in sides.values()):
            return False
    return True


def test_values_of_a_version_are_the_means_over_structures(store: Store, version: DatasetVersion) -> None:
    frame = store.datasets.regions(version, structures=["TH", "CP"], groups=1)
    both = frame[frame["hemisphere"] == "both"].set_index("structure")["mean"]
    values: Any = region_values(store, version, structures=["TH", "CP"], group=1)
    assert values == pytest.approx(both.to_dict())
    assert values["TH"] > 0
    sides: Any = region_values(store, "sides", structures=["TH", "CP"], group=1, by_hemisphere=True)
    assert sides["TH"]["left"] == 0
    assert sides["TH"]["right"] > 0
    assert accepted_by_heatmap(values)
    assert accepted_by_heatmap(sides)
    with pytest.raises(InputError, match="sides@1 has 2 groups, and group is not given"):
        region_values(store, version)


def test_the_contralateral_side_of_a_folded_version_is_left(store: Store) -> None:
    folded = store.aggregate([101], name="folded", hemisphere_rule="fold_ipsilateral")
    values: Any = region_values(store, folded, structures="TH", by_hemisphere=True)
    assert values["TH"]["left"] == 0
    assert values["TH"]["right"] > 0


def test_values_of_experiments_are_means_over_animals(store: Store) -> None:
    values = region_values(store, [101, 102], structures=["CP", "VISpm", "TH"], measure="projection_volume")
    assert values == pytest.approx({"CP": (0.5 + 0.05) / 2, "VISpm": 0.15, "TH": 0.0})
    sides: Any = region_values(store, [101, 102], structures="CP", measure="projection_volume", by_hemisphere=True)
    assert sides == {"CP": pytest.approx({"left": 0.075, "right": 0.2})}
    assert accepted_by_heatmap(values)
    with pytest.raises(InputError, match="group needs a dataset version"):
        region_values(store, [101], group=0)
    with pytest.warns(MissingUnionizesWarning), pytest.raises(MissingDataError, match="no unionize table"):
        region_values(store, [205])

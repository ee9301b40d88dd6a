"""The slice viewer in headless Chromium: values to the bit, addresses, keys, copied code; nothing from other hosts."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

import numpy as np
import pytest
import requests
from click.testing import CliRunner
from numpy.typing import NDArray

from bsv_store import Store, open_store
from bsv_store_cli.main import cli
from tests.browser import opened_browser, shown_texts
from tests.server.image_store import make_store
from tests.server.serving import serving

_WAIT_MS = 60_000
# The voxel AP 88, DV 15, ML 85, in the right VISp.
AT = "8850,1550,8550"
# Rendering of three dimensions in software takes time for each pixel.
SMALL: Any = {"width": 320, "height": 320}


@dataclass
class Viewer:
    """The viewer in a browser, with what it logged and requested."""

    page: Any
    url: str
    store: Store
    messages: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def note_message(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.messages.append(message.text)

    def open(self, query: str) -> None:
        self.page.goto(f"{self.url}/view?{query}")
        self.page.wait_for_selector("#viewer[data-limits]", timeout=_WAIT_MS)

    def value(self, key: str) -> str:
        """The value at the cross-hair without rounding, as text."""
        found = self.page.wait_for_selector(f"#readout output[data-set='{key}'][data-value]", timeout=_WAIT_MS)
        return str(found.get_attribute("data-value"))

    def address(self) -> str:
        """The parameters of the address, which is written after a pause."""
        self.page.wait_for_timeout(400)
        return str(self.page.evaluate("location.search"))


@pytest.fixture(scope="module")
def location(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("viewer") / "store"
    make_store(folder)
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with opened_browser() as opened:
        yield opened


@pytest.fixture
def viewer(location: Path, browser: Any) -> Iterator[Viewer]:
    with opened_viewer(location, browser, viewport={"width": 1440, "height": 900}) as opened:
        yield opened


@pytest.fixture
def phone(location: Path, browser: Any) -> Iterator[Viewer]:
    with opened_viewer(location, browser, viewport={"width": 390, "height": 844}, has_touch=True) as opened:
        yield opened


@contextlib.contextmanager
def opened_viewer(location: Path, browser: Any, **options: Any) -> Iterator[Viewer]:
    with open_store(location, read_only=True) as store, serving(store) as url:
        page = browser.new_page(**options)
        found = Viewer(page, url, store)
        page.on("console", found.note_message)
        page.on("pageerror", lambda error: found.messages.append(str(error)))
        page.on("request", lambda request: found.requests.append(request.url))
        yield found
        page.close()
        assert found.messages == []
        outside = [each for each in found.requests if not each.startswith((f"{url}/", "data:", f"blob:{url}/"))]
        assert outside == []


def exact(value: np.floating[Any]) -> float:
    return float(value)


def test_the_read_out_is_the_value_of_the_library(viewer: Viewer) -> None:
    mean = viewer.store.dataset("lines").mean
    voxel = (88, 15, 85)
    viewer.open(f"version=lines@1&group=0,1&minus=1&at={AT}")
    for key, value in (("g0", mean[0][voxel]), ("g1", mean[1][voxel]), ("g0-1", (mean[0] - mean[1])[voxel])):
        assert float(viewer.value(key)) == exact(value), key
    # The annotation is requested after the values.
    viewer.page.wait_for_function(
        'document.querySelector("#readout .structure").textContent.includes("VISp")', timeout=_WAIT_MS
    )
    # A click in the sagittal plane of the second group: the others follow.
    canvas = viewer.page.locator("canvas[data-plane=sagittal][data-set=g1]")
    box = canvas.bounding_box()
    ap, dv = 91, 12
    canvas.click(position={"x": (ap + 0.5) / 132 * box["width"], "y": (dv + 0.5) / 80 * box["height"]})
    viewer.page.wait_for_function(
        "expected => document.querySelector(\"#readout output[data-set='g0']\").dataset.value === String(expected)",
        arg=exact(mean[0][ap, dv, 85]),
        timeout=_WAIT_MS,
    )
    assert float(viewer.value("g1")) == exact(mean[1][ap, dv, 85])


def test_a_large_volume_is_shown_and_has_no_data_elsewhere(viewer: Viewer) -> None:
    volume = viewer.store.volumes.read(1, spacing_um=25, box=((5000, 5200), (0, 8000), (0, 11400)))
    plane, row, column = np.argwhere(volume)[0].tolist()
    at = [(each + 0.5) * 25 for each in (200 + plane, row, column)]
    viewer.open(f"experiment=1&spacing_um=25&at={','.join(str(round(each)) for each in at)}")
    assert float(viewer.value("volume")) == exact(volume[plane, row, column])
    viewer.open("experiment=1&at=9050,1550,8550")
    assert viewer.value("volume") == "NaN"
    assert viewer.page.text_content("#readout output") == "no data"


@pytest.mark.parametrize("query", ["version=lines@1&group=0,1&minus=1", "experiment=1", "experiment=1&spacing_um=25"])
def test_every_download_is_answered(viewer: Viewer, query: str) -> None:
    viewer.open(query)
    viewer.page.click("#open-download")
    links = viewer.page.eval_on_selector_all("#downloads a[href]", "found => found.map(each => each.href)")
    assert len(links) >= 6
    # The ontology of this store has no structure sets, which the means by structure need.
    answers = [requests.get(each, timeout=60) for each in links if "/regions.csv" not in each]
    assert [(each.url, each.text) for each in answers if each.status_code != 200] == []


def test_an_image_opens_in_neuroglancer_and_its_address_can_be_copied(viewer: Viewer) -> None:
    viewer.open(f"version=lines@1&group=1&minus=0&at={AT}")
    viewer.page.click("#open-download")
    link = viewer.page.locator("#neuroglancer")
    site, _, fragment = link.get_attribute("href").partition("/#!")
    assert site == "https://neuroglancer-demo.appspot.com"
    view = json.loads(unquote(fragment))
    [layer] = view["layers"]
    assert layer["source"] == f"precomputed://{viewer.url}/v1/images/precomputed/version/lines@1/mean/1"
    assert requests.get(f"{layer['source'].removeprefix('precomputed://')}/info", timeout=60).status_code == 200
    assert view["position"] == [88.5, 15.5, 85.5]
    assert view["dimensions"]["z"] == [0.0001, "m"]
    # It must get no information about this page.
    assert link.get_attribute("target") == "_blank"
    assert "noopener" in link.get_attribute("rel")
    viewer.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    viewer.page.click("[data-copy=neuroglancer-address]")
    viewer.page.locator("[data-copy=neuroglancer-address]", has_text="Copied").wait_for()
    assert viewer.page.evaluate("navigator.clipboard.readText()") == layer["source"]


def test_keys_move_the_cross_hair_and_the_address_restores_it(viewer: Viewer) -> None:
    viewer.open(f"version=lines@1&at={AT}&plane=coronal")
    viewer.page.locator("canvas[data-plane=coronal]").focus()
    for key in ("ArrowRight", "ArrowDown", "PageDown", "Shift+PageDown"):
        viewer.page.keyboard.press(key)
    assert "at=9950,1650,8650" in viewer.address()
    viewer.page.keyboard.press("o")
    assert "outlines=none" in viewer.address()
    viewer.page.keyboard.press("g")
    assert "group=1" in viewer.address()
    shown = viewer.value("g1")
    address = viewer.page.url
    viewer.page.go_back()
    viewer.page.wait_for_selector("canvas[data-set=g0]", timeout=_WAIT_MS)
    assert "group=0" in viewer.page.url
    viewer.page.goto(address)
    assert viewer.value("g1") == shown
    viewer.page.keyboard.press("?")
    assert viewer.page.locator("#dialog-help").is_visible()


def test_what_is_not_valid_has_its_default(viewer: Viewer) -> None:
    viewer.open(f"version=lines@1&at={AT}&map=nope&vmax=-3")
    assert viewer.page.input_value("#map") == "auto"
    assert viewer.page.input_value("#vmax") == ""
    viewer.page.fill("#at-0", "")
    viewer.page.keyboard.press("Tab")
    assert viewer.page.input_value("#at-0") == "8.85"


def test_a_structure_is_found_by_its_name(viewer: Viewer) -> None:
    viewer.open(f"version=lines@1&at={AT}")
    viewer.page.fill("#jump", "VISpm")
    viewer.page.keyboard.press("Enter")
    viewer.page.wait_for_function("() => location.search.includes('structure=VISpm')", timeout=_WAIT_MS)
    ap, dv, ml = (float(each) for each in viewer.page.url.split("at=")[1].split("&")[0].split(","))
    assert 8000 <= ap < 10_000
    assert 1000 <= dv < 2000
    assert 6200 <= ml < 7200


def test_a_name_that_is_not_allens_is_answered_beside_its_field(viewer: Viewer) -> None:
    viewer.open(f"version=lines@1&at={AT}")
    viewer.page.fill("#jump", "V1")
    viewer.page.keyboard.press("Enter")
    viewer.page.wait_for_selector("#jump-problem:not(:empty)", timeout=_WAIT_MS)
    assert "use VISp (the VISp) for V1" in viewer.page.text_content("#jump-problem")
    assert "structure=" not in viewer.address()
    viewer.page.fill("#jump", "VISpm")
    viewer.page.keyboard.press("Enter")
    viewer.page.wait_for_function("() => location.search.includes('structure=VISpm')", timeout=_WAIT_MS)
    assert not viewer.page.is_visible("#jump-problem")
    # Chromium logs every reply with an error status.
    assert all("404 (Not Found)" in each for each in viewer.messages)
    viewer.messages.clear()


def test_what_the_version_does_not_have_is_not_replaced_silently(viewer: Viewer) -> None:
    viewer.open(f"version=lines@1&group=0,9&minus=8&statistic=sem&at={AT}")
    viewer.page.wait_for_selector("#address-problem:not(:empty)", timeout=_WAIT_MS)
    words = viewer.page.text_content("#address-problem")
    assert words == "lines@1 does not have what the address names: group 9, group 8, statistic sem."
    viewer.page.check("#groups input[value='1']")
    viewer.page.wait_for_selector("#address-problem", state="hidden", timeout=_WAIT_MS)
    viewer.open(f"version=lines@1&group=1,0&minus=1&statistic=mean&at={AT}")
    viewer.page.wait_for_selector("#viewer[data-ready]", timeout=_WAIT_MS)
    assert not viewer.page.is_visible("#address-problem")


def test_the_read_out_shows_whole_labels(viewer: Viewer) -> None:
    viewer.open(f"version=lines@1&group=0,1&minus=1&at={AT}")
    viewer.value("g0-1")
    widths = "each => each.map(name => [name.scrollWidth, name.clientWidth])"
    names = viewer.page.eval_on_selector_all("#readout .value span", widths)
    assert len(names) == 3
    assert all(scrolled <= width for scrolled, width in names)


def test_copied_code_gives_the_values_and_the_figures(
    viewer: Viewer, location: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")
    viewer.open(f"version=lines@1&group=0,1&minus=1&at={AT}")
    viewer.page.click("#open-code")
    python, commands = (viewer.page.text_content(f"#code-{name}") for name in ("python", "command"))
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(python.replace(viewer.url, str(location)), names)
    mean = names["version"].mean
    assert np.array_equal(names["coronal_0"], mean[0][88], equal_nan=True)
    assert np.array_equal(names["sagittal_1"], mean[1][:, :, 85].T, equal_nan=True)
    assert np.array_equal(names["horizontal_0_minus_1"], (mean[0] - mean[1])[:, 15], equal_nan=True)
    names["store"].close()
    by_python = {path.name: path.read_bytes() for path in tmp_path.glob("*.png")}
    assert len(by_python) == 6
    lines = commands.splitlines()
    assert len(lines) == 6
    for path in tmp_path.glob("*.png"):
        path.unlink()
    # A plane of the groups, and one of the difference.
    for line in (lines[0], lines[-1]):
        program, *arguments = shlex.split(line.replace(viewer.url, str(location)))
        assert program == "bsv-store"
        result = CliRunner().invoke(cli, arguments)
        assert result.exit_code == 0, result.output
    by_command = {path.name: path.read_bytes() for path in tmp_path.glob("*.png")}
    assert sorted(by_command) == ["coronal.png", "horizontal-difference.png"]
    assert by_command.items() <= by_python.items()


def drawn(volume: NDArray[np.float32]) -> NDArray[np.float32]:
    """The strengths that are drawn, ascending, since files have their axes in another order."""
    strong = volume[np.abs(volume) > 0.081]
    return np.sort(strong)


def added(viewer: Viewer) -> NDArray[np.float32]:
    """The volume that the view in three dimensions has: the places of values on the color scale, from -1 to 1."""
    text = viewer.page.evaluate(
        """() => {
          const { buffer, byteOffset, byteLength } = Float32Array.from(window.added.img);
          const bytes = new Uint8Array(buffer, byteOffset, byteLength);
          let text = "";
          for (let at = 0; at < bytes.length; at += 30000) {
            text += btoa(String.fromCharCode(...bytes.subarray(at, at + 30000)));
          }
          return text;
        }"""
    )
    return np.frombuffer(base64.b64decode(text), "<f4")


# One page for all of this, since each takes many seconds to draw the first image in software.
def test_three_dimensions_are_loaded_when_asked_for_and_show_the_difference_or_a_group(viewer: Viewer) -> None:
    viewer.page.set_viewport_size(SMALL)
    viewer.open(f"version=lines@1&group=0&minus=1&at={AT}")
    assert not any("niivue" in each for each in viewer.requests)
    # Notes what the view is given.
    viewer.page.evaluate(
        """() => {
          let library;
          Object.defineProperty(window, "niivue", {
            set(value) { library = value; },
            get() {
              const { prototype } = library?.Niivue ?? {};
              if (prototype && !prototype.isObserved) {
                const add = prototype.addVolume;
                prototype.isObserved = true;
                prototype.addVolume = function (volume) {
                  window.added = volume;
                  return add.call(this, volume);
                };
              }
              return library;
            },
          });
        }"""
    )
    viewer.page.click("#solid-show")
    viewer.page.wait_for_selector("#viewer[data-solid='g0-1']", timeout=_WAIT_MS)
    assert any("niivue" in each for each in viewer.requests)
    assert "view=solid" in viewer.address()
    mean = viewer.store.dataset("lines").mean
    high = float(viewer.page.get_attribute("#dmax", "placeholder"))
    expected = drawn(np.clip((mean[0] - mean[1]) / high, -1, 1))
    assert drawn(added(viewer)) == pytest.approx(expected, abs=1e-5)
    assert expected.min() < 0 < expected.max()
    # The groups can be chosen too, and the address has the choice.
    viewer.page.select_option("#solid-set", "g0")
    viewer.page.wait_for_selector("#viewer[data-solid='g0']", timeout=_WAIT_MS)
    assert "solid=g0" in viewer.address()
    high = float(viewer.page.get_attribute("#vmax", "placeholder"))
    assert drawn(added(viewer)) == pytest.approx(drawn(np.sqrt(np.clip(mean[0] / high, 0, 1))), abs=1e-5)
    viewer.page.click("#solid-hide")
    assert viewer.page.locator("#solid-view").is_hidden()
    assert "view=solid" not in viewer.address()


def test_names_with_characters_that_change_the_direction_are_shown_with_escapes(viewer: Viewer) -> None:
    hidden = "\u202e"

    def reply(route: Any) -> None:
        content = route.fetch().json()
        if isinstance(content, list):
            content = [[row[0], row[1] + hidden, row[2] + hidden, *row[3:]] for row in content]
        else:
            content["groups"] = [{**each, "label": each["label"] + hidden} for each in content["groups"]]
            content["quantity"] += hidden
        route.fulfill(json=content)

    viewer.page.route(re.compile("images/(info|structures)"), reply)
    viewer.open(f"version=lines@1&group=0,1&minus=1&at={AT}")
    viewer.value("g0")
    viewer.page.locator("canvas[data-plane=coronal]").first.hover()
    viewer.page.click("#open-download")
    texts = shown_texts(viewer.page)
    assert sum("\\u202e" in each for each in texts) > 5
    assert not [each for each in texts if hidden in each]


def test_the_planes_of_one_image_fill_the_width_without_scrolling(viewer: Viewer) -> None:
    viewer.open(f"version=lines@1&group=0&at={AT}")
    stage = viewer.page.locator("#stage").bounding_box()
    boxes = [viewer.page.locator(f".cell.{name}").bounding_box() for name in ("coronal", "sagittal", "horizontal")]
    assert max(box["x"] + box["width"] for box in boxes) == pytest.approx(stage["x"] + stage["width"], abs=2)
    assert max(box["y"] + box["height"] for box in boxes) <= 900
    drawn = viewer.page.locator("canvas[data-plane=sagittal]").bounding_box()["width"]
    drawn += viewer.page.locator("canvas[data-plane=horizontal]").bounding_box()["width"]
    assert drawn > 0.9 * stage["width"]


def test_the_page_fits_a_phone(phone: Viewer) -> None:
    phone.open(f"version=lines@1&group=0,1&at={AT}")
    assert phone.page.evaluate("document.documentElement.scrollWidth") <= 390
    assert phone.page.locator("#strip").is_visible()


class Fingers:
    """Touches on one element, by the protocol of the browser, so that it also scrolls."""

    def __init__(self, page: Any, selector: str) -> None:
        self.protocol = page.context.new_cdp_session(page)
        self.touched = page.locator(selector)

    def __call__(self, *steps: tuple[tuple[float, float], ...]) -> None:
        """Put fingers down, move them from step to step, and lift them; positions are parts of width and height."""
        box = self.touched.bounding_box()
        for number, step in enumerate((*steps, ())):
            points = [{"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]} for x, y in step]
            if not step:
                # A pause before the fingers are lifted, so that the page does not keep scrolling.
                self.touched.page.wait_for_timeout(120)
            kind = "touchEnd" if not step else "touchMove" if number else "touchStart"
            self.protocol.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})


def state_of(phone: Viewer) -> tuple[list[float], float, float]:
    """Position in um, zoom, and how far the page is scrolled."""
    query = dict(parse_qsl(phone.address().lstrip("?")))
    return [float(each) for each in query["at"].split(",")], float(query.get("zoom", 1)), phone.page.evaluate("scrollY")


def test_one_finger_scrolls_vertically_and_moves_the_cross_hair_sideways(phone: Viewer) -> None:
    phone.open(f"version=lines@1&at={AT}")
    fingers = Fingers(phone.page, "canvas[data-plane=sagittal]")
    start = [float(each) for each in AT.split(",")]
    # Upward: the page follows, the cross-hair stays.
    fingers(*(((0.5, each / 10),) for each in range(9, -9, -2)))
    at, zoom, scrolled = state_of(phone)
    assert (at, zoom) == (start, 1)
    assert scrolled > 100
    # Sideways and then down: the cross-hair follows, the page stays.
    phone.page.evaluate("scrollTo(0, 200)")
    fingers(((0.2, 0.3),), ((0.3, 0.3),), ((0.5, 0.3),), ((0.6, 0.5),))
    at, zoom, after = state_of(phone)
    assert at == pytest.approx([0.6 * 13_200, 0.5 * 8_000, start[2]], abs=100)
    assert (zoom, after) == (1, 200)
    fingers(((0.25, 0.75),))
    at, _, _ = state_of(phone)
    assert at == pytest.approx([0.25 * 13_200, 0.75 * 8_000, start[2]], abs=100)
    # Two fingers apart: the image grows, even if they move up and down.
    fingers(((0.5, 0.4), (0.5, 0.6)), ((0.5, 0.3), (0.5, 0.7)), ((0.5, 0.2), (0.5, 0.8)))
    pinched, zoom, after = state_of(phone)
    assert pinched == at
    assert zoom == pytest.approx(3, rel=0.2)
    assert after == 200


def test_unknown_names_are_explained(location: Path, browser: Any) -> None:
    with open_store(location, read_only=True) as store, serving(store) as url:
        page = browser.new_page()
        reply = page.goto(f"{url}/view?version=nope@1")
        assert reply.status == 404
        assert "nope" in page.text_content("main")
        page.goto(f"{url}/view")
        assert page.locator("a[href*='version=lines%401'], a[href*='version=lines@1']").count() == 1
        page.close()

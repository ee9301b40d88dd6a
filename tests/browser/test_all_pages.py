"""All pages on a phone and in both themes: width, size of targets, and contrast of texts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from bsv_store import Selection, Store
from tests.browser import opened_browser
from tests.server.pages_store import EXCLUDED, pages_store
from tests.server.serving import serving
from tests.server.test_pages import PAGES

ADDRESSES = (
    # One experiment is enough.
    *(path for path in PAGES if path not in (f"/experiments/{EXCLUDED}", "/experiments/205")),
    f"/experiments?selection={Selection(injected_in='VISp', line='wild-type').to_json()}",
    "/view?version=sides@1&group=0,1&minus=1",
    "/view?experiment=101",
    "/docs",
    "/nowhere",
)
# What the scripts of some pages add last.
ADDED = {"/experiments": "#table tbody tr", "/view": "#viewer[data-limits]"}

# Controls that are smaller than 24 pixels, except links within sentences (WCAG 2.2, 2.5.8).
SMALL = r"""() => {
  const found = [];
  for (const each of document.querySelectorAll("a[href], button, input, select, textarea, summary")) {
    if (!each.checkVisibility({ visibilityProperty: true })) continue;
    const { width, height, right } = (each.closest("label") ?? each).getBoundingClientRect();
    const texts = [...each.parentElement.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE);
    const isInSentence = each.matches("p a") && texts.some((node) => /\w/.test(node.data));
    // The link that skips to the content is beside the page until it has the focus.
    const isTooSmall = (width < 24 || height < 24) && right > 0;
    if (isTooSmall && !isInSentence) found.push(`${each.outerHTML}: ${width} x ${height}`);
  }
  return found;
}"""

# Texts whose contrast with what is behind them is below 4.5, or 3 if they are large (WCAG 2.2, 1.4.3).
FAINT = r"""() => {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const luminance = (colors) => {
    for (const color of ["white", ...colors]) {
      context.fillStyle = color;
      context.fillRect(0, 0, 1, 1);
    }
    const [red, green, blue] = [...context.getImageData(0, 0, 1, 1).data].map((part) => {
      const light = part / 255;
      return light <= 0.04045 ? light / 12.92 : ((light + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const found = new Set();
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walk.nextNode(); node; node = walk.nextNode()) {
    const element = node.parentElement;
    const { color, fontSize, fontWeight } = getComputedStyle(element);
    const size = parseFloat(fontSize);
    if (!node.data.trim() || !size || element.closest(":disabled")) continue;
    if (!element.checkVisibility({ visibilityProperty: true })) continue;
    const behind = [];
    for (let each = element; each; each = each.parentElement) behind.unshift(getComputedStyle(each).backgroundColor);
    const [dark, light] = [luminance(behind), luminance([...behind, color])].sort((a, b) => a - b);
    const ratio = (light + 0.05) / (dark + 0.05);
    const isLarge = size >= 24 || (size >= 18.66 && Number(fontWeight) >= 700);
    if (ratio < (isLarge ? 3 : 4.5)) found.add(`${node.data.trim()}: ${ratio.toFixed(2)} in ${element.outerHTML}`);
  }
  return [...found];
}"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with pages_store(tmp_path_factory.mktemp("all-pages") / "store") as opened:
        yield opened


@pytest.fixture(scope="module")
def phone(store: Store) -> Iterator[Any]:
    """A page as large as the screen of a phone, with addresses relative to the server."""
    with serving(store) as url, opened_browser() as browser:
        context = browser.new_context(
            base_url=url, viewport={"width": 390, "height": 844}, has_touch=True, reduced_motion="reduce"
        )
        yield context.new_page()


@pytest.mark.parametrize("address", ADDRESSES)
def test_pages_fit_a_phone_with_large_targets_and_legible_text(phone: Any, address: str) -> None:
    phone.goto(address)
    path, is_scripted, _ = address.partition("?")
    if path == "/experiments" or is_scripted:
        phone.wait_for_selector(ADDED[path])
    phone.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    assert phone.evaluate(SMALL) == []
    for theme in ("light", "dark"):
        phone.emulate_media(color_scheme=theme)
        assert phone.evaluate(FAINT) == [], theme

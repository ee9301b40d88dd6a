"""Pages in headless Chromium, through Playwright. Tests skip, with the reason, where one of them is not installed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

# In the order in which they are tried; None is the Chromium that Playwright installed.
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = ("--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")


@dataclass
class OpenPage:
    """A page, with what it logged and requested."""

    page: Any
    messages: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@contextmanager
def opened_page(path: Path, *, width: int = 900, height: int = 700) -> Iterator[OpenPage]:
    """A file in a new browser window."""
    with opened_address(path.absolute().as_uri(), width=width, height=height) as opened:
        yield opened


@contextmanager
def opened_address(address: str, *, width: int = 1440, height: int = 900) -> Iterator[OpenPage]:
    """An address in a new browser window."""
    with opened_browser() as browser:
        opened = OpenPage(browser.new_page(viewport={"width": width, "height": height}))
        opened.page.on("console", lambda message: opened.messages.append(message.text))
        opened.page.on("pageerror", lambda error: opened.messages.append(str(error)))
        opened.page.on("request", lambda request: opened.requests.append(request.url))
        opened.page.goto(address)
        yield opened


_SHOWN = """() => {
  const found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT | NodeFilter.SHOW_ELEMENT);
  for (let node = walk.nextNode(); node; node = walk.nextNode()) {
    if (node.nodeType === Node.TEXT_NODE) found.push(node.data);
    else for (const name of ["title", "aria-label", "placeholder"]) found.push(node.getAttribute(name) ?? "");
  }
  return found;
}"""


def shown_texts(page: Any) -> list[str]:
    """All texts of a page, and those that appear over an element or are read aloud."""
    found: list[str] = page.evaluate(_SHOWN)
    return found


@contextmanager
def opened_browser() -> Iterator[Any]:
    """A browser without a page."""
    api = pytest.importorskip("playwright.sync_api", reason="no browser: playwright is not installed")
    executable = next((found for name in _NAMES if (found := shutil.which(name))), None)
    if executable is None:
        pytest.skip(f"no browser: none of {', '.join(_NAMES)} is installed")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(_FLAGS))
        yield browser
        browser.close()

"""The frame of every page: head, header with navigation, footer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from starlette.responses import HTMLResponse

from bsv_store._version import __version__
from bsv_store.reports.html_page.markup import Content, Markup, element, joined
from bsv_store.server.context import context_of
from bsv_store.server.data.etags import with_etag
from bsv_store.server.pages.address import address, base_of
from bsv_store.server.pages.assets import asset_address
from bsv_store.server.pages.compression import compressed
from bsv_store.server.pages.kept import kept_of
from bsv_store.server.pages.parts import notes
from bsv_store.text import number_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from bsv_store.catalog.tables.status import CatalogCounts

Place = Literal["/", "/experiments", "/structures", "/datasets", "/view", "/docs"]
"""The address of an entry of the navigation."""

_PLACES: tuple[tuple[Place, str], ...] = (
    ("/experiments", "Experiments"),
    ("/structures", "Structures"),
    ("/datasets", "Datasets"),
    ("/view", "Viewer"),
    ("/docs", "API"),
)
# Loaded by every page: the first before anything is drawn.
_STYLES = ("colors.css", "style.css")
_SCRIPTS = ("shell.js",)


def page(
    request: Request,
    title: str,
    *content: Content,
    current: Place | None = None,
    styles: Sequence[str] = (),
    scripts: Sequence[str] = (),
    wide: bool = False,
    bare: bool = False,
    status: int = 200,
) -> Response:
    """A page of the application.

    Parameters
    ----------
    request : Request
    title : str
        Of the window; the content has its own heading.
    *content : str, Markup, None or iterables of these
        The content of ``<main>``; text is escaped.
    current : str, optional
        Address of the entry of the navigation that is marked as the current one.
    styles, scripts : sequence of str
        Names of assets: style sheets, and modules that run after the page is parsed.
    wide : bool
        Whether the page uses the whole width of the window.
    bare : bool
        Without navigation and anything about the store, for visitors who are not logged in.
    status : int
        Of the response.
    """
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", f"{title} · bsv-store"),
        element("script", src=asset_address(request, "theme.js")),
        element("link", rel="icon", href=asset_address(request, "icon.svg"), type="image/svg+xml"),
        (element("link", rel="stylesheet", href=asset_address(request, name)) for name in (*_STYLES, *styles)),
        (element("script", src=asset_address(request, name), type="module") for name in (*_SCRIPTS, *scripts)),
    )
    body = element(
        "body",
        element("a", "Skip to the content", href="#content", class_="skip"),
        _header(request, current, bare=bare),
        None if bare else _damage(request),
        element("main", *content, id="content", tabindex=-1),
        _footer(request, bare=bare),
        class_="wide" if wide else None,
    )
    document = element("html", joined(head, body), lang="en", data_base=base_of(request))
    reply = HTMLResponse(f"<!DOCTYPE html>\n{document}\n", status_code=status)
    if status == 200:
        return compressed(request, with_etag(request, reply))
    reply.headers["Cache-Control"] = "no-cache"
    return reply


def _header(request: Request, current: Place | None, *, bare: bool) -> Markup:
    mark = element("img", src=asset_address(request, "icon.svg"), alt="", width=26, height=26)
    identity = counts = navigation = None
    if not bare:
        store = context_of(request).store
        identity = element("small", store.config.store_id[:8], title="Id of the store")
        counts = element("p", _in_words(kept_of(request).counts.get(store)), class_="counts")
        links = (
            element("li", element("a", words, href=address(request, path), aria_current=_current(path, current)))
            for path, words in _PLACES
        )
        navigation = element("nav", element("ul", links), aria_label="Main")
    brand = element(
        "a",
        mark,
        element("span", "bsv-store", identity),
        href=address(request, "/"),
        class_="brand",
        aria_current="page" if current == "/" else None,
    )
    switch = element(
        "button", "Theme", type="button", id="theme", class_="quiet", title="Switch between light and dark", hidden=True
    )
    return element("header", element("div", brand, navigation, counts, switch, class_="top-bar"), class_="top")


def _in_words(counts: CatalogCounts) -> str:
    volumes = sum(each.volumes for each in counts.volumes)
    counted = ((counts.current_experiments, "experiment"), (volumes, "volume"), (counts.datasets, "dataset"))
    return " · ".join(number_of(number, what) for number, what in counted)


def _damage(request: Request) -> Markup | None:
    """The damage of the catalog, for every page, because pages that do not need the damaged rows still open."""
    found = kept_of(request).damage.get(context_of(request).store)
    if not found:
        return None
    command = element("code", "bsv-store catalog verify")
    repair = ("To the administrator of the store: ", command, " lists all damage and says what to do.")
    return element("div", notes(request, found), element("p", repair, class_="warning", role="note"), class_="damage")


def _current(path: Place, current: Place | None) -> str | None:
    return "page" if path == current else None


def _footer(request: Request, *, bare: bool) -> Markup:
    words = f"bsv-store {__version__} · data: Allen Mouse Brain Connectivity Atlas"
    links: list[Content] = []
    if not bare:
        places = [("Cite", address(request, "/cite")), ("Licenses", address(request, "/licenses"))]
        links += [element("a", name, href=to) for name, to in places]
        if context_of(request).options.requires_token:
            button = element("button", "Sign out", type="submit", class_="quiet")
            links.append(element("form", button, method="post", action=address(request, "/logout")))
    listed = element("ul", (element("li", each) for each in links)) if links else None
    return element("footer", element("div", element("p", words), listed), class_="bottom")

"""The slice viewer: three linked planes of a version or a volume."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from starlette.routing import Route

from bsv_store.datasets.share.citation import CHECK_FIRST
from bsv_store.reports.html_page.markup import Content, Markup, element, joined
from bsv_store.server.access.headers import content_security_policy
from bsv_store.server.context import context_of
from bsv_store.server.images.facts import source_facts
from bsv_store.server.pages.address import address, public_address
from bsv_store.server.pages.assets import asset_address
from bsv_store.server.pages.citing import atlas_citation
from bsv_store.server.pages.parts import code, folded, hint
from bsv_store.server.pages.shell import page
from bsv_store.server.pages.viewer_start import start_page

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

_STYLES = ("viewer/viewer.css",)
_SCRIPTS = ("viewer/main.js",)
_NEUROGLANCER = "https://neuroglancer-demo.appspot.com"
_NAMED = ("version", "experiment", "kind", "spacing_um")

_KEYS: tuple[tuple[str, str], ...] = (
    ("← → ↑ ↓", "move the cross-hair in the selected plane by a voxel; with Shift by ten"),
    ("Page Up, Page Down", "previous or next plane; with Shift by ten"),
    ("1, 2, 3", "select the coronal, sagittal or horizontal plane"),
    ("+, −, 0", "zoom in, zoom out, show all"),
    ("G, Shift G", "next or previous group"),
    ("O", "outlines on or off"),
    ("C", "cross-hair on or off"),
    ("[, ]", "lower or raise the upper end of the color scale"),
    ("J", "go to a structure"),
    ("V", "planes or three dimensions"),
    ("?", "this list"),
)
_GESTURES: tuple[tuple[str, str], ...] = (
    ("Click or drag", "move the cross-hair; the other planes follow"),
    ("One finger", "tap, or drag starting sideways, to move the cross-hair; up or down scrolls the page"),
    ("Wheel", "previous or next plane; with Ctrl zoom"),
    ("Two fingers", "pinch to zoom, drag to move the image"),
    ("Shift and drag", "move the image, when zoomed in"),
)


def _viewer(request: Request) -> Response:
    given = {name: request.query_params[name] for name in _NAMED if name in request.query_params}
    if not {"version", "experiment"} & set(given):
        return start_page(request)
    store = context_of(request).store
    facts = source_facts(store, given)
    citation = store.datasets.cite(facts["version"]) if "version" in facts else None
    name = str(facts.get("version") or facts["title"])
    if citation is None:
        cited = atlas_citation([facts["experiment"]])
    else:
        cited = joined(
            element("p", CHECK_FIRST, class_="soft small"),
            code("cite-text", f"{citation.methods}\n\n{citation.acknowledgement}", heading="Text"),
            folded("BibTeX", code("cite-bibtex", citation.bibtex)),
            folded("RIS", code("cite-ris", citation.ris.replace("\r\n", "\n"))),
        )
    reply = page(
        request,
        f"{name}, viewer",
        _heading(request, facts),
        element(
            "div",
            _controls(),
            element(
                "div",
                element("p", id="address-problem", class_="problem", role="alert"),
                element("div", id="stage", class_="stage", aria_label="Planes", role="group"),
                element(
                    "div",
                    element(
                        "button",
                        "Show in three dimensions",
                        type="button",
                        id="solid-show",
                        aria_controls="solid-view",
                    ),
                    element("select", id="solid-set", hidden=True, aria_label="Image in three dimensions"),
                    element("button", "Hide", type="button", id="solid-hide", hidden=True),
                    element("div", id="solid-view", class_="solid-view", hidden=True),
                    id="solid",
                    class_="solid",
                    hidden=True,
                ),
                element("div", id="strip", class_="strip", aria_hidden="true"),
                element("p", id="viewer-status", class_="viewer-status", role="status"),
                class_="viewer-main",
            ),
            element("div", id="hover", class_="hover", hidden=True, aria_hidden="true"),
            element(
                "noscript", element("p", "The viewer needs JavaScript.", class_="problem"),
            ),
            class_="viewer",
            id="viewer",
            data_store=public_address(request),
            data_niivue=asset_address(request, "vendored/niivue.umd.js"),
        ),
        _dialog("dialog-download", "Download", element("div", id="downloads"), _neuroglancer(request)),
        _dialog(
            "dialog-code",
            "Copy as code",
            element("p", "This code gives the values and the figures of the planes on the screen.", class_="soft"),
            code("code-python", "", heading="Python"),
            code("code-command", "", heading="Command line"),
        ),
        _dialog("dialog-cite", "Cite", cited),
        _dialog("dialog-help", "Keys and gestures", _list(_KEYS), _list(_GESTURES)),
        styles=_STYLES,
        scripts=_SCRIPTS,
        current="/view",
        wide=True,
    )  # fmt: skip
    # NiiVue has its fonts as pictures in its own code.
    reply.headers["Content-Security-Policy"] = content_security_policy({"img-src": ("data:",)})
    return reply


def _heading(request: Request, facts: dict[str, object]) -> Markup:
    if "version" in facts:
        title: Content = element("a", str(facts["version"]), href=address(request, f"/datasets/{facts['version']}"))
        words = f"{facts['quantity']}, {', '.join(_texts(facts['rules']))}"
    else:
        title = element("a", str(facts["title"]), href=address(request, f"/experiments/{facts['experiment']}"))
        words = f"{facts['injection']}; {facts['quantity']}"
    buttons = (
        element("button", words, type="button", id=f"open-{name}", data_dialog=f"dialog-{name}")
        for name, words in (("download", "Download"), ("code", "Copy as code"), ("cite", "Cite"))
    )
    return element(
        "div",
        element(
            "div",
            element("h1", title),
            element("p", words, class_="soft small"),
            class_="viewer-title",
        ),
        element(
            "div",
            element("button", "Copy link", type="button", id="copy-link"),
            buttons,
            element("button", "?", type="button", id="open-help", data_dialog="dialog-help", aria_label="Help"),
            class_="viewer-actions",
        ),
        class_="viewer-head",
    )  # fmt: skip


def _neuroglancer(request: Request) -> Markup:
    """The first image in Neuroglancer, and what that needs; the script of the page adds the addresses."""
    options = context_of(request).options
    link: Markup | None = element(
        "p",
        element(
            "a",
            "Open in Neuroglancer",
            id="neuroglancer",
            class_="button",
            target="_blank",
            rel="noopener noreferrer",
            data_site=_NEUROGLANCER,
        ),
    )
    needs = (
        "Neuroglancer is a web application on the internet. In your browser, it reads the image from this server, at "
        "the address below."
    )
    if options.requires_token:
        link = None
        needs += " It cannot send the token that this server requires: download a file, or use a program that can."
    elif _NEUROGLANCER not in options.allow_origin:
        needs += f" The server permits this if it is started with `--allow-origin {_NEUROGLANCER}`."
    return joined(
        element("h3", "Neuroglancer, cloud-volume, TensorStore"),
        link,
        hint(needs),
        code("neuroglancer-address", "", heading="Address of the image"),
    )


def _texts(values: object) -> list[str]:
    return [str(each) for each in values] if isinstance(values, list) else []


def _controls() -> Markup:
    return element(
        "form",
        _section("At the cross-hair", element("div", id="readout", class_="readout", aria_live="polite"), open_=True),
        _section(
            "Go to",
            element(
                "div",
                element("label", "Structure", for_="jump"),
                element(
                    "input", id="jump", type="search", list="structure-names", autocomplete="off",
                    placeholder="VISp or primary visual area", spellcheck="false",
                ),
                element("datalist", id="structure-names"),
                element("p", id="jump-problem", class_="problem", role="alert"),
                class_="field",
            ),
            element(
                "div",
                (
                    element(
                        "label", name,
                        element("input", id=f"at-{axis}", type="number", step="0.01", min="0", inputmode="decimal"),
                    )
                    for name, axis in (("AP", "0"), ("DV", "1"), ("ML", "2"))
                ),
                element("span", "mm", class_="soft"),
                class_="coordinates",
                role="group",
                aria_label="Position in mm",
            ),
            open_=True,
        ),
        _section("Data", element("div", id="data-controls"), open_=True),
        _section(
            "Colors",
            element("canvas", id="colorbar", class_="colorbar", width=512, height=64, role="img"),
            element(
                "div",
                _field("Scale", element(
                    "select",
                    _options((("power", "square root"), ("linear", "linear"), ("log", "logarithmic"))),
                    id="scale",
                )),
                _field("Color map", element("select", id="map")),
                _field("From", element("input", id="vmin", type="text", inputmode="decimal", autocomplete="off")),
                _field("To", element("input", id="vmax", type="text", inputmode="decimal", autocomplete="off")),
                class_="pairs",
            ),
            _field("Automatic upper end", element(
                "select",
                _options((
                    ("0.99", "99th percentile"), ("0.995", "99.5th percentile"), ("0.998", "99.8th percentile"),
                    ("0.999", "99.9th percentile"), ("1", "maximum"),
                )),
                id="quantile",
            )),
            element("div", _field("Difference to ±", element(
                "input", id="dmax", type="text", inputmode="decimal", autocomplete="off",
            )), id="difference-colors", hidden=True),
            open_=True,
        ),
        _section(
            "Display",
            _field("Outlines", element("select", id="outlines")),
            _field("Outline strength", element(
                "input", id="line", type="range", min="0", max="1", step="0.05",
            )),
            _field("Signal opacity", element(
                "input", id="signal", type="range", min="0", max="1", step="0.05",
            )),
            element(
                "div",
                element("label", element("input", type="checkbox", id="crosshair"), " Cross-hair", class_="check"),
                element("label", element("input", type="checkbox", id="smooth"), " Smooth pixels", class_="check"),
                class_="checks",
            ),
            open_=True,
        ),
        id="controls",
        class_="controls",
        aria_label="Settings of the viewer",
    )  # fmt: skip


def _section(title: str, *content: Content, open_: bool) -> Markup:
    return element("details", element("summary", title), *content, open=open_)


def _field(name: str, control: Markup) -> Markup:
    return element("label", element("span", name), control, class_="field")


def _options(values: Iterable[tuple[str, str]]) -> Markup:
    return joined(element("option", words, value=value) for value, words in values)


def _dialog(name: str, title: str, *content: Content) -> Markup:
    close = element("button", "Close", type="button", class_="quiet", data_close=True)
    return element(
        "dialog",
        element("div", element("h2", title), close, class_="dialog-head"),
        *content,
        id=name,
        class_="viewer-dialog",
        aria_label=title,
    )


def _list(rows: Iterable[tuple[str, str]]) -> Markup:
    return element("dl", ((element("dt", keys), element("dd", words)) for keys, words in rows), class_="facts keys")


ROUTES = [Route("/view", _viewer)]

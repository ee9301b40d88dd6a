"""The page that finds experiments, and the answers that its script asks for."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from starlette.responses import Response
from starlette.routing import Route

from bsv_store.catalog.selection.commands import selection_arguments
from bsv_store.catalog.selection.criteria import CRITERIA
from bsv_store.catalog.selection.resolve import excluded_from
from bsv_store.catalog.selection.selection import Selection
from bsv_store.catalog.tables.frames import experiments_frame
from bsv_store.catalog.tables.views import VIEWS
from bsv_store.reports.html_page.markup import Markup, element
from bsv_store.server.context import context_of
from bsv_store.server.data.collected_warnings import collected_warnings
from bsv_store.server.data.etags import with_etag
from bsv_store.server.data.experiments import selection_facts
from bsv_store.server.data.plain import json_bytes, plain
from bsv_store.server.data.replies import described, without_paths
from bsv_store.server.data.shared import shared_of
from bsv_store.server.data.tables import column_values, flat, table_without_paths
from bsv_store.server.pages.address import public_address
from bsv_store.server.pages.compression import compressed
from bsv_store.server.pages.criteria_form import label_of
from bsv_store.server.pages.kept import kept_of, kept_text
from bsv_store.server.pages.parts import code
from bsv_store.server.pages.shell import page

if TYPE_CHECKING:
    from starlette.requests import Request

    from bsv_store.server.data.shared import Shared
    from bsv_store.server.pages.outlines import OutlineMap
    from bsv_store.server.private import PrivatePaths
    from bsv_store.store.store import Store

# Heading and unit of each column, and whether it is shown at first.
_HEADINGS: Mapping[str, tuple[str, str | None, bool]] = {
    "experiment_id": ("Experiment", None, True),
    "primary_structure": ("Structure", None, True),
    "primary_structure_name": ("Structure name", None, False),
    "transgenic_line": ("Line", None, True),
    "sex": ("Sex", None, True),
    "injected_hemisphere": ("Injected", None, True),
    "injection_volume": ("Injection", "mm³", True),
    "projection_volume": ("Projection", "mm³", True),
    "injection_ap": ("AP", "um", True),
    "injection_dv": ("DV", "um", True),
    "injection_ml": ("ML", "um", True),
    "injection_outside_primary": ("Outside primary", None, False),
    "injection_volume_left": ("Injection left", "mm³", False),
    "injection_volume_right": ("Injection right", "mm³", False),
    "product_id": ("Product", None, False),
    "specimen_name": ("Specimen", None, False),
    "hemisphere_source": ("Hemisphere from", None, False),
}
# Numbers that are names.
_NAMES = frozenset({"experiment_id", "product_id", "primary_structure_id"})


def _columns() -> list[dict[str, Any]]:
    """The columns of the table: those with a heading first, then the rest of the view."""
    described = {each.name: each for each in VIEWS["experiments"].columns}
    names = [*_HEADINGS, *(name for name in described if name not in _HEADINGS)]
    found = []
    for name in names:
        heading, unit, is_shown = _HEADINGS.get(name, (name.replace("_", " ").capitalize(), None, False))
        kind = "name" if name in _NAMES else described[name].kind
        found.append(
            {
                "name": name,
                "heading": heading,
                "unit": unit,
                "shown": is_shown,
                "kind": kind,
                "words": described[name].description,
            }
        )
    return found


def _page(request: Request) -> Response:
    store = context_of(request).store
    snippets = (
        ("copy-python", "", "Python"),
        ("copy-command", "", "Shell"),
        ("copy-address", "", "Address of this page"),
        ("copy-json", "", "Selection as JSON"),
    )
    return page(
        request,
        "Experiments",
        element(
            "div",
            element(
                "aside",
                element(
                    "form",
                    element(
                        "div",
                        element("h2", "Filter"),
                        element("button", "Reset", type="button", id="reset", class_="quiet"),
                        class_="form-head",
                    ),
                    element("p", id="base", class_="warning", hidden=True),
                    kept_of(request).form.get(store),
                    id="filter",
                    autocomplete="off",
                ),
                class_="filters",
                aria_label="Filter",
            ),
            element(
                "div",
                element(
                    "div",
                    element("h1", "Experiments"),
                    element("p", "Loading…", id="found", role="status"),
                    class_="result-head",
                ),
                element("p", id="words", class_="soft"),
                element("div", id="chips", class_="chips", hidden=True),
                element("div", id="messages", aria_live="polite"),
                element("noscript", element("p", "This page needs JavaScript; the API does not.", class_="warning")),
                _map(request),
                _table_tools(),
                element(
                    "div",
                    element(
                        "table",
                        element("caption", "Experiments found"),
                        element("thead"),
                        element("tbody"),
                        id="table",
                    ),
                    class_="scroll",
                    id="table-frame",
                    tabindex=0,
                    role="region",
                    aria_label="Experiments found",
                ),
                element("div", id="nothing", class_="nothing", hidden=True),
                element("nav", id="pager", class_="pager", aria_label="Pages of the table", hidden=True),
                element("h2", "Use this selection"),
                element("div", (element("div", code(*each)) for each in snippets), class_="columns snippets"),
                class_="results",
            ),
            class_="finder",
        ),
        current="/experiments",
        styles=("experiments.css",),
        scripts=("experiments.js",),
        wide=True,
    )


def _table_tools() -> Markup:
    return element(
        "div",
        element(
            "details",
            element("summary", "Columns"),
            element("div", id="columns", class_="column-choice", role="group", aria_label="Columns"),
            class_="menu",
        ),
        element("a", "Download CSV", id="csv", class_="button", href="#", download="experiments.csv"),
        class_="tools",
    )


def _map(request: Request) -> Markup:
    """The three views of the injection map; the script draws the points."""
    above, *others = (_panel(each) for each in kept_of(request).outlines.get(context_of(request).store))
    return element(
        "section",
        element("h2", "Injection sites", class_="unseen"),
        element(
            "div",
            above,
            element(
                "div",
                element("div", others, class_="panels"),
                element("p", id="site", class_="site small", aria_live="polite"),
                element("ul", id="legend", class_="legend", aria_label="Primary structures"),
            ),
            class_="views",
        ),
        id="map",
        data_columns=json.dumps(_columns()),
        data_labels=json.dumps({name: label_of(name) for name in CRITERIA}),
    )


def _panel(view: OutlineMap) -> Markup:
    canvas = element(
        "canvas",
        data_right=view.right,
        data_down=view.down,
        data_width=view.width_um,
        data_height=view.height_um,
        tabindex=0,
        role="img",
        aria_label=f"Injection sites, {view.heading.lower()}; arrow keys go through them",
    )
    caption = element("figcaption", view.heading, class_="soft")
    return element("figure", caption, element("div", view.markup(), canvas, class_="panel"))


def _selection(request: Request) -> Selection:
    text = request.query_params.get("selection")
    return Selection() if not text else Selection.from_json(text)


def _found(request: Request) -> Response:
    """The experiments of a selection by column, and the selection in all its forms."""
    store = context_of(request).store
    selection, url = _selection(request), public_address(request)
    paths = context_of(request).paths
    marker = store.catalog.change_marker()
    text = kept_text(
        request,
        ("experiments", selection, url),
        lambda: json_bytes(_answer(store, shared_of(request), selection, url, paths, marker)).decode(),
        marker=marker,
    )
    return compressed(request, with_etag(request, Response(text, media_type="application/json")))


def _answer(
    store: Store, shared: Shared, selection: Selection, url: str, paths: PrivatePaths, marker: str
) -> dict[str, Any]:
    with collected_warnings() as warned:
        found = shared.selected_and_excluded(store, selection, marker=marker)
    if found is None:
        with collected_warnings() as warned, store.database.reading() as connection:
            frame = experiments_frame(connection, selection)
            excluded = excluded_from(connection, selection)
        rows = column_values(table_without_paths(flat(frame), paths.in_cell))
        colors = store.atlas.color_map()
    else:
        known, places, excluded = found
        rows, colors = known.columns(places), known.colors
    facts = selection_facts(selection, excluded)
    query = "" if selection == Selection() else f"?{urlencode({'selection': facts['json']})}"
    return {
        **facts,
        "excluded": without_paths(plain(facts["excluded"]), paths.in_cell),
        "python": (
            "from bsv_store import Selection, open_store\n\n"
            f"store = open_store({url!r})\n"
            f"selection = {facts['python']}\n"
            "experiments = store.experiments(selection)"
        ),
        "command": shlex.join(["bsv-store", "--store", url, "select", *selection_arguments(selection)]),
        "address": f"{url}/experiments{query}",
        "count": len(rows["experiment_id"]),
        "warnings": described(warned, paths),
        "colors": {
            each: "#{:02x}{:02x}{:02x}".format(*colors[each])
            for each in sorted(set(rows["primary_structure_id"]))
            if each in colors
        },
        "rows": rows,
    }


ROUTES = [Route("/experiments", _page), Route("/experiments.json", _found)]

"""The ontology as a tree, with the numbers of experiments injected in each structure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from starlette.routing import Route

from bsv_store.catalog.selection.selection import Selection
from bsv_store.errors import UnknownStructureError
from bsv_store.reports.html_page.markup import Content, Markup, element
from bsv_store.reports.html_page.pictures import chip
from bsv_store.server.context import context_of
from bsv_store.server.pages.address import address
from bsv_store.server.pages.kept import kept_content
from bsv_store.server.pages.shell import page

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from bsv_store.catalog.structures import StructureRow
    from bsv_store.store.store import Store

# Levels of the tree that are open at first, if they have experiments.
_OPEN = 3


def _page(request: Request) -> Response:
    content = kept_content(request, "structures", lambda: _everything(request, context_of(request).store))
    return page(
        request,
        "Structures",
        element("h1", "Structures"),
        element(
            "p",
            "The ontology of the atlas. The number is that of the experiments whose primary injection structure is the "
            "structure or one of its descendants.",
            class_="lead",
        ),
        content,
        current="/structures",
        styles=("structures.css",),
        scripts=("structures.js",),
    )


def _everything(request: Request, store: Store) -> Content:
    try:
        rows = store.atlas.structure_tree("root")
    except UnknownStructureError:
        return element(
            "p", "The store has no ontology yet: bsv-store sync structures, on the server.", class_="nothing"
        )
    children: dict[int | None, list[StructureRow]] = {}
    for row in rows:
        children.setdefault(row.parent_structure_id, []).append(row)
    # Not counted in store.experiments(), which fails if any value of an experiment is damaged.
    injected = Counter(dict(store.catalog.summary().primary_structures))
    totals: dict[int, int] = {}
    # Descendants come after their ancestors in ontology order.
    for row in reversed(rows):
        totals[row.id] = injected[row.acronym] + sum(totals[each.id] for each in children.get(row.id, ()))
    search = element("input", type="search", id="structure-filter", placeholder="VISp, thalamus", autocomplete="off")
    return [
        element(
            "div",
            element("label", "Filter", search),
            element(
                "label", element("input", type="checkbox", id="injected"), " Only with experiments", class_="check"
            ),
            element("span", class_="soft", role="status", id="count"),
            class_="tools",
        ),
        element("ul", [_branch(request, rows[0], children, totals)], class_="tree", id="tree"),
    ]


def _branch(
    request: Request,
    row: StructureRow,
    children: Mapping[int | None, Sequence[StructureRow]],
    totals: Mapping[int, int],
) -> Markup:
    inside = [_branch(request, each, children, totals) for each in children.get(row.id, ())]
    line = [chip(row.color_hex_triplet), element("b", row.acronym), " ", _name(row)]
    number = None
    if totals[row.id]:
        selection = Selection(injected_in=[row.acronym]).to_json()
        number = element(
            "a",
            f"{totals[row.id]:,}",
            href=address(request, "/experiments", selection=selection),
            title=f"Experiments injected in {row.acronym}",
        )
    if not inside:
        return element("li", element("div", line, " ", number, class_="leaf"))
    summary = element("summary", line)
    # The link is beside the summary: a summary is a button, which must not contain others.
    return element(
        "li",
        element("details", summary, element("ul", inside), open=row.depth < _OPEN and totals[row.id] > 0),
        number,
        class_="branch",
    )


def _name(row: StructureRow) -> Markup:
    return element("span", "" if row.name == row.acronym else row.name, class_="name")


ROUTES = [Route("/structures", _page)]

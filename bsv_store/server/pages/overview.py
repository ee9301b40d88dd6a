"""The first page: what the store contains, and how to open it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Route

from bsv_store.reports.html_page.markup import Content, Markup, element, joined
from bsv_store.server.context import context_of
from bsv_store.server.data.listed_versions import listed_versions
from bsv_store.server.pages.address import address, public_address
from bsv_store.server.pages.kept import kept_content, kept_of
from bsv_store.server.pages.parts import code, notes, table, tiles, version_list
from bsv_store.server.pages.shell import page
from bsv_store.text import number_of, size_text, store_option
from bsv_store.vocabulary import VOLUME_KINDS

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from bsv_store.catalog.tables.status import CatalogCounts
    from bsv_store.store.store import Store

_LATEST = 5


def _overview(request: Request) -> Response:
    content = kept_content(request, "overview", lambda: _everything(request, context_of(request).store))
    return page(request, "Overview", content, current="/")


def _everything(request: Request, store: Store) -> list[Content]:
    counts = kept_of(request).counts.get(store)
    return [
        element("h1", "Mouse brain connectivity"),
        element(
            "p",
            "Experiments of the Allen Mouse Brain Connectivity Atlas, and averages computed from them: search, look, "
            "download, cite.",
            class_="lead",
        ),
        tiles(_numbers(counts)),
        element(
            "ul",
            _button(address(request, "/experiments"), "Find experiments", "button primary"),
            _button(address(request, "/datasets"), "See datasets", "button"),
            class_="actions",
        ),
        notes(request, _remarks(counts)),
        element(
            "div",
            element("section", element("h2", "Latest versions"), _latest(request, store)),
            element("section", element("h2", "Open this store"), _opening(request)),
            class_="columns",
        ),
        element("h2", "In this store"),
        _content(counts),
    ]


def _button(to: str, words: str, kind: str) -> Markup:
    return element("li", element("a", words, href=to, class_=kind))


def _numbers(counts: CatalogCounts) -> list[tuple[str, Content, str | None]]:
    withdrawn = f"and {counts.withdrawn_experiments:,} withdrawn" if counts.withdrawn_experiments else None
    sizes = size_text(sum(each.size_bytes for each in counts.volumes))
    versions = number_of(counts.dataset_versions, "version")
    return [
        ("Experiments", f"{counts.current_experiments:,}", withdrawn),
        ("With signal by structure", f"{counts.experiments_with_unionizes:,}", f"{counts.unionize_rows:,} rows"),
        ("Volumes", f"{sum(each.volumes for each in counts.volumes):,}", sizes),
        ("Datasets", f"{counts.datasets:,}", versions),
        ("Structures", f"{counts.structures:,}", None),
    ]


def _remarks(counts: CatalogCounts) -> list[str]:
    found = []
    if counts.experiments == 0:
        found.append("The store is empty. On the server: bsv-store sync structures, then bsv-store sync experiments.")
    if counts.unchecked_versions:
        found.append(f"{number_of(counts.unchecked_versions, 'imported version')} not recomputed in this store.")
    return found


def _latest(request: Request, store: Store) -> Content:
    versions = listed_versions(store)
    if versions.empty:
        return element("p", "No version has been computed yet.", class_="soft")
    return version_list(store, versions, _LATEST, lambda ref: address(request, f"/datasets/{ref}"))


def _opening(request: Request) -> Markup:
    url = public_address(request)
    arguments, exported = repr(url), ""
    if context_of(request).options.requires_token:
        arguments, exported = f"{url!r}, token='TOKEN'", "export BSV_STORE_TOKEN=TOKEN\n"
    return joined(
        code("open-python", f"from bsv_store import open_store\n\nstore = open_store({arguments})", "Python"),
        code("open-shell", f"{exported}bsv-store {store_option(url)} status", "Shell"),
        element(
            "p",
            "Catalog and volumes are downloaded as they are needed, and then also work offline. The ",
            element("a", "API", href=address(request, "/docs")),
            " serves other languages.",
            class_="small soft",
        ),
    )


def _content(counts: CatalogCounts) -> Content:
    rows: list[list[Content]] = [
        [
            VOLUME_KINDS[each.kind].words.capitalize(),
            f"{each.spacing_um} um",
            f"{each.volumes:,}",
            size_text(each.size_bytes),
        ]
        for each in counts.volumes
    ]
    rows += [["Annotation", f"{each.spacing_um} um", "1", size_text(each.size_bytes)] for each in counts.annotations]
    rows += [["Template", f"{each.spacing_um} um", "1", size_text(each.size_bytes)] for each in counts.templates]
    lists: list[list[Content]] = [
        [
            each.what.capitalize(),
            f"{each.rows:,}",
            f"{each.taken_at:%Y-%m-%d}",
            str(each.upstream_date or ""),
        ]
        for each in counts.latest_lists
    ]
    volumes = table("Volumes", [("Volumes", False), ("Voxels", True), ("Number", True), ("Size", True)], rows)
    snapshots = table(
        "Lists", [("List", False), ("Rows", True), ("Stored", False), ("Date of the source", False)], lists
    )
    return element("div", volumes if rows else None, snapshots if lists else None, class_="columns")


ROUTES = [Route("/", _overview)]

"""The first page: what the store contains, and how to open it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Route

from bsv_store.reports.html_page.markup import element
from bsv_store.server.context import context_of
from bsv_store.server.pages.address import address, public_address
from bsv_store.server.pages.parts import code, tiles
from bsv_store.server.pages.shell import page

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


def _overview(request: Request) -> Response:
    status = context_of(request).store.status().catalog
    url = public_address(request)
    return page(
        request,
        "Overview",
        element("h1", "Mouse brain connectivity"),
        element(
            "p",
            "Experiments of the Allen Mouse Brain Connectivity Atlas, and averages computed from them.",
            class_="lead",
        ),
        tiles(
            [
                ("Experiments", f"{status.experiments:,}", None),
                ("Volumes", f"{sum(each.volumes for each in status.volumes):,}", None),
                ("Datasets", f"{status.datasets:,}", None),
                ("Structures", f"{status.structures:,}", None),
            ]
        ),
        element(
            "ul",
            element(
                "li", element("a", "Find experiments", href=address(request, "/experiments"), class_="button primary")
            ),
            class_="actions",
        ),
        element("h2", "Open it"),
        code("open-python", f'from bsv_store import open_store\n\nstore = open_store("{url}")', heading="Python"),
        code("open-shell", f"bsv-store --store {url} status", heading="Shell"),
        current="/",
    )


ROUTES = [Route("/", _overview)]

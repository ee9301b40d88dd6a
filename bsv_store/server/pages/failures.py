"""Errors as pages, for browsers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from bsv_store.reports.html_page.markup import element
from bsv_store.server.access.scopes import access_of
from bsv_store.server.pages.address import address
from bsv_store.server.pages.parts import hint, sentence
from bsv_store.server.pages.shell import page

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

_TITLES = {400: "Not valid", 401: "Not signed in", 403: "Not allowed", 404: "Not found", 503: "Not available"}


def page_for_browsers(request: Request, problem: Response) -> Response:
    """A problem document as a page with the same status and headers, if the client asks for HTML."""
    if "text/html" not in request.headers.get("accept", ""):
        return problem
    document = json.loads(bytes(problem.body))
    title = _TITLES.get(problem.status_code, "Failed")
    shown = page(
        request,
        title,
        element("h1", title),
        element("p", sentence(str(document["detail"])), class_="lead"),
        hint(str(document["hint"])) if document.get("hint") else None,
        element(
            "ul",
            element("li", element("a", "Experiments", href=address(request, "/experiments"), class_="button")),
            element("li", element("a", "Datasets", href=address(request, "/datasets"), class_="button")),
            class_="actions",
        ),
        # A server that fails may have no store to name; and visitors without a token learn nothing about it.
        bare=problem.status_code >= 500 or access_of(request) is None,
        status=problem.status_code,
    )
    for name, value in problem.headers.items():
        if name not in ("content-length", "content-type"):
            shown.headers[name] = value
    return shown

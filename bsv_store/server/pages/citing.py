"""How to cite the atlas, experiments and this software."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from starlette.routing import Route

from bsv_store._version import __version__
from bsv_store.datasets.share.citation import CHECK_FIRST
from bsv_store.datasets.share.references import PAPERS, bibtex, ris
from bsv_store.reports.html_page.markup import Markup, element, joined
from bsv_store.server.pages.assets import VENDORED, asset_address
from bsv_store.server.pages.parts import code, folded, table
from bsv_store.server.pages.shell import page
from bsv_store.text import listed_ids

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

_LICENSE = "BSD-3-Clause"


def atlas_citation(experiment_ids: Sequence[int] = ()) -> Markup:
    """The text and the references for data of the atlas, with the ids of experiments."""
    named = (
        f" (experiment{'s' if len(experiment_ids) > 1 else ''} {listed_ids(experiment_ids)})" if experiment_ids else ""
    )
    words = (
        f"We used data of the Allen Mouse Brain Connectivity Atlas{named}, Allen Institute for Brain Science, "
        "available from https://connectivity.brain-map.org (Oh et al. 2014; Harris et al. 2019), registered to the "
        f"Allen Mouse Brain Common Coordinate Framework (Wang et al. 2020), read with bsv-store {__version__}."
    )
    return joined(
        element("p", CHECK_FIRST, class_="soft small"),
        code("cite-text", words, heading="Text"),
        folded("BibTeX", code("cite-bibtex", bibtex(PAPERS))),
        folded("RIS", code("cite-ris", ris(PAPERS).replace("\r\n", "\n"))),
    )


def _cite(request: Request) -> Response:
    return page(
        request,
        "Cite",
        element("h1", "Cite"),
        element("p", "For an average or a comparison, cite the dataset version: each has its own text.", class_="lead"),
        atlas_citation(),
    )


def _licenses(request: Request) -> Response:
    rows = [
        [
            element("a", each.name, href=each.home, rel="noreferrer"),
            each.version,
            each.license,
            element("a", "Text", href=asset_address(request, each.text)),
        ]
        for each in VENDORED
    ]
    others = (
        table(
            "Libraries of other projects",
            [("Library", False), ("Version", False), ("License", False), ("License text", False)],
            rows,
        )
        if rows
        else element("p", "These pages contain no libraries of other projects.")
    )
    return page(
        request,
        "Licenses",
        element("h1", "Licenses"),
        element("p", f"bsv-store {__version__} is available under the license {_LICENSE}.", class_="lead"),
        element("h2", "In these pages"),
        others,
        element("h2", "Data"),
        element(
            "p",
            "The data are those of the Allen Institute for Brain Science; its ",
            element("a", "terms of use", href="https://alleninstitute.org/legal/terms-of-use/", rel="noreferrer"),
            " and ",
            element("a", "citation policy", href="https://alleninstitute.org/legal/citation-policy/", rel="noreferrer"),
            " apply.",
        ),
    )


ROUTES = [Route("/cite", _cite), Route("/licenses", _licenses)]

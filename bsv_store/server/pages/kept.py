"""What the pages of one application keep until the catalog changes."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

from bsv_store.reports.html_page.markup import Content, Markup, joined
from bsv_store.server.context import context_of, shared_by_application
from bsv_store.server.data.answers import Latest
from bsv_store.server.data.shared import shared_of
from bsv_store.server.pages.address import base_of, public_address
from bsv_store.server.pages.criteria_form import criteria_form
from bsv_store.server.pages.outlines import OutlineMap, outline_maps
from bsv_store.text import number_of

if TYPE_CHECKING:
    from starlette.requests import Request

    from bsv_store.store.store import Store


class Kept:
    """See the module.

    Attributes
    ----------
    outlines : Latest of list of OutlineMap
    form : Latest of Markup
        The form of a selection.
    counts : Latest of str
        The numbers of experiments, volumes and datasets, in words.
    """

    def __init__(self) -> None:
        self.outlines: Latest[list[OutlineMap]] = Latest(outline_maps)
        self.form: Latest[Markup] = Latest(criteria_form)
        self.counts: Latest[str] = Latest(_counts)


def _counts(store: Store) -> str:
    status = store.status().catalog
    volumes = sum(each.volumes for each in status.volumes)
    current = status.experiments - status.withdrawn_experiments
    counted = ((current, "experiment"), (volumes, "volume"), (status.datasets, "dataset"))
    return " · ".join(number_of(number, what) for number, what in counted)


def kept_of(request: Request) -> Kept:
    """What the pages of the application that serves a request keep."""
    return shared_by_application(request.app, "pages", Kept, Kept)


def kept_content(request: Request, name: str, make: Callable[[], Content]) -> Markup:
    """Content of a page that depends on the catalog, the name and the address of the server only."""
    question = (name, base_of(request), public_address(request))
    return Markup(kept_text(request, question, lambda: joined(make())))


def kept_text(request: Request, question: Hashable, make: Callable[[], str], *, marker: str | None = None) -> str:
    """A text that depends on the catalog and the question only, from memory if it is still current.

    ``marker`` is the change marker of the catalog, if this request has read it already.
    """
    store = context_of(request).store
    return shared_of(request).answers.kept(store, ("pages", question), make, size_of=len, marker=marker)

"""What the pages of one application keep until the catalog changes."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

from bsv_store.catalog.seals import check_experiments, check_lines, check_ontology
from bsv_store.catalog.tables.status import CatalogCounts, catalog_counts
from bsv_store.errors import DamagedCatalogError
from bsv_store.reports.html_page.markup import Content, Markup, joined
from bsv_store.server.context import context_of, shared_by_application
from bsv_store.server.data.answers import Latest
from bsv_store.server.data.shared import shared_of
from bsv_store.server.pages.address import base_of, public_address
from bsv_store.server.pages.criteria_form import criteria_form
from bsv_store.server.pages.outlines import OutlineMap, outline_maps
from bsv_store.server.pages.parts import sentence

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
    counts : Latest of CatalogCounts
    damage : Latest of tuple of str
        The damage of experiments, lines and structures, one sentence each.
    """

    def __init__(self) -> None:
        self.outlines: Latest[list[OutlineMap]] = Latest(outline_maps)
        self.form: Latest[Markup] = Latest(criteria_form)
        self.counts: Latest[CatalogCounts] = Latest(_counts)
        self.damage: Latest[tuple[str, ...]] = Latest(_damage)


def _counts(store: Store) -> CatalogCounts:
    with store.database.reading() as connection:
        return catalog_counts(connection)


def _damage(store: Store) -> tuple[str, ...]:
    found = []
    for check in (check_experiments, check_lines, check_ontology):
        try:
            with store.database.reading() as connection:
                check(connection)
        except DamagedCatalogError as error:
            found.append(sentence(error.message))
    return tuple(found)


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

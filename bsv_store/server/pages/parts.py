"""Parts of pages: lists of facts, code to copy, warnings, tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from bsv_store.errors import StoreError, UnknownDatasetError
from bsv_store.reports.html_page.markup import Content, Markup, element, joined
from bsv_store.reports.html_page.sections import question
from bsv_store.server.context import context_of
from bsv_store.server.pages.address import address

if TYPE_CHECKING:
    import pandas as pd
    from starlette.requests import Request

    from bsv_store.store.store import Store

# Of texts that do not wrap in tables.
_SHORT = 12


def tiles(values: Iterable[tuple[str, Content, str | None]]) -> Markup:
    """The main numbers: name, number, and a remark below it."""
    return element(
        "dl",
        (
            element(
                "div", element("dt", name), element("dd", value, None if remark is None else element("small", remark))
            )
            for name, value, remark in values
        ),
        class_="tiles",
    )


def hint(text: str) -> Markup:
    """A hint: a paragraph for each line, with what is between backticks as code."""
    return joined(*map(_hint_line, text.splitlines()))


def _hint_line(text: str) -> Markup:
    parts = text.split("`")
    return element("p", (element("code", part) if at % 2 else part for at, part in enumerate(parts)))


def sentence(message: str) -> str:
    """An error message as a sentence; a name at its beginning, such as ``visual@1``, is not capitalized."""
    first = message.partition(" ")[0]
    return f"{message[:1].upper() if first.isalpha() else message[:1]}{message[1:]}."


def facts(values: Iterable[tuple[str, Content]]) -> Markup:
    """Names and values; those that are None or empty are left out."""
    listed = (
        (element("dt", name), element("dd", value)) for name, value in values if value is not None and value != ""
    )
    return element("dl", listed, class_="facts")


def code(name: str, text: str, heading: str | None = None) -> Markup:
    """Text in a fixed-width font with a button that copies it.

    Parameters
    ----------
    name : str
        Of the element; unique in the page.
    text : str
    heading : str, optional
        Such as 'Python'.
    """
    button = element("button", "Copy", type="button", data_copy=name, aria_label=f"Copy {heading or 'text'}")
    box = element("div", element("pre", text, id=name, tabindex=0), button, class_="code")
    return box if heading is None else joined(element("span", heading, class_="code-name"), box)


def folded(summary: str, *content: Content) -> Markup:
    """Content that is hidden until its summary is clicked."""
    return element("details", element("summary", summary), *content)


def notes(request: Request, texts: Iterable[str]) -> Markup:
    """Warnings and remarks of users, each in a box, without paths of the machine."""
    paths = context_of(request).paths
    return joined(element("p", paths.removed(text), class_="warning", role="note") for text in texts)


def table(caption: str, headings: Sequence[tuple[str, bool]], rows: Iterable[Sequence[Content]]) -> Markup:
    """A plain table; each heading says whether its column has numbers."""
    head = element(
        "tr", (element("th", name, scope="col", class_="number" if right else None) for name, right in headings)
    )
    body = (
        element(
            "tr",
            (
                element("td", cell, class_="number" if right else "short" if _is_short(cell) else None)
                for cell, (_, right) in zip(row, headings, strict=True)
            ),
        )
        for row in rows
    )
    whole = element("table", element("caption", caption), element("thead", head), element("tbody", body))
    return element("div", whole, class_="scroll", tabindex=0, role="region", aria_label=caption)


def _is_short(cell: Content) -> bool:
    """Whether a cell is a short text, such as a date, that should not wrap."""
    return isinstance(cell, str) and len(cell) <= _SHORT


def version_list(store: Store, versions: pd.DataFrame, limit: int, href: Callable[[str], str]) -> Markup:
    """The newest of some rows of `listed_versions`: a link, the date, and a description of each."""
    newest = versions.sort_values(["created_at", "name"], ascending=[False, True]).head(limit)
    items = []
    for row in newest.to_dict("records"):
        ref = f"{row['name']}@{row['number']}"
        link = element("a", ref, href=href(ref))
        when = element("span", f"{row['created_at']:%Y-%m-%d}", class_="soft small")
        words = question_of(store, ref)
        if words is not None:
            items.append(element("li", link, " ", when, element("p", words, class_="small")))
    return element("ul", items, class_="latest")


def question_of(store: Store, ref: str) -> str | None:
    """The question of a version in words, or that it is damaged; None if it has been deleted meanwhile."""
    try:
        return question(store.dataset(ref))
    except UnknownDatasetError:
        return None
    except StoreError:
        return "It is damaged, or was computed by a newer version of bsv-store. Its page says what to do."


def experiment_link(request: Request, identifier: int) -> Markup:
    """A link to the page of an experiment."""
    return element("a", str(identifier), href=address(request, f"/experiments/{identifier}"))

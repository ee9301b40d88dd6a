"""The report on a version as one self-contained HTML page."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from bsv_store._version import __version__
from bsv_store.check import boolean, text
from bsv_store.errors import InputError
from bsv_store.figures.style import check_html_path
from bsv_store.formats.output_file import atomic_output, check_target
from bsv_store.reports.html_page import sections
from bsv_store.reports.html_page.facts import PageFacts, page_facts
from bsv_store.reports.html_page.markup import Markup, element, joined
from bsv_store.text import shown

if TYPE_CHECKING:
    from bsv_store.datasets.version import DatasetVersion
    from bsv_store.store.store import Store

# Nothing is loaded from elsewhere, even if the page were changed.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"

_SECTIONS = (
    ("figures", "Figures", sections.figures),
    ("strongest", "Strongest structures", sections.targets),
    ("quality", "Quality", sections.quality),
    ("animals", "Members", sections.members),
    ("methods", "Methods", sections.methods),
    ("provenance", "Provenance", sections.provenance),
)


def page(
    store: Store,
    version: str | DatasetVersion,
    path: Path | str,
    *,
    title: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the report on a version as one HTML page, which needs no network and no other file.

    It has the figures, the strongest structures and the members in tables that sort and filter, the numbers of
    experiments by group, those left out with the reason, outliers, the recipe in words, the methods text with the
    references, and the provenance of all data. It adapts to light and dark, to narrow screens and to paper.

    Parameters
    ----------
    store : Store
    version : str or DatasetVersion
        ``name@3``, ``name@tag``, ``name`` for the latest; or the version itself.
    path : path
        Must end in .html or .htm.
    title : str, optional
        Heading of the page; by default name and number of the version.
    overwrite : bool
        Replace the file if it exists.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    InputError
        If Matplotlib is not installed, the suffix or title is not valid, or the file exists or cannot be written.
    UnknownDatasetError
        If the store does not have the version.
    DamagedFileError
        If the result file in the store is missing or damaged.
    NoSpaceError
        If the disk is full.
    """
    target = check_html_path(path)
    if title is not None:
        words = text("title", title, such_as="Visual areas by AP")
        if not words.strip() or not words.isprintable():
            raise InputError(f"title must be a single line of text, got {shown(title)}")
    # Before any work; the figures take seconds.
    check_target(target, overwrite=boolean("overwrite", overwrite))
    facts = page_facts(store, store.dataset(version))
    with atomic_output(target, overwrite=overwrite) as temporary:
        temporary.write_text(document(facts, title=title), encoding="utf-8", newline="\n")
    return target


def document(facts: PageFacts, *, title: str | None = None) -> str:
    """The whole page."""
    heading = title or facts.version.ref
    folder = files("bsv_store.reports.html_page")
    style = Markup("".join((folder / name).read_text("utf-8") for name in ("colors.css", "style.css")))
    script = Markup((folder / "script.js").read_text("utf-8"))
    listed = [(name, _heading(facts, name, words), write) for name, words, write in _SECTIONS]
    links = (element("li", element("a", words, href=f"#{name}")) for name, words, _ in listed)
    content = (
        element(
            "section", element("h2", words, id=f"{name}-title"), write(facts), id=name, aria_labelledby=f"{name}-title"
        )
        for name, words, write in listed
    )
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="generator", content=f"bsv-store {__version__}"),
        element("title", heading),
        element("style", style),
    )
    reference = "" if heading == facts.version.ref else f"{facts.version.ref} · "
    body = element(
        "body",
        element("a", "Skip to the content", href="#content", class_="skip"),
        element(
            "div",
            element(
                "header",
                element("h1", heading),
                sections.lead(facts),
                element("nav", element("ul", links), aria_label="Sections"),
            ),
            element("main", content, id="content"),
            element(
                "footer", f"{reference}fingerprint {facts.version.fingerprint} · written by bsv-store {__version__}"
            ),
            class_="sheet",
        ),
        element("script", script),
    )
    return f"<!DOCTYPE html>\n{element('html', joined(head, body), lang='en')}\n"


def _heading(facts: PageFacts, name: str, words: str) -> str:
    return sections.strongest_heading(facts) if name == "strongest" else words

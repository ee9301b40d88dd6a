"""The page of one version of a dataset. Its sections are those of the report."""

from __future__ import annotations

import shlex
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

from starlette.responses import RedirectResponse
from starlette.routing import Route

from bsv_store.check import choice
from bsv_store.datasets.share.citation import CHECK_FIRST
from bsv_store.datasets.share.export import VERSION_FORMATS
from bsv_store.errors import InputError
from bsv_store.reports.html_page import sections
from bsv_store.reports.html_page.facts import page_facts
from bsv_store.reports.html_page.markup import Content, Markup, element, joined
from bsv_store.server.context import context_of
from bsv_store.server.data.collected_warnings import collected_warnings
from bsv_store.server.data.shared import shared_of
from bsv_store.server.data.written_file import written_file
from bsv_store.server.pages.address import address, public_address
from bsv_store.server.pages.kept import kept_content
from bsv_store.server.pages.parts import code, experiment_link, folded, table
from bsv_store.server.pages.shell import page
from bsv_store.text import size_text
from bsv_store.vocabulary import COMPARISON_MAPS, STATISTICS, THEMES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from starlette.requests import Request
    from starlette.responses import Response

    from bsv_store.datasets.version import DatasetVersion
    from bsv_store.reports.html_page.facts import PageFacts
    from bsv_store.vocabulary import Theme

# Of the figure of a comparison.
_DPI = 200
_THEME = "theme"
# Formats of images, which have one array of all groups or of one.
_IMAGES = {".nii.gz": "NIfTI", ".nrrd": "NRRD"}
_FILES = (".nc", ".csv", ".npz", ".bsv.zip")


def _page(request: Request) -> Response:
    store = context_of(request).store
    version = store.dataset(request.path_params["ref"])
    if request.path_params["ref"] != version.ref:
        # The name alone and tags mean another version later.
        return RedirectResponse(address(request, f"/datasets/{version.ref}"), headers={"Cache-Control": "no-cache"})
    content = kept_content(request, f"version {version.ref}", lambda: _everything(request, version))
    return page(request, version.ref, content, current="/datasets", scripts=("tables.js",))


def _everything(request: Request, version: DatasetVersion) -> list[Content]:
    with collected_warnings():
        # What was left out stands in the sections.
        known = page_facts(context_of(request).store, version, with_figures=False)
    members = sections.members(known, identifier=partial(experiment_link, request))
    figure: list[tuple[str, str, Content]] = []
    if version.recipe.comparison is not None and find_spec("matplotlib") is not None:
        figure = [("figure", "Differences", _comparison_figure(request, version))]
    parts: tuple[tuple[str, str, Content], ...] = (
        *figure,
        ("recipe", "Recipe", sections.recipe_words(known)),
        ("strongest", sections.strongest_heading(known), sections.targets(known)),
        ("quality", "Groups and quality", sections.quality(known)),
        ("animals", "Members", [members, _in_table(request, version)]),
        ("downloads", "Downloads", _downloads(request, version)),
        ("use", "Use it", _snippets(request, version)),
        ("cite", "Cite", _cite(known)),
        ("provenance", "Provenance", sections.provenance(known)),
    )
    links = (element("li", element("a", words, href=f"#{name}")) for name, words, _ in parts)
    return [
        element("p", element("a", "Datasets", href=address(request, "/datasets")), class_="eyebrow"),
        element("h1", version.ref, _badges(known)),
        sections.lead(known),
        _actions(request, version),
        element("nav", element("ul", links), aria_label="Sections", class_="contents"),
        (
            element("section", element("h2", words, id=f"{name}-title"), part, id=name, aria_labelledby=f"{name}-title")
            for name, words, part in parts
        ),
    ]


def _badges(known: PageFacts) -> Content:
    badges: list[Content] = [element("span", tag, class_="badge tag") for tag in known.version.tags]
    if known.stale is not None and known.stale.is_stale:
        badges.append(element("span", "stale", class_="badge stale"))
    return [" ", badges]


def _actions(request: Request, version: DatasetVersion) -> Markup:
    ref = version.ref
    viewer = [("Open in the viewer", address(request, "/view", version=ref), "button primary")]
    listed = [
        *(viewer if version.recipe.has_voxels else ()),
        ("Bundle", address(request, f"/v1/versions/{ref}/file", format="bsv.zip"), "button"),
    ]
    if find_spec("matplotlib") is not None:
        listed.insert(-1, ("Report with figures", address(request, f"/datasets/{ref}/report"), "button"))
    return element(
        "ul", (element("li", element("a", words, href=to, class_=kind)) for words, to, kind in listed), class_="actions"
    )


def _comparison_figure(request: Request, version: DatasetVersion) -> Markup:
    def at(theme: Theme) -> str:
        return address(request, f"/datasets/{version.ref}/comparison.png", theme=theme)

    description = _BY_STRUCTURE if not version.recipe.has_voxels else _BY_VOXEL
    picture = element(
        "picture",
        element("source", srcset=at("dark"), media="(prefers-color-scheme: dark)"),
        element("img", src=at("light"), alt=f"{version.ref}: {description}", loading="lazy"),
    )
    return joined(
        element("div", picture, class_="plot", tabindex=0, role="region", aria_label=description),
        element("p", f"{description}.", class_="soft small"),
    )


_BY_STRUCTURE = (
    "Effect size of each structure, the difference with its bootstrap interval, and p; the most significant structures "
    "first"
)
_BY_VOXEL = "t of each voxel in the planes where it is largest; p is in the maps under Downloads"


def _figure(request: Request) -> Response:
    """The figure of a stored comparison, which takes a second or more to draw."""
    from bsv_store.reports import save, slices, structure_differences

    store = context_of(request).store
    version = store.dataset(request.path_params["ref"])
    theme = choice(_THEME, request.query_params.get(_THEME, "light"), THEMES).name
    if version.recipe.comparison is None:
        raise InputError(f"{version.ref} is not a comparison", hint="Compare two groups: bsv-store compare.")

    def write(path: Path) -> None:
        with collected_warnings():
            if version.recipe.has_voxels:
                figure = slices(store, version, statistic="t", theme=theme)
            else:
                figure = structure_differences(store, version, theme=theme)
        save(figure, path, dpi=_DPI)

    # Colors of structures and outlines depend on the catalog.
    content = f"comparison {theme} {version.fingerprint} {store.catalog.content_digest()}"
    return written_file(request, f"{version.ref}-{theme}.png", "png", content=content, write=write)


def _in_table(request: Request, version: DatasetVersion) -> Markup:
    """A link to the experiments that the recipe selects."""
    there = address(request, "/experiments", selection=version.recipe.selection.to_json())
    return element("p", element("a", "Show what the recipe selects now", href=there, class_="button"))


def _downloads(request: Request, version: DatasetVersion) -> Markup:
    words = {each.ending: each.words for each in VERSION_FORMATS}
    words[".csv"] = (
        "the members, including those left out" if version.recipe.has_voxels else "the table of the comparison"
    )

    def link(ending: str, text: str, **query: str | int | None) -> Markup:
        to = address(request, f"/v1/versions/{version.ref}/file", format=ending.removeprefix("."), **query)
        return element("a", text, href=to)

    files = [[link(each, f"{version.ref}{each}"), words[each]] for each in _FILES]
    arrays: list[list[Content]] = []
    for name in (*version.recipe.statistics, *version.recipe.maps):
        row = STATISTICS[name] if name in STATISTICS else COMPARISON_MAPS[name]
        whole = [
            [" · " if at else None, link(each, text, statistic=name)] for at, (each, text) in enumerate(_IMAGES.items())
        ]
        arrays.append([name, row.words, whole])
    return joined(
        table("Files", [("File", False), ("Content", False)], files),
        element("h3", "Images") if arrays else None,
        table("Images", [("Array", False), ("Meaning", False), ("Download", False)], arrays) if arrays else None,
        element("p", f"The result file has {size_text(version.size_bytes)}.", class_="soft small"),
    )


def _snippets(request: Request, version: DatasetVersion) -> Markup:
    url = public_address(request)
    has_voxels = version.recipe.has_voxels
    read = f"mean = version.mean  # {version.unit}; group, ap, dv, ml" if has_voxels else "version.comparison_table()"
    python = (
        f"from bsv_store import open_store\n\nstore = open_store({url!r})\n"
        f"version = store.dataset({version.ref!r})\n{read}"
    )
    target = f"{version.name}.{'nii.gz' if has_voxels else 'csv'}"
    shell = "\n".join(
        shlex.join(["bsv-store", "--store", url, *each])
        for each in (["dataset", "show", version.ref], ["dataset", "export", version.ref, target])
    )
    return joined(code("copy-python", python, heading="Python"), code("copy-command", shell, heading="Shell"))


def _cite(known: PageFacts) -> Markup:
    citation = known.citation
    text = f"{citation.methods}\n\n{citation.acknowledgement}"
    return joined(
        element("p", CHECK_FIRST, class_="soft small"),
        element("p", citation.origin, class_="warning") if citation.origin is not None else None,
        code("cite-text", text, heading="Text"),
        folded("BibTeX", code("cite-bibtex", citation.bibtex)),
        folded("RIS", code("cite-ris", citation.ris.replace("\r\n", "\n"))),
    )


def _report(request: Request) -> Response:
    """The report of the library as a file; it has its own styles and scripts, so it is not shown here."""
    from bsv_store.reports import page as write_report

    store = context_of(request).store
    version = store.dataset(request.path_params["ref"])
    return written_file(
        request,
        f"{version.ref}.html",
        "html",
        content=f"report {version.fingerprint} {store.catalog.content_digest()}",
        write=lambda path: write_report(store, version, path),
    )


def _long(answer: Callable[[Request], Response]) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint that may take seconds, as one of the few long operations at a time."""

    async def endpoint(request: Request) -> Response:
        return await shared_of(request).run_long(partial(answer, request))

    return endpoint


ROUTES = [
    Route("/datasets/{ref}", _page),
    Route("/datasets/{ref}/report", _long(_report)),
    Route("/datasets/{ref}/comparison.png", _long(_figure)),
]

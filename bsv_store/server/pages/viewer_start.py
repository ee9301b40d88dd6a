"""The first page of the viewer: the latest versions, and experiments with a volume."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bsv_store.catalog.selection.selection import Selection
from bsv_store.errors import DamagedCatalogError
from bsv_store.reports.html_page.markup import Content, Markup, element
from bsv_store.server.context import context_of
from bsv_store.server.data.listed_versions import listed_versions
from bsv_store.server.pages.address import address
from bsv_store.server.pages.kept import kept_content, kept_of
from bsv_store.server.pages.parts import notes, table, version_list
from bsv_store.server.pages.shell import page
from bsv_store.text import number_of
from bsv_store.vocabulary import VOLUME_KINDS

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from bsv_store.catalog.tables.status import VolumeCount
    from bsv_store.store.store import Store

_VERSIONS = 6
_EXPERIMENTS = 8


def start_page(request: Request) -> Response:
    """The page that lists what the viewer can show."""
    content = kept_content(request, "viewer", lambda: _content(request, context_of(request).store))
    return page(
        request,
        "Viewer",
        element("h1", "Viewer"),
        element(
            "p",
            "Three linked planes of an average, a comparison or a single volume, with the outlines of structures and "
            "the values at the cross-hair.",
            class_="lead",
        ),
        content,
        current="/view",
    )


def _content(request: Request, store: Store) -> Content:
    return element(
        "div",
        element("section", element("h2", "Averages and comparisons"), _versions(request, store)),
        element("section", element("h2", "Single volumes"), _volumes(request, store)),
        class_="columns",
    )


def _versions(request: Request, store: Store) -> Content:
    versions = listed_versions(store)
    # A comparison by structure has no voxels.
    versions = versions[versions["spacing_um"].notna()]
    if versions.empty:
        return element("p", "The store has no dataset with voxels yet.", class_="nothing")
    return [
        version_list(store, versions, _VERSIONS, lambda ref: address(request, "/view", version=ref)),
        _button("All datasets", address(request, "/datasets")),
    ]


def _volumes(request: Request, store: Store) -> Content:
    counts = kept_of(request).counts.get(store).volumes
    if not counts:
        return element("p", "The store has no volumes of experiments yet.", class_="nothing")
    # Projection density if there is any, because most people want it first.
    most = max(counts, key=lambda each: (each.kind == "projection_density", each.volumes))
    selection = Selection(with_volume=most.kind, with_volume_spacing_um=most.spacing_um)  # type: ignore[arg-type]
    try:
        listed = store.experiments(selection)
    except DamagedCatalogError as error:
        words = f"The experiments that have a volume cannot be listed: {error.message}."
        return [notes(request, [words]), _form(request)]
    found = listed.sort_values(["projection_volume", "experiment_id"], ascending=[False, True])
    rows = [
        [
            element("a", str(row["experiment_id"]), href=_view(request, row["experiment_id"], most)),
            _text(row["primary_structure"], "unknown"),
            _text(row["transgenic_line"], "wild type"),
        ]
        for row in found.head(_EXPERIMENTS).to_dict("records")
    ]
    words = f"{VOLUME_KINDS[most.kind].words} at {most.spacing_um} um"
    everything = address(request, "/experiments", selection=selection.to_json())
    return [
        element("p", f"{words.capitalize()}; the experiments with the largest projection volume first.", class_="soft"),
        table("Experiments", [("Experiment", False), ("Structure", False), ("Line", False)], rows),
        _button(f"All {number_of(len(found), 'experiment')} with {words}", everything),
        _form(request),
    ]


def _text(value: object, missing: str) -> str:
    """A text of a column, whose missing values can be None or NaN."""
    return value if isinstance(value, str) else missing


def _view(request: Request, identifier: int, volume: VolumeCount) -> str:
    return address(request, "/view", experiment=identifier, kind=volume.kind, spacing_um=volume.spacing_um)


def _button(words: str, to: str) -> Markup:
    return element("p", element("a", words, href=to, class_="button"))


def _form(request: Request) -> Markup:
    field = element("input", id="experiment", name="experiment", inputmode="numeric", pattern="[0-9]+", required=True)
    return element(
        "form",
        element("label", "Experiment by id", for_="experiment"),
        field,
        element("button", "Show", type="submit"),
        action=address(request, "/view"),
        class_="tools",
    )

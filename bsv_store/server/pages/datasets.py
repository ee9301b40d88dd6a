"""The list of datasets and versions."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from starlette.routing import Route

from bsv_store.errors import StoreError, UnknownDatasetError
from bsv_store.reports.html_page.markup import Content, Markup, element
from bsv_store.server.context import context_of
from bsv_store.server.data.listed_versions import listed_versions
from bsv_store.server.pages.address import address
from bsv_store.server.pages.kept import kept_content
from bsv_store.server.pages.parts import code, question_of
from bsv_store.server.pages.shell import page
from bsv_store.text import number_of, size_text
from bsv_store.vocabulary import DATASET_STANDINGS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pandas as pd
    from starlette.requests import Request
    from starlette.responses import Response

    from bsv_store.datasets.history.stale import StaleReport
    from bsv_store.store.store import Store


def _page(request: Request) -> Response:
    content = kept_content(request, "datasets", lambda: _list(request, context_of(request).store))
    return page(
        request,
        "Datasets",
        element("h1", "Datasets"),
        element(
            "p",
            "Averages of groups of experiments, and comparisons of two groups. Each version is a recipe, its inputs "
            "and the result, and never changes.",
            class_="lead",
        ),
        content,
        current="/datasets",
        scripts=("datasets.js",),
    )


def _list(request: Request, store: Store) -> Content:
    summaries = sorted(store.datasets.list(), key=lambda each: each.changed_at, reverse=True)
    if not summaries:
        return _nothing()
    by_name = {str(name): frame for name, frame in listed_versions(store).groupby("name")}
    words = {each.name: question_of(store, each.name) for each in summaries if each.name in by_name}
    stale = _stale(store, words)
    cards = [_dataset(request, by_name[name], text, stale) for name, text in words.items() if text is not None]
    count = element("span", class_="soft", role="status", id="count")
    return [
        element("div", element("label", "Filter", _search()), count, class_="tools"),
        element("div", cards, class_="cards", id="datasets"),
    ]


def _stale(store: Store, names: Iterable[str]) -> dict[str, StaleReport]:
    """The reports on the latest version of each dataset, by reference; damaged versions have none."""
    reports: list[StaleReport] = []
    for name in names:
        with contextlib.suppress(StoreError, UnknownDatasetError):
            reports += store.datasets.stale(name)
    return {report.ref: report for report in reports}


def _search() -> Markup:
    return element("input", type="search", id="dataset-filter", placeholder="visual", autocomplete="off")


def _dataset(request: Request, versions: pd.DataFrame, words: str, stale: Mapping[str, StaleReport]) -> Markup:
    newest = versions.sort_values("number", ascending=False)
    name = str(newest.iloc[0]["name"])
    items = [_version(request, row, stale.get(f"{name}@{row['number']}")) for row in newest.to_dict("records")]
    rest = items[1:]
    older = (
        element(
            "details",
            element("summary", f"{number_of(len(rest), 'earlier version')}"),
            element("ul", rest, class_="versions"),
        )
        if rest
        else None
    )
    return element(
        "article",
        element("h2", element("a", name, href=address(request, f"/datasets/{name}"))),
        element("p", words),
        element("ul", items[:1], class_="versions"),
        older,
        class_="card",
    )


def _version(request: Request, row: Mapping[str, object], stale: StaleReport | None) -> Markup:
    reference = f"{row['name']}@{row['number']}"
    tags = str(row["tags"]).split(", ") if row["tags"] else []
    badges: list[Content] = [element("span", each, class_="badge tag") for each in tags]
    if stale is not None and stale.is_stale:
        badges.append(element("span", "stale", class_="badge stale", title="The store has changed since"))
    standing = DATASET_STANDINGS[str(row["standing"])]
    if row["standing"] != "computed":
        badges.append(element("span", str(row["standing"]), class_="badge" if standing.can_answer else "badge stale"))
    facts = " · ".join(
        [
            number_of(int(str(row["member_count"])), "experiment"),
            number_of(int(str(row["group_count"])), "group"),
            f"{row['spacing_um']} um" if isinstance(row["spacing_um"], int) else "by structure",
            size_text(int(str(row["size_bytes"]))),
            f"{row['created_at']:%Y-%m-%d} by {row['created_by']}",
        ]
    )
    return element(
        "li",
        element("a", f"@{row['number']}", href=address(request, f"/datasets/{reference}"), class_="version"),
        element("span", facts, class_="soft"),
        badges,
    )


def _nothing() -> Markup:
    command = "bsv-store aggregate --injected-in VISp --line wild-type --group-by AP --bins 5 --name visp-by-AP --fetch"
    return element(
        "div",
        element("p", "The store has no datasets yet."),
        element("p", "On the server, this computes the first one:"),
        code("first", command),
        class_="nothing",
    )


ROUTES = [Route("/datasets", _page)]

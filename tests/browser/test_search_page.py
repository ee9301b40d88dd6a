"""The search page in a browser."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from bsv_store import Selection, Store
from tests.browser import OpenPage, opened_address, shown_texts
from tests.server.pages_store import EXCLUDED, HARMFUL, pages_store
from tests.server.serving import serving

# Shows what follows from right to left.
HIDDEN = "\u202e"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with pages_store(tmp_path_factory.mktemp("browser") / "store") as opened:
        yield opened


@pytest.fixture(scope="module")
def search(store: Store) -> Iterator[OpenPage]:
    """The search page, in one browser for all tests."""
    with serving(store) as url, opened_address(f"{url}/experiments") as opened:
        yield opened
        # Nothing was logged, and no request left the host, in any of the tests.
        assert opened.messages == []
        assert all(each.startswith(url) for each in opened.requests)


@pytest.fixture
def page(search: OpenPage) -> Any:
    """The page, without a selection."""
    page = search.page
    page.goto(re.sub(r"\?.*", "", page.url))
    page.locator("#table tbody tr").first.wait_for()
    return page


def selected(page: Any) -> Selection:
    """The selection in the address."""
    query = parse_qs(urlsplit(page.url).query)
    return Selection.from_json(query["selection"][0]) if "selection" in query else Selection()


def listed(page: Any) -> list[int]:
    return [int(each) for each in page.locator("#table tbody th").all_inner_texts()]


def found(page: Any, count: int) -> None:
    words = "experiment" if count == 1 else "experiments"
    page.locator("#found", has_text=re.compile(f"^{count} {words}$")).wait_for()


def choose(page: Any, name: str, text: str) -> None:
    """Types into a field and takes the first suggestion, with the keyboard alone."""
    page.locator(f"#field-{name}").fill(text)
    page.locator(f"#list-{name} [role=option]").first.wait_for()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")


def test_a_filter_is_in_the_address_and_the_address_gives_the_same_again(page: Any, store: Store) -> None:
    everything = list(store.select())
    assert listed(page) == everything
    choose(page, "injected_in", "VISp")
    wanted = Selection(injected_in="VISp")
    found(page, len(store.select(wanted)))
    assert selected(page) == wanted
    page.locator("summary", has_text="Mouse").click()
    choose(page, "line", "wild")
    narrower = Selection(injected_in="VISp", line="wild-type")
    found(page, len(store.select(narrower)))
    assert selected(page) == narrower
    page.reload()
    found(page, len(store.select(narrower)))
    assert listed(page) == list(store.select(narrower))
    assert page.locator(".token-box .token").all_text_contents() == ["VISp×", "wild-type×"]
    # The section of a set criterion is open.
    assert page.locator(".token-box .token").last.is_visible()
    page.go_back()
    found(page, len(store.select(wanted)))
    page.go_back()
    found(page, len(everything))
    assert selected(page) == Selection()


def test_every_kind_of_field_makes_its_criterion(page: Any, store: Store) -> None:
    # The first section is open.
    for section in page.locator("#filter summary").all()[1:]:
        section.click()
    page.locator("#field-injected_hemisphere").select_option("right")
    page.locator("#field-bilateral").select_option("false")
    page.locator("#field-min_injection_volume").fill("0.05")
    page.locator("[data-criterion=near] input").nth(0).fill("8000")
    page.locator("[data-criterion=near] input").nth(1).fill("1500")
    page.locator("[data-criterion=near] input").nth(2).fill("8500")
    page.locator("#field-radius_um").fill("5000")
    page.locator("#field-include_excluded").check()
    page.locator("#field-exclude_ids").fill("103, 205")
    page.locator("#field-exclude_ids").blur()
    wanted = Selection(
        injected_hemisphere="right",
        bilateral=False,
        min_injection_volume=0.05,
        near=(8000, 1500, 8500),
        radius_um=5000,
        include_excluded=True,
        exclude_ids=[103, 205],
    )
    page.wait_for_url(lambda url: "exclude_ids" in url and "radius_um" in url)
    assert selected(page) == wanted
    found(page, len(store.select(wanted)))
    # A token above the table removes its criterion.
    page.locator("#chips button", has_text="Bilateral").click()
    page.wait_for_url(lambda url: "bilateral" not in url)
    assert page.locator("#field-bilateral").input_value() == ""


def test_columns_sort_by_click_and_the_order_is_in_the_address(page: Any, store: Store) -> None:
    ordered = store.experiments().sort_values(["injection_ap", "experiment_id"], ascending=[False, True])
    page.get_by_role("button", name="AP um").click()
    assert page.locator("th[aria-sort=descending]").inner_text().startswith("AP")
    assert listed(page) == ordered["experiment_id"].tolist()
    page.reload()
    page.locator("th[aria-sort=descending]").wait_for()
    assert listed(page) == ordered["experiment_id"].tolist()


def test_suggestions_are_structures_by_acronym_name_or_synonym(page: Any) -> None:
    suggested = page.locator("#list-injected_in [role=option] b")
    for text in ("V1", "VISp", HARMFUL):
        page.locator("#field-injected_in").fill(text)
        suggested.first.wait_for()
        assert suggested.first.inner_text() == ("TH" if text == HARMFUL else "VISp")
        page.keyboard.press("Escape")
        page.locator("#list-injected_in").wait_for(state="hidden")
    page.locator("#field-injected_in").fill("")


def test_the_download_has_the_rows_of_the_table(page: Any, store: Store) -> None:
    choose(page, "injected_in", "VISp")
    found(page, len(store.select(Selection(injected_in="VISp"))))
    with page.expect_download() as download:
        page.locator("#csv").click()
    table = list(csv.reader(Path(download.value.path()).read_text(encoding="utf-8").splitlines()))
    assert [int(row[0]) for row in table[1:]] == listed(page)


def test_a_click_on_the_map_marks_the_row(page: Any, store: Store) -> None:
    row = store.experiments([103]).iloc[0]
    canvas = page.locator("canvas").first
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    where = {"x": row["injection_ml"] / 11_400 * box["width"], "y": row["injection_ap"] / 13_200 * box["height"]}
    canvas.hover(position=where)
    assert page.locator("#site").inner_text().startswith("103: ")
    canvas.click(position=where)
    assert page.locator("tr.marked th").inner_text() == "103"


def test_the_map_and_the_switch_of_the_theme_work_with_the_keyboard(page: Any) -> None:
    page.locator("canvas").first.focus()
    page.keyboard.press("ArrowRight")
    first = page.locator("#site").inner_text()
    page.keyboard.press("ArrowRight")
    assert page.locator("#site").inner_text() != first
    page.locator("#theme").focus()
    page.keyboard.press("Enter")
    assert page.locator("html").get_attribute("data-theme") == "dark"
    page.reload()
    assert page.locator("html").get_attribute("data-theme") == "dark"
    page.locator("#theme").click()


def test_the_figure_of_a_comparison_follows_the_switch_and_stays_legible_on_a_phone(search: OpenPage) -> None:
    page = search.page.context.browser.new_page(viewport={"width": 390, "height": 800})
    page.goto(search.page.url.partition("/experiments")[0] + "/datasets/structures@1")
    figure = page.locator("picture img")
    figure.scroll_into_view_if_needed()
    with page.expect_response("**/comparison.png?theme=dark") as response:
        page.locator("#theme").click()
    assert response.value.ok
    assert figure.bounding_box()["width"] > 600
    # The figure scrolls, not the page.
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.close()


def test_a_combination_in_the_address_can_be_restricted_further(page: Any, store: Store) -> None:
    combined = Selection(injected_in="VISp") | Selection(injected_in="CP")
    page.goto(f"{page.url}?selection={combined.to_json()}")
    found(page, len(store.select(combined)))
    page.locator("#field-injected_hemisphere").select_option("left")
    page.wait_for_url(lambda url: "injected_hemisphere" in url)
    assert selected(page) == combined & Selection(injected_hemisphere="left")
    page.locator("#reset").click()
    found(page, len(store.select()))


def test_an_error_of_the_library_is_shown_with_its_hint_and_can_be_corrected(search: OpenPage, store: Store) -> None:
    page = search.page
    page.goto(f'{page.url.partition("?")[0]}?selection={{"injected_in":["visp"],"version":1}}')
    message = page.locator("#messages .problem").inner_text()
    assert "The ontology has no structure 'visp'." in message
    assert "VISp" in message
    assert not page.locator("#table").is_visible()
    assert page.locator(".token-box .token").text_content() == "visp×"
    page.locator("#chips button").click()
    found(page, len(store.select()))
    assert page.locator("#messages .problem").count() == 0
    # The browser logs that the server refused.
    assert [each for each in search.messages if "404" in each] == search.messages
    search.messages.clear()


def _with_hidden(value: Any) -> Any:
    """The same with a hidden character in every text, as in names that others have chosen."""
    if isinstance(value, str):
        return value + HIDDEN
    if isinstance(value, list):
        return [_with_hidden(each) for each in value]
    return {key: _with_hidden(each) for key, each in value.items()} if isinstance(value, dict) else value


def test_characters_that_change_the_direction_are_shown_as_escapes(page: Any) -> None:
    def reply(route: Any) -> None:
        content = route.fetch().json()
        named = ("rows", "words", "excluded", "warnings", "address", "python", "command", "structures")
        route.fulfill(json=content | {name: _with_hidden(content[name]) for name in named if name in content})

    page.route(re.compile(r"experiments\.json|structures/find"), reply)
    page.reload()
    page.locator("#table tbody tr").first.wait_for()
    page.locator("summary", has_text="Columns").click()
    page.get_by_label("Specimen").check()
    page.locator("#messages summary").click()
    page.locator("#table tbody tr").first.hover()
    page.locator("#field-injected_in").fill("VISp")
    page.locator("#list-injected_in [role=option]").first.wait_for()
    texts = shown_texts(page)
    assert sum("\\u202e" in each for each in texts) > 100
    assert not [each for each in texts if HIDDEN in each]
    # A value that is chosen is the one that the server has.
    assert page.locator("#list-injected_in [role=option]").first.get_attribute("data-value").endswith(HIDDEN)
    page.unroute_all()


def test_names_and_reasons_of_others_are_shown_as_text(page: Any) -> None:
    page.locator("#messages summary").click()
    assert page.locator("#messages li").inner_text() == f"{EXCLUDED}: {HARMFUL}"
    page.locator("summary", has_text="Columns").click()
    page.get_by_label("Specimen").check()
    assert HARMFUL in page.locator("#table tbody").inner_text()

"""The report on a version as a page: its content, valid HTML, and its behavior in a browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from bsv_store import DatasetVersion, Selection, create_store, reports
from bsv_store.catalog.ingest import ingest_structures, ingest_unionizes
from bsv_store.catalog.records import UNIONIZE_FIELDS, Ontology, StructureRecord, UnionizeTable
from bsv_store.errors import BsvStoreWarning, InputError
from bsv_store.figures.style import new_figure
from bsv_store.reports.html_page import sections
from bsv_store.reports.html_page.figures import PageFigure, page_figures
from bsv_store.reports.html_page.markup import Markup, element
from bsv_store.reports.html_page.quality import robust_z
from bsv_store.reports.html_page.tables import Column, DataTable, Row, number
from bsv_store.volumes.grid import MIDLINE_UM
from tests.datasets.world import (
    MOP,
    SHAPE,
    STRUCTURES,
    VISL,
    VISP,
    Fact,
    add_annotation,
    ask,
    fill,
    fill_with,
    remove_volume,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bsv_store import Store

SUMMARY_SET = 167587189
HOSTILE = "<img src=x onerror=alert(1)>\"'&"
# The last one projects to another structure.
ANIMALS = tuple(Fact(id_, VISP, 8000 + 10 * id_, 0.0, 0.1 + id_ / 1000, line=HOSTILE) for id_ in range(11, 18))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with create_store(tmp_path_factory.mktemp("page") / "store") as made:
        fill_with(made, ANIMALS)
        records = tuple(
            StructureRecord(
                id_, acronym, f"the <b>{acronym}", parent, order, "FF8800", (SUMMARY_SET,) if parent else ()
            )
            for order, (id_, acronym, parent) in enumerate(STRUCTURES)
        )
        ingest_structures(made.database, Ontology(records, {SUMMARY_SET: "summary"}), source="test")
        ids = np.zeros(SHAPE, np.uint32)
        ids[60:90, 10:40, 20:90] = VISP
        ids[20:50, 10:40, 20:90] = MOP
        add_annotation(made, ids)
        _add_profiles(made)
        yield made


def _add_profiles(store: Store) -> None:
    """Unionize rows outside the injection: strong in VISl, for the last animal in MOp."""
    rows: list[dict[str, Any]] = []
    for fact in ANIMALS:
        strong = MOP if fact is ANIMALS[-1] else VISL
        for structure, *_ in STRUCTURES:
            for hemisphere in (1, 2, 3):
                density = (0.5 if structure == strong else 0.1) * hemisphere + 0.001 * ((fact.id * structure) % 7)
                values = {"projection_density": density, "volume": 1.0, "sum_pixels": 1.0}
                key = {"experiment_id": fact.id, "structure_id": structure, "hemisphere_id": hemisphere}
                rows.append({**key, **values, "id": len(rows) + 1_000})
    rows.sort(key=lambda row: (row["experiment_id"], row["structure_id"], row["hemisphere_id"]))
    columns = {name: np.array([row.get(name, 0) for row in rows], dtype=kind) for _, name, kind in UNIONIZE_FIELDS}
    ingest_unionizes(store.database, UnionizeTable(columns, frozenset({"projection"})), source="test", kind="file")


@pytest.fixture(scope="module")
def version(store: Store) -> DatasetVersion:
    remove_volume(store, 16)
    return ask(store, Selection(injected_in="VIS"), name="visual", missing="leave_out")


@pytest.fixture(scope="module")
def written(store: Store, version: DatasetVersion, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return reports.page(store, version, tmp_path_factory.mktemp("out") / "a.html", title=f"Visual {HOSTILE}")


def test_coordinates_of_both_sides_are_summarized_by_their_distance_from_the_midline() -> None:
    frame = pd.DataFrame(
        {
            "injection_ap": [8000.0, 8200.0],
            "injection_dv": [1500.0, 1500.0],
            "injection_ml": [MIDLINE_UM - 2000.0, MIDLINE_UM + 2200.0],
            "injection_volume": [0.1, 0.3],
        },
        index=[1, 2],
    )
    group = SimpleNamespace(label="all", n=2, experiment_ids=(1, 2))
    facts = SimpleNamespace(version=SimpleNamespace(groups=(group,)), experiments=frame)
    table = str(sections._group_table(facts))  # type: ignore[arg-type]
    assert "From the midline, mean ± sd (um)" in table
    assert "2,100 ± 141" in table


def _table(rows: list[list[Any]], **options: Any) -> str:
    columns = [Column(heading) for heading in ("Animal", "Line", "Volume", "Remarks")]
    return str(DataTable("some", "Some animals", columns, [Row(each) for each in rows], **options).markup())


def test_columns_with_one_value_become_a_sentence() -> None:
    rows = [["7", "Ai75 <x>", number(0.12341), ""], ["7", "Ai75 <x>", number(0.12342), ""]]
    html = _table(rows, moves_shared=True)
    assert '<p class="soft">The same in all rows: Line: Ai75 &lt;x&gt;; Remarks: none.</p>' in html
    assert re.findall(r"<button[^>]*>([^<]*)<", html) == ["Animal", "Volume"]
    # The filter finds what they said.
    assert 'data-shared="Ai75 &lt;x&gt; "' in html
    for other in (_table(rows), _table(rows[:1], moves_shared=True)):
        assert "The same in all rows" not in other
        assert re.findall(r"<button[^>]*>([^<]*)<", other) == ["Animal", "Line", "Volume", "Remarks"]
        assert "data-shared" not in other


def test_short_headings_do_not_break_at_a_hyphen() -> None:
    columns = [Column("p, max-t", is_number=True), Column("p, FDR", is_number=True), Column("A long-winded heading")]
    html = str(DataTable("some", "Some numbers", columns).markup())
    assert re.findall(r'<th scope="col"([^>]*)>', html) == [' class="number short"', ' class="number"', ""]


class _Checker(HTMLParser):
    """Checks nesting, ids, references to ids, images and labels."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.problems: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.headings: list[int] = []
        self.sources: list[str] = []
        self.text: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.add(tag)
        if len(given) != len(attrs):
            self.problems.append(f"{tag} has an attribute twice")
        if any(name.startswith("on") for name in given):
            self.problems.append(f"{tag} has a handler")
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.links += [(value or "")[1:] for name, value in attrs if name == "href" and (value or "").startswith("#")]
        self.links += [value for name, value in attrs if name == "aria-labelledby" and value]
        self.sources += [value or "" for name, value in attrs if name in ("src", "srcset", "data")]
        self.sources += [value or "" for name, value in attrs if name == "href" and not (value or "").startswith("#")]
        if tag == "img" and not given.get("alt"):
            self.problems.append("an image has no text")
        if tag == "input" and "label" not in self.open:
            self.problems.append("an input has no label")
        if tag == "th" and given.get("scope") not in ("row", "col"):
            self.problems.append("a heading of a table has no scope")
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag not in ("img", "input", "meta", "br", "source"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"</{tag}> is out of place")

    def handle_data(self, data: str) -> None:
        if self.open[-1:] not in (["style"], ["script"]):
            self.text.append(data)


@pytest.fixture(scope="module")
def checked(written: Path) -> _Checker:
    checker = _Checker()
    checker.feed(written.read_text("utf-8"))
    checker.close()
    return checker


def test_the_page_is_valid_and_accessible(written: Path, checked: _Checker) -> None:
    text = written.read_text("utf-8")
    assert text.startswith('<!DOCTYPE html>\n<html lang="en">')
    assert not checked.problems
    assert not checked.open
    assert len(set(checked.ids)) == len(checked.ids)
    assert set(checked.links) <= set(checked.ids)
    assert checked.headings[0] == 1
    assert checked.headings.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(checked.headings, checked.headings[1:], strict=False))


def test_nothing_is_loaded_from_elsewhere(written: Path, checked: _Checker) -> None:
    assert checked.sources
    assert all(source.startswith("data:image/png;base64,") for source in checked.sources)
    assert "url(" not in written.read_text("utf-8")
    assert checked.tags.isdisjoint({"link", "iframe", "object", "embed", "base", "form"})


def test_values_are_escaped(checked: _Checker) -> None:
    text = "".join(checked.text)
    assert f"Visual {HOSTILE}" in text
    assert HOSTILE in text.split("both are explained under Outliers.")[1]
    assert "the <b>VISp" in text
    assert "b" not in checked.tags


def test_the_page_says_what_was_done_and_from_what(version: DatasetVersion, checked: _Checker) -> None:
    text = " ".join(checked.text)
    assert version.cite().methods in text
    for fact in (version.fingerprint, version.content_sha256, version.software, version.quantity):
        assert fact in text
    assert "experiment list (Allen API, stored on" in text


def test_the_page_lists_members_and_those_left_out(version: DatasetVersion, checked: _Checker) -> None:
    text = " ".join(checked.text)
    assert f"1: {version.left_out[0].reason}" in text
    assert [member.experiment_id for member in version.left_out] == [16]
    for member in version.experiments:
        assert str(member.experiment_id) in text


def test_the_page_ranks_structures(checked: _Checker, store: Store, version: DatasetVersion) -> None:
    text = " ".join(checked.text)
    strongest = version.targets(limit=2)
    assert list(strongest["structure"])
    positions = [text.index(f"the <b>{acronym}") for acronym in strongest["structure"]]
    assert positions == sorted(positions)


def test_the_page_of_a_comparison_by_structure_has_its_table(store: Store, tmp_path: Path) -> None:
    ids = [fact.id for fact in ANIMALS]
    measured: Any = {"measure": "projection_density", "permutations": 20, "bootstrap": 20, "include_sources": True}
    frame = store.compare_structures(ids[:3], ids[3:], name="structures", labels=[HOSTILE, "b"], **measured)
    checker = _Checker()
    checker.feed(reports.page(store, "structures", tmp_path / "a.html").read_text("utf-8"))
    checker.close()
    assert not checker.problems
    text = " ".join(checker.text)
    for expected in ("Compared structures", HOSTILE, store.dataset("structures").cite().methods, "Injection sites"):
        assert expected in text
    assert f"Comparison of {HOSTILE} (n = 3) and b (n = {len(ids) - 3}) by structure: projection density." in text
    assert "b: experiments chosen by id" in text
    # The labels are too long for column headings. p comes before what may be outside of the window.
    headings = text.split("by the maximum of |t|.")[1]
    order = [headings.index(heading) for heading in ("Difference", "p, max-t", "Mean, first group")]
    assert order == sorted(order)
    assert "Hemisphere " not in text.split("Compared structures")[-1].split("Quality")[0]
    assert "; hemisphere: both." in text
    assert all(acronym in text for acronym in frame["structure"])
    assert "Slices" not in text
    assert "Maximum projections" not in text


def test_the_page_of_a_comparison_by_voxel_has_its_maps(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Another test removes the volume of 16.
    ids = [fact.id for fact in ANIMALS if fact.id != 16]
    with pytest.warns(BsvStoreWarning, match="smallest possible"):
        version = store.compare_voxels(ids[:3], ids[3:6], name="voxels", labels=[HOSTILE, "b"], permutations=20)
    summary = version.comparison_summary()
    drawn: list[str] = []

    def slices(_store: Store, _version: DatasetVersion, **options: Any) -> Figure:
        drawn.append(options.get("statistic", "mean"))
        return new_figure(height_mm=20)

    monkeypatch.setattr("bsv_store.reports.html_page.figures.slices", slices)
    headings = {each.heading: each.caption for each in page_figures(store, version)}
    assert list(headings)[:3] == ["Difference", "t statistic", "Slices"]
    assert drawn == ["difference"] * 2 + ["t"] * 2 + ["mean"] * 2
    assert headings["Difference"].startswith(f"Mean of {HOSTILE} minus mean of b: projection density")
    assert f"{summary.tested_voxels:,} voxels were tested" in headings["t statistic"]
    assert f"{HOSTILE} is higher at {summary.higher:,}" in headings["t statistic"]


def test_an_animal_with_another_profile_is_an_outlier(checked: _Checker) -> None:
    text = " ".join(checked.text)
    found = re.findall(r"(\d+): profile correlates little with its group \(robust z = (-[\d.]+)\)", text)
    assert [identifier for identifier, _ in found] == ["17"]
    assert float(found[0][1]) < -3.5
    assert f"profile z = {found[0][1]}" in text
    assert "The profiles of 6 of 6 animals were compared." in text


def test_robust_z_scores_are_those_of_the_median() -> None:
    values = [1.0, 2.0, 3.0, 4.0, 100.0, None]
    scale = 1.4826 * 1.0
    assert robust_z(values) == [pytest.approx((v - 3) / scale) if v is not None else None for v in values]
    assert robust_z([1.0, 2.0, 3.0, None]) == [None] * 4
    assert robust_z([1.0] * 5 + [2.0]) == [None] * 6


def test_a_store_without_an_annotation_says_so(tmp_path: Path) -> None:
    with create_store(tmp_path / "store") as store:
        fill(store)
        target = reports.page(store, ask(store).ref, tmp_path / "a.html")
    text = unescape(target.read_text("utf-8"))
    assert "sync annotation --spacing 100" in text or "structure set" in text
    assert "The profiles of 0 of 5 animals were compared." in text
    # Below slices and projections.
    assert text.count("Outline: all voxels with signal, because the store has no annotation.") == 2


def test_dollar_signs_are_no_formulas_in_figures(store: Store, version: DatasetVersion) -> None:
    broken = r"$\frac{$"
    label = {broken: [11, 12], "b": [13, 14]}
    for figure in (
        reports.slices(store, version, title=broken),
        reports.injection_map(store, groups=version, title=broken),
        reports.ranked_targets(store, label, title=broken, include_sources=True),
    ):
        # Would raise a syntax error.
        figure.draw_without_rendering()


def test_bad_arguments_are_refused_before_any_work(store: Store, written: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"must end in \.html or \.htm"):
        reports.page(store, "visual", tmp_path / "a.pdf")
    with pytest.raises(InputError, match="exists"):
        reports.page(store, "visual", written)
    with pytest.raises(InputError, match="title must be a single line"):
        reports.page(store, "visual", tmp_path / "a.html", title="a\nb")
    with pytest.raises(InputError, match="title must be a single line"):
        reports.page(store, "visual", tmp_path / "a.html", title=" ")
    with pytest.raises(InputError, match="has no dataset 'nothing'"):
        reports.page(store, "nothing", tmp_path / "a.html")
    assert not [*tmp_path.iterdir()]


def test_elements_escape_text_and_attributes() -> None:
    assert element("p", "<b>", Markup("<i>"), ["&", None], title='"', hidden=True, lang=None) == (
        '<p title="&quot;" hidden>&lt;b&gt;<i>&amp;</p>'
    )


def test_figures_follow_the_theme_and_missing_ones_say_why() -> None:
    both = PageFigure("Slices", "Planes.", "planes", {"light": "data:,light", "dark": "data:,dark"}, 4, 3)
    missing = PageFigure("Targets", "No tables.", "bars", {})
    html = sections.figures(SimpleNamespace(figures=(both, missing)))  # type: ignore[arg-type]
    assert 'srcset="data:,dark" media="screen and (prefers-color-scheme: dark)"' in html
    assert '<img src="data:,light" alt="planes" width="4" height="3">' in html
    assert '<p class="warning">No tables.</p>' in html


# -- in a browser ---------------------------------------------------------------------------------------------------

# Sorts the members by AP, filters them, and leaves what it saw in an attribute.
_PROBE = """
<script>
const seen = { violations: 0 };
document.addEventListener("securitypolicyviolation", () => { seen.violations += 1; });
const table = document.getElementById("members");
const column = [...table.tHead.rows[0].cells].findIndex((cell) => cell.textContent.startsWith("AP"));
const values = () => [...table.tBodies[0].rows].filter((row) => !row.hidden).map((row) => row.cells[0].textContent);
const button = table.tHead.rows[0].cells[column].querySelector("button");
button.click();
seen.descending = values();
seen.sort = table.tHead.rows[0].cells[column].getAttribute("aria-sort");
button.click();
seen.ascending = values();
const filter = document.getElementById("members-filter");
if (filter) {
  filter.value = "nothing has this";
  filter.dispatchEvent(new Event("input"));
  seen.none = values();
  filter.value = "13 visp";
  filter.dispatchEvent(new Event("input"));
  seen.filtered = values();
  seen.state = document.getElementById("members-state").textContent;
}
const frame = table.parentElement;
seen.scrolls = frame.scrollWidth - frame.clientWidth;
frame.scrollLeft = 200;
seen.pinned = table.tBodies[0].rows[0].cells[0].getBoundingClientRect().left - frame.getBoundingClientRect().left;
seen.requests = performance.getEntriesByType("resource").map((each) => each.name);
seen.overflow = document.documentElement.scrollWidth - document.documentElement.clientWidth;
seen.images = [...document.images].every((image) => image.complete && image.naturalWidth > 0);
document.documentElement.dataset.seen = JSON.stringify(seen);
</script>
"""


@pytest.fixture(scope="module")
def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no browser: the Debian package chromium is not installed")
    return found


def _browse(chromium: str, page: Path, folder: Path, *, width: int) -> tuple[dict[str, Any], str]:
    """What the probe saw in a page, and the messages of the console."""
    probed = folder / "probed.html"
    probed.write_text(page.read_text("utf-8").replace("</body>", f"{_PROBE}</body>"), encoding="utf-8")
    done = subprocess.run(
        [
            chromium,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            f"--user-data-dir={folder / 'profile'}",
            f"--window-size={width},900",
            "--enable-logging=stderr",
            "--dump-dom",
            probed.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found = re.search(r'data-seen="([^"]*)"', done.stdout)
    assert found, done.stderr
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return json.loads(unescape(found[1])), "\n".join(console)


@pytest.mark.parametrize("width", [500, 1400])
def test_a_browser_shows_sorts_and_filters_it(chromium: str, written: Path, tmp_path: Path, width: int) -> None:
    seen, console = _browse(chromium, written, tmp_path, width=width)
    assert console == ""
    assert (seen["requests"], seen["violations"]) == ([], 0)
    assert seen["images"]
    assert seen["overflow"] == 0
    # On a narrow screen, the experiments stay in view.
    assert (seen["scrolls"] > 0) == (width < 1000)
    assert 0 <= seen["pinned"] <= 1
    assert seen["sort"] == "descending"
    assert seen["descending"] == ["17", "15", "14", "13", "12", "11"]
    assert seen["ascending"] == ["11", "12", "13", "14", "15", "17"]


def test_a_browser_filters_long_tables(chromium: str, tmp_path: Path) -> None:
    with create_store(tmp_path / "store") as store:
        facts = [replace(ANIMALS[0], id=id_, ap=7000 + 100 * id_) for id_ in range(11, 20)]
        fill_with(store, facts)
        page = reports.page(store, ask(store, Selection()), tmp_path / "a.html")
    seen, console = _browse(chromium, page, tmp_path, width=800)
    assert console == ""
    assert seen["none"] == []
    assert seen["filtered"] == ["13"]
    assert seen["state"] == "1 of 9 rows"

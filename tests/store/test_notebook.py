"""What notebooks show: cards, tables of targets, and names after the Tab key."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from bsv_store import Selection, by_coordinate, open_store
from bsv_store.catalog.ingest.diff import ExperimentChange, FieldChange, SnapshotDiff
from bsv_store.catalog.ingest.snapshot_log import Snapshot
from bsv_store.errors import InputError, MissingDataError
from bsv_store.html import card, folded, table
from bsv_store.statistics import compare_features, compare_voxels
from tests.datasets.world import MOP, SHAPE, VISP, add_annotation, ask

if TYPE_CHECKING:
    from bsv_store import Store

on_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)

HOSTILE = "<script>alert(1)</script>"


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data + " "


def shown(value: Any) -> str:
    """The text of the HTML of an object, which must be well-formed and without scripts."""
    html = value if isinstance(value, str) else value._repr_html_()
    parser = _Text()
    parser.feed(html)
    assert parser.open == []
    assert parser.tags.isdisjoint({"script", "img", "iframe", "link"})
    return parser.text


@on_sqlite
def test_a_store_shows_its_folder_and_content(filled: Store) -> None:
    text = shown(filled)
    assert str(filled.path) in text
    assert "Experiments 7" in text
    assert "Volumes 7" in text


@on_sqlite
def test_a_store_that_cannot_be_read_is_shown_too(filled: Store) -> None:
    path = filled.path
    with open_store(path) as other:
        other.close()
        (path / "catalog.db").rename(path / "gone")
        assert str(path) in shown(other)


@on_sqlite
def test_versions_and_their_groups_show_what_was_done(filled: Store) -> None:
    version = ask(filled, Selection(injected_in="VIS"), by_coordinate("AP", edges=[7000, 8200, 9900]), name="visual")
    text = shown(version)
    assert "visual@1" in text
    assert "experiments injected in VIS" in text
    assert "by the AP injection coordinate" in text
    assert version.groups[0].label in text
    group = shown(version.groups[0])
    assert "7,000 to 8,200 um" in group
    assert "2: 1, 2" in group


@on_sqlite
def test_plans_reports_citations_and_lists_have_cards(filled: Store) -> None:
    version = ask(filled)
    assert "projection_density at 25 um" in shown(filled.plan_fetch([1, 2], spacing_um=25))
    assert "2 already present" in shown(filled.fetch([1, 2], offline=True))
    assert version.fingerprint in shown(version.cite())
    assert "Datasets" in shown(filled.status())
    assert "Volumes" in shown(filled.datasets.lineage(version))
    assert "Selection(injected_in=['VIS'])" in shown(Selection(injected_in="VIS"))


@on_sqlite
def test_reports_about_the_files_of_a_store_have_cards(filled: Store) -> None:
    version = ask(filled)
    filled.datasets.delete(version)
    (item,) = filled.admin.trash()
    assert "version/test@1 in the trash" in shown(item)
    assert "Days left 30" in shown(item)
    (restored,) = filled.admin.untrash(item.item)
    assert str(restored) in shown(restored)
    assert "Nothing to repair" in shown(filled.admin.repair())
    assert "Nothing to collect" in shown(filled.admin.collect_garbage())
    assert "The store has" in shown(filled.admin.enforce_quota(10**12))


@on_sqlite
def test_answers_about_data_have_cards(filled: Store) -> None:
    version = ask(filled)
    assert "7 volumes checked" in shown(filled.volumes.check(filled.select()))
    (report,) = filled.datasets.stale(version)
    assert "State current" in shown(report)
    assert "identical" in shown(filled.datasets.rebuild(version))
    summary = shown(filled.catalog.summary())
    assert "Experiments 7" in summary
    assert "Injected hemisphere" in summary
    assert str(filled.catalog.summary()).splitlines()[0].split() == ["Experiments", "7"]
    stack = shown(filled.volumes.stack([1, 2]))
    assert "2 experiments × 132 × 80 × 114 voxels" in stack
    assert "projection density" in stack
    assert "VISp" in shown(filled.atlas.find_structures("VISp"))
    assert "similar" in shown(filled.atlas.find_structures("VISpq"))
    thresholded = filled.volumes.threshold(1, 0.1)
    assert f"{int(thresholded.mask.sum()):,} voxel" in shown(thresholded)
    assert "VISp" in shown(filled.catalog.describe(1))
    assert "The catalog is intact" in shown(filled.catalog.verify())
    assert "Structures" in shown(filled.atlas.ontology())
    saved = filled.catalog.save_selection("mine", Selection(injected_in="VIS"), note="of the paper")
    assert "of the paper" in shown(saved)
    assert version.fingerprint in shown(filled.datasets.tag(version, "paper"))
    assert "provenance" in shown(version.provenance())
    assert "Experiment 1" in shown(filled.volumes.recorded(1))
    assert "To correct" in shown(filled.admin.permissions())
    add_annotation(filled, np.full(SHAPE, VISP, np.uint32))
    assert "Array SHA-256" in shown(filled.atlas.recorded_annotation())


def test_tests_of_two_groups_have_cards() -> None:
    values, in_a = np.random.default_rng(0).normal(size=(8, 5)), np.arange(8) < 4
    by_feature = compare_features(values[in_a], values[~in_a], seed=1)
    for found in (by_feature, compare_voxels(np.abs(values), in_a, seed=1)):
        text = shown(found)
        assert "4 and 4" in text
        assert f"{found.p_max_t.min():.3g}" in text


def test_what_changed_between_two_lists_is_a_table() -> None:
    day = datetime(2026, 1, 2, tzinfo=UTC)
    old, new = (
        Snapshot(number, "experiments", "api", "file", day.date(), day, "0" * 64, 3, 0, 0, 0) for number in (1, 2)
    )
    change = ExperimentChange(158375425, (FieldChange("strain", None, "C57BL/6J"),))
    text = shown(SnapshotDiff(old, new, (5, 6), (), (change,)))
    assert "Entered 2: 5, 6" in text
    assert "Left 0" in text
    assert "158375425 strain None C57BL/6J" in text


def test_values_are_escaped() -> None:
    parts = table([HOSTILE], [[HOSTILE]]), folded(HOSTILE, "")
    text = shown(card(HOSTILE, *parts, kind=HOSTILE, facts=[(HOSTILE, HOSTILE)]))
    assert text.count(HOSTILE) == 7


def test_long_tables_are_cut_and_say_so() -> None:
    text = shown(table(["n"], [[number] for number in range(20)]))
    assert "and 8 more rows" in text
    assert " 12 " not in text


@on_sqlite
def test_the_tab_key_completes_versions(filled: Store) -> None:
    ask(filled, name="visual")
    filled.datasets.tag("visual@1", "paper")
    assert filled.datasets._ipython_key_completions_() == ["visual", "visual@1", "visual@paper"]
    assert filled.datasets["visual@paper"].ref == "visual@1"


@on_sqlite
def test_a_version_lists_its_strongest_structures(filled: Store) -> None:
    version = ask(filled, Selection(injected_in="VIS"), by_coordinate("AP", edges=[7000, 8200, 9900]))
    with pytest.raises(MissingDataError, match="no annotation at 100 um"):
        version.targets(structures=["VISp", "MOp"])
    ids = np.zeros(SHAPE, np.uint32)
    ids[:66], ids[66:] = VISP, MOP
    add_annotation(filled, ids)
    found = version.targets(structures=["VISp", "MOp"], limit=1)
    assert list(found["group"]) == [0, 1]
    assert set(found["hemisphere"]) == {"both"}
    for group, row in found.iterrows():
        means = {name: version.mean[group][ids == id_].mean() for name, id_ in (("VISp", VISP), ("MOp", MOP))}
        assert row["structure"] == max(means, key=lambda name: float(means[name]))
        assert row["mean"] == pytest.approx(max(means.values()), rel=1e-5)


@on_sqlite
def test_a_pickled_version_has_no_store_to_look_up_structures(filled: Store) -> None:
    copied = pickle.loads(pickle.dumps(ask(filled)))
    with pytest.raises(InputError, match="not connected to its store"):
        copied.targets()
    assert copied.ref in shown(copied)

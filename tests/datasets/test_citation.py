from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import update

from bsv_store import Selection, by_coordinate, by_region, crossed
from bsv_store.catalog.database.models import SourceSnapshot
from bsv_store.catalog.ingest import ingest_experiments
from bsv_store.datasets.share.references import Reference
from tests.datasets.world import FACTS, IDS, ask, change_experiments, experiment_list

if TYPE_CHECKING:
    from bsv_store import Store


def test_a_citation_says_what_the_data_are_and_that_it_must_be_checked(filled: Store) -> None:
    version = ask(
        filled,
        Selection(ids=IDS),
        normalize="injection_volume",
        hemisphere_rule="subtract_contralateral",
        statistics=["mean", "sem"],
        name="visual",
    )
    citation = version.cite()
    assert citation.experiment_ids == IDS
    text = str(citation)
    assert text.startswith("This is a draft. Before you publish it, check that it describes what you did (which ")
    assert "We selected 7 experiments" in citation.methods
    assert "experiments chosen by id (7 ids)" in citation.methods
    assert "divided by the injection volume" in citation.methods
    assert "the mirrored voxel of the other side was subtracted" in citation.methods
    assert "The injected side was the hemisphere with the larger part of the injection." in citation.methods
    assert "mean and standard error of the mean of the 7 experiments were computed for each voxel" in citation.methods
    assert "left out" not in citation.methods
    assert version.fingerprint in citation.methods
    assert version.software in citation.methods
    assert "Allen Mouse Brain Connectivity Atlas" in citation.acknowledgement
    assert "1, 2, 3, 4, 5, 6, 7" in text


def test_the_methods_name_the_groups_with_their_bins_and_numbers_of_experiments(filled: Store) -> None:
    version = ask(filled, grouping=by_coordinate("AP", edges=[1000, 2000, 9500]))
    assert (
        "grouped by the AP injection coordinate (anterior to posterior) in 2 bins with the edges 1,000, 2,000 and "
        "9,500 um: 2 groups, "
    ) in version.cite().methods
    labels = [group.label for group in version.groups]
    assert f"{labels[0]} (n = 0) and {labels[1]} (n = 5)." in version.cite().methods


def test_the_methods_count_the_experiments_left_out_by_reason(filled: Store) -> None:
    grouping = crossed(by_region({"visual": ["VISp", "VISl"]}), by_coordinate("AP", edges=[7900, 8200]))
    filled.catalog.exclude([2], "bad section")
    version = ask(filled, Selection(), grouping)
    methods = version.cite().methods
    assert "We selected 7 experiments" in methods
    assert "6 experiments were left out: " in methods
    # Two experiments, with other coordinates: one reason.
    assert "2 (AP coordinate outside the bin edges)" in methods
    assert "1 (excluded: bad section)" in methods
    assert (
        "1 (primary injection structure outside the listed regions; the AP injection coordinate is not known)"
    ) in methods
    assert "by the primary injection structure: visual (VISp and VISl) (descendants included) and by the AP" in methods


def test_the_methods_do_not_repeat_the_count_for_a_single_reason(filled: Store) -> None:
    version = ask(filled, Selection(ids=[1, 2, 3, 4]), by_region({"lateral": "VISl"}))
    text = "3 experiments were left out (primary injection structure outside the listed regions). "
    assert text in version.cite().methods


def test_the_methods_name_the_list_that_was_current_when_the_version_was_computed(filled: Store) -> None:
    ingest_experiments(
        filled.database,
        type(experiment_list(FACTS))("csv", experiment_list(FACTS).experiments, 7, date(2020, 7, 1)),
        source="list.csv",
        allow_shrinking=True,
    )
    version = ask(filled)
    before = version.cite().methods
    assert re.search(
        r"from the experiment list \(Allen API, stored on \d{4}-\d\d-\d\d; missing values from CSV export of the "
        r"Allen web site of 2020-07-01, stored on \d{4}-\d\d-\d\d\): experiments injected in VIS",
        before,
    )
    change_experiments(filled, FACTS[:5])
    # Times are stored in seconds.
    later = datetime.now(UTC) + timedelta(seconds=2)
    with filled.database.writing() as connection:
        connection.execute(update(SourceSnapshot).where(SourceSnapshot.source == "test 2").values(taken_at=later))
    assert filled.dataset("test@1").cite().methods == before


def test_the_methods_name_a_server_that_is_not_allens(filled: Store) -> None:
    ours, allens = "http://127.0.0.1:8080/api/v2/data/query.json", "https://api.brain-map.org/api/v2/data/query.json"
    ingest_experiments(filled.database, experiment_list(FACTS[:6]), source=ours, allow_shrinking=True)
    assert "(Allen API via 127.0.0.1, stored on" in ask(filled).cite().methods
    ingest_experiments(filled.database, experiment_list(FACTS), source=allens)
    assert "(Allen API, stored on" in ask(filled, name="other").cite().methods


def test_the_references_are_bibtex(filled: Store) -> None:
    version = ask(filled, name="my_visual")
    bibtex = version.cite().bibtex
    assert bibtex.count("{") == bibtex.count("}")
    assert [line.split("{")[0] for line in bibtex.splitlines() if line.startswith("@")] == [
        "@misc",
        "@article",
        "@article",
        "@article",
    ]
    assert "10.1038/nature13186" in bibtex
    assert version.content_sha256 in bibtex
    assert r"my\_visual@1" in bibtex


def test_the_references_are_ris(filled: Store) -> None:
    version = ask(filled)
    records = [each for each in version.cite().ris.split("ER  - \r\n") if each.strip()]
    assert [record.strip().splitlines()[0] for record in records] == ["TY  - DATA", *["TY  - JOUR"] * 3]
    assert all(re.fullmatch(r"[A-Z][A-Z0-9]  - .*", line) for each in records for line in each.split("\r\n") if line)
    assert f"N1  - Fingerprint {version.fingerprint}" in records[0]
    assert "SP  - 207\r\nEP  - 214" in records[1]
    assert "{" not in version.cite().ris


def test_characters_with_a_meaning_in_tex_are_escaped() -> None:
    entry = Reference("a", "50% of {A}_b & c", 2026, note="a\\b~c^d{", howpublished="x#y$").bibtex()
    assert r"50\% of {A}\_b \& c" in entry
    assert r"a\textbackslash{}b\textasciitilde{}c\textasciicircum{}d\{" in entry
    assert r"x\#y\$" in entry


def test_all_parts_are_json(filled: Store) -> None:
    citation = ask(filled).cite()
    found = json.loads(json.dumps(citation.to_dict()))
    assert found["methods"] == citation.methods
    assert found["experiment_ids"] == list(citation.experiment_ids)
    assert found["ris"] == citation.ris


def test_citations_are_exported(filled: Store, tmp_path: Path) -> None:
    version = ask(filled)
    assert version.export(tmp_path / "a.bib").read_text("utf-8") == version.cite().bibtex
    assert version.export(tmp_path / "a.ris").read_bytes().decode() == version.cite().ris
    assert version.export(tmp_path / "a.txt").read_text("utf-8") == str(version.cite())

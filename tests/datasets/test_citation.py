from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bsv_store import Selection, by_coordinate
from tests.datasets.world import IDS, ask

if TYPE_CHECKING:
    from bsv_store import Store


def test_a_citation_says_what_the_data_are_and_that_it_must_be_checked(filled: Store) -> None:
    version = ask(
        filled,
        Selection(ids=IDS),
        normalize="injection_volume",
        hemisphere_rule="subtract_contralateral",
        name="visual",
    )
    citation = version.cite()
    assert citation.experiment_ids == IDS
    text = str(citation)
    assert text.startswith("Check this text before you publish it")
    assert "of 7 experiments" in citation.methods
    assert "divided by the injection volume" in citation.methods
    assert "the mirrored voxel of the other side was subtracted" in citation.methods
    assert version.fingerprint in citation.methods
    assert "Allen Mouse Brain Connectivity Atlas" in citation.acknowledgement
    assert "1, 2, 3, 4, 5, 6, 7" in text


def test_a_citation_mentions_groups_without_experiments(filled: Store) -> None:
    version = ask(filled, grouping=by_coordinate("AP", edges=[1000, 2000, 9500]))
    assert "in 2 groups (1 of them without experiments)." in version.cite().methods


def test_the_references_are_bibtex(filled: Store) -> None:
    version = ask(filled)
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


def test_citations_are_exported(filled: Store, tmp_path: Path) -> None:
    version = ask(filled)
    assert version.export(tmp_path / "a.bib").read_text("utf-8") == version.cite().bibtex
    assert version.export(tmp_path / "a.txt").read_text("utf-8") == str(version.cite())

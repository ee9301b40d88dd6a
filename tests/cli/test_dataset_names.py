"""``bsv-store dataset tag | untag | delete | cite | import``: names, citations, and versions from elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from bsv_store import open_store
from tests.cli.conftest import WILD_TYPE_VISP
from tests.cli.running import Runner


@pytest.fixture
def two(run: Runner, own_filled: Path) -> Path:
    """A store whose dataset has a second version."""
    run("aggregate", "--ids", WILD_TYPE_VISP[0], "--name", "visual", store=own_filled).succeeded()
    return own_filled


# -- tags -------------------------------------------------------------------------------------------------------------


def test_a_tag_names_a_version_until_it_is_moved_or_taken_off(run: Runner, two: Path) -> None:
    done = run("dataset", "tag", "visual@1", "figure-3", store=two).succeeded()
    assert (done.out, done.err) == ("", "visual@figure-3 is visual@1.\n")
    assert run("dataset", "show", "visual@figure-3", "--format", "json", store=two).succeeded().json["number"] == 1
    run("dataset", "tag", "visual@2", "figure-3", store=two).refused(2, "is on visual@1", "--move")
    assert run("dataset", "tag", "visual", "figure-3", "--move", store=two).err == "visual@figure-3 is visual@2.\n"
    assert (
        run("dataset", "untag", "visual", "figure-3", store=two).succeeded().err.startswith("Removed the tag figure-3")
    )
    run("dataset", "show", "visual@figure-3", store=two).refused(2, "no tag 'figure-3'")
    run("dataset", "untag", "visual", "figure-3", store=two).refused(2, "no tag 'figure-3'")


@pytest.mark.parametrize("tag", ["latest", "3", "../x", ""])
def test_what_cannot_be_a_tag_is_refused(run: Runner, filled: Path, tag: str) -> None:
    run("dataset", "tag", "visual", tag, store=filled).refused(2, "tag")


# -- delete -----------------------------------------------------------------------------------------------------------


def test_delete_wants_to_know_which_version(run: Runner, two: Path) -> None:
    run("dataset", "delete", "visual", store=two).refused(2, "name the version", "visual@1, visual@2.")
    run("dataset", "tag", "visual@1", "keep", store=two).succeeded()
    run("dataset", "delete", "visual@1", store=two).refused(2, "keep")
    done = run("dataset", "delete", "visual@latest", store=two).succeeded()
    assert done.err == (
        "Deleted visual@2; its file is in the trash of the store.\nTo restore it: bsv-store untrash visual@2\n"
    )
    with open_store(two) as store:
        assert [(each.latest, each.versions) for each in store.datasets.list()] == [(1, 1)]
    run("dataset", "delete", "visual@2", store=two).refused(2, "no version 2")


# -- cite -------------------------------------------------------------------------------------------------------------


def test_cite_drafts_what_a_paper_needs(run: Runner, filled: Path) -> None:
    with open_store(filled) as store:
        citation = store.dataset("visual").cite()
    done = run("dataset", "cite", "visual", store=filled).succeeded()
    assert done.out == str(citation)
    assert done.out.startswith("This is a draft. Before you publish it, check ")
    assert done.err == ""


def test_cite_for_programs(run: Runner, filled: Path) -> None:
    with open_store(filled) as store:
        citation = store.dataset("visual").cite()
    bibtex = run("dataset", "cite", "visual", "--format", "bibtex", store=filled).succeeded()
    assert bibtex.out == citation.bibtex
    table = run("dataset", "cite", "visual@1", "--format", "csv", store=filled).succeeded()
    assert [(row["dataset"], int(row["experiment_id"]), row["group"]) for row in table.rows] == [
        ("visual@1", WILD_TYPE_VISP[0], "0"),
        ("visual@1", WILD_TYPE_VISP[1], "0"),
        ("visual@1", WILD_TYPE_VISP[2], "1"),
    ]
    # What is piped into a file must not lose the warning.
    assert all(done.err.startswith("This is a draft. Before you publish it, check ") for done in (bibtex, table))


def test_cite_leaves_out_what_was_left_out(run: Runner, own_filled: Path) -> None:
    options = ["--injected-in", "VIS", "--line", "wild-type", "--missing", "leave-out", "--name", "part"]
    run("aggregate", *options, store=own_filled).succeeded()
    rows = run("dataset", "cite", "part", "--format", "csv", store=own_filled).succeeded().rows
    assert [int(row["experiment_id"]) for row in rows] == list(WILD_TYPE_VISP)


# -- import -----------------------------------------------------------------------------------------------------------


def test_a_bundle_is_imported_once(run: Runner, own_filled: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "visual.bsv.zip"
    run("dataset", "export", "visual", bundle, store=own_filled).succeeded()
    done = run("dataset", "import", bundle, "--name", "theirs", store=own_filled).succeeded()
    assert done.out.startswith("Dataset      theirs@1\n")
    assert done.err == f"{bundle} is theirs@1.\n"
    again = run("dataset", "import", bundle, "--name", "theirs", "--format", "json", store=own_filled).succeeded()
    assert again.json["ref"] == "theirs@1"
    run("dataset", "diff", "visual", "theirs", store=own_filled).succeeded()


def test_files_that_are_not_bundles_are_refused(run: Runner, filled: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "visual.bsv.zip"
    run("dataset", "import", bundle, store=filled).refused(2, str(bundle))
    run("dataset", "export", "visual", bundle, store=filled).succeeded()
    bundle.write_bytes(bundle.read_bytes()[:-100])
    run("dataset", "import", bundle, "--name", "cut", store=filled).refused(2, str(bundle))
    run("dataset", "show", "cut", store=filled).refused(2, "'cut'")


def test_a_bundle_is_imported_into_an_empty_store(
    run: Runner, filled: Path, store_location: Path, tmp_path: Path
) -> None:
    bundle = tmp_path / "visual.bsv.zip"
    run("dataset", "export", "visual", bundle, store=filled).succeeded()
    done = run("dataset", "import", bundle, store=store_location).succeeded()
    assert "visual@1" in done.out
    listed = run("select", "--all", "--format", "csv", store=store_location).succeeded()
    assert {int(row["experiment_id"]) for row in listed.rows} == set(WILD_TYPE_VISP)
    assert "dataset visual@1, fingerprint" in run("dataset", "cite", "visual", store=store_location).succeeded().out

"""``bsv-store dataset import`` and ``catalog verify``: what is not checked says so wherever a version is shown."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from sqlalchemy import delete, text

from bsv_store import open_store
from bsv_store.catalog.database.models import StoredVolume
from bsv_store.owner import current_user
from tests.cli.running import Runner
from tests.datasets.bundles import changed, doubled, forged
from tests.sealing import sealed_changes


@pytest.fixture
def bundle(run: Runner, own_filled: Path, tmp_path: Path) -> Path:
    """The bundle of a version that is not in the store."""
    path = tmp_path / "a.bsv.zip"
    run("dataset", "export", "visual@1", path, store=own_filled).succeeded()
    run("dataset", "delete", "--force", "visual@1", store=own_filled).succeeded()
    return path


@pytest.fixture
def without_volumes(own_filled: Path, bundle: Path) -> Path:
    with open_store(own_filled) as store, sealed_changes(store.database) as connection:
        connection.execute(delete(StoredVolume))
    return own_filled


def test_an_import_that_cannot_be_checked_says_so_everywhere(run: Runner, without_volumes: Path, bundle: Path) -> None:
    done = run("dataset", "import", bundle, store=without_volumes).succeeded()
    assert "imported, not checked" in done.out
    assert "bsv-store dataset rebuild visual@2" in done.err
    shown = run("dataset", "show", "visual", store=without_volumes).succeeded()
    assert f"imported by {current_user()}" in " ".join(shown.out.split())
    assert "Exported as visual@1" in " ".join(shown.out.split())
    listed = run("dataset", "list", "--format", "csv", store=without_volumes).succeeded()
    assert listed.rows[0]["standing"] == "imported, not checked"
    assert "imported, not checked" in run("dataset", "cite", "visual", store=without_volumes).succeeded().out
    bibtex = run("dataset", "cite", "visual", "--format", "bibtex", store=without_volumes).succeeded()
    assert "imported, not checked" in bibtex.err
    assert "1 of them imported, not checked" in " ".join(run("status", store=without_volumes).succeeded().out.split())
    stale = run("dataset", "stale", "--format", "csv", store=without_volumes).succeeded()
    assert (stale.rows[0]["state"], stale.rows[0]["standing"]) == ("inputs missing", "imported, not checked")
    shown_as_json = run("dataset", "show", "visual", "--format", "json", store=without_volumes).succeeded().json
    assert shown_as_json["origin"]["standing"] == "imported, not checked"


def test_an_import_can_be_trusted(run: Runner, without_volumes: Path, bundle: Path) -> None:
    done = run("dataset", "import", bundle, "--trust", store=without_volumes).succeeded()
    assert f"trusted by {current_user()} on" in " ".join(done.out.split())


def test_an_import_with_its_volumes_is_checked_at_once(run: Runner, own_filled: Path, bundle: Path) -> None:
    done = run("dataset", "import", bundle, "--format", "json", store=own_filled).succeeded()
    assert done.json["origin"]["standing"] == "imported, checked"
    run("dataset", "delete", "visual@2", store=own_filled).succeeded()
    wrong = changed(bundle, forged(doubled))
    run("dataset", "import", wrong, store=own_filled).refused(2, "is not reproducible", "Nothing was imported")


def test_verify_finds_changed_rows(run: Runner, own_filled: Path) -> None:
    done = run("catalog", "verify", store=own_filled).succeeded()
    assert done.err.endswith("intact.\n")
    with open_store(own_filled) as store, store.database.writing() as connection:
        connection.execute(text("UPDATE experiment SET injection_ap = injection_ap + 64"))
    found = run("catalog", "verify", "--format", "json", store=own_filled)
    assert (found.code, found.json["is_intact"]) == (1, False)
    assert [each["what"] for each in found.json["damage"]] == ["experiments"]
    run("aggregate", "--injected-in", "VISp", "--name", "new", store=own_filled).refused(
        3, "the catalog is damaged", "bsv-store catalog verify"
    )


def test_a_pipe_is_not_a_bundle(run: Runner, own_filled: Path, tmp_path: Path) -> None:
    run("dataset", "import", "/dev/zero", store=own_filled).refused(2, "not a regular file")
    shutil.copy(__file__, tmp_path / "text.bsv.zip")
    run("dataset", "import", tmp_path / "text.bsv.zip", store=own_filled).refused(2, "not a readable bundle")

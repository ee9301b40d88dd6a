"""``bsv-store backup`` and ``bsv-store store`` as administrators see them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bsv_store import open_store
from tests.cli.running import Runner
from tests.conftest import DatabaseKind
from tests.maintenance.backup import checks

NewDatabase = Callable[[DatabaseKind], str | None]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Runner:
    """Runs a command as the entry point does."""
    monkeypatch.setenv("COLUMNS", "1000")
    return Runner(capsys, monkeypatch)


def test_a_store_is_backed_up_listed_verified_restored_and_pruned(
    run: Runner, filled_location: Path, target: str, tmp_path: Path
) -> None:
    first = run("backup", "create", target, store=filled_location).succeeded()
    assert "Files:     7 new, 0 unmodified" in first.err
    assert f"Snapshot {first.out.strip()} saved in" in first.err
    second = run("backup", "create", target, "--format", "json", store=filled_location).succeeded().json
    assert (second["new_files"], second["unmodified_files"], second["problems"]) == (0, 7, [])
    table = run("backup", "list", target).succeeded()
    assert [line[0] for line in table.cells[2:]] == [first.out.strip(), second["snapshot"][:8]]
    assert table.cells[0] == ["id", "time", "host", "store", "files", "size", "new"]
    listed = run("backup", "list", target, "--format", "json").succeeded().json
    assert listed[1] == {name: second[name] for name in listed[1]}
    assert "2 snapshots: " in run("backup", "verify", target, "--deep").succeeded().err
    restored = run("backup", "restore", target, tmp_path / "new", "--snapshot", first.out.strip()).succeeded()
    assert restored.out == f"{tmp_path / 'new'}\n"
    assert "every byte checked" in restored.err
    assert "The restored store has the id of the original" in restored.err
    checks.assert_intact(tmp_path / "new")
    plan = run("backup", "prune", target, "--keep-daily", 7, "--keep-weekly", 4).succeeded()
    assert [line[-1] for line in plan.cells[2:]] == ["remove", "weekly"]
    assert "Would remove 1 snapshot and " in plan.err
    assert len(run("backup", "list", target, "--format", "csv").rows) == 2
    run("backup", "prune", target, "--keep-last", 1, "--apply").succeeded()
    assert [row["snapshot"] for row in run("backup", "list", target, "--format", "csv").rows] == [second["snapshot"]]


def test_findings_have_exit_code_1(run: Runner, filled_location: Path, target: str, tmp_path: Path) -> None:
    lost = next((filled_location / "volumes").rglob("*.h5"))
    lost.unlink()
    created = run("backup", "create", target, store=filled_location).refused(1, "not saved, missing in the store")
    assert lost.name in created.err
    assert run("backup", "list", target, "--format", "csv").succeeded().rows[0]["missing_files"] == "1"
    run("backup", "restore", target, tmp_path / "new").refused(1, "not in the snapshot, missing when it was taken")
    checks.flip(next(Path(target).glob("objects/*/*")))
    found = run("backup", "verify", target, "--deep", "--format", "json")
    assert found.code == 1
    assert len(found.json["findings"]) == 2
    checks.flip(next(Path(target).glob("snapshots/*")))
    run("backup", "list", target).refused(1, "The manifest of snapshot")


def test_mistakes_are_explained(run: Runner, filled_location: Path, target: str, tmp_path: Path) -> None:
    run("backup", "list", target).refused(2, "is not a backup target", "bsv-store backup create TARGET")
    run("backup", "create", filled_location / "backup", store=filled_location).refused(2, "inside the store")
    run("backup", "create", target, store=filled_location).succeeded()
    run("backup", "restore", target, filled_location).refused(2, "which a restore never changes")
    run("backup", "restore", target, tmp_path / "new", "--snapshot", "zzz").refused(2, "has no snapshot 'zzz'")
    run("backup", "prune", target).refused(2, "at least one rule")
    run("backup", "prune", target, "--keep-last", -1).refused(2, "--keep-last")
    url = "postgresql://x:secret@localhost/y"
    refused = run("backup", "restore", target, tmp_path / "new", "--database", url).refused(2, "contains a password")
    assert "secret" not in refused.err
    assert not (tmp_path / "new").exists()


def test_a_catalog_is_moved(
    run: Runner, filled_location: Path, database: DatabaseKind, empty_database: NewDatabase
) -> None:
    url = empty_database("postgres") or "" if database == "sqlite" else "sqlite"
    done = run("store", "move", "--database", url, store=filled_location).succeeded()
    assert "Copied and compared " in done.err
    assert f"The catalog is now in {url}." in done.err
    run("store", "move", "--database", url, store=filled_location).refused(2, "is already in")
    run("status", store=filled_location).succeeded()
    checks.assert_intact(filled_location)


def test_a_lost_store_toml_is_written_by_one_command(run: Runner, filled_location: Path) -> None:
    with open_store(filled_location) as store:
        url = store.config.database
    (filled_location / "store.toml").unlink()
    run("status", store=filled_location).refused(3, f"bsv-store store attach {filled_location}")
    done = run("store", "attach", filled_location, "--database", url).succeeded()
    assert "Wrote " in done.err
    run("status", store=filled_location).succeeded()
    (next((filled_location / "volumes").rglob("*.h5"))).unlink()
    run("store", "attach", store=filled_location).refused(1, "1 file of them missing")

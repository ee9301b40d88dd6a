"""``bsv-store init``."""

from __future__ import annotations

from pathlib import Path

import pytest

from bsv_store import create_store, open_store
from bsv_store.errors import InputError
from tests.cli.running import Runner
from tests.databases import both_databases

pytestmark = both_databases


def test_makes_a_store_and_prints_where(run: Runner, tmp_path: Path, database_url: str | None) -> None:
    folder = tmp_path / "store"
    options = [] if database_url is None else ["--database", database_url]
    done = run("init", folder, *options).succeeded()
    assert done.out == f"{folder}\n"
    assert f"export BSV_STORE={folder}" in done.err
    assert "bsv-store sync structures" in done.err
    with open_store(folder) as store:
        assert store.status().catalog.experiments == 0
        assert (store.config.database == "sqlite") == (database_url is None)


def test_the_name_of_a_folder_cannot_steer_the_terminal(run: Runner, tmp_path: Path) -> None:
    folder = tmp_path / "a b\x1b[31mé"
    done = run("init", folder).succeeded()
    assert done.out == f"{tmp_path}/a b\\x1b[31mé\n"
    assert "\x1b" not in done.err
    # For the shell.
    assert f"export BSV_STORE='{tmp_path}/a b" in done.err
    run("status", store=folder).succeeded()


@pytest.mark.parametrize("how", ["option", "variable"])
def test_takes_the_folder_that_is_set(run: Runner, tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "store"
    if how == "variable":
        monkeypatch.setenv("BSV_STORE", str(folder))
    done = run("init", store=folder if how == "option" else None).succeeded()
    assert done.out == f"{folder}\n"
    assert (folder / "store.toml").is_file()


def test_refuses_a_store(run: Runner, store_location: Path) -> None:
    before = (store_location / "store.toml").read_bytes()
    done = run("init", store_location).refused(2, "is already a bsv-store", f"--store {store_location} status")
    assert done.out == ""
    assert (store_location / "store.toml").read_bytes() == before


def test_refuses_a_folder_with_other_things(run: Runner, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("", encoding="utf-8")
    run("init", tmp_path).refused(2, "thesis.tex", "new or empty folder")
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("mysql://localhost/bsv", "mysql"),
        ("what is this", "the database URL is not valid"),
        ("postgresql://bsv:secret@localhost/bsv", "contains a password"),
    ],
)
def test_refuses_a_database_url_that_it_cannot_use(run: Runner, tmp_path: Path, url: str, text: str) -> None:
    done = run("init", tmp_path / "store", "--database", url).refused(2, text)
    assert "secret" not in done.err
    assert not (tmp_path / "store").exists()


def test_a_database_that_does_not_answer_is_unreachable(run: Runner, tmp_path: Path) -> None:
    pytest.importorskip("psycopg", reason="no Postgres: psycopg is not installed")
    run("init", tmp_path / "store", "--database", "postgresql://bsv@127.0.0.1:1/bsv").refused(3, "cannot be used")


def test_missing_parents_are_named_and_made_only_if_asked_for(run: Runner, tmp_path: Path) -> None:
    folder = tmp_path / "lab" / "share" / "store"
    run("init", folder).refused(2, f"the folder {tmp_path / 'lab'} does not exist", "--parents creates missing")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="parents=True creates"):
        create_store(folder)
    assert list(tmp_path.iterdir()) == []
    run("init", folder, "--parents").succeeded()
    assert (folder / "store.toml").is_file()


def test_the_default_folder_is_made_with_its_parents(run: Runner) -> None:
    made = Path(run("init").succeeded().out.strip())
    assert made.is_relative_to(Path.home())
    run("status").succeeded()

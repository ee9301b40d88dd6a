"""Every command refuses a store that is too old, with the command that upgrades it, and one that is too new."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

import click
import pytest

from bsv_store import create_store
from bsv_store.averaging.recipe import Recipe
from bsv_store.catalog.database import schema
from bsv_store.catalog.database.engine import Database
from bsv_store.errors import BackupError, BsvStoreError, RecipeError
from bsv_store.maintenance.backup.manifest import decoded
from bsv_store.maintenance.backup.repository import MARKER, open_repository
from bsv_store_cli import main as entry
from tests.cli.running import Runner
from tests.reliability.campaigns import is_long

# Those that do not open a store, or are for stores that cannot be opened.
_NO_STORE: Final = (
    *("init", "demo", "help", "completion install", "completion show", "cache list", "cache prune", "cache verify"),
    *("backup list", "backup prune", "backup restore", "backup verify", "config show", "doctor", "store attach"),
    *("db check", "db current", "db downgrade", "db history", "db stamp", "db upgrade"),
)
# What a user writes after the command; for required parameters without an entry, see `_VALUES`.
_ARGUMENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "aggregate": ("--name", "x", "--ids", "1"),
    "claims break": ("volume/projection_density/100/1", "--yes"),
    "compare": ("A=--ids 1", "B=--ids 2"),
    "config set": ("trash_days", "7"),
    "fetch": ("--ids", "1"),
    "reproduce": ("oh-2014",),
    "search injection": ("1,2,3",),
    "search point": ("1,2,3",),
    "sql": ("SELECT 1",),
    "store move": ("--database", "postgresql://lab@localhost/none"),
    "sync unionizes": ("--all",),
    "volume regions": ("VISp", "--ids", "1"),
    "volume centroid": ("--ids", "1"),
    "volume subregions": ("VISp", "--ids", "1", "--bins", "AP=2"),
}
_VALUES: Final[Mapping[str, str]] = {
    "experiment_id": "1",
    "experiment_ids": "1",
    "threshold": "0.5",
    "max_bytes": "1GB",
    "old": "1",
    "new": "2",
    "ref": "x@1",
    "first": "x@1",
    "second": "x@2",
    "source": "1",
    "sources": "1",
    "reason": "bad",
}


def _commands() -> Iterator[tuple[str, click.Command]]:
    def below(command: click.Command, path: str, context: click.Context) -> Iterator[tuple[str, click.Command]]:
        if not isinstance(command, click.Group) or command.invoke_without_command:
            yield path, command
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                found = command.get_command(context, name)
                assert found is not None
                yield from below(found, f"{path} {name}".strip(), click.Context(found, parent=context))

    (root,) = [each for each in vars(entry).values() if isinstance(each, click.Group)]
    context = click.Context(root)
    for name in root.list_commands(context):
        command = root.get_command(context, name)
        assert command is not None
        yield from below(command, name, click.Context(command, parent=context))


def _arguments(name: str, command: click.Command, folder: Path) -> list[str]:
    if name in _ARGUMENTS:
        return list(_ARGUMENTS[name])
    found: list[str] = []
    for parameter in command.params:
        if not parameter.required:
            continue
        value = _VALUES.get(str(parameter.name), "x")
        if isinstance(parameter.type, click.Path):
            is_read = parameter.type.exists
            value = str(
                _readable(name, folder)
                if is_read
                else folder / _TARGETS.get(name, "new.png" if name.startswith("plot") else "new.nrrd")
            )
        found += [parameter.opts[-1], value] if parameter.param_type_name == "option" else [value]
    return found


_TARGETS: Final[Mapping[str, str]] = {"report": "new.html", "volume masks": "masks"}


def _readable(name: str, folder: Path) -> Path:
    if name == "adopt":
        path = folder / "cache"
        path.mkdir(exist_ok=True)
        return path
    path = folder / {"dataset import": "x.bsv.zip", "ingest annotation": "annotation_100.nrrd"}.get(name, "x.csv")
    path.write_text("id\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    location = tmp_path_factory.mktemp("refused") / "store"
    create_store(location).close()
    return location


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Runner:
    return Runner(capsys, monkeypatch)


@pytest.mark.parametrize("revision", ["0001", "0018", "9999", "format"] if is_long() else ["0018", "format"])
def test_every_command_refuses_a_store_that_is_too_old_or_too_new(
    revision: str, template: Path, run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    location = shutil.copytree(template, tmp_path / "store")
    monkeypatch.chdir(tmp_path)
    # A server would run until it is stopped.
    monkeypatch.setattr("uvicorn.Server.run", lambda *_arguments, **_options: None)
    if revision == "format":
        toml = location / "store.toml"
        lines = toml.read_text(encoding="utf-8").replace("format_version = 1", "format_version = 2").splitlines()
        toml.write_text("\n".join(line for line in lines if not line.startswith("checksum")), encoding="utf-8")
    else:
        with closing(Database(location / "catalog.db", pooled=False)) as database:
            schema.stamp(database, revision)
    is_old = revision in schema.KNOWN_REVISIONS
    expected = f"bsv-store --store {location} db upgrade" if is_old else "pip install --upgrade bsv-store"
    before = {path: path.read_bytes() for path in location.rglob("*") if path.is_file()}
    wrong: dict[str, str] = {}
    tried = 0
    for name, command in _commands():
        if name in _NO_STORE:
            continue
        outcome = run(*name.split(), *_arguments(name, command, tmp_path), store=location)
        tried += 1
        if outcome.code != 4 or expected not in outcome.err or outcome.out:
            wrong[name] = f"{outcome.code}: {outcome.out}{outcome.err}"
    assert wrong == {}
    assert tried > 80
    assert {path: path.read_bytes() for path in location.rglob("*") if path.is_file()} == before


def test_backups_and_recipes_of_a_later_version_are_refused(tmp_path: Path) -> None:
    marker = tmp_path / MARKER
    marker.write_text('{"format": 2, "id": "x"}', encoding="utf-8")
    text = b'{"format": 2}'
    cases: tuple[tuple[type[BsvStoreError], str, Callable[[], object]], ...] = (
        (BackupError, "has format 2; this version of bsv-store supports 1", lambda: open_repository(tmp_path)),
        (BackupError, "has format 2", lambda: decoded(hashlib.sha256(text).hexdigest(), text, "x")),
        (RecipeError, "has the version 2", lambda: Recipe.from_json('{"recipe_version": 2}')),
    )
    for kind, message, read in cases:
        with pytest.raises(kind, match=message) as caught:
            read()
        assert caught.value.hint == "Upgrade the package: pip install --upgrade bsv-store"

"""Start time: a command imports only the packages that it needs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.filled import TEMPLATE
from tests.stores import copied_store

HEAVY = {
    "alembic",
    "dask",
    "h5netcdf",
    "h5py",
    "matplotlib",
    "nrrd",
    "numpy",
    "pandas",
    "psycopg",
    "requests",
    "rich",
    "scipy",
    "sqlalchemy",
    "sqlalchemy.dialects.postgresql",
    "sqlalchemy.orm",
    "stamina",
    "xarray",
    "zarr",
}

CHECKOUT = Path(__file__).resolve().parents[1]

LOADED = "import json, sys; print(json.dumps(sorted(sys.modules)))"


def loaded_after(code: str) -> set[str]:
    """The modules that a new interpreter has loaded after running the code."""
    return set(json.loads(output_of(f"{code}\n{LOADED}").splitlines()[-1]))


def output_of(code: str, *arguments: str) -> str:
    """What a new interpreter writes."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(CHECKOUT), str(CHECKOUT / "cli"), str(CHECKOUT / "synthetic")]),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_package_is_light() -> None:
    loaded = loaded_after("import bsv_store")
    assert "bsv_store" in loaded
    assert not loaded & HEAVY


def test_command_line_is_light() -> None:
    loaded = loaded_after("import bsv_store_cli.main")
    assert "click" in loaded
    assert not loaded & HEAVY


HELP_OF_ALL_COMMANDS = """
import click
from bsv_store_cli.main import cli

def show(command, path):
    assert not cli.main([*path, "--help"], standalone_mode=False)
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            show(command.get_command(context, name), [*path, name])

show(cli, [])
"""


def test_help_is_light() -> None:
    loaded = loaded_after(HELP_OF_ALL_COMMANDS)
    assert not loaded & HEAVY


# What each command may import of the heavy packages, beside SQLAlchemy Core and the driver of the database.
COMMANDS: dict[str, set[str]] = {
    "status": set(),
    "status --format json": set(),
    "select": set(),
    "select --injected-in VISp --line wild-type --format csv": set(),
    "select --ids-only": set(),
    "sql": set(),
    "dataset list": set(),
    "db current": set(),
    "catalog summary": set(),
    "selection list": set(),
    "exclude list": set(),
    "structures find VIS": set(),
    "catalog snapshots": {"numpy"},
    "search source VISp": {"numpy", "pandas"},
}


# Runs commands in forks of a process with the command line and SQLAlchemy Core, and says what each has loaded.
FORKS = """
import json, os, sys
import sqlalchemy.dialects.sqlite
from bsv_store_cli.main import cli

for arguments in json.loads(sys.argv[1]):
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
        cli.main(arguments, standalone_mode=False)
        with open(writing, "w") as stream:
            json.dump(sorted(sys.modules), stream)
        os._exit(0)
    os.close(writing)
    with open(reading) as stream:
        print(stream.read())
    if os.waitpid(child, 0)[1]:
        raise SystemExit(f"{arguments} failed")
"""


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def loaded_by_command(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    """The modules that each command has loaded, on both databases."""
    if request.param == "postgres":
        request.getfixturevalue("postgres")
    template = request.getfixturevalue(f"_filled_{request.param}")
    database = None if request.param == "sqlite" else TEMPLATE
    with copied_store(template, tmp_path_factory.mktemp("imports") / "store", request, database=database) as location:
        commands = [
            ["--store", str(location), *command.split(), *(["select 1"] if command == "sql" else [])]
            for command in COMMANDS
        ]
        lines = output_of(FORKS, json.dumps(commands)).splitlines()
        loaded = {command: set(json.loads(line)) for command, line in zip(COMMANDS, lines, strict=True)}
        yield Loaded(request.param, loaded)


@dataclass(frozen=True)
class Loaded:
    database: str
    modules: dict[str, set[str]]


@pytest.mark.parametrize("command", COMMANDS)
def test_command_imports_what_it_needs(command: str, loaded_by_command: Loaded) -> None:
    loaded = loaded_by_command.modules[command]
    driver = {"psycopg", "sqlalchemy.dialects.postgresql"} if loaded_by_command.database == "postgres" else set()
    assert "bsv_store.store.store" in loaded
    assert driver <= loaded
    assert loaded & HEAVY - {"sqlalchemy"} <= COMMANDS[command] | driver


def test_server_imports_what_each_worker_needs() -> None:
    pytest.importorskip("uvicorn")
    loaded = loaded_after("import bsv_store.server.run")
    assert "uvicorn" in loaded
    assert loaded & (HEAVY | {"pyarrow"}) <= {"numpy", "sqlalchemy"}


@pytest.mark.parametrize("name", ["errors", "config"])
def test_bottom_modules_are_light(name: str) -> None:
    assert not loaded_after(f"import bsv_store.{name}") & HEAVY


def test_synthetic_server_works_without_the_extra_server() -> None:
    loaded = loaded_after("import bsv_store_synthetic.__main__, bsv_store.server.allen.store_source")
    assert "bsv_store.server.allen.routes" in loaded
    assert not loaded & {"starlette", "uvicorn"}


def test_public_names_are_listed_and_there() -> None:
    import bsv_store

    assert len(set(bsv_store.__all__)) == len(bsv_store.__all__)
    missing = [name for name in bsv_store.__all__ if not hasattr(bsv_store, name)]
    assert not missing
    assert set(bsv_store.__all__) <= set(dir(bsv_store))
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = bsv_store.no_such_name

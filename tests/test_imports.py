"""Start time: a command imports only the packages that it needs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

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
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{LOADED}"],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(CHECKOUT), str(CHECKOUT / "cli"), str(CHECKOUT / "synthetic")]),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


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


@pytest.mark.parametrize("command", COMMANDS)
def test_command_imports_what_it_needs(command: str, filled_location: Path, database: str) -> None:
    arguments = ["--store", str(filled_location), *command.split()]
    if command == "sql":
        arguments.append("select 1")
    loaded = loaded_after(f"from bsv_store_cli.main import cli\ncli.main({arguments!r}, standalone_mode=False)")
    driver = {"psycopg", "sqlalchemy.dialects.postgresql"} if database == "postgres" else set()
    assert "sqlalchemy" in loaded
    assert loaded & HEAVY - {"sqlalchemy"} <= COMMANDS[command] | driver


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

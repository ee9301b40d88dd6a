"""Importing the package stays light: what is heavy is loaded by what uses it."""

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
    "sqlalchemy",
    "stamina",
    "xarray",
    "zarr",
}

CHECKOUT = Path(__file__).resolve().parents[1]

LOADED = "import json, sys; print(json.dumps(sorted(sys.modules)))"


def loaded_after(code: str) -> set[str]:
    """Top-level names of all modules that a new interpreter has loaded after running the code."""
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
    return {name.split(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


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


@pytest.mark.parametrize("name", ["errors", "config"])
def test_bottom_modules_are_light(name: str) -> None:
    assert not loaded_after(f"import bsv_store.{name}") & HEAVY


def test_public_names_are_listed_and_there() -> None:
    import bsv_store

    assert len(set(bsv_store.__all__)) == len(bsv_store.__all__)
    missing = [name for name in bsv_store.__all__ if not hasattr(bsv_store, name)]
    assert not missing
    assert set(bsv_store.__all__) <= set(dir(bsv_store))
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = bsv_store.no_such_name

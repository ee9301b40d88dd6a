"""``bsv-store init``."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from bsv_store_cli.help import Command
from bsv_store_cli.output.formats import say
from bsv_store_cli.output.messages import note
from bsv_store_cli.session import store_folder


@click.command(cls=Command)
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option(
    "--database",
    metavar="URL",
    help="Postgres URL without a password, such as postgresql://user@host/database.  [default: SQLite in the folder]",
)
@click.option(
    "--group",
    metavar="GROUP",
    help="Group of all files and folders, whose members share the store.  [default: decided by the file system]",
)
@click.option("--parents", is_flag=True, help="Create missing parent folders of FOLDER.")
def init(folder: Path | None, database: str | None, group: str | None, parents: bool) -> None:
    """Create an empty store in FOLDER, and print the folder.

    FOLDER must be new or empty, and its parent must exist. Default: --store, else $BSV_STORE, the configuration file,
    the platform's data folder.
    """
    from bsv_store.config import DEFAULT_ORIGIN, STORE_VARIABLE, locate_store
    from bsv_store.store.opening import create_store

    location = locate_store(folder if folder is not None else store_folder())
    # The platform's data folder is made on first use.
    parents = parents or location.origin == DEFAULT_ORIGIN
    with create_store(location.path, database=database, group=group, parents=parents) as store:
        note("Created an empty store. To use it, set a variable:")
        note(f"  export {STORE_VARIABLE}={shlex.quote(str(store.path))}")
        note("Next: bsv-store sync structures, then bsv-store sync experiments.")
        say(str(store.path))

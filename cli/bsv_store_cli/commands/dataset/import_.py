"""``bsv-store dataset import``."""

from __future__ import annotations

from pathlib import Path

import click

from bsv_store_cli.help import Command
from bsv_store_cli.output.datasets import print_version
from bsv_store_cli.output.formats import format_option
from bsv_store_cli.output.messages import note
from bsv_store_cli.session import opened_store


@click.command("import", cls=Command)
@click.argument("source", type=click.Path(path_type=Path), metavar="FILE")
@click.option("--name", metavar="NAME", help="Of the dataset in this store.  [default: as in the bundle]")
@format_option
def import_(source: Path, name: str | None, output_format: str) -> None:
    """Import a version that another store exported.

    FILE is a bundle (.bsv.zip). Every part of it is checked. The version gets the next number of the dataset. If the
    store has the version already, nothing is imported.
    """
    with opened_store() as store:
        version = store.datasets.import_bundle(source, name=name)
        print_version(version, output_format)
    note(f"{source} is {version.ref}.")

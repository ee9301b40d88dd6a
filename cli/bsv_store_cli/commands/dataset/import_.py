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
@click.option("--name", metavar="NAME", help="Of the dataset here.  [default: that of the bundle]")
@format_option
def import_(source: Path, name: str | None, output_format: str) -> None:
    """Take in what another store exported.

    FILE is a bundle (.bsv.zip); every part of it is checked. The version gets the next number here; one that the store
    has already is not taken in twice.
    """
    with opened_store() as store:
        version = store.datasets.import_bundle(source, name=name)
        print_version(version, output_format)
    note(f"{source} is {version.ref}.")

"""``bsv-store dataset import``."""

from __future__ import annotations

from pathlib import Path

import click

from bsv_store_cli.help import Command
from bsv_store_cli.options.dataset import COMPUTING_WORKERS
from bsv_store_cli.output.datasets import print_version
from bsv_store_cli.output.formats import format_option
from bsv_store_cli.output.messages import note
from bsv_store_cli.output.progress import progress_bar
from bsv_store_cli.session import opened_store


@click.command("import", cls=Command)
@click.argument("source", type=click.Path(path_type=Path), metavar="FILE")
@click.option("--name", metavar="NAME", help="Name of the dataset in this store.  [default: as in the bundle]")
@click.option("--trust", is_flag=True, help="Mark the version as trusted, with your user name and the date.")
@COMPUTING_WORKERS
@format_option
def import_(source: Path, name: str | None, trust: bool, workers: int, output_format: str) -> None:
    """Import a version that another store exported.

    FILE is a bundle (.bsv.zip). Every part of it is checked. The version keeps its number, unless the dataset has used
    this number or a higher one; then it gets the next one. If the store has the version already, nothing is imported.

    If the store has the volumes of the version, the version is recomputed, and refused if the result differs.
    Otherwise it is marked as "imported, not checked" until `dataset rebuild` recomputes it, and `aggregate` does not
    return it.
    """
    with opened_store() as store, progress_bar() as progress:
        version = store.datasets.import_bundle(source, name=name, trust=trust, workers=workers, progress=progress)
        print_version(version, output_format)
    note(f"{source} is {version.ref}.")
    if not version.origin.can_answer:
        note(
            f"{version.ref} was not recomputed here. When the store has its inputs, run: "
            f"bsv-store dataset rebuild {version.ref}"
        )

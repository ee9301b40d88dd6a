"""``bsv-store dataset delete``."""

from __future__ import annotations

import click

from bsv_store_cli.help import Command
from bsv_store_cli.options.completion import complete_versions
from bsv_store_cli.output.messages import note
from bsv_store_cli.session import opened_store


@click.command(cls=Command)
@click.argument("ref", metavar="NAME@VERSION", shell_complete=complete_versions)
def delete(ref: str) -> None:
    """Delete a version that has no tag.

    Its file moves to the trash, and its number is not used again. A version with a tag cannot be deleted.
    """
    with opened_store() as store:
        version = store.datasets.delete(ref)
    note(f"Deleted {version.ref}; its file is in the trash of the store.")

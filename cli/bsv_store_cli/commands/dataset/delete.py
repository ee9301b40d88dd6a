"""``bsv-store dataset delete``."""

from __future__ import annotations

import click

from bsv_store_cli.help import Command
from bsv_store_cli.options.completion import complete_versions
from bsv_store_cli.output.messages import note
from bsv_store_cli.session import opened_store


@click.command(cls=Command)
@click.argument("ref", metavar="NAME@VERSION", shell_complete=complete_versions)
@click.option("--force", is_flag=True, help="Also delete a version that has a tag, or was exported or cited.")
def delete(ref: str, force: bool) -> None:
    """Delete a version.

    Its file moves to the trash, from where `untrash` restores the version with its number and tags. The number is not
    used again. A version that has a tag, or was exported or cited, is deleted only with --force.
    """
    with opened_store() as store:
        version = store.datasets.delete(ref, force=force)
    note(f"Deleted {version.ref}; its file is in the trash of the store.")
    note(f"To restore it: bsv-store untrash {version.ref}")

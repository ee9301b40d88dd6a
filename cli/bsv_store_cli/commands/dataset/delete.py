"""``bsv-store dataset delete``."""

from __future__ import annotations

import click

from bsv_store_cli.help import Command
from bsv_store_cli.output.messages import note
from bsv_store_cli.session import opened_store


@click.command(cls=Command)
@click.argument("ref", metavar="NAME@VERSION")
def delete(ref: str) -> None:
    """Delete a version that has no tag.

    Its file goes to the trash, its number is not given again. Somebody relies on what has a tag: that is not deleted.
    """
    if "@" not in ref:
        # Everywhere else the latest is meant; too easily said where it is gone afterwards.
        raise click.UsageError(f"say which version to delete: {ref}@3, or {ref}@latest")
    with opened_store() as store:
        version = store.datasets.delete(ref)
    note(f"Deleted {version.ref}; its file lies in the trash of the store.")

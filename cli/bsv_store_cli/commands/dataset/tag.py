"""``bsv-store dataset tag`` and ``untag``."""

from __future__ import annotations

import click

from bsv_store_cli.help import Command
from bsv_store_cli.options.completion import complete_datasets, complete_tags
from bsv_store_cli.options.dataset import REF
from bsv_store_cli.output.messages import confirmed, note
from bsv_store_cli.session import opened_store


@click.command(cls=Command)
@REF
@click.argument("name", metavar="TAG", shell_complete=complete_tags)
@click.option("--move", is_flag=True, help="Move the tag if another version of the dataset has it.")
@click.option("--force", "--yes", is_flag=True, help="Also move a tag that another user set, without a question.")
def tag(ref: str, name: str, move: bool, force: bool) -> None:
    """Tag a version, which can then be named NAME@TAG.

    A version with a tag cannot be deleted.

    \b
    Example:
      bsv-store dataset tag visual-by-AP@2 figure-3
    """  # noqa: D301 (click wants the character)
    from bsv_store.datasets.tags import AnotherUsersTagError

    with opened_store() as store:
        try:
            version = store.datasets.tag(ref, name, move=move, force=force)
        except AnotherUsersTagError as error:
            if not confirmed(f"{error.message}.", "Move it?"):
                raise
            version = store.datasets.tag(ref, name, move=move, force=True)
    note(f"{version.name}@{name} is {version.ref}.")


@click.command(cls=Command)
@click.argument("name", metavar="NAME", shell_complete=complete_datasets)
@click.argument("tag_name", metavar="TAG", shell_complete=complete_tags)
@click.option("--force", "--yes", is_flag=True, help="Also remove a tag that another user set, without a question.")
def untag(name: str, tag_name: str, force: bool) -> None:
    """Remove a tag from a dataset. The version stays."""
    from bsv_store.datasets.tags import AnotherUsersTagError

    with opened_store() as store:
        try:
            store.datasets.untag(name, tag_name, force=force)
        except AnotherUsersTagError as error:
            if not confirmed(f"{error.message}.", "Remove it?"):
                raise
            store.datasets.untag(name, tag_name, force=True)
    note(f"Removed the tag {tag_name} from {name}.")

"""``bsv-store db upgrade``, ``downgrade`` and ``stamp``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from bsv_store_cli.help import Command
from bsv_store_cli.output.formats import emit
from bsv_store_cli.output.messages import confirmed, is_interactive, note
from bsv_store_cli.output.progress import progress_bar
from bsv_store_cli.output.tables import number_of
from bsv_store_cli.session import store_folder

_Command = TypeVar("_Command", bound=Callable[..., Any])

_yes = click.option("--yes", is_flag=True, help="Do not ask.")
_revision = click.argument("revision")


def _backup_options(command: _Command) -> _Command:
    for option in (
        click.option("--no-backup", is_flag=True, help="Make no copy of the catalog."),
        click.option(
            "--backup",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="New file for a copy of the catalog; on Postgres a dump by pg_dump.  [default: SQLite: a file in"
            " backups/ of the store; Postgres: no copy]",
        ),
        click.option("--dry-run", is_flag=True, help="Print the SQL statements; change nothing."),
    ):
        command = option(command)
    return command


@click.command(cls=Command)
@_backup_options
@click.option("--force", is_flag=True, help="Upgrade a damaged catalog too, and accept its rows as they are.")
@_yes
def upgrade(backup: Path | None, no_backup: bool, dry_run: bool, force: bool, yes: bool) -> None:
    """Upgrade the database schema, in one transaction.

    A SQLite catalog is copied to backups/ in the store before, and the copy is verified. Remove it when you no longer
    need it. A Postgres database must have a backup: name a FILE for one, or make it on the server.

    Rows are checked before. Afterwards, block hashes that are not yet recorded are computed for volumes at 25 and 10
    um, which reads these files once. If this is interrupted, run the command again.
    """
    from bsv_store.store.opening import schema_state, upgrade_store
    from bsv_store.store.schema_changes import upgrade_statements

    _refuse_two(backup, no_backup)
    if dry_run:
        _print_statements(upgrade_statements(store_folder()))
        return
    state = schema_state(store_folder())
    if state.revision not in (None, state.head):
        _require_backup(f"The schema will be upgraded from {state.revision} to {state.head}.", backup, no_backup or yes)
    with progress_bar() as progress:
        report = upgrade_store(
            store_folder(),
            backup=backup,
            make_backup=not no_backup,
            force=force,
            progress=progress,
            on_backup=_note_backup,
        )
    before, after = report.before, report.after
    note(f"The schema is already at revision {after}." if before == after else f"Upgraded from {before} to {after}.")
    if report.hashed:
        note(f"Recorded the block hashes of {number_of(report.hashed, 'volume')}.")
    if report.damaged:
        for path in report.damaged:
            note(f"damaged or missing: {path}")
        note(f"Fetch {'it' if len(report.damaged) == 1 else 'them'} again: `bsv-store fetch --refresh`.")
        click.get_current_context().exit(1)


@click.command(cls=Command)
@_revision
@_backup_options
@_yes
def downgrade(revision: str, backup: Path | None, no_backup: bool, dry_run: bool, yes: bool) -> None:
    """Downgrade the database schema to REVISION, for an earlier version of bsv-store.

    What the earlier schema has no place for is deleted. This version cannot open the store afterwards.
    """
    from bsv_store.store.schema_changes import downgrade_statements, downgrade_store

    _refuse_two(backup, no_backup)
    if dry_run:
        _print_statements(downgrade_statements(store_folder(), revision=revision))
        return
    _require_yes(
        f"The schema will be downgraded to {revision}. What that revision has no table or column for is deleted.", yes
    )
    before = downgrade_store(
        store_folder(), revision=revision, backup=backup, make_backup=not no_backup, on_backup=_note_backup
    )
    note(f"Downgraded from {before} to {revision}.")


@click.command(cls=Command)
@_revision
@_yes
def stamp(revision: str, yes: bool) -> None:
    """Record that the schema is at REVISION, without running a migration.

    For emergencies: after a backup without the table bsv_store_version was restored, or after you ran the statements of
    a migration by hand. With a wrong revision the store fails in unexpected ways; `bsv-store db check` tells.
    """
    from bsv_store.store.schema_changes import stamp_store

    _require_yes(f"The schema will be recorded as being at {revision}. No migration is run.", yes)
    before = stamp_store(store_folder(), revision=revision)
    note(f"Recorded revision {revision}; before: {before}.")


def _refuse_two(backup: Path | None, no_backup: bool) -> None:
    if backup is not None and no_backup:
        raise click.UsageError("--backup and --no-backup cannot be combined")


def _require_yes(problem: str, yes: bool) -> None:
    if yes:
        return
    if not is_interactive():
        raise click.UsageError("--yes is required where there is no terminal to ask")
    if not confirmed(problem, "Continue?"):
        raise click.Abort


def _require_backup(problem: str, backup: Path | None, yes: bool) -> None:
    """On Postgres, ask whether there is a backup; where there is no terminal, say that none was made."""
    from bsv_store.config import SQLITE, locate_store, read_located_config

    if backup is not None or yes or read_located_config(locate_store(store_folder())).database == SQLITE:
        return
    if not is_interactive():
        note("No backup of the Postgres database is made; --backup FILE makes one.")
    elif not confirmed(f"{problem} No backup is made; --backup FILE makes one.", "Is there a backup?"):
        raise click.Abort


def _note_backup(path: Path) -> None:
    note(f"The catalog before the change is in {path}. Remove the file when you no longer need it.")


def _print_statements(statements: list[str]) -> None:
    for statement in statements:
        emit(statement)
    note(f"{number_of(len(statements), 'statement')}; nothing was changed.")

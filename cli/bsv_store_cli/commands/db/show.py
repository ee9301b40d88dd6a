"""``bsv-store db current``, ``check`` and ``history``."""

from __future__ import annotations

import click

from bsv_store_cli.help import Command
from bsv_store_cli.output.formats import format_option, print_facts, print_rows
from bsv_store_cli.output.messages import note
from bsv_store_cli.output.tables import Column, day_time, number_of
from bsv_store_cli.session import store_folder

_DIFFERENCE = ("kind", "name", "problem")
_CHANGE = ("at", "action", "from_revision", "to_revision", "user_name", "database_role", "host", "release")
_CHANGE_TABLE = (
    Column("at", "time", day_time),
    Column("action", "action"),
    Column("from_revision", "from"),
    Column("to_revision", "to"),
    Column("user_name", "user"),
    Column("database_role", "role", optional=True),
    Column("host", "host"),
    Column("release", "release"),
)


@click.command(cls=Command)
@format_option
def current(output_format: str) -> None:
    """Print the schema revision of the store, and the one that this version needs."""
    from bsv_store.store.opening import schema_state

    state = schema_state(store_folder())
    revisions = [("store", state.revision), ("package", state.head)]
    if output_format == "table":
        print_facts([(name, revision or "none") for name, revision in revisions])
    else:
        rows = [{"of": name, "revision": revision} for name, revision in revisions]
        print_rows(rows, output_format, columns=("of", "revision"))


@click.command(cls=Command)
@format_option
def check(output_format: str) -> None:
    """Compare the schema with the one that the migrations create; exit 1 if they differ.

    Compares tables, views, triggers, functions and comments. Views, indexes and tables that users added are ignored.
    """
    from bsv_store.store.schema_changes import check_schema

    found = check_schema(store_folder())
    rows = [{"kind": each.kind, "name": each.name, "problem": each.problem} for each in found.differences]
    print_rows(rows, output_format, columns=_DIFFERENCE)
    if found.not_checked:
        note(f"Not checked: {found.not_checked}")
    if rows:
        note(
            f"{number_of(len(rows), 'difference')}. Restore the database from a backup, or undo the change of another"
            " program."
        )
        click.get_current_context().exit(1)
    note("The tables are as they should be." if found.not_checked else "The schema is as the migrations create it.")


@click.command(cls=Command)
@format_option
def history(output_format: str) -> None:
    """Show what changed the schema: when, by whom and with which release.

    Changes are recorded since revision 0016.
    """
    from bsv_store.store.schema_changes import schema_history

    rows = [{name: getattr(each, name) for name in _CHANGE} for each in schema_history(store_folder())]
    print_rows(rows, output_format, columns=_CHANGE, table=_CHANGE_TABLE)
    note(number_of(len(rows), "change"))

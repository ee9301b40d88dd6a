"""``bsv-store config``."""

from __future__ import annotations

import click

from bsv_store_cli.help import Group
from bsv_store_cli.output.formats import format_option, print_rows
from bsv_store_cli.output.messages import note
from bsv_store_cli.output.tables import Column, cell
from bsv_store_cli.session import opened_store, setting_arguments, store_folder


@click.group(cls=Group)
def config() -> None:
    """Show settings and where they come from; change those of the store."""


@config.command()
@click.option("--origin", is_flag=True, help="Also show where each setting comes from, and what it sets.")
@format_option
def show(origin: bool, output_format: str) -> None:
    """Show all settings.

    The first of these that sets a value is used: an option of the command, an environment variable, store.toml, the
    user's configuration file, the configuration file of this computer, the default. Works without a store.
    """
    from bsv_store.config import STORE_FILE, all_settings, locate_store, read_store_config
    from bsv_store.config.files import system_file, user_file

    location = locate_store(store_folder())
    folder = location.folder
    has_store = folder is not None and (folder / STORE_FILE).exists()
    found = all_settings(read_store_config(location.path) if has_store else None, setting_arguments())
    rows = [
        {
            "name": each.name,
            "value": str(folder or location.url) if each.name == "store" else _without_password(each.value),
            "origin": location.origin if each.name == "store" else each.origin,
            "place": each.place,
            "sets": each.words,
        }
        for each in found
    ]
    more = ("origin", "place", "sets") if origin else ()
    table = [Column("name", "setting"), Column("value", "value", _shown, whole=True)]
    if origin:
        table += [Column("origin", "origin"), Column("sets", "sets", whole=True)]
    print_rows(rows, output_format, columns=("name", "value", *more), table=table)
    if folder is not None and not has_store:
        note(f"{folder} is not a store: settings of a store are not shown.")
    if origin:
        for file in (user_file(), system_file()):
            note(f"Configuration file: {file}{'' if file.exists() else ' (does not exist)'}")


def _without_password(value: str | int | float | None) -> str | int | float | None:
    from bsv_store.text import masked

    return masked(value) if isinstance(value, str) else value


def _shown(value: object) -> str:
    return "-" if value is None else cell(value)


@config.command(name="set")
@click.argument("name", metavar="SETTING")
@click.argument("value", required=False)
@click.option("--default", "restore", is_flag=True, help="Restore the default instead of setting a value.")
def set_(name: str, value: str | None, restore: bool) -> None:
    """Change a setting of the store, for all its users.

    \b
    Settings: api_url, download_url, group, file_mode, directory_mode, trash_days, sql_timeout,
              max_connections, fetch_workers
    Examples:
      bsv-store config set trash_days 60
      bsv-store config set api_url --default
    """  # noqa: D301 (click needs \b)
    if (value is None) != restore:
        raise click.UsageError("either VALUE or --default is required")
    with opened_store() as store:
        now = store.admin.configure(name, value)
    note(f"{now.name} is now {_shown(now.value)} (from {now.origin}).")
    if now.name in ("group", "file_mode", "directory_mode"):
        note("Existing files are unchanged. Change them: bsv-store store permissions --apply")

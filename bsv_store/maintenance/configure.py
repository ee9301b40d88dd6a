"""Change the settings of a store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from bsv_store.catalog.activity import record_activity
from bsv_store.check import choice, row_named
from bsv_store.config import STORE_FILE, Setting, read_store_config, setting
from bsv_store.config.values import checked_value, parsed
from bsv_store.errors import InputError
from bsv_store.vocabulary import SETTINGS, SettingRow
from bsv_store.volumes.files import StoreFiles
from bsv_store.volumes.groups import require_membership

if TYPE_CHECKING:
    from bsv_store.catalog.database.engine import Database

# For the advisory lock on Postgres, under which store.toml is read and written.
_ADVISORY_LOCK = 0x62737673736574


def configure(database: Database, files: StoreFiles, name: str, value: object) -> Setting:
    """See `Admin.configure`."""
    in_store: dict[str, SettingRow] = {each.name: each for each in SETTINGS.values() if each.in_store}
    row = row_named(str(name), SETTINGS) or choice("the setting", name, in_store)
    if not row.in_store:
        places = " or ".join(
            [
                *([f"the variable {row.variable}"] if row.variable else []),
                *(["the configuration file (see `bsv-store config show`)"] if row.in_files else []),
            ]
        )
        raise InputError(f"{row.name!r} is not a setting of a store", hint=f"Set it in {places}.")
    new = None
    if value is not None:
        new = checked_value(row, parsed(row, value) if isinstance(value, str) else value, origin="the argument")
    if row.type == "group" and new is not None:
        require_membership(str(new))
    with database.writing() as connection:
        if not database.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _ADVISORY_LOCK})
        # Under the lock, so that simultaneous changes are not lost.
        before = read_store_config(files.root)
        after = before.with_setting(row.name, new)
        record_activity(
            connection,
            "configured",
            row.name,
            {"before": before.stored_value(row.name), "after": after.stored_value(row.name)},
        )
        if after != before:
            StoreFiles(files.root, after.file_mode, after.directory_mode).publish(STORE_FILE, after.to_toml().encode())
    return setting(row.name, store=after)

"""The description of a store in ``store.toml``: its id, its database, and its settings."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bsv_store.config.files import near_key
from bsv_store.config.values import Value, expected
from bsv_store.documents import read_document, toml_values
from bsv_store.errors import UPGRADE_HINT, NotAStoreError, SchemaTooNewError, StoreUnreachableError
from bsv_store.text import near_names, shown, store_option
from bsv_store.vocabulary import SETTINGS, SettingName

STORE_VARIABLE = "BSV_STORE"
STORE_FILE = "store.toml"
CATALOG_FILE = "catalog.db"
FORMAT_VERSION = 1
FOLDERS = ("volumes", "datasets", "tmp", "trash")

SQLITE = "sqlite"

_KEYS = ("store_id", "format_version", "database", "file_mode", "directory_mode")
# Keys that are in the file only if they were set.
_OPTIONAL = tuple(row.name for row in SETTINGS.values() if row.in_store and row.name not in _KEYS)
_CHECKSUM = "checksum = "


@dataclass(frozen=True, slots=True)
class StoreConfig:
    """The content of ``store.toml``.

    Attributes
    ----------
    store_id : str
        The database has the same id, so that a folder is never used with the database of another store.
    format_version : int
        Layout of the folder.
    database : str
        'sqlite' for ``catalog.db`` in the folder, else a Postgres URL without a password.
    file_mode, directory_mode : int
        Permissions of everything written, whatever the user's umask, since several users share the store.
    group : str or None
        Group of all files and folders, by name or number; None leaves it to the file system.
    api_url, download_url : str or None
        Addresses of a mirror of Allen's servers, for all users of the store.
    trash_days : int or None
        Days that files stay in the trash.
    sql_timeout : float or None
        Timeout of queries of users, in seconds.
    max_connections, fetch_workers : int or None
        Connections to one host that all runs share, and those that one run opens.
    """

    store_id: str
    format_version: int = FORMAT_VERSION
    database: str = SQLITE
    file_mode: int = 0o664
    directory_mode: int = 0o2775
    group: str | None = None
    api_url: str | None = None
    download_url: str | None = None
    trash_days: int | None = None
    sql_timeout: float | None = None
    max_connections: int | None = None
    fetch_workers: int | None = None

    def stored_value(self, name: SettingName) -> Value | None:
        """The value of a setting as in the file; None if it is not set there."""
        value: Value | None = getattr(self, name)
        return f"{value:04o}" if name in ("file_mode", "directory_mode") else value

    def with_setting(self, name: SettingName, value: Value | None) -> StoreConfig:
        """The same with another value of a setting, which must be valid; None restores its default."""
        changed: Any = value
        if name in ("file_mode", "directory_mode"):
            changed = int(str(SETTINGS[name].default if value is None else value), 8)
        fields: dict[str, Any] = {name: changed}
        return replace(self, **fields)

    def to_toml(self) -> str:
        """The text of the file. Its last line is a checksum of the lines before."""
        text = (
            "# Description of this store. Written by `bsv-store init`; do not change the id.\n"
            "# If you edit this file, delete the checksum; `bsv-store db upgrade` writes a new one.\n"
            f"store_id = {json.dumps(self.store_id)}\n"
            f"format_version = {self.format_version}\n"
            f"database = {json.dumps(self.database)}\n"
            f'file_mode = "{self.file_mode:04o}"\n'
            f'directory_mode = "{self.directory_mode:04o}"\n'
        )
        for key in _OPTIONAL:
            if (value := self.stored_value(key)) is not None:
                text += f"{key} = {json.dumps(value)}\n"
        return f'{text}{_CHECKSUM}"{_checksum(text)}"\n'


def read_store_config(path: Path, name: str = STORE_FILE) -> StoreConfig:
    """Read the ``store.toml`` of a folder, or a file of another name.

    Raises
    ------
    NotAStoreError
        If the folder or file does not exist, or the file is damaged: unknown or missing keys, values out of range, a
        checksum that does not match.
    SchemaTooNewError
        If a later version of the package created the store.
    StoreUnreachableError
        If the folder cannot be read.
    """
    file = path / name
    try:
        text = read_document(file)
        values = toml_values(text)
    except (FileNotFoundError, NotADirectoryError) as error:
        if name == STORE_FILE and (path.parent / name).is_file() and path.is_file():
            hint = f"The store is the folder {path.parent}."
            raise NotAStoreError(f"{path} is a file of a bsv-store, not a store", hint=hint) from error
        was_store = name == STORE_FILE and all((path / each).is_dir() for each in FOLDERS)
        raise NotAStoreError(
            f"{path} is not a bsv-store: {name} is missing",
            hint=_rewrite_hint(path)
            if was_store
            else f"Create one: bsv-store init {path}; or name another with --store or {STORE_VARIABLE}.",
        ) from error
    except OSError as error:
        raise StoreUnreachableError(f"the store {path} cannot be read: {error}") from error
    except ValueError as error:
        raise NotAStoreError(f"{file} is damaged: {error}", hint=_rewrite_hint(path)) from error
    if "checksum" in values:
        _verify_checksum(text.decode("utf-8"), values.pop("checksum"), file)
    return _checked(values, file)


def salvage_settings(folder: Path, new: StoreConfig) -> StoreConfig:
    """``new`` with the valid settings of a ``store.toml`` that is damaged or was edited.

    Its id and database are not taken over, and nothing of a file that is not TOML.
    """
    try:
        values = toml_values(read_document(folder / STORE_FILE))
    except (OSError, ValueError):
        return new
    for row in SETTINGS.values():
        if row.in_store and row.name in values and expected(row, values[row.name]) is None:
            new = new.with_setting(row.name, values[row.name])
    return new


def _rewrite_hint(folder: Path) -> str:
    return f"Write it again: bsv-store store attach {shlex.quote(str(folder))}"


def has_checksum(path: Path) -> bool:
    """Whether ``store.toml`` has a checksum. Earlier versions did not write one; users may delete it."""
    try:
        return _CHECKSUM in (path / STORE_FILE).read_text(encoding="utf-8")
    except OSError as error:
        raise StoreUnreachableError(f"the store {path} cannot be read: {error}") from error


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _verify_checksum(text: str, checksum: object, file: Path) -> None:
    body, _, last = text.rpartition(_CHECKSUM)
    if checksum != _checksum(body) or len(last.splitlines()) != 1:
        raise NotAStoreError(
            f"{file} is damaged or was edited: its checksum does not match",
            hint=f"{_rewrite_hint(file.parent)}\nIf the change is intended, delete the checksum line and run: "
            f"bsv-store {store_option(file.parent)} db upgrade",
        )


def _checked(values: dict[str, Any], file: Path) -> StoreConfig:
    version = values.get("format_version")
    if type(version) is int and version > FORMAT_VERSION:
        raise SchemaTooNewError(
            f"the store {file.parent} has format {shown(version)}; this version of bsv-store supports {FORMAT_VERSION}",
            hint=UPGRADE_HINT,
        )
    for key in _KEYS:
        if key not in values:
            raise NotAStoreError(f"{file} has no {key}", hint=_rewrite_hint(file.parent))
    for key, value in values.items():
        if key not in (*_KEYS, *_OPTIONAL):
            near = near_names(key, (*_KEYS, *_OPTIONAL), limit=1)
            hint = near_key(key, [*_KEYS, *_OPTIONAL]) if near else _rewrite_hint(file.parent)
            raise NotAStoreError(f"{file} has an unknown key {shown(key)}", hint=hint)
        if (problem := _expected(key, value)) is not None:
            # The URL of a database, or of a server, may contain a password.
            got = "" if key in _ADDRESSES else f", got {shown(value)}"
            raise NotAStoreError(f"{file}: {key} must be {problem}{got}", hint=_rewrite_hint(file.parent))
    config = StoreConfig(values["store_id"], values["format_version"], values["database"])
    for row in SETTINGS.values():
        if row.name in values:
            config = config.with_setting(row.name, values[row.name])
    return config


_ADDRESSES = ("database", *(row.name for row in SETTINGS.values() if row.type == "url"))


def _expected(key: str, value: Any) -> str | None:
    """Description of the valid values of a key; None if the value is valid."""
    if key == "format_version":
        return None if type(value) is int and value >= 1 else "a positive integer"
    if key == "store_id":
        return None if isinstance(value, str) and re.fullmatch(r"[\w-]{1,64}", value, re.ASCII) else "an id"
    if key == "database":
        is_known = isinstance(value, str) and (value == SQLITE or value.startswith("postgresql"))
        return None if is_known else f"'{SQLITE}' or a Postgres URL"
    return expected(SETTINGS[key], value)

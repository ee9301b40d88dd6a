"""The location of a store, and its description in ``store.toml``.

The folder is named by the first of these that is set: the argument, the variable ``BSV_STORE``, the key ``store`` of
the user's configuration file (``bsv-store/config.toml`` in the platform's configuration folder). The default is the
platform's data folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bsv_store.errors import InputError, NotAStoreError, SchemaTooNewError, StoreUnreachableError
from bsv_store.text import shown

STORE_VARIABLE = "BSV_STORE"
STORE_FILE = "store.toml"
CATALOG_FILE = "catalog.db"
FORMAT_VERSION = 1
FOLDERS = ("volumes", "datasets", "tmp", "trash")

SQLITE = "sqlite"

_KEYS = ("store_id", "format_version", "database", "file_mode", "directory_mode")
_CHECKSUM = "checksum = "
_RESTORE_HINT = "Restore it from a backup."


@dataclass(frozen=True, slots=True)
class Location:
    """The folder of a store, and the setting that named it."""

    path: Path
    origin: str


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
    """

    store_id: str
    format_version: int = FORMAT_VERSION
    database: str = SQLITE
    file_mode: int = 0o664
    directory_mode: int = 0o2775

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
        return f'{text}{_CHECKSUM}"{_checksum(text)}"\n'


def locate_store(path: Path | str | None = None) -> Location:
    """The folder of the store: the argument, else the environment, the configuration file or the default.

    Raises
    ------
    InputError
        If the path is not valid, or the configuration file cannot be read.
    """
    if path is not None:
        return Location(_folder(path, _ARGUMENT_ORIGIN), _ARGUMENT_ORIGIN)
    if variable := os.environ.get(STORE_VARIABLE):
        return Location(_folder(variable, STORE_VARIABLE), STORE_VARIABLE)
    if configured := _configured():
        return configured
    from platformdirs import user_data_path

    return Location(user_data_path("bsv-store", appauthor=False) / "store", DEFAULT_ORIGIN)


DEFAULT_ORIGIN = "default"
_ARGUMENT_ORIGIN = "argument"


def _config_file() -> Path:
    from platformdirs import user_config_path

    return user_config_path("bsv-store", appauthor=False) / "config.toml"


def _configured() -> Location | None:
    file = _config_file()
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InputError(f"the configuration file {file} cannot be read: {error}") from error
    store = values.get("store")
    if store is None:
        return None
    if not isinstance(store, str):
        raise InputError(f"the key 'store' in {file} must be a path in quotes")
    return Location(_folder(store, str(file)), str(file))


def _folder(value: object, origin: str) -> Path:
    """The absolute path of a folder, which file systems and databases must accept."""
    named = f"the path of the store (from {origin})" if origin != _ARGUMENT_ORIGIN else "the path of the store"
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else value
    if not isinstance(text, str):
        raise InputError(f"{named} must be a path, got {shown(value)}", hint="Use a string or a pathlib.Path.")
    if not text:
        raise InputError(f"{named} must not be empty", hint='For example "/data/bsv-store".')
    if "\0" in text:
        raise InputError(f"{named} must not contain a NUL character, got {shown(text)}")
    try:
        # SQLite and Postgres accept only UTF-8 names.
        text.encode()
        return Path(text).expanduser().absolute()
    except UnicodeEncodeError as error:
        raise InputError(f"{named} must be valid UTF-8, got {shown(text)}", hint="Rename the folder.") from error
    except RuntimeError as error:
        raise InputError(f"{named}, {shown(text)}, names the home folder of an unknown user") from error


def read_located_config(location: Location) -> StoreConfig:
    """Read the ``store.toml`` of the folder that `locate_store` found.

    Raises
    ------
    NotAStoreError
        See `read_store_config`. The message names the setting that specified the folder, and what is missing.
    SchemaTooNewError, StoreUnreachableError
        See `read_store_config`.
    """
    try:
        return read_store_config(location.path)
    except NotAStoreError as error:
        if location.origin == _ARGUMENT_ORIGIN or (location.path / STORE_FILE).exists():
            raise
        if location.origin != DEFAULT_ORIGIN:
            raise NotAStoreError(f"{error.message} (folder specified by {location.origin})", hint=error.hint) from error
        raise NotAStoreError(
            f"no store was specified, and there is none in the default folder {location.path}",
            hint=f"{STORE_VARIABLE} is not set, and {_config_file()} "
            + ("does not specify a store" if _config_file().exists() else "does not exist")
            + f". Specify an existing store: export {STORE_VARIABLE}=FOLDER, or --store FOLDER."
            " If your lab does not have one yet, create it: bsv-store init FOLDER.",
        ) from error


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
        text = file.read_text(encoding="utf-8")
        values = tomllib.loads(text)
    except (FileNotFoundError, NotADirectoryError) as error:
        was_store = name == STORE_FILE and all((path / each).is_dir() for each in FOLDERS)
        raise NotAStoreError(
            f"{path} is not a bsv-store: {name} is missing",
            hint=f"Write it again: bsv-store store attach {path}"
            if was_store
            else f"Create one: bsv-store init {path}; or name another with --store or {STORE_VARIABLE}.",
        ) from error
    except OSError as error:
        raise StoreUnreachableError(f"the store {path} cannot be read: {error}") from error
    except ValueError as error:
        raise NotAStoreError(f"{file} is damaged: {error}", hint=_RESTORE_HINT) from error
    if "checksum" in values:
        _verify_checksum(text, values.pop("checksum"), file)
    return _checked(values, file)


def has_checksum(path: Path) -> bool:
    """Whether ``store.toml`` has a checksum. Earlier versions did not write one; users may delete it."""
    return _CHECKSUM in (path / STORE_FILE).read_text(encoding="utf-8")


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _verify_checksum(text: str, checksum: object, file: Path) -> None:
    body, _, last = text.rpartition(_CHECKSUM)
    if checksum != _checksum(body) or len(last.splitlines()) != 1:
        raise NotAStoreError(
            f"{file} is damaged or was edited: its checksum does not match",
            hint="Restore it from a backup. If the change is intended, delete the checksum line and run: "
            f"bsv-store --store {file.parent} db upgrade",
        )


def _checked(values: dict[str, Any], file: Path) -> StoreConfig:
    version = values.get("format_version")
    if type(version) is int and version > FORMAT_VERSION:
        raise SchemaTooNewError(
            f"the store {file.parent} has format {shown(version)}; this version of bsv-store supports {FORMAT_VERSION}",
            hint="Upgrade the package: pip install --upgrade bsv-store",
        )
    for key in _KEYS:
        if key not in values:
            raise NotAStoreError(f"{file} has no {key}", hint=_RESTORE_HINT)
    for key, value in values.items():
        if key not in _KEYS:
            raise NotAStoreError(f"{file} has an unknown key {shown(key)}", hint=_RESTORE_HINT)
        if (expected := _expected(key, value)) is not None:
            # The URL of a database may contain a password.
            got = "" if key == "database" else f", got {shown(value)}"
            raise NotAStoreError(f"{file}: {key} must be {expected}{got}", hint=_RESTORE_HINT)
    return StoreConfig(
        values["store_id"],
        values["format_version"],
        values["database"],
        int(values["file_mode"], 8),
        int(values["directory_mode"], 8),
    )


def _expected(key: str, value: Any) -> str | None:
    """Description of the valid values of a key; None if the value is valid."""
    if key == "format_version":
        return None if type(value) is int and value >= 1 else "a positive integer"
    if key == "store_id":
        return None if isinstance(value, str) and re.fullmatch(r"[\w-]{1,64}", value, re.ASCII) else "an id"
    if key == "database":
        is_known = isinstance(value, str) and (value == SQLITE or value.startswith("postgresql"))
        return None if is_known else f"'{SQLITE}' or a Postgres URL"
    if key == "file_mode":
        is_mode = isinstance(value, str) and re.fullmatch("06[046][046]", value)
        return None if is_mode else "read and write permissions in octal digits, such as '0664'"
    is_mode = isinstance(value, str) and re.fullmatch("[0-3]7[057][057]", value)
    return None if is_mode else "permissions of folders in octal digits, such as '2775'"

"""The location of a store, and its description in ``store.toml``.

The folder is named by the first of these that is set: the argument, the variable ``BSV_STORE``, the key ``store`` of
the user's configuration file (``bsv-store/config.toml`` in the platform's configuration folder). The default is the
platform's data folder.
"""

from __future__ import annotations

import json
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path

from bsv_store.errors import InputError, NotAStoreError, SchemaTooNewError, StoreUnreachableError

STORE_VARIABLE = "BSV_STORE"
STORE_FILE = "store.toml"
CATALOG_FILE = "catalog.db"
FORMAT_VERSION = 1
FOLDERS = ("volumes", "datasets", "tmp", "trash")

SQLITE = "sqlite"


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
        """The text of the file."""
        return (
            "# Description of this store. Written by `bsv-store init`; do not change the id.\n"
            f"store_id = {json.dumps(self.store_id)}\n"
            f"format_version = {self.format_version}\n"
            f"database = {json.dumps(self.database)}\n"
            f'file_mode = "{self.file_mode:04o}"\n'
            f'directory_mode = "{self.directory_mode:04o}"\n'
        )


def locate_store(path: Path | str | None = None) -> Location:
    """The folder of the store: the argument, else the environment, the configuration file or the default.

    Raises
    ------
    InputError
        If the configuration file cannot be read.
    """
    if path is not None:
        return Location(Path(path).expanduser().absolute(), _ARGUMENT_ORIGIN)
    if variable := os.environ.get(STORE_VARIABLE):
        return Location(Path(variable).expanduser().absolute(), STORE_VARIABLE)
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
    return Location(Path(store).expanduser().absolute(), str(file))


def read_located_config(location: Location) -> StoreConfig:
    """Read the ``store.toml`` of the folder that `locate_store` found.

    Raises
    ------
    NotAStoreError
        As `read_store_config`; the message says which setting named the folder, and what was looked for.
    SchemaTooNewError, StoreUnreachableError
        See `read_store_config`.
    """
    try:
        return read_store_config(location.path)
    except NotAStoreError as error:
        if location.origin == _ARGUMENT_ORIGIN or (location.path / STORE_FILE).exists():
            raise
        if location.origin != DEFAULT_ORIGIN:
            raise NotAStoreError(
                f"{error.message} (the folder is named by {location.origin})", hint=error.hint
            ) from error
        raise NotAStoreError(
            f"no store is named, and there is none in the default folder {location.path}",
            hint=f"{STORE_VARIABLE} is not set, and {_config_file()} "
            + ("names no store" if _config_file().exists() else "does not exist")
            + f". Name an existing store: export {STORE_VARIABLE}=FOLDER, or --store FOLDER."
            " Only if your lab has none yet, create one: bsv-store init FOLDER.",
        ) from error


def read_store_config(path: Path, name: str = STORE_FILE) -> StoreConfig:
    """Read the ``store.toml`` of a folder, or a file of another name.

    Raises
    ------
    NotAStoreError
        If the folder or file does not exist, or the file is damaged.
    SchemaTooNewError
        If a later version of the package created the store.
    StoreUnreachableError
        If the folder cannot be read.
    """
    file = path / name
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotAStoreError(
            f"{path} is not a bsv-store: {name} is missing",
            hint=f"Create one: bsv-store init {path}; or name another with --store or {STORE_VARIABLE}.",
        ) from error
    except OSError as error:
        raise StoreUnreachableError(f"the store {path} cannot be read: {error}") from error
    except ValueError as error:
        raise NotAStoreError(f"{file} is damaged: {error}", hint="Restore it from a backup.") from error
    return _checked(values, file)


def _checked(values: dict[str, object], file: Path) -> StoreConfig:
    version = values.get("format_version")
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise SchemaTooNewError(
            f"the store {file.parent} has format {version}; this version of bsv-store supports {FORMAT_VERSION}",
            hint="Upgrade the package: pip install --upgrade bsv-store",
        )
    store_id, database = values.get("store_id"), values.get("database")
    if not isinstance(store_id, str) or not isinstance(version, int) or not isinstance(database, str):
        raise NotAStoreError(
            f"{file} has no valid store_id, format_version or database",
            hint="Restore it from a backup, or create a new store.",
        )
    try:
        modes = {key: int(str(values[key]), 8) for key in ("file_mode", "directory_mode") if key in values}
    except ValueError as error:
        raise NotAStoreError(f"{file}: file_mode and directory_mode must be octal digits in quotes: {error}") from error
    return StoreConfig(store_id, version, database, **modes)

"""The location of a store: a folder, or the address of a server.

It is named by the first of these that is set: the argument, the variable ``BSV_STORE``, the key ``store`` of
the user's configuration file, the same key of the computer's. The default is the platform's data folder.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from bsv_store.config.files import system_file, user_file
from bsv_store.config.home import expanded, user_folder
from bsv_store.config.settings import setting
from bsv_store.config.store_file import STORE_FILE, STORE_VARIABLE, StoreConfig, read_store_config
from bsv_store.config.values import address_meant, base_address
from bsv_store.errors import InputError, NotAStoreError, ReadOnlyStoreError
from bsv_store.text import shown

DEFAULT_ORIGIN = "default"
ARGUMENT_ORIGIN = "argument"
# At least two letters, because of drives on Windows. Path("s3://a") is "s3:/a".
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")
# user:password@host, whose user may be an e-mail address, but not a Windows path such as C:\data\me@lab; also
# user@host:80.
_LOGIN = re.compile(r"[^/:]*:(?![/\\]).*@.|[^/\\:@]+@[^/\\:@]+:[0-9]{1,5}(?:/.*)?$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Location:
    """The folder of a store or its address on a server, and the setting that named it.

    Attributes
    ----------
    folder : pathlib.Path or None
    origin : str
    url : str or None
        Base address, without a slash at the end.
    """

    folder: Path | None
    origin: str
    url: str | None = None

    @property
    def path(self) -> Path:
        """The folder.

        Raises
        ------
        ReadOnlyStoreError
            If the store is on a server.
        """
        if self.folder is None:
            raise ReadOnlyStoreError(
                f"{self.url} is a store on a server and can only be read; this needs its folder",
                hint="Run it on a computer that has the folder: --store FOLDER",
            )
        return self.folder


def is_address(value: object) -> bool:
    """Whether a location of a store is meant as an address instead of a folder."""
    # Path("https://a") is "https:/a".
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else ""
    return isinstance(text, str) and text.lower().startswith(("http:/", "https:/"))


def locate_store(path: Path | str | None = None) -> Location:
    """The store's folder or address: the argument, else the environment, a configuration file or the default.

    Raises
    ------
    InputError
        If the path or address is not valid, or a configuration file cannot be read.
    """
    if path is not None:
        return _location(path, ARGUMENT_ORIGIN)
    found = setting("store")
    if found.value is not None:
        return _location(found.value, found.origin)
    return Location(user_folder("data") / "store", DEFAULT_ORIGIN)


def _location(value: object, origin: str) -> Location:
    if not is_address(value):
        return Location(_folder(value, origin), origin)
    text = str(value)
    scheme, _, rest = text.partition(":")
    address = f"{scheme.lower()}://{rest.lstrip('/')}"
    named = f"the address of the store (from {origin})" if origin != ARGUMENT_ORIGIN else "the address of the store"
    if "@" in unquote(address):
        raise _with_login(named)
    return Location(None, origin, base_address(named, address, such_as="https://lab.example/bsv"))


def _with_login(named: str) -> InputError:
    # The text is not shown, because it may contain a password.
    return InputError(
        f"{named} contains a user name or password",
        hint="Use an address without them, such as https://lab.example/bsv. If the server requires a token: "
        "export BSV_STORE_TOKEN=TOKEN",
    )


def _folder(value: object, origin: str) -> Path:
    """The absolute path of a folder, which file systems and databases must accept."""
    named = f"the path of the store (from {origin})" if origin != ARGUMENT_ORIGIN else "the path of the store"
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else value
    if not isinstance(text, str):
        raise InputError(f"{named} must be a path, got {shown(value)}", hint="Use a string or a pathlib.Path.")
    if not text:
        raise InputError(f"{named} must not be empty", hint='For example: "/data/bsv-store".')
    if (scheme := _SCHEME.match(text)) is not None:
        # The rest is not shown, because it may contain a password.
        raise InputError(
            f"{named} must be a folder or the address of a server, got a URL of the type {scheme[1]}",
            hint="An address starts with https:// or http://. The URL of a database is for: bsv-store init FOLDER "
            "--database URL",
        )
    if "\0" in text:
        raise InputError(f"{named} must not contain a NUL character, got {shown(text)}")
    has_login, meant = _LOGIN.match(text) is not None, address_meant(text)
    if (has_login or meant is not None) and not os.path.exists(text):  # noqa: PTH110 (Path.exists() may raise)
        if has_login:
            raise _with_login(named)
        raise InputError(
            f"{named} must be a folder or the address of a server, got {shown(text)}",
            hint=f"Did you mean {meant}? For a new folder of that name, use its absolute path.",
        )
    try:
        # SQLite and Postgres accept only UTF-8 names.
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{named} must be valid UTF-8, got {shown(text)}", hint="Rename the folder.") from error
    return expanded(named, text)


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
        if location.origin == ARGUMENT_ORIGIN or (location.path / STORE_FILE).exists():
            raise
        if location.origin != DEFAULT_ORIGIN:
            raise NotAStoreError(f"{error.message} (folder specified by {location.origin})", hint=error.hint) from error
        raise NotAStoreError(
            f"no store was specified, and there is none in the default folder {location.path}",
            hint=f"{STORE_VARIABLE} is not set, and {_configured()}. Specify a folder or the address "
            f"of a server: export {STORE_VARIABLE}=STORE, or --store STORE. If your lab does not have a "
            "store yet, create one: bsv-store init FOLDER.",
        ) from error


def _configured() -> str:
    """What the configuration files contain about the store, which is nothing."""
    existing = [file for file in (user_file(), system_file()) if file.exists()]
    if not existing:
        return f"{user_file()} does not exist"
    return " and ".join(f"{file} does not specify a store" for file in existing)

"""Settings: the value of each, and where it comes from.

The first of these that sets it: the argument, the environment variable, ``store.toml``, the user's configuration file,
the configuration file of the computer, the default.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

from bsv_store.config.files import file_values, system_file, user_file
from bsv_store.config.store_file import STORE_FILE, StoreConfig, read_store_config
from bsv_store.config.values import Value, checked_value, parsed
from bsv_store.vocabulary import SETTING_PLACES, SETTINGS, SettingName, SettingPlace, SettingRow


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting, and where its value comes from.

    Attributes
    ----------
    name : SettingName
    value : str, int, float or None
        None if it is not set and has no default.
    place : SettingPlace
    source : str or None
        The environment variable or the file; None for arguments and defaults.
    words : str
        What it sets.
    """

    name: SettingName
    value: Value | None
    place: SettingPlace
    source: str | None
    words: str

    @property
    def origin(self) -> str:
        """The variable or the file, or else the word for the place."""
        return self.source or self.place

    @property
    def text(self) -> str:
        """The value as text; None if it is not set."""
        return "" if self.value is None else str(self.value)


def setting(name: SettingName, argument: object = None, *, store: StoreConfig | Path | None = None) -> Setting:
    """The value of a setting, and where it comes from.

    Parameters
    ----------
    name : SettingName
    argument : object, optional
        The value of an argument; None if it was not given.
    store : StoreConfig or pathlib.Path, optional
        The store whose settings apply, or its folder.

    Raises
    ------
    InputError
        If the value is not valid, or a configuration file is not. The message names the origin.
    NotAStoreError, StoreUnreachableError
        If ``store.toml`` cannot be read.
    """
    row = SETTINGS[name]
    for place in SETTING_PLACES.values():
        found = _value_from(row, place.name, argument, store)
        if found is not None:
            value, source = found
            return Setting(name, value, place.name, source, row.words)
    return Setting(name, row.default, "default", None, row.words)


def all_settings(
    store: StoreConfig | Path | None = None, arguments: Mapping[SettingName, object] | None = None
) -> tuple[Setting, ...]:
    """All settings, in the order of `bsv_store.vocabulary.SETTINGS`.

    Raises
    ------
    InputError, NotAStoreError, StoreUnreachableError
        See `setting`.
    """
    given = arguments or {}
    return tuple(setting(row.name, given.get(row.name), store=store) for row in SETTINGS.values())


def sql_timeout(store: StoreConfig | Path, argument: float | None) -> float:
    """The timeout of a query of a user in seconds: the argument, which the query checks, else the setting."""
    if argument is not None:
        return argument
    value = setting("sql_timeout", store=store).value
    assert isinstance(value, float)
    return value


def _value_from(
    row: SettingRow, place: SettingPlace, argument: object, store: StoreConfig | Path | None
) -> tuple[Value, str | None] | None:
    """The value in one of the places with the variable or file; None if it is not set there."""
    if place == "argument":
        return None if argument is None else (checked_value(row, argument, origin="the argument"), None)
    if place == "environment":
        text = os.environ.get(row.variable) if row.variable else None
        return (checked_value(row, parsed(row, text), origin=str(row.variable)), row.variable) if text else None
    if place == "store.toml":
        if store is None or not row.in_store:
            return None
        config = read_store_config(store) if isinstance(store, Path) else store
        value = config.stored_value(row.name)
        return None if value is None else (value, STORE_FILE)
    if place == "user file" or place == "system file":
        if not row.in_files:
            return None
        file = user_file() if place == "user file" else system_file()
        written = file_values(file).get(row.name)
        return None if written is None else (checked_value(row, written, origin=str(file)), str(file))
    if place == "default":
        return None
    assert_never(place)

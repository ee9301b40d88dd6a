"""The configuration files of the user and of the computer."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bsv_store.check import row_named
from bsv_store.config.home import user_folder
from bsv_store.documents import read_document, toml_values
from bsv_store.errors import InputError
from bsv_store.text import listed, near_names, shown
from bsv_store.vocabulary import SETTINGS

_FILE = "config.toml"


def user_file() -> Path:
    """The user's configuration file, ``bsv-store/config.toml`` in the platform's configuration folder."""
    return user_folder("config") / _FILE


def system_file() -> Path:
    """The configuration file of this computer.

    On Linux ``/etc/bsv-store/config.toml``, or in the first folder of ``XDG_CONFIG_DIRS`` if that is set.
    """
    if sys.platform == "linux" and not os.environ.get("XDG_CONFIG_DIRS"):
        return Path("/etc/bsv-store") / _FILE
    from platformdirs import site_config_path

    return site_config_path("bsv-store", appauthor=False) / _FILE


def file_values(file: Path) -> Mapping[str, Any]:
    """The keys and values of a configuration file; empty if it does not exist. Values are not yet checked.

    A file in a folder that this user may not open does not exist for this user, as after ``sudo -u`` with the home
    folder of another account.

    Raises
    ------
    InputError
        If the file cannot be read, or has a key that is unknown or not valid there. The hint suggests a similar key.
    """
    try:
        values = toml_values(read_document(file))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        if isinstance(error, PermissionError) and not os.access(file.parent, os.X_OK):
            return {}
        raise InputError(f"the configuration file {file} cannot be read: {error}") from error
    valid = [row.name for row in SETTINGS.values() if row.in_files]
    for key in values:
        if key in valid:
            continue
        row = row_named(key, SETTINGS)
        if row is not None and row.name == key:
            raise InputError(
                f"{file} must not have the key {shown(key)}, which is set for a whole store",
                hint=f"Remove it, and set it in the store: bsv-store config set {key} VALUE",
            )
        raise InputError(f"{file} has an unknown key {shown(key)}", hint=near_key(key, valid))
    return values


def near_key(key: str, valid: Sequence[str]) -> str:
    """The hint for an unknown key: a similar one, and the valid ones."""
    near = near_names(key.replace("-", "_"), valid, limit=1)
    meant = f"Did you mean {near[0]!r}? " if near else ""
    return f"{meant}Valid keys: {listed(valid, limit=len(valid))}."

"""The user's folders. Accounts of services and containers often have no home folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, Literal, assert_never

from bsv_store.errors import InputError
from bsv_store.text import shown

UserFolder = Literal["config", "data", "cache", "state"]

# What Debian uses as the home folder of such accounts.
_NOWHERE: Final = Path(os.path.abspath("/nonexistent"))  # noqa: PTH100 (with the drive on Windows)


def has_home(kind: UserFolder) -> bool:
    """Whether the platform's folder of a kind is known.

    False if the account has no home folder and the variable for this kind, such as XDG_CACHE_HOME, is not set.
    """
    return _platform_folder(kind) is not None


def user_folder(kind: UserFolder) -> Path:
    """The platform's folder of a kind for bsv-store, such as ``~/.config/bsv-store``.

    A folder that does not exist if `has_home` is False.
    """
    return _platform_folder(kind) or _NOWHERE / "bsv-store"


def _platform_folder(kind: UserFolder) -> Path | None:
    try:
        folder = _found(kind)
    except RuntimeError:
        return None
    # Older versions of platformdirs do not expand the ~.
    return folder if folder.is_absolute() else None


def _found(kind: UserFolder) -> Path:
    import platformdirs

    if kind == "config":
        return platformdirs.user_config_path("bsv-store", appauthor=False)
    if kind == "data":
        return platformdirs.user_data_path("bsv-store", appauthor=False)
    if kind == "cache":
        return platformdirs.user_cache_path("bsv-store", appauthor=False)
    if kind == "state":
        return platformdirs.user_state_path("bsv-store", appauthor=False)
    assert_never(kind)


def expanded(named: str, path: str) -> Path:
    """The absolute path; ``~`` at its start is the home folder of this user, ``~anna`` that of another.

    Parameters
    ----------
    named : str
        What the path is, for the message, such as 'the log file'.
    path : str
        Absolute or relative.

    Raises
    ------
    InputError
        If that home folder is not known.
    """
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError as error:
        if path.split("/", 1)[0] == "~":
            home_folder()
        raise InputError(f"{named}, {shown(path)}, names the home folder of an unknown user") from error


def home_folder() -> Path:
    """The home folder of this user.

    Raises
    ------
    InputError
        If there is none.
    """
    try:
        return Path.home()
    except RuntimeError as error:
        raise InputError("this account has no home folder", hint="Set one: export HOME=FOLDER") from error

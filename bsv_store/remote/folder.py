"""The cache of remote stores on this computer: its folders, and their permissions.

::

    CACHE/objects/ab/abcdef....h5     a complete file, named by the SHA-256 of its bytes; shared by all servers
    CACHE/partial/ab/abcdef...        a file of which some blocks were downloaded, and beside it which ones
    CACHE/uses/ab/abcdef...           an empty file, modified when the object was last used
    CACHE/locks/abcdef...             held by the process that downloads the object
    CACHE/servers/SERVER/             the copy of a server's catalog, and results that were computed here
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from bsv_store.config import setting
from bsv_store.config.home import expanded, has_home, user_folder
from bsv_store.errors import InputError, NoSpaceError, ReadOnlyStoreError
from bsv_store.volumes.files import store_errors
from bsv_store.volumes.folders import sync_folder

FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700
SERVERS: Final = "servers"


def cache_folder(argument: Path | str | None = None) -> Path:
    """The folder of the cache: the argument, else the setting ``cache``, else the platform's cache folder.

    Raises
    ------
    InputError
        If it is in a home folder that is not known.
    """
    found = setting("cache", argument)
    if found.value is not None:
        return expanded(f"the folder of the cache (from {found.origin})", str(found.value))
    if not has_home("cache"):
        raise InputError(
            "there is no folder for the cache of stores on servers, because this account has no home folder",
            hint="Name a folder: export BSV_STORE_CACHE=FOLDER",
        )
    return user_folder("cache")


def cache_max_bytes() -> int:
    """The size above which the least recently used objects are evicted: the setting ``cache_max_bytes``."""
    found = setting("cache_max_bytes").value
    assert isinstance(found, int)
    return found


def server_folder(cache: Path, url: str) -> Path:
    """The folder of one server inside the cache; its name is readable and different for each address."""
    address = url.rstrip("/")
    parts = urlsplit(address)
    words = re.sub(
        r"[^A-Za-z0-9.-]+", "-", f"{parts.hostname or ''}{f'-{parts.port}' if parts.port else ''}{parts.path}"
    )
    digest = hashlib.sha256(address.encode()).hexdigest()[:8]
    return cache / SERVERS / f"{words.strip('-.')[:80]}-{digest}"


PRUNE_HINT: Final = (
    "Free disk space: bsv-store cache prune --max-bytes 5GB --apply; or choose a folder on another disk: "
    "export BSV_STORE_CACHE=FOLDER"
)
_WRITABLE_HINT: Final = (
    "This account may not write to the cache of stores on servers; what is in it can be read. Choose another folder: "
    "export BSV_STORE_CACHE=FOLDER"
)


@contextmanager
def cache_errors(path: Path) -> Iterator[None]:
    """As `bsv_store.volumes.files.store_errors`, with hints for the cache.

    Raises
    ------
    NoSpaceError, ReadOnlyStoreError, StoreError
    """
    try:
        with store_errors(path):
            yield
    except NoSpaceError as error:
        error.hint = PRUNE_HINT
        raise
    except ReadOnlyStoreError as error:
        error.hint = _WRITABLE_HINT
        raise


def make_private(folder: Path) -> Path:
    """Create a folder of the cache and its missing parents, for this account only, and flush their names to disk.

    Raises
    ------
    NoSpaceError, ReadOnlyStoreError, StoreError
        If that fails.
    """
    with cache_errors(folder):
        for new in (*reversed(folder.parents), folder):
            if not new.is_dir():
                new.mkdir(mode=FOLDER_MODE, exist_ok=True)
                # Averages computed here are kept in the cache, too.
                sync_folder(new.parent)
    return folder

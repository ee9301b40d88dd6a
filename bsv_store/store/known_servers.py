"""The database servers that this user has used, to warn before a password is sent to another one.

The ``store.toml`` of any folder can name a server, and libpq offers it the password in ``PGPASSWORD``.
"""

from __future__ import annotations

import contextlib
import json
import os
import warnings
from pathlib import Path

from sqlalchemy import URL

from bsv_store.catalog.database.postgres import server_of
from bsv_store.config.home import has_home, user_folder
from bsv_store.documents import json_value, read_document
from bsv_store.errors import BsvStoreWarning


def warn_of_new_server(url: URL, store: Path) -> None:
    """Warn if a password that is meant for any server would be offered to a server that this user has not used yet.

    The server is remembered, so the warning is issued once.
    """
    server = server_of(url)
    if server is None or server in _known():
        return
    password = _password_for_any_server()
    if password is not None:
        warnings.warn(
            BsvStoreWarning(
                f"the store {store} is on the database server {server}, which you have not used before; {password}"
                " is offered to it",
                hint="If you do not trust the folder, change the password, and use ~/.pgpass, which names the server.",
            ),
            stacklevel=2,
        )
    remember_server(url)


def remember_server(url: URL) -> None:
    """Remember a server that the user named or was warned of."""
    server = server_of(url)
    known = _known()
    if server is None or server in known or not has_home("state"):
        return
    # A home folder that cannot be written to costs a repeated warning, and no more.
    with contextlib.suppress(OSError):
        file = _file()
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_name(f"{file.name}.{os.getpid()}")
        temporary.write_text(json.dumps(sorted({*known, server}), indent=1) + "\n", encoding="utf-8")
        temporary.replace(file)


def _file() -> Path:
    return user_folder("state") / "database-servers.json"


def _known() -> set[str]:
    try:
        found = json_value(read_document(_file()))
    except (OSError, ValueError):
        return set()
    return {each for each in found if isinstance(each, str)} if isinstance(found, list) else set()


def _password_for_any_server() -> str | None:
    """Where a password is that libpq offers to every server; None if there is none."""
    if os.environ.get("PGPASSWORD"):
        return "the password in PGPASSWORD"
    try:
        file = Path(os.environ.get("PGPASSFILE") or Path.home() / ".pgpass")
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except (OSError, RuntimeError):
        return None
    return f"a password in {file} for every host" if any(line.startswith("*:") for line in lines) else None

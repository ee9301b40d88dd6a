"""Backups to servers: S3 (moto's server) and SFTP (asyncssh's), both from PyPI, in an environment of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bsv_store import Selection, create_store, open_store
from bsv_store_synthetic import SyntheticAtlas, SyntheticServer
from tests.cli.running import CHECKOUT
from tests.integration.environments import TARGETS
from tests.servers import free_port

pytestmark = pytest.mark.integration

_STARTED_WITHIN_S = 60.0
_BUCKET = """
import boto3, sys
boto3.client("s3", endpoint_url=sys.argv[1]).create_bucket(Bucket="backups")
"""
_SFTP = """
import asyncio, asyncssh, sys
from pathlib import Path

port, home, root = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]

async def main():
    kinds = {"host": "ssh-ed25519", "host_ecdsa": "ecdsa-sha2-nistp256", "id_ed25519": "ssh-ed25519"}
    for name, kind in kinds.items():
        key = asyncssh.generate_private_key(kind)
        key.write_private_key(home / ".ssh" / name)
        key.write_public_key(home / ".ssh" / (name + ".pub"))
    await asyncssh.listen(
        "127.0.0.1", port, server_host_keys=[home / ".ssh" / "host", home / ".ssh" / "host_ecdsa"],
        authorized_client_keys=str(home / ".ssh" / "id_ed25519.pub"),
        sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=root),
    )
    print("ready", flush=True)
    await asyncio.sleep(3600)

asyncio.run(main())
"""
# The packages of the protocols are not those of bsv-store, which runs in its own environment.
_COMMAND = """
import sys
sys.path.append(sys.argv.pop(1))
from bsv_store_cli.main import main
main()
"""


@dataclass(frozen=True)
class Target:
    """The URL of a target, and the variables that its client needs."""

    url: str
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command of bsv-store."""
        paths = os.pathsep.join(str(CHECKOUT / each) for each in (".", "cli", "synthetic"))
        return subprocess.run(
            [sys.executable, "-c", _COMMAND, TARGETS.packages, *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": paths, **self.environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )


@pytest.fixture(scope="module", autouse=True)
def _packages() -> None:
    reason = TARGETS.make()
    if reason is not None:
        pytest.skip(reason)


@contextmanager
def running(command: list[object], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A server, whose output goes to a file."""
    with log.open("wb") as output:
        process = subprocess.Popen(list(map(str, command)), stdout=output, stderr=subprocess.STDOUT)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


@contextmanager
def s3(folder: Path) -> Iterator[Target]:
    address = f"http://127.0.0.1:{(port := free_port())}"
    environment = {
        "AWS_ENDPOINT_URL": address,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "HOME": str(folder),
    }
    with running([TARGETS.python, "-m", "moto.server", "-H", "127.0.0.1", "-p", port], folder / "log"):
        deadline = time.monotonic() + _STARTED_WITHIN_S
        while True:
            made = subprocess.run(
                [TARGETS.python, "-c", _BUCKET, address],
                env={**os.environ, **environment},
                capture_output=True,
                text=True,
                check=False,
            )
            if made.returncode == 0:
                break
            assert time.monotonic() < deadline, made.stderr
        yield Target("s3://backups/lab", environment)


@contextmanager
def sftp(folder: Path) -> Iterator[Target]:
    port = free_port()
    (folder / ".ssh").mkdir(mode=0o700)
    (folder / "root").mkdir()
    log = folder / "log"
    with running([TARGETS.python, "-c", _SFTP, port, folder, folder / "root"], log) as process:
        deadline = time.monotonic() + _STARTED_WITHIN_S
        while log.read_text() != "ready\n":
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        # The server prefers its other key.
        key = (folder / ".ssh" / "host_ecdsa.pub").read_text().strip()
        (folder / ".ssh" / "known_hosts").write_text(f"[127.0.0.1]:{port} {key}\n")
        yield Target(f"sftp://tester@127.0.0.1:{port}/backups", {"HOME": str(folder)})


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    location = tmp_path_factory.mktemp("targets") / "store"
    with SyntheticServer(SyntheticAtlas(experiments=3)) as server, create_store(location) as store:
        store.sync_structures(api_url=server.url)
        store.sync_experiments(api_url=server.url)
        store.fetch(Selection(), api_url=server.url)
        store.aggregate(Selection(), name="all")
    return location


@pytest.mark.parametrize("protocol", [s3, sftp])
def test_backups_to_a_server_are_incremental_verified_pruned_and_restored(
    protocol: object, filled: Path, tmp_path: Path
) -> None:
    assert callable(protocol)
    with protocol(tmp_path) as target:
        for number in range(2):
            done = target.run("--store", filled, "backup", "create", target.url)
            assert done.returncode == 0, done.stderr
            assert f"{0 if number else 5} new" in done.stderr
        checked = target.run("backup", "verify", target.url, "--deep")
        assert (checked.returncode, checked.stdout) == (0, ""), checked.stderr
        pruned = target.run("backup", "prune", target.url, "--keep-last", "1", "--apply")
        assert pruned.returncode == 0, pruned.stderr
        restored = target.run("backup", "restore", target.url, tmp_path / "restored")
        assert restored.returncode == 0, restored.stderr
    with open_store(tmp_path / "restored") as store:
        assert store.admin.verify(deep=True).findings == ()
        assert len(store.datasets.list()) == 1


def test_a_damaged_object_on_a_server_is_found(filled: Path, tmp_path: Path) -> None:
    with sftp(tmp_path) as target:
        assert target.run("--store", filled, "backup", "create", target.url).returncode == 0
        stored = [path for path in (tmp_path / "root" / "backups" / "objects").rglob("*") if path.is_file()]
        damaged = max(stored, key=lambda path: path.stat().st_size)
        content = bytearray(damaged.read_bytes())
        content[len(content) // 2] ^= 1
        damaged.write_bytes(content)
        checked = target.run("backup", "verify", target.url, "--deep")
    assert checked.returncode == 1
    assert "damaged in the backup" in checked.stdout


def test_an_unknown_server_is_not_trusted(filled: Path, tmp_path: Path) -> None:
    with sftp(tmp_path) as target:
        (tmp_path / ".ssh" / "known_hosts").unlink()
        refused = target.run("--store", filled, "backup", "create", target.url)
    assert refused.returncode == 3
    assert "is not in" in refused.stderr
    assert not (tmp_path / "root" / "backups").exists()


@pytest.mark.parametrize("protocol", [s3, sftp])
def test_a_server_that_is_gone_is_named(protocol: object, filled: Path, tmp_path: Path) -> None:
    assert callable(protocol)
    with protocol(tmp_path) as target:
        pass
    refused = target.run("--store", filled, "backup", "create", target.url)
    assert refused.returncode == 3
    assert "cannot be used" in refused.stderr
    assert "Traceback" not in refused.stderr

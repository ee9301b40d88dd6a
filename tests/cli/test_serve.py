"""``bsv-store serve`` as a process: start, workers, signals, TLS; and the commands for tokens."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from bsv_store import create_store, open_store
from tests.cli.interrupted import serve, serve_in_forks
from tests.cli.running import Runner
from tests.processes import Child

if TYPE_CHECKING:
    from bsv_store import Store

START_S = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("serve") / "store"
    create_store(folder).close()
    return folder


class Serving:
    """A server process and its address."""

    def __init__(self, process: Child, url: str) -> None:
        self.process = process
        self.url = url

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str, str]:
        """Stop it, and return what `ended` does."""
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> tuple[int, str, str]:
        """Its exit code, and what it wrote to standard output after the address, and to standard error."""
        out, err = self.process.communicate(timeout=START_S)
        assert self.process.returncode is not None
        return self.process.returncode, out.partition("\n")[2], err


@contextmanager
def served(folder: Path, *arguments: object, new_workers: bool = False) -> Iterator[Serving]:
    """A server; its workers are forks, or new processes as outside of tests."""
    process = Child(serve if new_workers else serve_in_forks, ("--store", folder, "serve", "--port", 0, *arguments))
    try:
        until(lambda: "\n" in process.wrote() or process.returncode is not None)
        if process.returncode is not None:
            pytest.fail(f"the server did not start: {process.communicate()}")
        yield Serving(process, process.wrote().rstrip("\n").rstrip("/"))
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.communicate(timeout=START_S)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


def until(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + START_S
    while not (found := condition()):
        assert time.monotonic() < deadline, "in vain"
        time.sleep(0.02)
    return found


# -- one process ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_request_in_progress_is_finished_before_the_end(folder: Path, number: signal.Signals) -> None:
    with served(folder) as server:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", server.url)
        assert requests.get(f"{server.url}/ready", timeout=20).json() == {"status": "ready"}
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            head = f"POST /login HTTP/1.1\r\nHost: {host}\r\nContent-Length: 10\r\nConnection: close\r\n\r\n"
            connection.sendall(f"{head}token".encode())
            metric = "bsv_store_server_requests_in_progress 2"
            until(lambda: metric in requests.get(f"{server.url}/metrics", timeout=20).text)
            server.process.send_signal(number)
            until(lambda: _refuses(host, int(port)))
            assert server.process.returncode is None
            connection.sendall(b"=bad!")
            reply = b"".join(iter(lambda: connection.recv(65_536), b""))
        assert reply.startswith(b"HTTP/1.1 401")
        assert b"not valid" in reply
        assert server.ended() == (0, "", "")


def _refuses(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError:
        return True
    return False


def test_https_with_a_certificate(folder: Path, tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl, which makes the certificate, is not installed")
    certificate, key = tmp_path / "lab.pem", tmp_path / "lab.key"
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-days", "2"),
            *("-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    with served(folder, "--tls-certificate", certificate, "--tls-key", key) as server:
        assert server.url.startswith("https://127.0.0.1:")
        assert requests.get(f"{server.url}/health", verify=str(certificate), timeout=20).json() == {"status": "alive"}
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(f"{server.url}/health", timeout=20)
        assert server.stop() == (0, "", "")
    with pytest.raises(ssl.SSLError):
        ssl.create_default_context().load_cert_chain(key, key)


# -- several workers --------------------------------------------------------------------------------------------------


def test_workers_share_the_port_and_are_replaced(store: Store, tmp_path: Path) -> None:
    log = tmp_path / "access.jsonl"
    with served(store.path, "--workers", 2, "--access-log", log, new_workers=True) as server:
        url = server.url
        workers = until(lambda: _children(server.process.pid))
        for _ in range(8):
            assert requests.get(f"{url}/ready", timeout=20).status_code == 200
        # Counters are written once per second, so the other worker may know of fewer.
        line = 'bsv_store_server_requests_total{method="GET",route="/ready",status="200"} 8'
        until(lambda: line in requests.get(f"{url}/metrics", timeout=20).text)
        os.kill(workers[0], signal.SIGKILL)
        replaced = until(lambda: [pid for pid in _children(server.process.pid) if pid not in workers])
        until(lambda: all(_answers(url) for _ in range(10)))
        code, out, err = server.stop()
        assert (code, out) == (0, "")
        assert "a worker ended with -9 and is replaced" in err
        assert not [pid for pid in (*workers, *replaced) if _is_alive(pid)]
    assert len(log.read_text(encoding="utf-8").splitlines()) >= 18


def test_requests_of_killed_workers_are_no_longer_in_progress(folder: Path) -> None:
    with served(folder, "--workers", 2, "--concurrency", 1, new_workers=True) as server:
        workers = until(lambda: _children(server.process.pid))
        host, port = server.url.removeprefix("http://").split(":")
        with contextlib.ExitStack() as stack:
            connection: socket.socket | None = None

            def is_busy() -> bool:
                nonlocal connection
                # A login that came while our own request was in progress was refused.
                if connection is None or select.select([connection], [], [], 0)[0]:
                    connection = stack.enter_context(socket.create_connection((host, int(port)), timeout=20))
                    head = f"POST /login HTTP/1.1\r\nHost: {host}\r\nContent-Length: 10\r\n\r\ntoken"
                    connection.sendall(head.encode())
                return _status(f"{server.url}/metrics") == 503

            until(is_busy)
            for worker in workers:
                os.kill(worker, signal.SIGKILL)
        until(lambda: _status(f"{server.url}/metrics") == 200)
        code, _, err = server.stop()
        assert code == 0, err


def test_a_server_that_waits_before_it_replaces_a_worker_stops(folder: Path) -> None:
    with served(folder, "--workers", 2) as server:
        workers = until(lambda: _children(server.process.pid))
        os.kill(workers[0], signal.SIGKILL)
        # A worker that ended soon after its start is replaced after a second.
        time.sleep(0.3)
        code, _, err = server.stop()
    assert code == 0, err


def _status(url: str) -> int | None:
    try:
        return requests.get(url, timeout=20).status_code
    except requests.ConnectionError:
        return None


def test_the_log_has_the_records_of_all_workers(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, access = tmp_path / "log.jsonl", tmp_path / "access"
    access.mkdir()
    monkeypatch.setenv("BSV_STORE_LOG_FILE", str(log))
    monkeypatch.setenv("BSV_STORE_LOG_FORMAT", "json")
    with served(folder, "--workers", 2, "--access-log", access / "access.jsonl") as server:
        workers = until(lambda: _children(server.process.pid))
        shutil.rmtree(access)

        def complaining() -> bool:
            assert _answers(server.url)
            records = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
            found = [each for each in records if "access log cannot be written" in each["message"]]
            return {each["process"] for each in found} == set(workers)

        until(complaining)
        assert server.stop() == (0, "", "")


def test_workers_end_with_a_supervisor_that_is_killed(folder: Path) -> None:
    with served(folder, "--workers", 2, new_workers=True) as server:
        workers = until(lambda: _children(server.process.pid))
        server.process.kill()
        server.process.communicate(timeout=START_S)
        until(lambda: not [pid for pid in workers if _is_alive(pid)])


def test_copies_of_the_catalog_are_removed_with_the_server_or_by_the_next(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with served(folder, "--workers", 2) as server:
        workers = until(lambda: _children(server.process.pid))
        assert requests.get(f"{server.url}/v1/catalog", timeout=20).status_code == 200
        (abandoned,) = tmp_path.glob("bsv-store-*")
        assert len(list(abandoned.rglob("*.db"))) == 1
        server.process.kill()
        server.process.communicate(timeout=START_S)
        until(lambda: not [pid for pid in workers if _is_alive(pid)])
    for arguments in (("--workers", 2), ()):
        with served(folder, *arguments) as server:
            assert requests.get(f"{server.url}/v1/catalog", timeout=20).status_code == 200
            (own,) = tmp_path.glob("bsv-store-*")
            assert own != abandoned
            assert server.stop() == (0, "", "")
        assert list(tmp_path.iterdir()) == []


def _children(parent: int) -> list[int]:
    """The worker processes; those of multiprocessing's resource tracker are not among them."""
    if sys.platform != "linux":
        pytest.skip("the processes are found in /proc")
    found = []
    for each in Path("/proc").iterdir():
        try:
            fields = (each / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            command = (each / "cmdline").read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        if (
            each.name.isdecimal()
            and fields[1] == str(parent)
            and fields[0] != "Z"
            and "resource_tracker" not in command
        ):
            found.append(int(each.name))
    return found


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/health", timeout=20).status_code == 200
    except requests.ConnectionError:
        return False


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments", [("--host", "0.0.0.0"), ("--require-token",), ("--allow-host", "lab.example"), ("--workers", 2)]
)
def test_a_server_for_others_needs_a_token(run: Runner, folder: Path, arguments: tuple[str, ...]) -> None:
    more = ("--trusted-proxy", "127.0.0.1") if arguments[0] == "--workers" else ()
    with open_store(folder) as store:
        if not store.admin.tokens():
            store.admin.add_token("gone")
            store.admin.revoke_token("gone")
    run("serve", "--port", 0, *arguments, *more, store=folder).refused(
        2, "no valid token", "bsv-store serve token add NAME"
    )


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--port", "70000"), 2, "port must be at most 65535"),
        (("--workers", "0"), 2, "workers must be a positive integer"),
        (("--root-path", "bsv"), 2, "--root-path must begin with a slash"),
        (("--allow-origin", "*"), 2, "--allow-origin must be a scheme and a host"),
        (("--sql-timeout", "0s"), 2, "must be greater than 0"),
        (("--tls-key", __file__), 2, "--tls-certificate and --tls-key must be given together"),
        (("--tls-key", __file__, "--tls-certificate", __file__), 2, "cannot be used"),
        (("--host", "192.0.2.1", "--port", "0"), 2, "no valid token"),
        (("--access-log", "/no/such/folder/log"), 2, "cannot be written"),
        (("--access-log", "/no/such/folder/log", "--workers", "2"), 2, "cannot be written"),
    ],
)
def test_bad_options_are_refused(
    run: Runner, folder: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    more = () if "--port" in arguments else ("--port", "0")
    run("serve", *arguments, *more, store=folder).refused(code, message)


def test_a_port_in_use_is_refused(run: Runner, folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        run("serve", "--port", port, store=folder).refused(2, f"cannot listen on 127.0.0.1 port {port}", "--port 0")


def test_a_missing_store_is_refused(run: Runner, tmp_path: Path) -> None:
    run("serve", "--port", 0, store=tmp_path / "nothing").refused(3, "not")


def test_without_the_extra_the_command_says_what_to_install(
    run: Runner, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Only the module that imports it: a second copy of the whole package would stay.
    monkeypatch.delitem(sys.modules, "bsv_store.server.run", raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    run("serve", "--port", 0, store=folder).refused(2, "not installed", "pip install 'bsv-store[server]'")


# -- tokens -----------------------------------------------------------------------------------------------------------


def test_tokens_are_added_listed_and_revoked(run: Runner, store: Store) -> None:
    def token(*arguments: object) -> Any:
        return run("serve", "token", *arguments, store=store.path)

    secret = token("add", "laptop-anna", "--scope", "sql", "--expires", "365d").succeeded().out
    assert re.fullmatch(r"bsv_[\w-]{43}\n", secret)
    assert token("add", "ben").succeeded().out != secret
    listed = token("list", "--format", "json").succeeded()
    assert secret.strip() not in listed.out
    anna, ben = listed.json
    assert (anna["name"], anna["scopes"], ben["scopes"]) == ("laptop-anna", "read, sql", "read") or (
        ben["name"],
        ben["scopes"],
        anna["scopes"],
    ) == ("laptop-anna", "read, sql", "read")
    assert "sha256" not in anna
    assert "2 tokens revoked" in token("revoke", "laptop-anna", "ben").succeeded().err
    assert all(row["revoked_at"] for row in token("list", "--format", "csv").succeeded().rows)
    token("add", "ben").refused(2, "a revoked token had this name")
    token("add", "c", "--scope", "write").refused(2, "--scope")
    token("add", "c", "--expires", "soon").refused(2, "number with a unit of time")
    token("revoke", "nobody").refused(2, "no token has the name nobody", "bsv-store serve token list")
    token("revoke").refused(2, "NAME")

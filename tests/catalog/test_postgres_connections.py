"""Connections to Postgres: passwords, servers that a store.toml names, options, names of programs, codes of errors."""

from __future__ import annotations

import queue
import uuid
import warnings
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from bsv_store import Store, __version__, create_store, open_store
from bsv_store.catalog.database.driver_errors import translated
from bsv_store.catalog.database.engine import Database
from bsv_store.catalog.database.postgres import normalized_url
from bsv_store.config import StoreConfig
from bsv_store.errors import (
    AccessDeniedError,
    BsvStoreWarning,
    BusyError,
    DamagedCatalogError,
    InputError,
    NoSpaceError,
    NotAStoreError,
    ReadOnlyStoreError,
    StoreUnreachableError,
)
from bsv_store.store import suggestions
from bsv_store.text import masked
from tests.cli.running import Runner
from tests.error_texts import every_text
from tests.postgres import PostgresServer

# Characters that make parsers of URLs stumble.
PASSWORD = st.text("abcXYZ019.,-_~!$&'()*+;=:@/?#[]% \"\\", min_size=1, max_size=12)


def spellings(password: str) -> list[str]:
    """Every way in which a password could be in a database URL, or in what a user takes for one."""
    encoded, every = quote(password, safe=""), "".join(f"%{ord(each):02x}" for each in password)
    keyword = password.replace("\\", "\\\\").replace("'", "\\'")
    return [
        *(f"postgresql://anna:{each}@host/lab" for each in (password, encoded, every)),
        f"postgresql://:{encoded}@host/lab",
        f"postgresql+psycopg://anna:{encoded}@/lab?host=/tmp",
        f"postgres://anna%3A{encoded}@host/lab",
        *(
            f"postgresql://anna@host/lab?{name}={each}"
            for name in (
                "password",
                "PASSWORD",
                "%70assword",
                "sslpassword",
                "passfile",
                "passwd",
                "oauth_client_secret",
            )
            for each in (password, encoded)
        ),
        f"postgresql://anna@host/lab?sslmode=require&password={encoded}",
        f"postgresql://anna@host/lab?host=h%20password%3D{encoded}",
        f"postgresql://anna@host/dbname=lab%20password={encoded}",
        f"postgresql://anna@host/lab?options=-cpassword%3D{encoded}",
        f"host=host dbname=lab user=anna password='{keyword}'",
        f"anna:{password}@host/lab",
    ]


@given(password=PASSWORD)
def test_every_spelling_of_a_password_is_refused_and_never_shown(password: str) -> None:
    # Long enough not to be a part of other words.
    secret = f"Q7{password}7Q"
    for url in spellings(secret):
        with pytest.raises(InputError, match="database") as caught:
            normalized_url(url)
        shown = every_text(caught.value)
        assert secret not in shown, url
        assert quote(secret, safe="") not in shown, url


@given(password=st.text("abcXYZ019.,-_~!$*+", min_size=1, max_size=12))
def test_messages_are_masked(password: str) -> None:
    secret = f"Q7{password}7Q"
    for url in (
        f"postgresql://anna:{secret}@host/lab",
        f"the server said: password={secret}",
        f"host=a password='{secret} x' dbname=b",
        f"http://me:{secret}@proxy:8080/",
        f"?sslmode=require&sslpassword={secret}&host=x",
    ):
        assert secret not in masked(f"before {url} after")
        assert masked(f"before {url} after").startswith("before ")
        assert secret not in every_text(translated(psycopg.OperationalError(url), "x"))


@pytest.mark.parametrize(
    "text",
    ["postgresql://anna@host:5432/lab", "5 experiments: see https://host/path", "the password is wrong", "12:30"],
)
def test_what_has_no_password_is_not_masked(text: str) -> None:
    assert masked(text) == text


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Runner:
    return Runner(capsys, monkeypatch)


def test_a_store_toml_with_a_password_is_refused_by_every_command(tmp_path: Path, run: Runner) -> None:
    for name, url in enumerate(("postgresql://anna:hunter2@host/lab", "postgresql://anna@host/lab?password=hunter2")):
        folder = tmp_path / str(name)
        folder.mkdir()
        (folder / "store.toml").write_text(StoreConfig("a", database=url).to_toml())
        for command in ("status", "select", "activity"):
            done = run(command, store=folder).refused(3, "contains a password")
            assert "hunter2" not in done.out + done.err
        for command in ("current", "upgrade", "check", "history"):
            done = run("db", command, store=folder).refused(3, "contains a password")
            assert "hunter2" not in done.out + done.err


# -- servers ----------------------------------------------------------------------------------------------------------


def strangers_store(folder: Path, url: str = "postgresql://anna@127.0.0.1:1/lab") -> Path:
    folder.mkdir()
    (folder / "store.toml").write_text(StoreConfig("a", database=url).to_toml())
    return folder


def test_a_new_server_is_warned_of_once_if_a_password_would_be_offered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = strangers_store(tmp_path / "one")
    monkeypatch.setenv("PGPASSWORD", "hunter2")
    with (
        pytest.warns(BsvStoreWarning, match=r"127\.0\.0\.1:1, which you have not used before.*PGPASSWORD") as caught,
        pytest.raises(StoreUnreachableError),
    ):
        open_store(folder)
    assert "hunter2" not in str(caught[0].message)
    with pytest.raises(StoreUnreachableError):
        open_store(folder)
    other = strangers_store(tmp_path / "two", "postgresql://anna@127.0.0.1:2/lab")
    with pytest.warns(BsvStoreWarning, match=r"127\.0\.0\.1:2"), pytest.raises(StoreUnreachableError):
        open_store(other)


def test_without_a_password_for_any_server_there_is_no_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StoreUnreachableError):
        open_store(strangers_store(tmp_path / "one"))
    # A password for one server is for that server.
    passwords = tmp_path / "pgpass"
    passwords.write_text("dbhost:5432:*:*:hunter2\n")
    monkeypatch.setenv("PGPASSFILE", str(passwords))
    with pytest.raises(StoreUnreachableError):
        open_store(strangers_store(tmp_path / "two", "postgresql://anna@127.0.0.1:2/lab"))
    passwords.write_text("*:*:*:*:hunter2\n")
    with pytest.warns(BsvStoreWarning, match="pgpass for every host"), pytest.raises(StoreUnreachableError):
        open_store(strangers_store(tmp_path / "three", "postgresql://anna@127.0.0.1:3/lab"))


def test_a_home_that_cannot_be_written_to_costs_nothing_but_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    monkeypatch.setenv("PGPASSWORD", "hunter2")
    folder = strangers_store(tmp_path / "one")
    for _ in range(2):
        with pytest.warns(BsvStoreWarning, match="not used before"), pytest.raises(StoreUnreachableError):
            open_store(folder)


@pytest.fixture
def fake_server() -> Iterator[tuple[int, queue.Queue[bytes]]]:
    """A server that asks for the password in clear, and what it received on each connection."""
    import socket
    import threading

    received: queue.Queue[bytes] = queue.Queue()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                first = connection.recv(1024)
                if first[4:8] in (b"\x04\xd2\x16/", b"\x04\xd2\x160"):
                    # Neither TLS nor GSSAPI.
                    connection.sendall(b"N")
                    first = connection.recv(1024)
                connection.sendall(b"R\0\0\0\x08\0\0\0\x03")
                received.put(connection.recv(1024))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1], received
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


@pytest.mark.skipif(psycopg.pq.version() < 160_000, reason="libpq 16 and later have require_auth")
def test_a_server_that_asks_for_the_password_in_clear_does_not_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake_server: tuple[int, queue.Queue[bytes]]
) -> None:
    port, received = fake_server
    url = f"postgresql://anna@127.0.0.1:{port}/lab?gssencmode=disable&sslmode=disable"
    monkeypatch.setenv("PGPASSWORD", "hunter2")
    folder = strangers_store(tmp_path / "one", url)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BsvStoreWarning)
        with pytest.raises(StoreUnreachableError):
            open_store(folder)
        assert b"hunter2" not in received.get(timeout=30)
        assert suggestions.stored_names(folder, "datasets") == []
        assert b"hunter2" not in received.get(timeout=30)
        # The user can allow it for all servers; a store.toml cannot.
        monkeypatch.setenv("PGREQUIREAUTH", "password")
        with pytest.raises(StoreUnreachableError):
            open_store(folder)
        assert b"hunter2" in received.get(timeout=30)
        monkeypatch.delenv("PGREQUIREAUTH")
        for methods in ("password", "md5,scram-sha-256", "!gss"):
            with pytest.raises(NotAStoreError, match="show the password"):
                open_store(strangers_store(tmp_path / quote(methods), f"{url}&require_auth={methods}"))
            assert suggestions.stored_names(tmp_path / quote(methods), "datasets") == []
    assert received.empty()
    for methods in ("scram-sha-256", "none,gss", "!password,!md5,!none"):
        assert normalized_url(f"{url}&require_auth={methods}")


# -- options and names ------------------------------------------------------------------------------------------------


def settings(store: Store, *names: str) -> list[object]:
    with store.database.reading() as connection:
        return [connection.execute(text(f"SHOW {name}")).scalar() for name in names]


def test_options_of_the_url_and_the_environment_are_merged(
    tmp_path: Path, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"test_{uuid.uuid4().hex}"
    options = quote("-cstatement_timeout=50s -c lock_timeout=7s", safe="")
    monkeypatch.setenv("PGOPTIONS", "-c statement_timeout=1s --work-mem=7MB -c application_name=mine")
    with create_store(tmp_path / "store", database=f"{postgres.create_database(name)}&options={options}") as store:
        assert settings(store, "statement_timeout", "lock_timeout", "work_mem") == ["50s", "7s", "7MB"]
        assert settings(store, "search_path", "application_name") == ["public", "mine"]
    postgres.drop_database(name)


def test_the_server_sees_the_program(
    tmp_path: Path, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch, run: Runner
) -> None:
    name = f"test_{uuid.uuid4().hex}"
    monkeypatch.setattr("bsv_store.program._name", "python")
    create_store(tmp_path / "store", database=postgres.create_database(name)).close()
    with open_store(tmp_path / "store") as store:
        assert settings(store, "application_name") == [f"bsv-store {__version__} python"]
    query = "select application_name from pg_stat_activity where pid = pg_backend_pid()"
    run("sql", query, store=tmp_path / "store").refused(2)
    from bsv_store.program import program_name

    assert program_name() == "sql"
    with open_store(tmp_path / "store") as store:
        assert settings(store, "application_name") == [f"bsv-store {__version__} sql"]
    monkeypatch.setenv("PGAPPNAME", "lab")
    with open_store(tmp_path / "store") as store:
        assert settings(store, "application_name") == ["lab"]
    postgres.drop_database(name)


def test_a_service_names_the_server(tmp_path: Path, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    from sqlalchemy import make_url

    name = f"test_{uuid.uuid4().hex}"
    host = make_url(postgres.create_database(name)).query["host"]
    (tmp_path / "services").write_text(f"[lab]\nhost={host}\nuser=lab\n")
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    create_store(tmp_path / "store", database=f"postgresql:///{name}?service=lab").close()
    open_store(tmp_path / "store").close()
    monkeypatch.setenv("PGSERVICE", "lab")
    file = tmp_path / "store" / "store.toml"
    file.write_text(file.read_text().replace("?service=lab", "").partition("checksum = ")[0])
    open_store(tmp_path / "store").close()
    postgres.drop_database(name)


@pytest.mark.parametrize(
    "options", ["-csearch_path=a,b", '-csearch_path="$user"', "-csearch_path=pg_temp", "-d 3", "-cssl_key=x", "x"]
)
def test_options_that_are_not_for_a_store_are_refused(options: str) -> None:
    with pytest.raises(InputError, match="in the database URL"):
        normalized_url(f"postgresql://host/lab?options={quote(options)}")


# -- codes of errors --------------------------------------------------------------------------------------------------


class _Error(psycopg.Error):
    """An error of a server that speaks German."""

    def __init__(self, sqlstate: str) -> None:
        super().__init__("Fehler: keine Berechtigung")
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("state", "statement", "expected"),
    [
        ("40P01", "UPDATE x", BusyError),
        ("40001", "SELECT 1", BusyError),
        ("55P03", "UPDATE x", BusyError),
        ("57014", "SELECT 1", BusyError),
        ("25006", "UPDATE x", ReadOnlyStoreError),
        ("42501", "SELECT 1", AccessDeniedError),
        ("42501", "SELECT 1 FOR UPDATE", ReadOnlyStoreError),
        ("42501", "INSERT INTO x", ReadOnlyStoreError),
        ("53100", "INSERT INTO x", NoSpaceError),
        ("53300", "SELECT 1", StoreUnreachableError),
        ("57P01", "SELECT 1", StoreUnreachableError),
        ("08006", "SELECT 1", StoreUnreachableError),
        ("28P01", "", StoreUnreachableError),
        ("3D000", "", StoreUnreachableError),
        ("XX001", "SELECT 1", DamagedCatalogError),
        ("XX000", "GRANT", StoreUnreachableError),
        ("23505", "INSERT INTO x", InputError),
    ],
)
def test_errors_are_told_apart_by_their_codes(state: str, statement: str, expected: type[Exception]) -> None:
    error = translated(DBAPIError(statement, {}, _Error(state)), "here")
    assert type(error) is expected
    assert "Fehler" in str(error) or isinstance(error, BusyError | NoSpaceError)


def test_statements_after_a_lost_connection_raise_an_error_of_ours(postgres: PostgresServer) -> None:
    def lose_and_go_on(database: Database) -> None:
        with database.writing() as connection:
            pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
            with postgres.connect() as administration:
                administration.execute("SELECT pg_terminate_backend(%s)", [pid])
            with pytest.raises(DBAPIError):
                connection.exec_driver_sql("SELECT 1")
            connection.exec_driver_sql("SELECT 1")

    with (
        closing(Database(normalized_url(postgres.url()))) as database,
        pytest.raises(StoreUnreachableError, match="was lost"),
    ):
        lose_and_go_on(database)

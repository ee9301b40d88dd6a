"""SQLite: waiting for other jobs, journals of killed writers, private copies, and the write-ahead log."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import sqlite3
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import text

from bsv_store import Store, create_store, file_systems, open_store
from bsv_store.catalog.database import driver_errors, journal_mode, private_copy, sqlite, sqlite_copy, sqlite_errors
from bsv_store.catalog.database.journal_mode import set_journal_mode
from bsv_store.catalog.database.sqlite import long_run
from bsv_store.catalog.tables import sql
from bsv_store.errors import (
    BusyError,
    InputError,
    NoSpaceError,
    PrivateCopyWarning,
    QueryError,
    ReadOnlyStoreError,
    StoreUnreachableError,
    WaitingWarning,
)
from bsv_store.progress import NoProgress
from bsv_store.store.restoring import restore_store
from tests.cli.running import Runner
from tests.processes import Child

COUNT_UP = "UPDATE store_info SET format_version = format_version + 0"
NAMES = "select id, acronym from structure order by 1"
# Half a second or more.
SLOW = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 1500000) select count(*) as n from n"


@pytest.fixture
def database() -> str:
    """SQLite alone."""
    return "sqlite"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Runner:
    return Runner(capsys, monkeypatch)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files of the test."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@contextmanager
def other_connection(folder: Path, *statements: str) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(folder / "catalog.db", isolation_level=None, check_same_thread=False)) as connection:
        for statement in statements:
            connection.execute(statement).fetchall()
        yield connection


@contextmanager
def until_others_wait(connection: sqlite3.Connection) -> Iterator[list[str]]:
    """The warnings in the block. With the first one, the connection ends its transaction."""
    seen: list[str] = []

    def note(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        if not seen:
            connection.execute("ROLLBACK")
        seen.append(f"{category.__name__}: {message}")

    with warnings.catch_warnings():
        warnings.simplefilter("always", WaitingWarning)
        warnings.showwarning = note
        yield seen


@contextmanager
def for_a_while(seconds: float, connection: sqlite3.Connection) -> Iterator[None]:
    timer = threading.Timer(seconds, lambda: connection.execute("ROLLBACK"))
    timer.start()
    try:
        yield
    finally:
        timer.join()


def set_patience(monkeypatch: pytest.MonkeyPatch, *, short_s: float, long_s: float = 60.0) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_S", short_s)
    monkeypatch.setattr(sqlite, "LONG_RUN_TIMEOUT_S", long_s)
    monkeypatch.setattr(sqlite, "_NOTE_AFTER_S", 0.1)
    monkeypatch.setattr(sqlite, "_STEP_S", 0.05)


# -- waiting ----------------------------------------------------------------------------------------------------------


def test_readers_take_less_time_than_others_wait() -> None:
    assert sqlite.READ_LIMIT_S < driver_errors.BUSY_TIMEOUT_S < sqlite.LONG_RUN_TIMEOUT_S


READING = ("BEGIN", "SELECT count(*) FROM structure")
WRITING = ("BEGIN IMMEDIATE",)


@pytest.mark.parametrize("others", [READING, WRITING], ids=["reader", "writer"])
def test_a_long_run_waits_for_another_job_and_says_so_once(
    filled: Store, others: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_patience(monkeypatch, short_s=0.05)
    with (
        other_connection(filled.path, *others) as other,
        until_others_wait(other) as seen,
        long_run(),
        filled.database.writing() as connection,
    ):
        connection.execute(text(COUNT_UP))
    path = filled.path / "catalog.db"
    assert seen == [f"WaitingWarning: waiting for another job that is reading or writing the catalog {path}"]


@pytest.mark.parametrize("others", [READING, WRITING], ids=["reader", "writer"])
def test_a_short_command_stops_waiting(filled: Store, others: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    set_patience(monkeypatch, short_s=0.05)
    with other_connection(filled.path, *others), pytest.raises(BusyError) as caught:
        filled.catalog.exclude([1], "test")
    assert caught.value.message.endswith("stayed locked for 0 s")
    assert "Another job is reading or writing" in str(caught.value.hint)
    assert filled.sql("select count(*) as n from exclusion")["n"].item() == 0
    filled.catalog.exclude([1], "test")


def test_a_long_run_stops_waiting_in_the_end(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    set_patience(monkeypatch, short_s=0.0, long_s=0.05)
    with (
        other_connection(filled.path, *READING),
        pytest.raises(BusyError),
        long_run(),
        filled.database.writing() as connection,
    ):
        connection.execute(text(COUNT_UP))


def test_an_aggregation_is_not_lost_to_a_reader(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    set_patience(monkeypatch, short_s=0.0)
    with other_connection(filled.path, *READING) as other, until_others_wait(other) as seen:
        assert filled.aggregate([1, 2], name="test").number == 1
    assert len(seen) == 1


def test_other_readers_wait_for_a_writer_that_waits_for_a_reader(
    filled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_patience(monkeypatch, short_s=10.0)
    monkeypatch.setattr(sqlite, "_NOTE_AFTER_S", 30.0)
    with other_connection(filled.path, *READING) as other, for_a_while(0.5, other):
        writer = threading.Thread(target=lambda: filled.catalog.exclude([1], "test"))
        writer.start()
        time.sleep(0.2)
        assert filled.select([2]) == (2,)
        writer.join()
    assert filled.sql("select count(*) as n from exclusion")["n"].item() == 1


class Writing(NoProgress):
    """Writes to the catalog during another operation."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.written = 0

    def start(self, total: int, what: str) -> None:
        self.advance()

    def advance(self, count: int = 1, *, size_bytes: int = 0) -> None:
        with open_store(self.folder) as store:
            self.written += 1
            store.catalog.exclude([1], "test")


def test_others_can_write_during_a_check_of_the_catalog(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bsv_store.catalog.verify._CHECKED_TOGETHER", 2)
    set_patience(monkeypatch, short_s=0.0)
    progress = Writing(filled.path)
    assert filled.catalog.verify(progress=progress).is_intact
    assert progress.written > 2


# -- queries ----------------------------------------------------------------------------------------------------------


def test_a_slow_query_continues_on_a_private_copy_while_others_write(
    filled: Store, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "READ_LIMIT_S", 0.2)
    found: list[Any] = []
    query = threading.Thread(target=lambda: found.append(filled.sql(SLOW, timeout_s=60.0)))
    query.start()
    while not list(temporary.iterdir()):
        assert query.is_alive()
        time.sleep(0.01)
    with open_store(filled.path) as other:
        other.catalog.exclude([1], "test")
    assert query.is_alive()
    query.join()
    assert found[0]["n"].item() == 1_500_000
    assert not list(temporary.iterdir())


def test_a_slow_query_has_its_own_time_limit_on_the_copy(
    filled: Store, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "READ_LIMIT_S", 0.1)
    with pytest.raises(QueryError, match=r"took longer than 0\.3 s"):
        filled.sql(SLOW, timeout_s=0.3)
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("reason", ["space", "time"])
def test_a_slow_query_that_cannot_be_copied_is_stopped(
    filled: Store, temporary: Path, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    monkeypatch.setattr(sql, "READ_LIMIT_S", 0.1)
    if reason == "space":
        monkeypatch.setattr(private_copy, "_SPARE_BYTES", 1 << 60)
    else:
        monkeypatch.setattr(sqlite_copy, "_PAGES", 1)
        monkeypatch.setattr(private_copy.time, "monotonic", iter(range(0, 10**6, 100)).__next__)  # type: ignore[attr-defined]
    with pytest.raises(QueryError, match=f"other jobs cannot write.*{'no space' if reason == 'space' else 'longer'}"):
        filled.sql(SLOW, timeout_s=60.0)
    assert not list(temporary.iterdir())


# -- journals of killed writers ---------------------------------------------------------------------------------------


def die_while_writing(folder: Path) -> None:
    with open_store(folder) as store, store.database.writing() as connection:
        # So small a cache writes changed pages to the file before the commit.
        connection.exec_driver_sql("PRAGMA cache_size = 1")
        connection.exec_driver_sql("UPDATE structure SET acronym = acronym || 'X'")
        connection.exec_driver_sql("UPDATE experiment SET sex = 'X'")
        connection.exec_driver_sql("CREATE TABLE filler AS SELECT randomblob(4096) AS x FROM structure, structure AS b")
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def killed(filled_location: Path) -> Path:
    """A store whose writer was killed, and left a hot journal."""
    child = Child(die_while_writing, filled_location)
    child.communicate(timeout=60)
    assert child.returncode == -signal.SIGKILL
    with (
        closing(sqlite3.connect(f"file:{filled_location}/catalog.db?mode=ro", uri=True)) as reader,
        pytest.raises(sqlite3.OperationalError) as caught,
    ):
        reader.execute("SELECT count(*) FROM structure")
    assert caught.value.sqlite_errorcode == sqlite3.SQLITE_READONLY_ROLLBACK
    return filled_location


@pytest.fixture
def expected(filled_location: Path) -> pd.DataFrame:
    with open_store(filled_location) as store:
        return store.sql(NAMES)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("catalog.db*")}


def test_a_reader_of_a_killed_writers_catalog_reads_a_private_copy(
    expected: pd.DataFrame, killed: Path, temporary: Path
) -> None:
    before = contents(killed)
    with pytest.warns(PrivateCopyWarning, match="was killed") as caught:
        reader = open_store(killed, read_only=True)
    with reader:
        pd.testing.assert_frame_equal(reader.sql(NAMES), expected)
        assert reader.select() != ()
        assert reader.status().catalog.experiments
    assert len(caught) == 1
    assert f"bsv-store --store {killed} status" in str(caught[0].message)
    assert contents(killed) == before
    assert not list(temporary.iterdir())


def test_a_reader_returns_to_the_catalog_when_it_is_healed(killed: Path, temporary: Path) -> None:
    with pytest.warns(PrivateCopyWarning):
        reader = open_store(killed, read_only=True)
    with reader:
        with open_store(killed) as writer:
            writer.catalog.exclude([1], "test")
        assert 1 not in reader.select()
        die = Child(die_while_writing, killed)
        die.communicate(timeout=60)
        with pytest.warns(PrivateCopyWarning):
            assert 1 not in reader.select()
    assert not list(temporary.iterdir())


def test_a_catalog_that_is_too_large_to_copy_is_refused_with_the_remedy(
    killed: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(private_copy, "_MAX_COPY_BYTES", 1000)
    with pytest.raises(ReadOnlyStoreError, match="was killed") as caught:
        open_store(killed, read_only=True)
    assert f"bsv-store --store {killed} status" in str(caught.value.hint)
    assert not list(temporary.iterdir())


def test_the_next_open_by_a_writer_heals(killed: Path, expected: pd.DataFrame, run: Runner) -> None:
    run("status", store=killed).succeeded()
    assert not (killed / "catalog.db-journal").exists()
    with open_store(killed, read_only=True) as reader:
        pd.testing.assert_frame_equal(reader.sql(NAMES), expected)
        assert reader.sql("select count(*) as n from sqlite_master where name = 'filler'")["n"].item() == 0


def read_as_guest(folder: Path, statement: str) -> None:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with open_store(folder) as store:
            rows = store.sql(statement)
    for each in caught:
        print(type(each.message).__name__, str(each.message).splitlines()[0])  # noqa: T201
    print(rows.to_csv(index=False), end="")  # noqa: T201


@pytest.fixture
def open_to_guests(filled_location: Path) -> Iterator[Path]:
    """A function's place for stores that another user can reach."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("only root can become another user")
    with tempfile.TemporaryDirectory(prefix="bsv-store-test-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def as_guest(location: Path, folder: Path) -> tuple[str, str]:
    """What a user without write access reads."""
    place = folder / "store"
    with suppress(FileNotFoundError):
        shutil.rmtree(place)
    shutil.copytree(location, place)
    for path in (place, *place.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    child = Child(read_as_guest, place, NAMES)
    said = child.communicate(timeout=60)
    assert child.returncode == 0, said
    return said


def test_a_user_without_write_access_reads_a_private_copy(
    expected: pd.DataFrame, killed: Path, open_to_guests: Path
) -> None:
    output, errors = as_guest(killed, open_to_guests)
    warning, _, table = output.partition("\n")
    assert warning.startswith("PrivateCopyWarning a job that was writing")
    assert table == expected.to_csv(index=False)
    assert errors == ""


# -- the write-ahead log ----------------------------------------------------------------------------------------------


@pytest.fixture
def safe_wal(monkeypatch: pytest.MonkeyPatch) -> None:
    """WAL as on a fixed version of SQLite; the bug needs simultaneous checkpoints, which tests do not make."""
    monkeypatch.setattr(sqlite_errors, "SAFE_WAL_VERSION", (3, 0, 0))


def test_this_sqlite_can_be_used_with_wal(filled: Store) -> None:
    if sqlite3.sqlite_version_info < sqlite_errors.SAFE_WAL_VERSION:
        pytest.skip(f"SQLite {sqlite3.sqlite_version} has the bug of WAL")
    set_journal_mode(filled.database, "wal")
    assert journal_mode.journal_mode(filled.database) == "wal"


def test_an_unsafe_sqlite_refuses_wal(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_errors, "SAFE_WAL_VERSION", (3, 999, 0))
    with pytest.raises(StoreUnreachableError, match="write-ahead log") as caught:
        set_journal_mode(filled.database, "wal")
    assert "3.999.0 or later" in str(caught.value.hint)
    assert journal_mode.journal_mode(filled.database) == "rollback"


def test_an_unsafe_sqlite_does_not_open_a_store_with_wal(
    filled: Store, safe_wal: None, monkeypatch: pytest.MonkeyPatch, run: Runner
) -> None:
    set_journal_mode(filled.database, "wal")
    filled.close()
    monkeypatch.setattr(sqlite_errors, "SAFE_WAL_VERSION", (3, 999, 0))
    for read_only in (False, True):
        with pytest.raises(StoreUnreachableError, match=f"SQLite {sqlite3.sqlite_version} .* write-ahead log"):
            open_store(filled.path, read_only=read_only)
    run("status", store=filled.path).refused(3, "write-ahead log", "3.999.0 or later")


def test_readers_do_not_block_writers_with_wal(
    filled: Store, safe_wal: None, monkeypatch: pytest.MonkeyPatch, temporary: Path
) -> None:
    set_journal_mode(filled.database, "wal")
    set_patience(monkeypatch, short_s=0.0)
    monkeypatch.setattr(sql, "READ_LIMIT_S", 0.01)
    with filled.database.reading() as reader:
        before = reader.scalar(text("SELECT count(*) FROM exclusion"))
        with open_store(filled.path) as other:
            other.catalog.exclude([1], "test")
        assert reader.scalar(text("SELECT count(*) FROM exclusion")) == before
    # Not on a copy.
    monkeypatch.setattr(private_copy, "_SPARE_BYTES", 1 << 60)
    assert filled.sql(SLOW, timeout_s=60.0)["n"].item() == 1_500_000
    assert 1 not in filled.select()


def test_wal_is_switched_on_and_off_without_loss(filled: Store, safe_wal: None) -> None:
    before = filled.sql(NAMES)
    set_journal_mode(filled.database, "wal")
    filled.catalog.exclude([1], "test")
    set_journal_mode(filled.database, "wal")
    set_journal_mode(filled.database, "rollback")
    assert journal_mode.journal_mode(filled.database) == "rollback"
    filled.close()
    assert [path.name for path in filled.path.glob("catalog.db*")] == ["catalog.db"]
    with open_store(filled.path, read_only=True) as reader:
        pd.testing.assert_frame_equal(reader.sql(NAMES), before)
        assert 1 not in reader.select()


def test_the_journal_is_not_changed_while_the_catalog_is_in_use(
    filled: Store, safe_wal: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_patience(monkeypatch, short_s=0.1)
    with other_connection(filled.path, *READING), pytest.raises(BusyError, match="stayed locked"):
        set_journal_mode(filled.database, "wal")
    assert journal_mode.journal_mode(filled.database) == "rollback"


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "lustre", "fuse.sshfs", "9p"])
def test_wal_is_refused_on_a_file_system_that_is_not_local(
    filled: Store, safe_wal: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    mounts = tmp_path / "mounts"
    point = str(filled.path).replace("/store", "").replace(" ", r"\040")
    mounts.write_text(
        "25 1 254:0 / / rw shared:1 - ext4 /dev/vda rw\n"
        f"36 25 0:40 / {point} rw shared:2 - {kind} server:/lab rw\n"
        "37 25 0:41 / /dev/shm rw shared:3 - tmpfs tmpfs rw\n"
    )
    monkeypatch.setattr(file_systems, "MOUNTS", mounts)
    with pytest.raises(InputError, match=f"on the file system {kind}"):
        set_journal_mode(filled.database, "wal")
    monkeypatch.setattr(file_systems, "MOUNTS", tmp_path / "missing")
    with pytest.raises(InputError, match="unknown file system"):
        set_journal_mode(filled.database, "wal")


def test_an_unknown_journal_is_refused(filled: Store) -> None:
    with pytest.raises(InputError, match="journal"):
        set_journal_mode(filled.database, "memory")  # type: ignore[arg-type]


def test_a_restored_catalog_has_a_rollback_journal(filled: Store, safe_wal: None, tmp_path: Path) -> None:
    set_journal_mode(filled.database, "wal")
    filled.admin.backup(tmp_path / "backups")
    restore_store(tmp_path / "backups", tmp_path / "restored")
    with open_store(tmp_path / "restored") as restored:
        assert restored.admin.journal_mode() == "rollback"
        assert restored.admin.verify(deep=True).is_intact
    assert filled.admin.journal_mode() == "wal"


def die_with_wal(folder: Path) -> None:
    sqlite_errors.SAFE_WAL_VERSION = (3, 0, 0)
    with open_store(folder) as store:
        store.catalog.exclude([1], "committed")
        die_while_writing(folder)


def test_what_was_committed_survives_a_killed_writer_with_wal(
    filled: Store, expected: pd.DataFrame, safe_wal: None, open_to_guests: Path
) -> None:
    set_journal_mode(filled.database, "wal")
    filled.close()
    child = Child(die_with_wal, filled.path)
    child.communicate(timeout=60)
    assert child.returncode == -signal.SIGKILL
    assert (filled.path / "catalog.db-wal").exists()
    with open_store(filled.path) as store:
        pd.testing.assert_frame_equal(store.sql(NAMES), expected)
        assert 1 not in store.select()


def read_wal_as_guest(folder: Path, statement: str) -> None:
    sqlite_errors.SAFE_WAL_VERSION = (3, 0, 0)
    read_as_guest(folder, statement)


@pytest.mark.parametrize("is_in_use", [False, True])
def test_a_user_without_write_access_reads_a_catalog_with_wal(
    filled: Store,
    expected: pd.DataFrame,
    safe_wal: None,
    open_to_guests: Path,
    monkeypatch: pytest.MonkeyPatch,
    is_in_use: bool,
) -> None:
    set_journal_mode(filled.database, "wal")
    if is_in_use:
        filled.catalog.exclude([1], "test")
    else:
        filled.close()
    monkeypatch.setitem(globals(), "read_as_guest", read_wal_as_guest)
    output, errors = as_guest(filled.path, open_to_guests)
    assert output.endswith(expected.to_csv(index=False))
    # The files of the log exist while a writer has the catalog open.
    assert ("PrivateCopyWarning" in output) != is_in_use
    assert errors == ""


# -- failed writes ----------------------------------------------------------------------------------------------------


def failing_commit(_connection: sqlite3.Connection) -> None:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_WRITE
    raise error


def test_a_write_that_the_disk_fails_is_not_called_a_full_disk(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite.CatalogConnection, "commit", failing_commit)
    with pytest.raises(StoreUnreachableError, match="disk I/O error") as caught:
        filled.catalog.exclude([1], "test")
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("reason", [errno.EDQUOT, errno.ENOSPC])
def test_a_write_that_fails_for_a_quota_is_a_full_disk(
    filled: Store, monkeypatch: pytest.MonkeyPatch, reason: int
) -> None:
    def no_space(*_: object) -> None:
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(sqlite.CatalogConnection, "commit", failing_commit)
    monkeypatch.setattr(os, "posix_fallocate", no_space)
    with pytest.raises(NoSpaceError, match=r"catalog\.db") as caught:
        filled.catalog.exclude([1], "test")
    assert caught.value.exit_code == 7
    assert [
        path.name for path in filled.path.iterdir() if path.is_file() and path.name not in ("catalog.db", "store.toml")
    ] == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has other limits")
def test_a_path_that_is_too_long_for_sqlite_is_named(tmp_path: Path) -> None:
    folder = tmp_path.joinpath(*["d" * 200] * 3)
    folder.mkdir(parents=True)
    with pytest.raises(StoreUnreachableError, match="too long for SQLite") as caught:
        create_store(folder / "store")
    assert "bsv-store init FOLDER" in str(caught.value.hint)

"""The doctor: what it tries, what it finds, and that it leaves nothing behind."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from sqlalchemy import text

from bsv_store import Store, create_store, file_systems
from bsv_store.catalog.database import sqlite_errors
from bsv_store.config.files import user_file
from bsv_store.errors import BsvStoreWarning
from bsv_store.maintenance.doctor import environment, folder, upstream
from bsv_store.maintenance.doctor.finding import Finding
from bsv_store.store.doctor import Diagnosis, diagnose
from bsv_store.vocabulary import DOCTOR_CHECKS, DOCTOR_OUTCOMES
from bsv_store_synthetic import SyntheticAtlas, SyntheticServer
from tests.postgres import SUPERUSER, PostgresServer

STORE = ("chosen_store", "store_file", "settings")
FOLDER = (
    *("file_system", "user", "umask", "write", "rename", "hard_link", "fsync", "locks", "setgid", "file_clock"),
    *("permissions", "space", "inodes"),
)
SQLITE = ("connection", "latency", "server_version", "server_settings", "journal", "schema", "same_store")
POSTGRES = (
    *("connection", "latency", "server_version", "server_settings", "database_clock", "privileges"),
    *("schema", "same_store"),
)
ENVIRONMENT = ("python", "packages", "hdf5", "sqlite", "compiled_loop")
UPSTREAM = ("proxy", "api", "file_server")
OUTCOMES = ("ok", "note", "warning", "fault")


@pytest.fixture
def local(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A store on SQLite, for checks that do not depend on the database."""
    shutil.copytree(request.getfixturevalue("_sqlite_template"), tmp_path / "store")
    return tmp_path / "store"


def everything(root: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.lstat().st_mode, path.lstat().st_size) for path in sorted(root.rglob("*"))}


def found(diagnosis: Diagnosis, check: str) -> Finding:
    (one,) = [each for each in diagnosis.findings if each.check == check]
    return one


def outcome(diagnosis: Diagnosis, check: str) -> str:
    return found(diagnosis, check).outcome


def test_every_check_is_made_and_nothing_is_left_behind(store: Store) -> None:
    before = everything(store.path.parent)
    diagnosis = store.admin.diagnose(offline=True)
    assert everything(store.path.parent) == before
    database = SQLITE if store.database.is_sqlite else POSTGRES
    assert [each.check for each in diagnosis.findings] == [*STORE, *FOLDER, *database, *ENVIRONMENT, *UPSTREAM]
    # The server of the tests does not wait for the disk.
    assert [each.check for each in diagnosis.faults] == ([] if store.database.is_sqlite else ["server_settings"])
    for each in diagnosis.findings:
        assert each.outcome in OUTCOMES
        assert each.area == DOCTOR_CHECKS[each.check].area
        assert each.remedy or each.outcome in ("ok", "note"), each


def test_every_check_and_outcome_is_known_here() -> None:
    checked = {*STORE, *FOLDER, *SQLITE, *POSTGRES, *ENVIRONMENT, *UPSTREAM}
    assert checked == set(DOCTOR_CHECKS)
    assert tuple(DOCTOR_OUTCOMES) == OUTCOMES


def test_settings_and_their_origin_are_shown_without_passwords(local: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BSV_STORE", str(local))
    monkeypatch.setenv("BSV_STORE_API_URL", "http://mirror.example")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("https_proxy", "http://me:hunter2@proxy.example:3128")
    diagnosis = diagnose(offline=True)
    assert found(diagnosis, "chosen_store").details == {"path": str(local), "origin": "BSV_STORE"}
    settings = found(diagnosis, "settings")
    assert settings.details["api_url"] == "http://mirror.example (from BSV_STORE_API_URL)"
    assert settings.details["store"] == f"{local} (from BSV_STORE)"
    proxy = found(diagnosis, "proxy")
    assert proxy.found == "https_proxy=http://me:***@proxy.example:3128"
    assert "hunter2" not in str(diagnosis)


def test_works_where_there_is_no_store(tmp_path: Path) -> None:
    diagnosis = diagnose(tmp_path / "no" / "store", offline=True)
    assert [each.check for each in diagnosis.faults] == ["chosen_store"]
    assert "bsv-store init" in str(found(diagnosis, "chosen_store").remedy)
    # Where it would be created.
    assert outcome(diagnosis, "hard_link") == "ok"
    assert list(tmp_path.iterdir()) == []


def test_misspelled_variables_are_named(store_location: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BSV_STORE_LOG_FILES", "x.log")
    monkeypatch.setenv("BSV_STOER", "/srv/bsv")
    settings = found(diagnose(store_location, offline=True), "settings")
    assert settings.outcome == "warning"
    assert settings.found.endswith("not known to bsv-store: BSV_STOER, BSV_STORE_LOG_FILES")
    near = "BSV_STOER: did you mean BSV_STORE? BSV_STORE_LOG_FILES: did you mean BSV_STORE_LOG_FILE? The variables"
    assert str(settings.remedy).startswith(near)


def test_works_with_an_invalid_configuration_file(store_location: Path) -> None:
    user_file().parent.mkdir(parents=True)
    user_file().write_text("api_ur = 'http://x.example'\n")
    diagnosis = diagnose(store_location, offline=True)
    assert outcome(diagnosis, "settings") == "fault"
    assert "Did you mean 'api_url'?" in str(found(diagnosis, "settings").remedy)
    assert outcome(diagnosis, "schema") == "ok"
    # Nor can it say which store was meant.
    chosen = found(diagnose(offline=True), "chosen_store")
    assert (chosen.outcome, chosen.check) == ("fault", "chosen_store")


def test_a_damaged_store_file_is_a_fault_and_the_folder_is_still_checked(store_location: Path) -> None:
    (store_location / "store.toml").write_text("store_id = ")
    diagnosis = diagnose(store_location, offline=True)
    assert [each.check for each in diagnosis.faults] == ["store_file"]
    assert outcome(diagnosis, "locks") == "ok"


def test_an_old_schema_is_a_fault_with_the_command(store: Store) -> None:
    with store.database.writing() as connection:
        connection.execute(text("UPDATE bsv_store_version SET version_num = '0001'"))
    schema = found(store.admin.diagnose(offline=True), "schema")
    assert schema.outcome == "fault"
    assert f"bsv-store --store {store.path} db upgrade" in str(schema.remedy)


def test_the_database_of_another_store_is_a_fault(store: Store) -> None:
    with store.database.writing() as connection:
        connection.execute(text("UPDATE store_info SET store_id = 'another'"))
    assert outcome(store.admin.diagnose(offline=True), "same_store") == "fault"


def test_a_missing_database_is_a_fault(store_location: Path, database: str) -> None:
    if database == "sqlite":
        (store_location / "catalog.db").unlink()
    else:
        from dataclasses import replace

        from bsv_store.config import read_store_config

        config = replace(read_store_config(store_location), database="postgresql://me@127.0.0.1:1/lab")
        (store_location / "store.toml").write_text(config.to_toml())
    diagnosis = diagnose(store_location, offline=True)
    assert [each.check for each in diagnosis.faults] == ["connection"]
    assert outcome(diagnosis, "sqlite") in ("ok", "note")


# -- folder -----------------------------------------------------------------------------------------------------------


def mounts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *lines: str) -> None:
    file = tmp_path / "mountinfo"
    file.write_text("".join(f"{line}\n" for line in lines))
    monkeypatch.setattr(file_systems, "MOUNTS", file)


@pytest.mark.parametrize(
    ("kind", "words"), [("nfs4", "NFS"), ("cifs", "SMB"), ("lustre", "Lustre"), ("fuse.sshfs", "SSHFS")]
)
def test_sqlite_on_a_network_file_system_is_a_warning(
    store: Store, kind: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = str(tmp_path).replace(" ", "\\040")
    mounts(
        monkeypatch,
        tmp_path,
        "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw",
        f"40 27 0:52 / {at} rw,relatime shared:9 - {kind} server:/export rw,vers=4.2",
        "41 27 0:53 / /elsewhere rw - xfs /dev/vdb rw",
    )
    place = found(store.admin.diagnose(offline=True), "file_system")
    assert place.details == {"kind": kind, "mounted_at": str(tmp_path), "source": "server:/export", "shared": True}
    assert place.found.startswith(words)
    # Postgres needs no locks of the file system.
    assert place.outcome == ("warning" if store.database.is_sqlite else "ok")
    if store.database.is_sqlite:
        assert "store move --database" in str(place.remedy)
        with pytest.warns(BsvStoreWarning, match=f"is on {words}"):
            create_store(tmp_path / "new").close()


def test_a_local_file_system_and_an_unknown_one_are_told_apart(
    local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts(monkeypatch, tmp_path, "1 0 254:0 / / rw - ext4 /dev/vda rw", "2 1 254:1 / / ro - btrfs /dev/vdb ro")
    place = found(diagnose(local, offline=True), "file_system")
    assert (place.outcome, place.found) == ("note", "btrfs, mounted at /, read-only")
    monkeypatch.setattr(file_systems, "MOUNTS", tmp_path / "none")
    assert outcome(diagnose(local, offline=True), "file_system") == "note"


def test_a_reader_gets_notes_and_no_faults(local: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an account that may only read sees it: also root, for whom permissions do not count."""
    access, mkdir = os.access, Path.mkdir

    def may(path: Any, mode: int, **more: Any) -> bool:
        return not mode & os.W_OK and access(path, mode, **more)

    def refuse(self: Path, *_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(os, "access", may)
    monkeypatch.setattr(Path, "mkdir", refuse)
    diagnosis = diagnose(local, offline=True)
    monkeypatch.setattr(Path, "mkdir", mkdir)
    assert outcome(diagnosis, "user") == "note"
    assert {each.outcome for each in diagnosis.findings if each.check in folder._TRIED} == {"note"}
    assert {each.check for each in diagnosis.faults} <= {"server_settings"}


@contextmanager
def failing(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, number: int) -> Iterator[None]:
    def fail(*_: Any, **__: Any) -> Any:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, fail)
        yield


@pytest.mark.parametrize(
    ("owner", "name", "number", "check", "expected"),
    [
        (Path, "replace", errno.EIO, "rename", "fault"),
        (Path, "hardlink_to", errno.EPERM, "hard_link", "warning"),
        (Path, "hardlink_to", errno.EIO, "hard_link", "fault"),
        (os, "fsync", errno.EIO, "fsync", "fault"),
        (Path, "write_bytes", errno.ENOSPC, "write", "fault"),
    ],
)
def test_what_a_file_system_cannot_do_is_found_and_nothing_is_left(
    local: Path, owner: Any, name: str, number: int, check: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = everything(local)
    with failing(monkeypatch, owner, name, number):
        diagnosis = diagnose(local, offline=True)
    assert outcome(diagnosis, check) == expected
    assert found(diagnosis, check).remedy
    assert everything(local) == before


def test_a_rename_that_does_not_replace_and_bytes_that_change_are_faults(
    local: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", lambda self, target: None)
        assert outcome(diagnose(local, offline=True), "rename") == "fault"
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", lambda self: b"other")
        assert outcome(diagnose(local, offline=True), "write") == "fault"


@pytest.mark.parametrize(
    ("holder", "text"),
    [
        # As on file systems whose locks do not reach other processes.
        ("import sys; print('locked', flush=True); sys.stdin.read()", "at the same time"),
        ("import sys; sys.exit('no such module')", "no such module"),
    ],
)
def test_locks_that_do_not_work_are_a_fault(
    local: Path, holder: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder, "_HOLDER", holder)
    locks = found(diagnose(local, offline=True), "locks")
    assert locks.outcome == "fault"
    assert text in locks.found
    assert list((local / "tmp").iterdir()) == []


def test_a_slow_disk_and_a_wrong_clock_of_the_file_server_are_warnings(
    local: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.stat

    class Later:
        def __init__(self, result: os.stat_result) -> None:
            self._result = result

        def __getattr__(self, name: str) -> Any:
            return self._result.st_mtime + 3600 if name == "st_mtime" else getattr(self._result, name)

    def late(self: Path, **more: Any) -> Any:
        return Later(real(self, **more)) if self.name == "clock" else real(self, **more)

    monkeypatch.setattr(Path, "stat", late)
    monkeypatch.setattr(folder, "_SLOW_SYNC_S", -1.0)
    diagnosis = diagnose(local, offline=True)
    assert outcome(diagnosis, "fsync") == "warning"
    clock = found(diagnosis, "file_clock")
    assert clock.outcome == "warning"
    assert 3595 < float(clock.details["seconds"] or 0) < 3605
    assert "NTP" in str(clock.remedy)


def test_wrong_permissions_are_a_warning_with_the_command(local: Path) -> None:
    (local / "volumes").chmod(0o700)
    permissions = found(diagnose(local, offline=True), "permissions")
    assert permissions.outcome == "warning"
    assert "volumes: 0700" in permissions.found
    assert "store permissions" in str(permissions.remedy)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to a group without being a member")
def test_a_folder_without_setgid_is_a_warning(local: Path) -> None:
    for name in ("", "tmp"):
        os.chown(local / name, -1, 54_321)
        (local / name).chmod(0o775)
    assert outcome(diagnose(local, offline=True), "setgid") == "warning"
    (local / "tmp").chmod(0o2775)
    assert outcome(diagnose(local, offline=True), "setgid") == "ok"


def test_little_space_and_few_inodes_are_warnings(local: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "_LITTLE_SPACE", 10**18)
    monkeypatch.setattr(folder, "_FEW_INODES", 10**18)
    diagnosis = diagnose(local, offline=True)
    assert outcome(diagnosis, "space") == "warning"
    assert outcome(diagnosis, "inodes") in ("warning", "ok")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(100, 100, 0))
    assert outcome(diagnose(local, offline=True), "space") == "fault"


# -- database and environment -----------------------------------------------------------------------------------------


def test_a_slow_database_is_a_warning(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from bsv_store.maintenance.doctor import database

    monkeypatch.setattr(database, "_SLOW_S", 0.0)
    assert outcome(store.admin.diagnose(offline=True), "latency") == "warning"


def test_a_wrong_clock_and_an_old_server_are_warnings(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from bsv_store.maintenance.doctor import database

    if store.database.is_sqlite:
        pytest.skip("SQLite has the clock of this host")
    monkeypatch.setattr(database, "_CLOCK_S", -1.0)
    monkeypatch.setattr(database, "_LEAST_POSTGRES", 99)
    diagnosis = store.admin.diagnose(offline=True)
    assert outcome(diagnosis, "database_clock") == "warning"
    assert outcome(diagnosis, "server_version") == "warning"
    settings = found(diagnosis, "server_settings")
    assert "fsync is off" in settings.found
    assert settings.details["server_encoding"] == "UTF8"
    assert "synchronous_commit is off" in settings.found


def test_the_rights_of_the_account_are_found(
    store_location: Path, database: str, request: pytest.FixtureRequest
) -> None:
    from dataclasses import replace

    from bsv_store.config import read_store_config

    if database == "sqlite":
        pytest.skip("SQLite has no accounts")
    server: PostgresServer = request.getfixturevalue("postgres")
    config = read_store_config(store_location)
    name = config.database.rpartition("/")[2].partition("?")[0]
    assert outcome(diagnose(store_location, offline=True), "privileges") == "ok"
    with closing(server.connect()) as connection:
        connection.execute("DROP ROLE IF EXISTS doctor_guest")
        connection.execute("CREATE ROLE doctor_guest LOGIN")

    def as_account(account: str) -> Diagnosis:
        changed = replace(config, database=server.url(name, account=account))
        (store_location / "store.toml").write_text(changed.to_toml())
        return diagnose(store_location, offline=True)

    try:
        guest = as_account("doctor_guest")
        assert outcome(guest, "privileges") == "fault"
        assert "may not read" in found(guest, "privileges").found
        assert "db grant --reader doctor_guest --apply" in str(found(guest, "privileges").remedy)
        with closing(server.connect(name)) as connection:
            connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO doctor_guest")
        reader = as_account("doctor_guest")
        assert outcome(reader, "privileges") == "note"
        assert outcome(reader, "schema") == "ok"
        assert outcome(as_account(SUPERUSER), "privileges") == "warning"
    finally:
        with closing(server.connect(name)) as connection:
            connection.execute("DROP OWNED BY doctor_guest")
            connection.execute("DROP ROLE doctor_guest")


def test_a_journal_left_by_a_killed_writer_and_wal_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sqlite3

    create_store(tmp_path / "store").close()
    catalog = tmp_path / "store" / "catalog.db"
    (tmp_path / "store" / "catalog.db-journal").write_bytes(bytes(512))
    assert outcome(diagnose(tmp_path / "store", offline=True), "journal") == "note"
    (tmp_path / "store" / "catalog.db-journal").unlink()
    with closing(sqlite3.connect(catalog)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    monkeypatch.setattr(sqlite_errors, "SAFE_WAL_VERSION", (99, 0, 0))
    connection_found = found(diagnose(tmp_path / "store", offline=True), "connection")
    assert connection_found.outcome == "fault"
    assert "can corrupt the catalog" in connection_found.found
    monkeypatch.setattr(sqlite_errors, "SAFE_WAL_VERSION", (1, 0, 0))
    assert outcome(diagnose(tmp_path / "store", offline=True), "journal") == "ok"


def test_old_packages_and_mixed_hdf5_versions_are_found(local: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import h5py

    monkeypatch.setattr(h5py.version, "hdf5_built_version_tuple", (1, 8, 4))
    monkeypatch.setattr(environment, "_LEAST_SQLITE", (99, 0, 0))
    monkeypatch.setattr(
        environment.metadata,  # type: ignore[attr-defined]
        "requires",
        lambda _: ["numpy>=99", "absent-package>=1", 'sphinx>=99; extra == "docs"'],
    )
    diagnosis = diagnose(local, offline=True)
    assert outcome(diagnosis, "hdf5") == "warning"
    assert outcome(diagnosis, "sqlite") == "fault"
    packages = found(diagnosis, "packages")
    assert packages.outcome == "fault"
    assert "is older than 99; absent-package is missing" in packages.found


@pytest.mark.parametrize(
    ("version", "module", "expected", "words"),
    [
        (None, None, "note", "not installed; averages are computed with NumPy"),
        ("1.0", None, "warning", "bsv-store-fast 1.0 cannot be loaded: "),
        ("1.0", ModuleType("bsv_store_fast"), "ok", "bsv-store-fast 1.0"),
    ],
)
def test_whether_averages_use_the_compiled_loop_is_shown(
    monkeypatch: pytest.MonkeyPatch, version: str | None, module: ModuleType | None, expected: str, words: str
) -> None:
    def installed(name: str) -> str:
        if name == "bsv-store-fast" and version is None:
            raise metadata.PackageNotFoundError(name)
        return version or "99"

    monkeypatch.setattr(metadata, "version", installed)
    # An import fails if there is None.
    monkeypatch.setitem(sys.modules, "bsv_store_fast", module)
    (one,) = [each for each in environment.environment_findings() if each.check == "compiled_loop"]
    assert (one.outcome, one.found.startswith(words)) == (expected, True)


# -- upstream ---------------------------------------------------------------------------------------------------------


def test_servers_are_asked_and_timed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with SyntheticServer(SyntheticAtlas(experiments=3)) as server:
        store.admin.configure("api_url", server.url)
        monkeypatch.setenv("BSV_STORE_DOWNLOAD_URL", server.url)
        diagnosis = store.admin.diagnose()
        assert server.errors == []
    for check in ("api", "file_server"):
        one = found(diagnosis, check)
        assert one.outcome == "ok", one
        assert one.details["status"] == 200
        assert str(one.details["url"]).startswith(server.url)
        assert 0 < float(one.details["seconds"] or 0) < upstream.TIMEOUT_S


def test_servers_that_cannot_be_reached_are_warnings(local: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BSV_STORE_API_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("BSV_STORE_DOWNLOAD_URL", "nonsense")
    diagnosis = diagnose(local)
    assert outcome(diagnosis, "api") == "warning"
    assert "Connection refused" in found(diagnosis, "api").found
    assert outcome(diagnosis, "file_server") == "fault"
    assert "BSV_STORE_DOWNLOAD_URL" in found(diagnosis, "file_server").found


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [(200, b"<html>log in</html>", "login page"), (503, b"", "responds with 503"), (302, b"", "redirects to")],
)
def test_a_server_that_sends_something_else_is_a_warning(
    local: Path, status: int, body: bytes, words: str, httpserver: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from werkzeug import Response

    reply: Callable[..., Response] = lambda _: Response(body, status, {"Location": "http://portal.example/login"})  # noqa: E731
    httpserver.expect_request("/api/v2/data/query.json").respond_with_handler(reply)
    monkeypatch.setenv("BSV_STORE_API_URL", httpserver.url_for("").rstrip("/"))
    monkeypatch.setenv("BSV_STORE_DOWNLOAD_URL", "http://127.0.0.1:9")
    api = found(diagnose(local), "api")
    assert api.outcome == "warning"
    assert words in api.found


def test_missing_certificates_are_a_fault(local: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such/bundle.pem")
    assert outcome(diagnose(local, offline=True), "proxy") == "fault"


def test_the_umask_is_shown_and_unchanged(local: Path) -> None:
    os.umask(0o077)
    assert found(diagnose(local, offline=True), "umask").details == {"umask": "0077"}
    assert os.umask(0o022) == 0o077
    assert stat.S_IMODE((local / "store.toml").stat().st_mode) == 0o664

"""The protocol of mirrors, over HTTP."""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from sqlalchemy import delete, select, text, update

from bsv_store import Selection, Store, open_store
from bsv_store.catalog.activity import record_activity
from bsv_store.catalog.database.bulk import insert_arrays, table_of
from bsv_store.catalog.database.engine import Database
from bsv_store.catalog.database.models import (
    Base,
    DatasetCheck,
    SourceSnapshot,
    StoredVolume,
    Unionize,
    UnionizeCoverage,
)
from bsv_store.catalog.unionize_seals import damaged_tables, seal_unionizes
from bsv_store.catalog.verify import verify_catalog
from bsv_store.errors import StoreUnreachableError
from bsv_store.maintenance.core_copy import _ABSOLUTE_PATH, core_tables
from bsv_store.server.options import ServerOptions
from bsv_store.store.catalog import Catalog
from bsv_store.store.schema_changes import grant_access
from tests.databases import both_databases
from tests.datasets.world import IDS, VISUAL
from tests.filled import TEMPLATE
from tests.sealing import sealed_changes
from tests.server.serving import serving
from tests.stores import copied_store

pytestmark = both_databases

TIMEOUT_S = 20


@pytest.fixture
def served(filled_location: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[tuple[Store, str]]:
    """The filled store, open for changes, and the address of a server of it."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    with (
        open_store(filled_location) as writer,
        open_store(filled_location, read_only=True) as store,
        serving(store) as url,
    ):
        yield writer, url


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def unchanged(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, str]]:
    """The same for tests that change nothing."""
    template = request.getfixturevalue(f"_filled_{request.param}")
    name = None if request.param == "sqlite" else TEMPLATE
    folder = tmp_path_factory.mktemp("mirror")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(folder))
        with (
            copied_store(template, folder / "store", request, database=name) as location,
            open_store(location, read_only=True) as store,
            serving(store) as url,
        ):
            yield store, url


def _get(url: str, **headers: str) -> requests.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.get(url, headers=named, timeout=TIMEOUT_S)


def _copy(url: str, target: Path) -> Database:
    manifest = _get(f"{url}/v1/catalog").json()
    reply = _get(f"{url}/v1/catalog/{manifest['catalog']['sha256']}")
    assert hashlib.sha256(reply.content).hexdigest() == manifest["catalog"]["sha256"]
    assert len(reply.content) == manifest["catalog"]["size_bytes"]
    target.write_bytes(reply.content)
    return Database(target)


def test_the_copy_has_all_rows_but_those_of_unionize_and_of_the_machine(
    unchanged: tuple[Store, str], tmp_path: Path
) -> None:
    store, url = unchanged
    with closing(_copy(url, tmp_path / "copy.db")) as copy:
        with copy.reading() as theirs, store.database.reading() as ours:
            for table in core_tables():
                query = select(table)
                rows = sorted(map(repr, map(tuple, ours.execute(query))))
                if table.name == "seal":
                    rows = [row for row in rows if not row.startswith("('schema'")]
                found = sorted(map(repr, map(tuple, theirs.execute(query))))
                assert [row for row in found if not row.startswith("('schema'")] == rows, table.name
            kept = {"catalog_change_base", "unionize", *(table.name for table in core_tables())}
            empty = set(Base.metadata.tables) - kept
            counts = {name: theirs.exec_driver_sql(f"SELECT count(*) FROM {name}").scalar() for name in empty}
            rows_of = text("SELECT * FROM experiments ORDER BY experiment_id")
            assert theirs.execute(rows_of).all() == ours.execute(rows_of).all()
        assert set(counts.values()) == {0}, counts
        check = verify_catalog(copy)
    assert {each.what for each in check.damage} <= {"unionize tables", "sides"}


def test_each_table_is_copied_or_left_out_on_purpose() -> None:
    left_out = {
        "access_token",
        "activity",
        "catalog_change",
        "catalog_change_base",
        "claim",
        "schema_history",
        "store_link",
        "unionize",
        "unionize_seal",
        "verification",
        "volume_use",
    }
    assert {table.name for table in core_tables()} == set(Base.metadata.tables) - left_out


def test_a_copy_with_its_unionize_rows_is_intact(unchanged: tuple[Store, str], tmp_path: Path) -> None:
    store, url = unchanged
    with closing(_copy(url, tmp_path / "copy.db")) as copy:
        reply = _get(f"{url}/v1/unionizes?ids={','.join(map(str, IDS))}")
        rows = np.load(io.BytesIO(reply.content), allow_pickle=False)
        with copy.writing() as connection:
            connection.execute(delete(table_of(Unionize)))
            columns = {name: rows[name] for name in rows.dtype.names}
            insert_arrays(connection, table_of(Unionize), columns)
            covered = connection.execute(select(UnionizeCoverage.experiment_id, UnionizeCoverage.part)).all()
            seal_unionizes(connection, columns, [(row.experiment_id, row.part) for row in covered])
            assert not damaged_tables(connection, IDS)
        assert verify_catalog(copy).is_intact
        with copy.reading() as theirs, store.database.reading() as ours:
            key = list(table_of(Unionize).primary_key.columns)
            query = select(table_of(Unionize)).order_by(*key)
            assert theirs.execute(query).all() == ours.execute(query).all()


def test_a_manifest_is_revalidated_until_anything_mirrored_changes(served: tuple[Store, str]) -> None:
    writer, url = served

    def etag() -> str:
        return _get(f"{url}/v1/catalog").headers["ETag"]

    before = etag()
    assert _get(f"{url}/v1/catalog", If_None_Match=before).status_code == 304
    with writer.database.writing() as connection:
        record_activity(connection, "excluded", "something", {})
    assert etag() == before
    writer.catalog.save_selection("visual", Selection(injected_in="VIS"))
    after_selection = etag()
    version = writer.aggregate(VISUAL, name="mean")
    after_version = etag()
    writer.datasets.tag(version, "paper")
    after_tag = etag()
    assert len({before, after_selection, after_version, after_tag}) == 4
    assert _get(f"{url}/v1/catalog", If_None_Match=before).status_code == 200


def test_equal_contents_give_equal_bytes(filled_location: Path, tmp_path: Path) -> None:
    with open_store(filled_location, read_only=True) as store:
        first = store.catalog.export_copy(tmp_path / "first.db")
        second = store.catalog.export_copy(tmp_path / "second.db")
        assert first == second
        assert first.content == store.catalog.content_digest()
    assert (tmp_path / "first.db").read_bytes() == (tmp_path / "second.db").read_bytes()


def test_times_in_a_copy_are_written_by_sqlalchemy_not_by_the_driver(filled_location: Path, tmp_path: Path) -> None:
    with open_store(filled_location, read_only=True) as store:
        store.catalog.export_copy(tmp_path / "copy.db")
    with closing(sqlite3.connect(tmp_path / "copy.db")) as connection:
        (taken,) = connection.execute("SELECT taken_at FROM source_snapshot WHERE what = 'experiments'").fetchone()
    # Of a fixed length, so that texts are in the order of the times.
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}", taken)


@pytest.mark.parametrize("database", ["sqlite"])
def test_a_damaged_value_is_copied_as_it_is(filled_location: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(filled_location / "catalog.db", isolation_level=None)) as other:
        other.execute("UPDATE experiment SET injection_volume = 'x' WHERE id = (SELECT min(id) FROM experiment)")
    with open_store(filled_location, read_only=True) as store:
        store.catalog.export_copy(tmp_path / "copy.db")
    with closing(sqlite3.connect(tmp_path / "copy.db")) as connection:
        assert connection.execute("SELECT injection_volume FROM experiment ORDER BY id LIMIT 1").fetchone() == ("x",)


def test_many_requests_at_once_make_one_copy(served: tuple[Store, str], monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    original = Catalog.export_copy

    def counted(self: Catalog, target: Path | str) -> object:
        made.append(target)
        return original(self, target)

    monkeypatch.setattr(Catalog, "export_copy", counted)
    _, url = served
    with ThreadPoolExecutor(12) as pool:
        etags = set(pool.map(lambda _: _get(f"{url}/v1/catalog").headers["ETag"], range(24)))
    assert len(etags) == 1
    assert len(made) == 1


def test_old_copies_are_removed(served: tuple[Store, str], tmp_path: Path) -> None:
    writer, url = served
    hashes = []
    for number in range(6):
        writer.catalog.save_selection(f"s{number}", [IDS[0]])
        hashes.append(_get(f"{url}/v1/catalog").json()["catalog"]["sha256"])
    assert len(set(hashes)) == 6
    assert _get(f"{url}/v1/catalog/{hashes[0]}").status_code == 404
    assert _get(f"{url}/v1/catalog/{hashes[-1]}").status_code == 200
    assert _get(f"{url}/v1/catalog/{hashes[-2]}").status_code == 200
    assert len(list((tmp_path / "temporary").rglob("*.db"))) <= 4


def test_a_copy_that_was_removed_from_the_temporary_folder_is_made_again(
    served: tuple[Store, str], tmp_path: Path
) -> None:
    _, url = served
    before = _get(f"{url}/v1/catalog").json()
    for path in (tmp_path / "temporary").rglob("*.db"):
        path.unlink()
    assert _get(f"{url}/v1/catalog").json() == before
    assert _get(f"{url}/v1/catalog/{before['catalog']['sha256']}").status_code == 200


def test_paths_of_the_machine_are_not_in_the_copy(served: tuple[Store, str], tmp_path: Path) -> None:
    writer, url = served
    writer.catalog.save_selection("visual", VISUAL, note="from /home/anna/visual.json")
    writer.catalog.exclude([IDS[0]], "see /home/anna/list.txt")
    with sealed_changes(writer.database) as connection:
        connection.execute(update(StoredVolume).values(source="/home/anna/data/density.nrrd"))
        connection.execute(update(SourceSnapshot).values(source=r"C:\Users\anna\list.csv"))
    with closing(_copy(url, tmp_path / "copy.db")) as copy:
        with copy.reading() as connection:
            assert set(connection.scalars(select(StoredVolume.source))) == {"density.nrrd"}
            assert set(connection.scalars(select(SourceSnapshot.source))) == {"list.csv"}
            assert connection.scalars(select(DatasetCheck.note)).all() == []
        assert {each.what for each in verify_catalog(copy).damage} <= {"unionize tables", "sides"}
    assert b"anna" not in (tmp_path / "copy.db").read_bytes()


@pytest.mark.parametrize(
    ("origin", "short"),
    [
        ("/home/anna/x.csv", "x.csv"),
        ("derived from /srv/store/annotation.nrrd", "derived from annotation.nrrd"),
        ("file:///srv/data/x.csv", "x.csv"),
        (r"\\server\share\x.csv", "x.csv"),
        ("https://api.brain-map.org/grid_data/download/1?image=density", None),
        ("cache/sub/1/density.nrrd", None),
        ("bundle of visual@3, fingerprint 0123", None),
    ],
)
def test_only_absolute_paths_are_shortened(origin: str, short: str | None) -> None:
    assert _ABSOLUTE_PATH.sub("", origin) == (origin if short is None else short)


def test_a_broken_transfer_of_the_catalog_is_continued(unchanged: tuple[Store, str]) -> None:
    _, url = unchanged
    sha256 = _get(f"{url}/v1/catalog").json()["catalog"]["sha256"]
    for encoding in ("identity", "gzip"):
        whole = requests.get(
            f"{url}/v1/catalog/{sha256}", headers={"Accept-Encoding": encoding}, timeout=TIMEOUT_S, stream=True
        )
        raw = whole.raw.read(decode_content=False)
        headers = {"Accept-Encoding": encoding, "Range": "bytes=1000-", "If-Range": whole.headers["ETag"]}
        rest = requests.get(f"{url}/v1/catalog/{sha256}", headers=headers, timeout=TIMEOUT_S, stream=True)
        assert rest.status_code == 206
        assert raw[:1000] + rest.raw.read(decode_content=False) == raw
        content = gzip.decompress(raw) if encoding == "gzip" else raw
        assert hashlib.sha256(content).hexdigest() == sha256


# -- files ---------------------------------------------------------------------------------------------------------


def test_each_file_of_the_store_is_found_by_its_hash(served: tuple[Store, str]) -> None:
    writer, url = served
    writer.aggregate(VISUAL, name="mean")
    files = writer.catalog.files()
    assert {each.kind for each in files} >= {"volume", "version"}
    for each in files:
        reply = _get(f"{url}/v1/objects/{each.file_sha256}")
        assert hashlib.sha256(reply.content).hexdigest() == each.file_sha256
        assert reply.headers["ETag"] == f'"{each.file_sha256}"'
        assert "immutable" in reply.headers["Cache-Control"]


@pytest.mark.parametrize(
    ("header", "status", "part"),
    [
        ("bytes=0-9", 206, slice(0, 10)),
        ("bytes=10-", 206, slice(10, None)),
        ("bytes=-7", 206, slice(-7, None)),
        ("bytes=0-99999999999", 206, slice(None)),
        ("bytes=5-4", 200, slice(None)),
        ("bytes=0-1,4-5", 200, slice(None)),
        ("lines=0-1", 200, slice(None)),
        ("bytes=-", 200, slice(None)),
        ("bytes=99999999999-", 416, None),
        ("bytes=-0", 416, None),
    ],
)
def test_ranges(unchanged: tuple[Store, str], header: str, status: int, part: slice | None) -> None:
    store, url = unchanged
    file = store.catalog.files()[0]
    content = (store.path / file.path).read_bytes()
    reply = _get(f"{url}/v1/objects/{file.file_sha256}", Range=header)
    assert reply.status_code == status
    if part is not None:
        assert reply.content == content[part]
        assert int(reply.headers["Content-Length"]) == len(content[part])
    else:
        assert reply.headers["Content-Range"] == f"bytes */{len(content)}"


def test_conditions_and_head_of_a_file(unchanged: tuple[Store, str]) -> None:
    store, url = unchanged
    file = store.catalog.files()[0]
    address, etag = f"{url}/v1/objects/{file.file_sha256}", f'"{file.file_sha256}"'
    assert _get(address, If_None_Match=etag).status_code == 304
    assert _get(address, If_None_Match=f'"x", W/{etag}').status_code == 304
    assert _get(address, Range="bytes=0-3", If_Range='"other"').status_code == 200
    assert _get(address, Range="bytes=0-3", If_Range=etag).status_code == 206
    head = requests.head(address, timeout=TIMEOUT_S)
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["Content-Length"]) == file.size_bytes


def test_a_damaged_or_missing_file_is_a_problem(served: tuple[Store, str]) -> None:
    writer, url = served
    cut, missing, *_ = writer.catalog.files()
    (writer.path / cut.path).write_bytes((writer.path / cut.path).read_bytes()[:-1])
    (writer.path / missing.path).unlink()
    for each in (cut, missing):
        reply = _get(f"{url}/v1/objects/{each.file_sha256}")
        assert reply.status_code >= 500
        assert reply.json()["code"] == "DamagedFileError"


@pytest.mark.parametrize("name", ["0" * 64, "x", "A" * 64, "..%2f..%2fstore.toml"])
def test_an_unknown_hash_is_not_found(unchanged: tuple[Store, str], name: str) -> None:
    assert _get(f"{unchanged[1]}/v1/objects/{name}").status_code == 404


def test_a_new_file_is_found_at_once(served: tuple[Store, str]) -> None:
    writer, url = served
    _get(f"{url}/v1/objects/{'0' * 64}")
    version = writer.aggregate(VISUAL, name="mean")
    found = next(each for each in writer.catalog.files() if each.key == f"version/{version.ref}")
    assert _get(f"{url}/v1/objects/{found.file_sha256}").status_code == 200


# -- unionize rows and SQL -----------------------------------------------------------------------------------------


def test_unionize_rows_are_sorted_and_revalidated(unchanged: tuple[Store, str]) -> None:
    _, url = unchanged
    reply = _get(f"{url}/v1/unionizes?ids=3,1,999")
    rows = np.load(io.BytesIO(reply.content), allow_pickle=False)
    assert rows.dtype.names == tuple(table_of(Unionize).columns.keys())
    assert set(rows["experiment_id"]) == {1, 3}
    keys = ("is_injection", "hemisphere_id", "structure_id", "experiment_id")
    assert np.array_equal(np.lexsort([rows[key] for key in keys]), np.arange(len(rows)))
    assert _get(f"{url}/v1/unionizes?ids=3,1,999", If_None_Match=reply.headers["ETag"]).status_code == 304


@pytest.mark.parametrize("ids", ["", "x", "0", "-1", "1.5", "9" * 30, ",".join(map(str, range(1, 102)))])
def test_invalid_ids_are_refused(unchanged: tuple[Store, str], ids: str) -> None:
    reply = _get(f"{unchanged[1]}/v1/unionizes?ids={ids}")
    assert reply.json()["code"] == "InputError"


def test_sql_answers_with_types_and_limits(unchanged: tuple[Store, str]) -> None:
    _, url = unchanged
    query = "SELECT experiment_id, injection_volume, primary_structure FROM experiments WHERE experiment_id > :low"
    body: dict[str, Any] = {"statement": f"{query} ORDER BY experiment_id", "parameters": {"low": 2}, "limit": 2}
    answer = requests.post(f"{url}/v1/sql", json=body, timeout=TIMEOUT_S).json()
    assert [each["type"] for each in answer["columns"]] == ["integer", "number", "string"]
    assert [row[0] for row in answer["rows"]] == [3, 4]
    assert answer["truncated"] is True


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"statement": "DELETE FROM experiment"}, "QueryError"),
        ({"statement": ""}, "QueryError"),
        ({"statement": 5}, "QueryError"),
        ({"statement": "SELECT 1", "limit": 0}, "InputError"),
        ({"statement": "SELECT 1", "limit": True}, "InputError"),
        ({"statement": "SELECT 1", "extra": 1}, "InputError"),
        ({"statement": "SELECT 1", "timeout_s": 0}, "InputError"),
        ({"statement": "SELECT 1", "timeout_s": True}, "InputError"),
        ({"statement": "SELECT 1", "max_bytes": 1.5}, "InputError"),
        ({}, "InputError"),
        ([], "InputError"),
    ],
)
def test_sql_that_is_not_valid_is_refused(unchanged: tuple[Store, str], body: Any, code: str) -> None:
    reply = requests.post(f"{unchanged[1]}/v1/sql", json=body, timeout=TIMEOUT_S)
    assert reply.json()["code"] == code


def test_a_query_ends_with_the_server_that_stops(filled_location: Path) -> None:
    query = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) AS n FROM n"
    replies: list[requests.Response] = []
    options = ServerOptions(sql_timeout_s=600, shutdown_s=1)
    if not (filled_location / "catalog.db").exists():
        # The account of the tests is a superuser; queries run as the reader role.
        grant_access(filled_location)
    with open_store(filled_location, read_only=True) as store:
        with serving(store, options) as url:
            asking = threading.Thread(
                target=lambda: replies.append(requests.post(f"{url}/v1/sql", json={"statement": query}, timeout=60))
            )
            asking.start()
            deadline = time.monotonic() + 20
            while not store.database.queries.count:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            began = time.monotonic()
        assert time.monotonic() - began < 20
        asking.join()
        assert (replies[0].status_code, replies[0].json()["code"]) == (503, "BusyError")
        assert "shutting down" in replies[0].json()["detail"]
        assert len(store.sql("SELECT 1 AS one")) == 1


# -- markers -------------------------------------------------------------------------------------------------------


def test_a_marker_changes_with_each_commit_and_only_then(filled_location: Path) -> None:
    with open_store(filled_location) as writer, open_store(filled_location, read_only=True) as reader:
        first = reader.catalog.change_marker()
        reader.select(Selection(injected_in="VIS"))
        assert reader.catalog.change_marker() == first
        seen = {first}
        for number in range(5):
            writer.catalog.save_selection(f"s{number}", [1])
            marker = reader.catalog.change_marker()
            assert marker not in seen
            seen.add(marker)


@pytest.mark.parametrize("database", ["sqlite"])
def test_a_store_that_was_replaced_by_a_file_has_no_marker(filled_location: Path) -> None:
    with open_store(filled_location, read_only=True) as reader:
        reader.catalog.change_marker()
        filled_location.rename(filled_location.with_name("moved"))
        for replace in (filled_location.touch, lambda: filled_location.symlink_to(filled_location)):
            replace()
            with pytest.raises(StoreUnreachableError, match="unable to open database file"):
                reader.catalog.change_marker()
            filled_location.unlink()


def test_a_marker_changes_in_wal_mode(filled_location: Path) -> None:
    path = filled_location / "catalog.db"
    if not path.exists() or sqlite3.sqlite_version_info < (3, 51, 3):
        pytest.skip("the write-ahead log is refused with this version of SQLite")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    with open_store(filled_location) as writer, open_store(filled_location, read_only=True) as reader:
        first = reader.catalog.change_marker()
        writer.catalog.save_selection("s", [1])
        assert reader.catalog.change_marker() != first

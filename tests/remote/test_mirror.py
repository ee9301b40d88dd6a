"""The copy of a server's catalog: what is requested when, offline, damage, kills, several processes."""

from __future__ import annotations

import contextlib
import os
import pickle
import shutil
import sqlite3
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import requests

from bsv_store import Selection, Store, open_store
from bsv_store.errors import (
    BsvStoreError,
    BsvStoreWarning,
    BusyError,
    DamagedCatalogError,
    InputError,
    NoSpaceError,
    QueryError,
    ReadOnlyStoreError,
    SchemaTooNewError,
    SchemaTooOldError,
    StoreMismatchError,
    StoreUnreachableError,
    TokenError,
)
from bsv_store.remote import mirror
from bsv_store.remote.cache import verify_cache
from bsv_store.remote.state import MirrorState, read_state, write_state
from bsv_store.remote.token import tokens_file
from bsv_store.server.access import tokens
from bsv_store.server.data import catalog_copies
from bsv_store.server.options import ServerOptions
from bsv_store.store.catalog import Catalog
from tests.processes import Child
from tests.remote.clients import read_everything
from tests.remote.filled import EXPERIMENTS, make
from tests.server.serving import serving

SECRET = "bsv_not-a-real-token-5bN2"


@dataclass
class Served:
    """A store in a folder, and on a server that can be stopped."""

    folder: Path
    cache: Path
    url: str
    stop: Callable[[], None]
    asked: list[str] = field(default_factory=list)

    @property
    def mirror(self) -> Path:
        """The folder of the copy of the catalog."""
        (found,) = (self.cache / "servers").iterdir()
        return found

    def new_requests(self) -> list[str]:
        """What was requested since the last call: the first parts of the addresses."""
        found = ["/".join(each.partition("?")[0].split("/")[3:5]) for each in self.asked]
        self.asked.clear()
        return found


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make(tmp_path_factory.mktemp("served") / "store", None)


@pytest.fixture
def served(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    folder, cache = shutil.copytree(template, tmp_path / "store"), tmp_path / "cache"
    monkeypatch.setenv("BSV_STORE_CACHE", str(cache))
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(open_store(folder, read_only=True))
        url = stack.enter_context(serving(store))
        found = Served(folder, cache, url, stack.close)
        send = requests.Session.request

        def counted(self: requests.Session, method: str, address: str, **options: Any) -> requests.Response:
            found.asked.append(address)
            return send(self, method, address, **options)

        monkeypatch.setattr(requests.Session, "request", counted)
        yield found


def rows(store: Store) -> pd.DataFrame:
    return store.catalog.unionizes(Selection())


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)


def change_state(served: Served, **values: Any) -> None:
    state = read_state(served.mirror)
    assert state is not None
    write_state(served.mirror, replace(state, **values))


def only(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


# -- what is requested ------------------------------------------------------------------------------------------------


def test_the_catalog_is_downloaded_once_and_unionize_rows_when_they_are_needed(served: Served) -> None:
    with open_store(served.url) as store, open_store(served.folder, read_only=True) as own:
        assert served.new_requests() == ["v1/catalog", "v1/catalog"]
        pd.testing.assert_frame_equal(store.experiments(), own.experiments())
        store.catalog.summary()
        store.atlas.acronym_map()
        store.datasets.versions()
        assert served.new_requests() == []
        pd.testing.assert_frame_equal(rows(store), rows(own))
        assert served.new_requests() == ["v1/unionizes"]
        store.catalog.matrix(Selection())
        store.search.targets_of(Selection())
        assert served.new_requests() == []
    with open_store(served.url) as store:
        rows(store)
        assert served.new_requests() == ["v1/catalog"]


def test_without_its_rows_a_copy_has_no_table_that_could_seem_to_be_empty(served: Served) -> None:
    open_store(served.url).close()
    with contextlib.closing(sqlite3.connect(only(served.mirror, "catalog-*.db"))) as driver:
        for name in ("unionize", "unionize_seal", "projections", "injection_summary", "activity", "claim"):
            with pytest.raises(sqlite3.OperationalError, match="no such table"):
                driver.execute(f"SELECT * FROM {name}")


def test_a_new_catalog_is_taken_over_after_a_minute_or_on_request(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_store(served.url) as store, open_store(served.folder) as own:
        first = store.select()
        own.catalog.exclude([first[0]], "bad")
        served.new_requests()
        assert store.select() == first
        assert served.new_requests() == []
        store.refresh()
        assert store.select() == first[1:]
        assert served.new_requests() == ["v1/catalog", "v1/catalog"]
        own.catalog.lift_exclusion([first[0]])
        monkeypatch.setattr(mirror, "REVALIDATE_S", 0.0)
        assert store.select() == first


def test_a_reader_keeps_its_state_while_another_one_is_taken_over(served: Served) -> None:
    with open_store(served.url) as store, open_store(served.folder) as own, store.database.reading() as connection:
        before = connection.exec_driver_sql("SELECT count(*) FROM exclusion WHERE lifted_at IS NULL").scalar()
        own.catalog.exclude([store.select()[0]], "bad")
        store.refresh()
        after = connection.exec_driver_sql("SELECT count(*) FROM exclusion WHERE lifted_at IS NULL").scalar()
        assert after == before
        streamed = connection.exec_driver_sql("SELECT id FROM experiment")
        # The rows are downloaded and attached in the middle of another result.
        assert streamed.fetchone() is not None
        assert connection.exec_driver_sql("SELECT count(*) FROM projections").scalar()
        assert len(streamed.fetchall()) == EXPERIMENTS - 1


def _replace_table(folder: Path) -> int:
    """Delete the unionize rows of one experiment, as if it had never been synchronized; returns its id."""
    from bsv_store.catalog.database.bulk import table_of
    from bsv_store.catalog.database.models import Unionize, UnionizeCoverage, UnionizeSeal

    with open_store(folder) as own, own.database.writing() as connection:
        changed = max(own.select())
        for model in (Unionize, UnionizeCoverage, UnionizeSeal):
            table = table_of(model)
            connection.execute(table.delete().where(table.c.experiment_id == changed))
    return changed


def test_of_unionize_rows_only_those_that_changed_are_downloaded_again(served: Served, template: Path) -> None:
    changed = _replace_table(served.folder)
    with open_store(served.url) as store:
        assert changed not in set(store.catalog.unionizes(Selection(), missing="leave_out")["experiment_id"])
    shutil.copyfile(template / "catalog.db", served.folder / "catalog.db")
    with open_store(served.url) as store, open_store(template, read_only=True) as own:
        served.asked.clear()
        pd.testing.assert_frame_equal(rows(store), rows(own))
        (address,) = served.asked
        assert address.endswith(f"/v1/unionizes?ids={changed}")


def test_rows_that_are_not_those_of_the_copy_are_refused(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_store(served.url) as store:
        _replace_table(served.folder)
        with pytest.raises(BusyError, match="other unionize rows"):
            rows(store)
        store.refresh()
        assert len(store.catalog.unionizes(Selection(), missing="leave_out"))


# -- offline ----------------------------------------------------------------------------------------------------------


def test_offline_it_answers_what_is_in_the_cache_and_names_what_is_not(served: Served) -> None:
    with open_store(served.url) as store:
        expected = store.experiments()
    served.stop()
    with pytest.warns(BsvStoreWarning, match=r"using the copy of its catalog of \d{4}-\d\d-\d\dT") as caught:
        store = open_store(served.url)
    with store:
        pd.testing.assert_frame_equal(store.experiments(), expected)
        assert "offline" in str(store.status())
        with pytest.raises(StoreUnreachableError, match=f"unionize rows of {EXPERIMENTS} experiments are not in the"):
            rows(store)
        with pytest.raises(StoreUnreachableError):
            store.volume(store.select()[0])
    assert len(caught) == 1


def injected(store: Store) -> list[int]:
    """Experiments with a volume and a known injected hemisphere."""
    frame = store.experiments()
    known = frame["experiment_id"][frame["injected_hemisphere"].notna()]
    found = [each for each in known.tolist() if store.volumes.of_experiment(each)]
    assert len(found) > 1
    return found


HEMISPHERES: dict[str, Callable[[Store, list[int]], Any]] = {
    "volume": lambda store, ids: store.volumes.read(ids[0], hemisphere_rule="flip_to_right"),
    "stack": lambda store, ids: np.asarray(store.volumes.stack(ids, hemisphere_rule="flip_to_right")),
    "selection": lambda store, ids: np.asarray(store.volumes.stack(Selection(ids=ids, injected_hemisphere="right"))),
    "signal": lambda store, ids: store.atlas.signal(ids, "root", hemisphere="ipsilateral")["sum"],
}


@pytest.mark.parametrize("read", HEMISPHERES.values(), ids=HEMISPHERES)
def test_injected_hemispheres_need_no_unionize_rows(served: Served, read: Callable[[Store, list[int]], Any]) -> None:
    with open_store(served.folder, read_only=True) as own:
        ids = injected(own)
        expected = read(own, ids)
    with open_store(served.url) as store:
        for each in ids:
            store.volumes.read(each)
        store.atlas.annotation()
    served.stop()
    with pytest.warns(BsvStoreWarning, match="cannot be reached"):
        store = open_store(served.url)
    with store:
        np.testing.assert_array_equal(read(store, ids), expected)
        with pytest.raises(StoreUnreachableError, match="unionize rows"):
            store.volumes.stack(ids, normalize="injection_volume")


@pytest.mark.parametrize("read", HEMISPHERES.values(), ids=HEMISPHERES)
def test_injected_hemispheres_of_the_server_are_compared_with_the_rows_it_sends(
    served: Served, read: Callable[[Store, list[int]], Any]
) -> None:
    with open_store(served.folder) as own:
        ids = injected(own)
        with own.database.writing() as connection:
            swapped = "CASE injected_hemisphere WHEN 'left' THEN 'right' ELSE 'left' END"
            connection.exec_driver_sql(f"UPDATE experiment SET injected_hemisphere = {swapped} WHERE id = {ids[0]}")
    with open_store(served.url) as store:
        served.new_requests()
        with pytest.raises(DamagedCatalogError, match=rf"row about experiments .*: {ids[0]}"):
            read(store, ids)
        assert "v1/unionizes" not in served.new_requests()


def test_offline_queries_run_on_the_copy(served: Served) -> None:
    query = "SELECT count(*) AS n, sum(projection_volume) AS total FROM projections"
    with open_store(served.url) as store:
        expected = store.sql(query)
        rows(store)
    served.stop()
    with pytest.warns(BsvStoreWarning, match="cannot be reached"):
        store = open_store(served.url)
    with store:
        pd.testing.assert_frame_equal(store.sql(query), expected)
        with pytest.raises(QueryError):
            store.sql("DELETE FROM experiment")


def test_offline_queries_in_another_dialect_are_refused(served: Served) -> None:
    with open_store(served.url):
        change_state(served, database="postgresql")
    served.stop()
    with pytest.warns(BsvStoreWarning, match="cannot be reached"):
        store = open_store(served.url)
    with store, pytest.raises(StoreUnreachableError, match="postgresql"):
        store.sql("SELECT 1")


def test_without_a_copy_an_unreachable_server_is_an_error(served: Served) -> None:
    served.stop()
    with pytest.raises(StoreUnreachableError, match="is not in the cache"):
        open_store(served.url)


def test_an_open_store_warns_once_about_a_network_that_comes_and_goes(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_down(*_: object) -> MirrorState:
        raise StoreUnreachableError("connection refused")

    reached = mirror._current
    monkeypatch.setattr(mirror, "REVALIDATE_S", 0.0)
    with open_store(served.url) as store, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for current in (is_down, reached, is_down):
            monkeypatch.setattr(mirror, "_current", current)
            assert store.select()
            assert ("offline" in str(store.status())) == (current is is_down)
    assert ["cannot be reached" in str(each.message) for each in caught] == [True]


def test_offline_a_damaged_state_is_named_with_what_to_do(served: Served) -> None:
    open_store(served.url).close()
    state = served.mirror / "state.json"
    flip(state)
    served.stop()
    with pytest.raises(
        StoreUnreachableError, match=rf"{state}, which names the copy of its catalog, is damaged"
    ) as caught:
        open_store(served.url)
    assert "Open the store once while the server can be reached" in str(caught.value.hint)
    found = verify_cache()
    assert [(each.path, each.name) for each in found.findings] == [(state, f"the state of {served.mirror.name}")]
    verify_cache(discard_damaged=True)
    assert not state.exists()


def test_queries_have_the_types_of_the_folder_and_are_never_cut_silently(served: Served) -> None:
    query = "SELECT 1.0 AS a, NULL AS b, 9007199254740993 AS c, :x AS d, 'x' AS e, withdrawn AS f FROM experiments"
    with open_store(served.url) as store, open_store(served.folder, read_only=True) as own:
        mine, theirs = (each.sql(query, {"x": 1.5}, limit=3) for each in (own, store))
        pd.testing.assert_frame_equal(mine, theirs)
        assert mine.attrs == theirs.attrs == {"truncated": True}
        with pytest.raises(QueryError, match="no such column"):
            store.sql("SELECT nonsense")
    options = ServerOptions(sql_rows=2, shutdown_s=2)
    with open_store(served.folder, read_only=True) as own, serving(own, options) as url, open_store(url) as store:
        assert len(store.sql("SELECT 1 FROM experiments LIMIT 2")) == 2
        with pytest.raises(QueryError, match="more rows than"):
            store.sql("SELECT 1 FROM experiments")


_ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) AS n FROM n"


def test_limits_of_queries_mean_the_same_as_in_the_folder(served: Served) -> None:
    query = "SELECT experiment_id, primary_structure, NULL AS empty, injection_volume FROM experiments"

    def outcome(store: Store, max_bytes: int) -> str | int:
        try:
            return len(store.sql(query, max_bytes=max_bytes))
        except QueryError as error:
            return error.message

    with open_store(served.url) as store, open_store(served.folder, read_only=True) as own:
        for max_bytes in range(200, 30_000, 700):
            assert outcome(store, max_bytes) == outcome(own, max_bytes)
        assert [type(outcome(own, each)) for each in (200, 30_000)] == [str, int]
        with pytest.raises(QueryError, match=r"longer than 0\.2 s"):
            store.sql(_ENDLESS, timeout_s=0.2)
        options = ServerOptions(sql_timeout_s=0.1, shutdown_s=2)
        with serving(own, options) as url, open_store(url) as limited, pytest.raises(QueryError, match=r"0\.1 s"):
            limited.sql(_ENDLESS, timeout_s=100)


# -- another store, version or token ----------------------------------------------------------------------------------


def test_another_store_at_the_address_is_an_error(served: Served) -> None:
    with open_store(served.url) as store:
        change_state(served, store_id="another", etag='"x"')
        with pytest.raises(StoreMismatchError, match="it was the store another"):
            open_store(served.url)
        assert store.select()


def test_an_open_store_never_answers_from_another_store_at_its_address(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_store(served.url) as store:
        store._mirror.state = replace(store._mirror.state, store_id="another", etag='"x"')  # type: ignore[union-attr]
        with pytest.raises(StoreMismatchError, match="it was the store another"):
            store.sql("SELECT 1")
        monkeypatch.setattr(mirror, "REVALIDATE_S", 0.0)
        for _ in range(2):
            with pytest.raises(StoreMismatchError, match="it was the store another"):
                store.select()
            monkeypatch.setattr(mirror, "REVALIDATE_S", 60.0)


@pytest.mark.parametrize(("version", "error"), [(0, SchemaTooNewError), (2, SchemaTooOldError)])
def test_a_server_with_another_protocol_is_refused(
    served: Served, monkeypatch: pytest.MonkeyPatch, version: int, error: type[Exception]
) -> None:
    monkeypatch.setattr(mirror, "PROTOCOL", version)
    with pytest.raises(error, match="version 1 of the protocol"):
        open_store(served.url)


@pytest.mark.parametrize("is_down", [False, True])
@pytest.mark.parametrize(
    ("revision", "error", "hint"),
    [
        ("0020", SchemaTooOldError, "upgrade bsv-store, or install that version"),
        ("9999", SchemaTooNewError, "pip install --upgrade"),
    ],
)
def test_a_copy_of_another_schema_is_refused_even_if_the_server_has_nothing_newer(
    served: Served, is_down: bool, revision: str, error: type[Exception], hint: str
) -> None:
    with open_store(served.url) as store:
        assert store.select()
    # As if another release of the package had made the copy.
    change_state(served, schema_revision=revision)
    if is_down:
        served.stop()
    with pytest.raises(error, match=f"has the schema {revision} of bsv-store") as caught:
        open_store(served.url)
    assert hint in str(getattr(caught.value, "hint", None))


def test_a_token_is_sent_and_never_shown(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with open_store(served.folder) as own:
        token = own.admin.add_token("laptop").secret
    options = ServerOptions(require_token=True, shutdown_s=2)
    monkeypatch.setattr(tokens, "REFRESH_S", 0.0)
    caplog.set_level(0)
    with open_store(served.folder, read_only=True) as own, serving(own, options) as url:
        with pytest.raises(TokenError, match="requires a token") as missing:
            open_store(url)
        assert "BSV_STORE_TOKEN" in str(missing.value.hint)
        with pytest.raises(TokenError, match="does not accept this token") as wrong:
            open_store(url, token=SECRET)
        with open_store(url, token=token) as store:
            assert token.encode() not in pickle.dumps(store)
            texts = [repr(store), store._repr_html_(), str(store.status()), str(wrong.value), caplog.text]
            assert not [text for text in texts if token in text or SECRET in text]
            # A copy in this process is given the same token.
            with pickle.loads(pickle.dumps(store)) as copy:
                copy.refresh()
                assert copy.select() == own.select()
            with open_store(served.folder) as writer:
                writer.admin.revoke_token("laptop")
            with pytest.raises(TokenError, match="does not accept"):
                store.refresh()


def test_a_token_comes_from_a_file_that_only_the_user_can_read(served: Served) -> None:
    with open_store(served.folder) as own:
        token = own.admin.add_token("laptop").secret
    options = ServerOptions(require_token=True, shutdown_s=2)
    with open_store(served.folder, read_only=True) as own, serving(own, options) as url:
        file = tokens_file()
        file.parent.mkdir(parents=True)
        file.write_text(f'"{url}" = "{token}"\n')
        file.chmod(0o644)
        with pytest.raises(InputError, match="others can read the tokens"):
            open_store(url)
        file.chmod(0o600)
        with open_store(url) as store:
            assert store.select()


@pytest.mark.parametrize(
    ("address", "token", "problem"),
    [
        ("http://lab.example/bsv", None, "is not encrypted"),
        ("http://lab.example/bsv", SECRET, "without encryption"),
        (f"https://me:{SECRET}@lab.example/bsv", None, "user name or password"),
        ("https://lab.example/bsv?x=1", None, "must be an http or https address"),
        ("https://lab.example/bsv", "two words", "is not valid"),
    ],
)
def test_an_unsafe_address_or_token_is_refused(address: str, token: str | None, problem: str) -> None:
    with pytest.raises(InputError, match=problem) as caught:
        open_store(address, token=token)
    assert SECRET not in str(caught.value)


def test_the_environment_and_the_command_line_name_a_server(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BSV_STORE", served.url)
    with open_store() as store:
        assert (store.url, store.origin) == (served.url, "BSV_STORE")
    with open_store(Path(served.url)) as store:
        assert store.url == served.url
    with pytest.raises(InputError, match="is for stores on servers"):
        open_store(served.folder, token=SECRET)


# -- damage, kills, processes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", ["catalog-*.db", "unionizes-*.db", "state.json"])
def test_a_damaged_copy_is_downloaded_again(served: Served, pattern: str) -> None:
    with open_store(served.url) as store:
        expected = rows(store)
    flip(only(served.mirror, pattern))
    with open_store(served.url) as store:
        pd.testing.assert_frame_equal(rows(store), expected)
    with open_store(served.url) as store:
        served.new_requests()
        pd.testing.assert_frame_equal(rows(store), expected)
        assert served.new_requests() == []


@pytest.mark.parametrize(
    ("pattern", "read"), [("catalog-*.db", lambda store: store.experiments()), ("unionizes-*.db", rows)]
)
def test_a_copy_that_is_damaged_while_it_is_open_is_replaced_after_the_error(
    served: Served, pattern: str, read: Callable[[Store], pd.DataFrame]
) -> None:
    with open_store(served.url) as store:
        expected = read(store)
    with open_store(served.url) as store:
        # So that the connection has the file open, but not all pages in memory.
        store.catalog.unionizes(Selection(ids=store.select()[:1]))
        file = only(served.mirror, pattern)
        times = file.stat()
        with file.open("r+b") as opened:
            # All pages but the first, as a disk would: the times of the file stay.
            opened.seek(4096)
            opened.write(b"\xaa" * (times.st_size - 4096))
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
        with pytest.raises(DamagedCatalogError):
            read(store)
        pd.testing.assert_frame_equal(read(store), expected)


def test_verifying_the_cache_finds_damaged_copies(served: Served) -> None:
    with open_store(served.url) as store:
        rows(store)
    assert verify_cache().findings == ()
    damaged = {only(served.mirror, pattern) for pattern in ("catalog-*.db", "unionizes-*.db")}
    for copy in damaged:
        flip(copy)
    assert {each.path for each in verify_cache(discard_damaged=True).findings} == damaged
    assert not any(copy.exists() for copy in damaged)


def test_a_damaged_partial_download_starts_over(served: Served) -> None:
    with open_store(served.url) as store:
        (served.mirror / "unionizes.part").write_bytes(b"no database" * 1000)
        (served.mirror / "unionizes.part-journal").write_bytes(b"of another database" * 1000)
        assert len(rows(store))
    assert not list(served.mirror.glob("*.part*"))


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE unionize SET projection_energy = projection_energy + 1 WHERE experiment_id IN (SELECT experiment_id"
        " FROM held LIMIT 1)",
        "UPDATE unionize SET projection_energy = 'text' WHERE id IN (SELECT id FROM unionize LIMIT 1)",
        "DELETE FROM unionize WHERE experiment_id IN (SELECT experiment_id FROM held LIMIT 1)",
        "UPDATE unionize_seal SET hashes = x'00'",
        "DROP TABLE unionize_seal",
        "ALTER TABLE held RENAME COLUMN part TO half",
    ],
)
def test_damaged_rows_of_a_killed_process_are_downloaded_again(served: Served, damage: str) -> None:
    with Child(read_everything, served.url, 3, kill_at="mirror:pack-stored@2") as child:
        child.communicate(60)
    with contextlib.closing(sqlite3.connect(served.mirror / "unionizes.part")) as driver, driver:
        driver.execute(damage)
    with open_store(served.url) as store, open_store(served.folder, read_only=True) as own:
        pd.testing.assert_frame_equal(rows(store), rows(own))


def test_any_damage_of_the_state_is_noticed(served: Served) -> None:
    open_store(served.url).close()
    state = served.mirror / "state.json"
    for damaged in ('{"state": []}', "[]", "", state.read_text().replace('"store_id": "', '"store_id": "0')):
        state.write_text(damaged)
        with open_store(served.url) as store:
            assert store.select()


def test_a_replaced_copy_stays_for_processes_that_still_read_it(served: Served) -> None:
    with open_store(served.url), contextlib.closing(open_store(served.url)) as other:
        (before,) = served.mirror.glob("catalog-*.db")
        os.utime(before, (1, 1))
        with open_store(served.folder) as own:
            first, *_ = own.select()
            own.catalog.exclude([first], reason="for a new state")
        open_store(served.url).close()
        assert before.exists()
        before.unlink()
        assert first not in other.select()


def test_a_cache_that_cannot_be_written_can_be_read(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_store(served.url) as store:
        expected = rows(store)

    def refused(_folder: Path, _state: MirrorState) -> MirrorState:
        raise ReadOnlyStoreError("read-only file system")

    monkeypatch.setattr(mirror, "write_state", refused)
    with open_store(served.url) as store:
        pd.testing.assert_frame_equal(rows(store), expected)


@pytest.mark.parametrize(
    ("number", "error", "hint"),
    [
        (13, ReadOnlyStoreError, "Choose another folder: export BSV_STORE_CACHE=FOLDER"),
        (28, NoSpaceError, "bsv-store cache prune --max-bytes 5GB --apply"),
    ],
)
def test_errors_of_a_full_or_read_only_cache_say_what_to_do(
    served: Served, monkeypatch: pytest.MonkeyPatch, number: int, error: type[BsvStoreError], hint: str
) -> None:
    real, allowed = os.open, [0]

    def refused(path: Any, flags: int, *mode: int, **options: Any) -> int:
        if str(path).endswith(".lock"):
            allowed[0] -= 1
            if allowed[0] < 0:
                raise OSError(number, os.strerror(number))
        return real(path, flags, *mode, **options)

    # The lock of each download is the first file that it makes.
    monkeypatch.setattr("bsv_store.remote.locks.os.open", refused)
    with pytest.raises(error) as caught:
        open_store(served.url)
    assert hint in str(caught.value.hint)
    allowed[0] = 1
    with open_store(served.url) as store:
        assert store.select()
        with pytest.raises(error) as caught:
            rows(store)
        assert hint in str(caught.value.hint)


@pytest.mark.parametrize(
    "point",
    [
        "mirror:downloaded",
        "mirror:prepared",
        "mirror:renamed",
        "mirror:taken-over",
        "mirror:pack-checked@2",
        "mirror:pack-stored@2",
        "mirror:rows-complete",
    ],
)
def test_after_a_kill_the_next_process_continues(served: Served, point: str) -> None:
    with Child(read_everything, served.url, 3, kill_at=point) as child:
        child.communicate(60)
        assert child.returncode == -9
    with open_store(served.url) as store, open_store(served.folder, read_only=True) as own:
        served.new_requests()
        pd.testing.assert_frame_equal(rows(store), rows(own))
        if point == "mirror:pack-stored@2":
            (address,) = [each for each in served.asked if "unionizes" in each]
            assert len(address.partition("=")[2].split(",")) == EXPERIMENTS - 6
    assert not [file for file in served.mirror.iterdir() if file.name == "unionizes.part"]


def test_processes_that_open_it_at_once_download_it_once(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    copy, packs = catalog_copies.CatalogCopies.open, Catalog.stored_unionizes

    def counted_copy(*arguments: Any, **options: Any) -> Any:
        sent.append("catalog")
        return copy(*arguments, **options)

    def counted_pack(*arguments: Any) -> Any:
        sent.append("pack")
        return packs(*arguments)

    monkeypatch.setattr(catalog_copies.CatalogCopies, "open", counted_copy)
    monkeypatch.setattr(Catalog, "stored_unionizes", counted_pack)
    with contextlib.ExitStack() as stack:
        children = [stack.enter_context(Child(read_everything, served.url, 3)) for _ in range(4)]
        said = [child.communicate(120) for child in children]
    with open_store(served.folder, read_only=True) as own:
        assert [out for out, _ in said] == [str(len(rows(own)))] * 4, said
    assert sorted(sent) == ["catalog", "pack", "pack", "pack"]

"""Whether the server lives, is ready, and what it counts; stores that change while it runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests
from sqlalchemy import text
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from bsv_store import create_store, open_store
from bsv_store.catalog.database import schema
from bsv_store.errors import BusyError
from bsv_store.server import operations
from bsv_store.server.context import context_of
from bsv_store.server.metrics import ServerMetrics, forget_requests
from tests.server.serving import serving

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from bsv_store import Store


def _snapshots(request: Request) -> Response:
    return PlainTextResponse(str(len(context_of(request).store.catalog.snapshots())))


def _tokens(request: Request) -> Response:
    return PlainTextResponse(str(len(context_of(request).store.admin.tokens())))


def _broken(request: Request) -> Response:
    with context_of(request).store.database.reading() as connection:
        return PlainTextResponse(str(connection.execute(text("SELECT count(*) FROM no_such_table")).scalar()))


@pytest.fixture(autouse=True)
def _routes(monkeypatch: pytest.MonkeyPatch) -> None:
    more = [Route("/snapshots", _snapshots), Route("/tokens", _tokens), Route("/broken", _broken)]
    monkeypatch.setattr(operations, "ROUTES", [*operations.ROUTES, *more])
    monkeypatch.setattr("bsv_store.server.watched_store._INTERVAL_S", 0.0)


@pytest.fixture
def served(store: Store) -> Iterator[Store]:
    with open_store(store.path, read_only=True) as opened:
        yield opened


def status(url: str) -> int:
    return requests.get(url, timeout=20).status_code


def test_it_lives_and_is_ready(served: Store) -> None:
    with serving(served) as url:
        for path, said in (("health", "alive"), ("ready", "ready")):
            reply = requests.get(f"{url}/{path}", timeout=20)
            assert (reply.status_code, reply.json()) == (200, {"status": said})
            assert reply.headers["cache-control"] == "no-store"
            assert requests.head(f"{url}/{path}", timeout=20).status_code == 200


def test_a_schema_that_is_changed_meanwhile_is_refused(store: Store, served: Store) -> None:
    with serving(served) as url:
        assert status(f"{url}/snapshots") == 200
        schema.downgrade(store.database, "0018")
        for path in ("snapshots", "ready", "broken"):
            reply = requests.get(f"{url}/{path}", timeout=20)
            assert (reply.status_code, reply.json()["code"]) == (503, "SchemaTooOldError"), path
            assert "revision 0018" in reply.json()["detail"]
            assert int(reply.headers["retry-after"]) > 0
            assert str(served.path) not in reply.text
        assert status(f"{url}/health") == 200
        schema.upgrade(store.database)
        assert status(f"{url}/snapshots") == status(f"{url}/ready") == 200


def test_a_store_that_is_gone_is_refused_until_it_is_back(store: Store, served: Store) -> None:
    away = store.path.with_name("away")
    with serving(served) as url:
        store.path.rename(away)
        for path in ("snapshots", "ready"):
            assert requests.get(f"{url}/{path}", timeout=20).json()["status"] == 503
        away.rename(store.path)
        assert status(f"{url}/ready") == status(f"{url}/snapshots") == 200


def test_another_store_in_the_folder_is_refused(served: Store, tmp_path: Path) -> None:
    with serving(served) as url:
        shutil.rmtree(served.path)
        create_store(served.path).close()
        reply = requests.get(f"{url}/snapshots", timeout=20)
        assert (reply.status_code, reply.json()["code"]) == (503, "StoreMismatchError")
        assert reply.json()["hint"] == "Restart the server."


def test_a_catalog_that_is_replaced_is_read_from_the_new_file(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    create_store(folder).close()
    with open_store(folder, read_only=True) as store, serving(store) as url:
        assert requests.get(f"{url}/tokens", timeout=20).text == "0"
        shutil.copytree(folder, tmp_path / "copy")
        with open_store(tmp_path / "copy") as copy:
            copy.admin.add_token("a")
        (tmp_path / "copy" / "catalog.db").replace(folder / "catalog.db")
        assert requests.get(f"{url}/tokens", timeout=20).text == "1"


def test_a_request_waits_for_a_locked_catalog_once(served: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    waits = 0

    def wait(_: object) -> None:
        nonlocal waits
        waits += 1
        raise BusyError("the catalog stayed locked")

    with serving(served) as url:
        monkeypatch.setattr(type(served), "check", wait)
        reply = requests.get(f"{url}/snapshots", timeout=20)
        assert (reply.status_code, reply.json()["code"], waits) == (503, "BusyError", 1)
        assert int(reply.headers["retry-after"]) > 0


def test_requests_are_counted_by_route_and_status(served: Store) -> None:
    with serving(served) as url:
        for path in ("health", "health", "x", "y", "snapshots"):
            status(f"{url}/{path}")
        reply = requests.get(f"{url}/metrics", timeout=20)
    assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = reply.text.splitlines()
    for line in (
        'bsv_store_server_requests_total{method="GET",route="/health",status="200"} 2',
        'bsv_store_server_requests_total{method="GET",route="other",status="404"} 2',
        'bsv_store_server_request_duration_seconds_bucket{route="/health",le="+Inf"} 2',
        'bsv_store_server_request_duration_seconds_count{route="/snapshots"} 1',
        "bsv_store_server_requests_in_progress 1",
        "bsv_store_up 1",
        "bsv_store_experiments 0",
    ):
        assert line in lines
    assert lines.count("# TYPE bsv_store_server_requests_total counter") == 1


def test_lookups_of_answers_are_counted(served: Store) -> None:
    with serving(served) as url:
        for _ in range(3):
            assert status(f"{url}/v1/criteria") == 200
        lines = requests.get(f"{url}/metrics", timeout=20).text.splitlines()
    assert 'bsv_store_server_cache_total{cache="answers",result="miss"} 1' in lines
    assert 'bsv_store_server_cache_total{cache="answers",result="hit"} 2' in lines


def test_the_counters_of_all_workers_are_added(tmp_path: Path) -> None:
    own = ServerMetrics(tmp_path)
    other = {
        "requests": [["GET", "/a", 200, 5]],
        "buckets": {"/a": [5] + [0] * 11, "/b": [0] * 11 + [1]},
        "seconds": {"/a": 0.5, "/b": 20.0},
        "bytes": 7,
        "cache": [["tiles", "hit", 2]],
        "errors": 1,
        "in_flight": 3,
    }
    (tmp_path / "999999999.json").write_text(json.dumps(other), encoding="utf-8")
    own.count_request("GET", "/a", 200, 0.005, 10)
    own.count_request("GET", "/a", 404, 0.3, 0)
    own.count_cache("tiles", hit=True)
    own.count_cache("tiles", hit=False)
    lines = own.exposition().splitlines()
    for line in (
        'requests_total{method="GET",route="/a",status="200"} 6',
        'requests_total{method="GET",route="/a",status="404"} 1',
        'request_duration_seconds_bucket{route="/a",le="0.005"} 6',
        'request_duration_seconds_bucket{route="/a",le="0.5"} 7',
        'request_duration_seconds_sum{route="/a"} 0.805',
        'request_duration_seconds_bucket{route="/b",le="10.0"} 0',
        'request_duration_seconds_bucket{route="/b",le="+Inf"} 1',
        "response_bytes_total 17",
        'cache_total{cache="tiles",result="hit"} 3',
        'cache_total{cache="tiles",result="miss"} 1',
        "errors_total 1",
        "requests_in_progress 3",
    ):
        assert f"bsv_store_server_{line}" in lines
    own.save()
    assert len(list(tmp_path.glob("*.json"))) == 2
    # The other worker is killed.
    forget_requests(tmp_path, 999999999)
    forget_requests(tmp_path, 999999998)
    lines = own.exposition().splitlines()
    assert "bsv_store_server_requests_in_progress 0" in lines
    assert "bsv_store_server_errors_total 1" in lines

from __future__ import annotations

import dataclasses
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from bsv_store.errors import InputError, NotFoundUpstreamError, UpstreamError
from bsv_store.sources.allen import API_URL, AllenClient
from bsv_store_synthetic import SyntheticAtlas, SyntheticServer
from tests.sources.bodies import array_of

ATLAS = SyntheticAtlas(experiments=3)
FIRST, SECOND, THIRD = ATLAS.experiment_ids


@pytest.fixture
def atlas() -> SyntheticAtlas:
    return ATLAS


@pytest.fixture
def client(server: SyntheticServer) -> Iterator[AllenClient]:
    with AllenClient(api_url=server.url, backoff_s=0) as opened:
        yield opened


def envelope(rows: list[dict[str, Any]], *, start_row: int, total_rows: int) -> bytes:
    return json.dumps(
        {
            "success": True,
            "id": 0,
            "start_row": start_row,
            "num_rows": len(rows),
            "total_rows": total_rows,
            "msg": rows,
        }
    ).encode()


# -- what comes back ----------------------------------------------------------------------------------------------


def test_structures_come_with_their_sets(client: AllenClient, server: SyntheticServer) -> None:
    reply = client.structures()
    assert reply.value.structures == ATLAS.structures
    assert reply.value.has_structure_sets
    assert server.requests.total == 1
    assert reply.source.startswith(f"{server.url}/api/v2/data/query.json?q=model::Structure")
    assert reply.size_bytes > 1000


def test_experiments_come_whole_with_the_day_they_are_of(client: AllenClient, server: SyntheticServer) -> None:
    reply = client.experiments(upstream_date=date(2020, 7, 1))
    assert [record.id for record in reply.value.experiments] == [FIRST, SECOND, THIRD]
    assert (reply.value.kind, reply.value.upstream_date) == ("api", date(2020, 7, 1))
    assert client.experiments().value.upstream_date is not None
    assert server.requests.total == 2


def test_unionizes_of_several_experiments_come_in_one_request(client: AllenClient, server: SyntheticServer) -> None:
    reply = client.unionizes([SECOND, FIRST, SECOND])
    assert reply.value.experiment_ids == (FIRST, SECOND)
    assert reply.value.parts == {"injection", "projection"}
    assert len(reply.value) == len(ATLAS.unionize(FIRST)) + len(ATLAS.unionize(SECOND))
    assert server.requests.total == 1
    assert reply.source == (
        f"{server.url}/api/v2/data/query.json?q=model::ProjectionStructureUnionize,rma::criteria,"
        f"%5Bsection_data_set_id$in{FIRST},{SECOND}%5D,rma::options%5Bnum_rows$eq%27all%27%5D"
    )


def test_projection_density_at_100_um_comes_as_the_zip(client: AllenClient, server: SyntheticServer) -> None:
    reply = client.volume(FIRST)
    assert reply.value.kind == "projection_density"
    np.testing.assert_array_equal(array_of(reply), ATLAS.volume(FIRST))
    assert reply.source == f"{server.url}/grid_data/download/{FIRST}?include=density"
    assert server.requests.lines == (f"GET /grid_data/download/{FIRST}?include=density",)


@pytest.mark.parametrize("on_disk", [False, True])
def test_other_kinds_come_as_nrrd(client: AllenClient, server: SyntheticServer, tmp_path: Path, on_disk: bool) -> None:
    scratch = tmp_path / "scratch" if on_disk else None
    reply = client.volume(FIRST, kind="injection_density", scratch=scratch)
    np.testing.assert_array_equal(array_of(reply), ATLAS.volume(FIRST, "injection_density"))
    assert server.requests.lines == (f"GET /grid_data/download_file/{FIRST}?image=injection_density&resolution=100",)
    if scratch is not None:
        assert scratch.stat().st_size == reply.size_bytes


def test_another_spacing_comes_as_nrrd(client: AllenClient, server: SyntheticServer) -> None:
    assert client.volume(FIRST, spacing_um=50).value.grid.spacing_um == 50
    assert server.requests.count("image=projection_density&resolution=50") == 1


def test_bytes_are_counted_as_they_arrive(client: AllenClient) -> None:
    counted: list[int] = []
    reply = client.volume(FIRST, on_bytes=counted.append)
    assert sum(counted) == reply.size_bytes


def test_one_client_serves_many_threads(client: AllenClient, server: SyntheticServer) -> None:
    found: list[tuple[int, ...]] = []
    threads = [
        threading.Thread(target=lambda: found.append(client.unionizes([FIRST]).value.experiment_ids)) for _ in "1234"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [(FIRST,)] * 4


def test_requests_say_who_asks(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/grid_data/download/5").respond_with_data(status=404)
    with AllenClient(api_url=httpserver.url_for("")) as client, pytest.raises(NotFoundUpstreamError):
        client.volume(5)
    assert httpserver.log[0][0].headers["User-Agent"].startswith("bsv-store/")


# -- where it asks ------------------------------------------------------------------------------------------------


def test_the_address_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with AllenClient() as client:
        assert client.api_url == API_URL
    monkeypatch.setenv("BSV_STORE_API_URL", "http://127.0.0.1:1/mirror/")
    with AllenClient() as client:
        assert client.api_url == "http://127.0.0.1:1/mirror"
    with AllenClient(api_url="https://example.org") as client:
        assert client.api_url == "https://example.org"


@pytest.mark.parametrize("url", ["", "api.brain-map.org", "ftp://a.b", "http://", "http://a.b:port", "http://a.b/?q=1"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InputError, match="must be an http or https address"):
        AllenClient(api_url=url)


@pytest.mark.parametrize("wrong", [{"attempts": 0}, {"read_timeout_s": 0}, {"backoff_s": -1}, {"connections": 0}])
def test_senseless_patience_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        AllenClient(**wrong)


def test_no_experiment_is_nothing_to_ask_for(client: AllenClient, server: SyntheticServer) -> None:
    with pytest.raises(InputError):
        client.unionizes([])
    with pytest.raises(InputError, match="spacing"):
        client.volume(FIRST, spacing_um=30)
    assert server.requests.total == 0


# -- what upstream does not have, or gets wrong -------------------------------------------------------------------


def test_an_unknown_experiment_is_not_found(client: AllenClient, server: SyntheticServer) -> None:
    with pytest.raises(NotFoundUpstreamError, match=r"experiment 7: .*404"):
        client.volume(7)
    with pytest.raises(NotFoundUpstreamError, match="unionize rows of experiment 7"):
        client.unionizes([7])
    assert server.requests.total == 2


def test_unionizes_of_an_unknown_experiment_are_absent_beside_others(client: AllenClient) -> None:
    assert client.unionizes([7, FIRST]).value.experiment_ids == (FIRST,)


class Paged:
    """Answers a model query page by page, whatever number of rows is asked for."""

    def __init__(self, rows: list[dict[str, Any]], size: int, change: Callable[[dict[str, Any]], None] | None = None):
        self.rows, self.size, self.change = rows, size, change
        self.starts: list[int] = []

    def __call__(self, request: Request) -> Response:
        query = request.args["q"]
        start = int(query.partition("start_row$eq")[2].partition("]")[0] or 0)
        self.starts.append(start)
        page = json.loads(envelope(self.rows[start : start + self.size], start_row=start, total_rows=len(self.rows)))
        if self.change is not None:
            self.change(page)
        return Response(json.dumps(page), content_type="application/json")


def unionize_rows(experiment_id: int) -> list[dict[str, Any]]:
    return [dataclasses.asdict(row) for row in ATLAS.unionize(experiment_id)]


def asked_in_pages(httpserver: HTTPServer, paged: Paged) -> AllenClient:
    httpserver.expect_request("/api/v2/data/query.json").respond_with_handler(paged)
    return AllenClient(api_url=httpserver.url_for(""), backoff_s=0)


def test_pages_are_asked_for_until_the_count_fits(httpserver: HTTPServer) -> None:
    rows = unionize_rows(FIRST)
    paged = Paged(rows, size=50)
    with asked_in_pages(httpserver, paged) as client:
        assert len(client.unionizes([FIRST]).value) == len(rows)
    assert paged.starts == list(range(0, len(rows), 50))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda page: page.update(msg=page["msg"] if page["start_row"] == 0 else []), "incomplete or repeated pages"),
        (lambda page: page.update(total_rows=page["total_rows"] + page["start_row"]), "changed between pages"),
        (lambda page: page.update(start_row=0), "the reply starts at row 0, but row 50 was requested"),
    ],
    ids=["empty", "growing", "same page again"],
)
def test_pages_that_do_not_fit_together_are_refused(
    httpserver: HTTPServer, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    with (
        asked_in_pages(httpserver, Paged(unionize_rows(FIRST), size=50, change=change)) as client,
        pytest.raises(UpstreamError, match=message),
    ):
        client.unionizes([FIRST])


def test_repeated_rows_are_not_taken_for_new_ones(httpserver: HTTPServer) -> None:
    rows = unionize_rows(FIRST)
    rows = rows[:50] + rows[:50]
    with (
        asked_in_pages(httpserver, Paged(rows, size=50)) as client,
        pytest.raises(UpstreamError, match="repeated pages"),
    ):
        client.unionizes([FIRST])


def test_paging_ends_even_if_the_server_never_does(httpserver: HTTPServer) -> None:
    def endless(page: dict[str, Any]) -> None:
        page["msg"] = [{"id": page["start_row"]}]
        page["total_rows"] = 10**9

    paged = Paged([], size=1, change=endless)
    with (
        asked_in_pages(httpserver, paged) as client,
        pytest.raises(UpstreamError, match="incomplete or repeated pages"),
    ):
        client.unionizes([FIRST])
    assert len(paged.starts) == 200


def test_rows_of_another_experiment_are_refused(httpserver: HTTPServer) -> None:
    with (
        asked_in_pages(httpserver, Paged(unionize_rows(SECOND), size=10_000)) as client,
        pytest.raises(UpstreamError, match=f"rows of experiment {SECOND}, which was not requested"),
    ):
        client.unionizes([FIRST])


def test_rows_that_the_reader_refuses_are_not_asked_for_again(httpserver: HTTPServer) -> None:
    rows = unionize_rows(FIRST)
    del rows[3]["sum_pixels"]
    paged = Paged(rows, size=10_000)
    with asked_in_pages(httpserver, paged) as client, pytest.raises(UpstreamError, match="is missing 'sum_pixels'"):
        client.unionizes([FIRST])
    assert len(paged.starts) == 1


def test_extra_keys_are_accepted(httpserver: HTTPServer) -> None:
    rows = [{**row, "brand_new": [1]} for row in unionize_rows(FIRST)]
    with asked_in_pages(httpserver, Paged(rows, size=10_000, change=lambda page: page.update(more=1))) as client:
        assert client.unionizes([FIRST]).value.experiment_ids == (FIRST,)


def test_compressed_lists_are_read(httpserver: HTTPServer) -> None:
    import gzip

    rows = unionize_rows(FIRST)
    body = gzip.compress(envelope(rows, start_row=0, total_rows=len(rows)))
    httpserver.expect_request("/api/v2/data/query.json").respond_with_data(
        body, content_type="application/json", headers={"Content-Encoding": "gzip"}
    )
    with AllenClient(api_url=httpserver.url_for("")) as client:
        assert len(client.unionizes([FIRST]).value) == len(rows)


# -- after a fork --------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.parametrize("how", ["deadline", "abort"])
def test_a_forked_process_leaves_the_transfers_of_its_parent_alone(
    client: AllenClient, server: SyntheticServer, how: str
) -> None:
    """The process is forked in the middle of a transfer, by the thread that makes it."""
    children: list[int] = []

    def fork(count: int) -> None:
        if count == 0 or children:
            return
        child = os.fork()
        if child == 0:
            status = 1
            try:
                connections = client._transfer._connections
                assert connections is not None
                if how == "abort":
                    client.abort()
                else:
                    with connections.limited(0.0):
                        time.sleep(0.3)
                status = 0
            finally:
                os._exit(status)
        children.append(os.waitpid(child, 0)[1])

    reply = client.volume(FIRST, kind="projection_density", spacing_um=100, on_bytes=fork)
    np.testing.assert_array_equal(array_of(reply), ATLAS.volume(FIRST))
    assert children == [0]
    assert server.requests.total == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_process_makes_its_own_requests_whatever_its_parent_holds(
    client: AllenClient, server: SyntheticServer
) -> None:
    client.volume(FIRST, kind="projection_density", spacing_um=100)
    transfer = client._transfer
    assert transfer._connections is not None
    # As if another thread held them at the moment of the fork.
    with transfer._lock, transfer._connections._lock, transfer._gate._changed:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                signal.alarm(30)
                client.volume(SECOND, kind="projection_density", spacing_um=100)
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
    client.volume(THIRD, kind="projection_density", spacing_um=100)
    assert server.requests.total == 3

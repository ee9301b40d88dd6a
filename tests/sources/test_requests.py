"""What is requested, where, and how replies in several pages or compressed ones are put together."""

from __future__ import annotations

import gzip
import json
import re
import socket
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from bsv_store.errors import InputError, NothingDownloadedError, UnreachableUpstreamError, UpstreamError
from bsv_store.server.allen.messages import JSON, Request
from bsv_store_synthetic import SyntheticServer, wire_volumes
from bsv_store_synthetic.faults import Fault, MakeReply, Status
from bsv_store_synthetic.replies import Reply
from tests.acquisition.stored import count, reason_of_failure
from tests.catalogs import ATLAS
from tests.error_texts import every_text
from tests.sources.altered import Altered, in_pages

if TYPE_CHECKING:
    from bsv_store import Store

FIRST, SECOND = ATLAS.experiment_ids[:2]
ROWS = len(ATLAS.unionize(FIRST))
SECRET = "hunter2-secret"


# -- addresses ----------------------------------------------------------------------------------------------------


def test_each_object_is_requested_once_at_its_address(catalog: Store, server: SyntheticServer) -> None:
    catalog.sync_structures(api_url=server.url)
    catalog.sync_experiments(api_url=server.url)
    assert catalog.sync_unionizes([SECOND, FIRST, SECOND], api_url=server.url).fetched == (FIRST, SECOND)
    density = catalog.fetch([FIRST], api_url=server.url)
    catalog.fetch([FIRST], kind="injection_density", api_url=server.url)
    server.fail("resolution=50", Status(404))
    with pytest.raises(NothingDownloadedError):
        catalog.fetch([FIRST], spacing_um=50, api_url=server.url)
    query = "GET /api/v2/data/query.json?q=model::"
    assert server.requests.lines == (
        f"{query}Structure,rma::criteria,%5Bgraph_id$in1%5D,rma::include,structure_sets,"
        "rma::options%5Border$eqstructures.graph_order%5D%5Bnum_rows$eq%27all%27%5D",
        f"{query}ApiConnectivity,rma::options%5Bnum_rows$eq%27all%27%5D",
        f"{query}ProjectionStructureUnionize,rma::criteria,%5Bsection_data_set_id$in{FIRST},{SECOND}%5D,"
        "rma::options%5Bnum_rows$eq%27all%27%5D",
        # The file that Brain Street View downloads; all others are those of AllenSDK.
        f"GET /grid_data/download/{FIRST}?include=density",
        f"GET /grid_data/download_file/{FIRST}?image=injection_density&resolution=100",
        f"GET /grid_data/download_file/{FIRST}?image=projection_density&resolution=50",
    )
    assert all(request.headers["user-agent"].startswith("bsv-store/") for request in server.requests.all)
    assert density.downloaded_bytes == len(wire_volumes.grid_zip(ATLAS, FIRST, ("density",)))
    np.testing.assert_array_equal(catalog.volume(FIRST), ATLAS.volume(FIRST))
    np.testing.assert_array_equal(
        catalog.volume(FIRST, kind="injection_density"), ATLAS.volume(FIRST, "injection_density")
    )
    assert count(catalog, "unionize") == sum(len(ATLAS.unionize(i)) for i in (FIRST, SECOND))
    # The list of experiments is of the day on which it was requested.
    assert {each.upstream_date for each in catalog.catalog.snapshots()} == {datetime.now(UTC).date()}


def test_the_address_is_an_argument_or_in_the_environment(
    catalog: Store, server: SyntheticServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BSV_STORE_API_URL", f"{server.url}/")
    catalog.sync_experiments()
    assert server.requests.all[0].target.startswith("/api/")
    monkeypatch.setenv("BSV_STORE_API_URL", "http://127.0.0.1:1/mirror")
    catalog.sync_experiments(api_url=server.url)
    assert server.requests.total == 2


def test_by_default_the_address_is_allens(catalog: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    for sync, host in (
        (catalog.sync_experiments, "api.brain-map.org"),
        (catalog.sync_annotation, "download.alleninstitute.org"),
    ):
        with pytest.raises(UnreachableUpstreamError) as caught:
            sync()
        assert caught.value.reason == f"{host} cannot be reached: the name could not be resolved"


@pytest.mark.parametrize(
    "url",
    [
        *("", "api.brain-map.org", "ftp://a.b", "http://", "http://a.b:port", "http://a.b/?q=1"),
        # Characters that cannot be sent.
        *("http://a\x00b", "http://caf\udce9", "http://a\nb", f"http://{'a' * 70}.org", 7),
    ],
)
def test_what_is_not_an_address_is_refused(catalog: Store, url: Any) -> None:
    with pytest.raises(InputError, match="the address of the Allen API"):
        catalog.sync_experiments(api_url=url)


@pytest.mark.parametrize("variable", ["BSV_STORE_API_URL", "BSV_STORE_DOWNLOAD_URL", None])
def test_an_address_with_a_password_is_refused_without_being_shown(
    catalog: Store, monkeypatch: pytest.MonkeyPatch, variable: str | None
) -> None:
    for url in (
        f"https://me:{SECRET}@mirror.org",
        f"https://{SECRET}@mirror.org/path",
        f"https://mirror.org/?key={SECRET}",
        f"https://mirror.org/#{SECRET}",
        f"https:me:{SECRET}@mirror.org",
        f"https://me:{SECRET}%40mirror.org",
    ):
        if variable is not None:
            monkeypatch.setenv(variable, url)
        with pytest.raises(InputError, match="the address of") as caught:
            catalog.sync_experiments(api_url=url if variable is None else None)
        assert SECRET not in every_text(caught.value), url


@pytest.mark.parametrize("wrong", [{"attempts": 0}, {"read_timeout_s": 0}, {"backoff_s": -1}, {"connections": 0}])
def test_invalid_limits_are_refused(catalog: Store, patience: Callable[..., None], wrong: dict[str, float]) -> None:
    patience(**wrong)
    with pytest.raises(InputError, match="must be positive, attempts and connections at least 1"):
        catalog.sync_experiments()


# -- pages --------------------------------------------------------------------------------------------------------


def start_of(request: Request) -> int:
    """The first row of a requested page."""
    match = re.search(r"start_row\$eq(\d+)", request.target)
    return 0 if match is None else int(match[1])


def test_pages_are_requested_until_all_rows_have_come(catalog: Store, server: SyntheticServer) -> None:
    server.fail("Unionize", in_pages(50), times=None)
    assert catalog.sync_unionizes([FIRST], api_url=server.url).rows == ROWS
    assert count(catalog, "unionize") == ROWS
    assert list(map(start_of, server.requests.all)) == list(range(0, ROWS, 50))


def repeating() -> Callable[[dict[str, Any]], None]:
    """The rows of the first page again in the second, which seem to be all."""
    first: list[dict[str, Any]] = []

    def change(page: dict[str, Any]) -> None:
        first.extend([] if first else page["msg"])
        page.update(msg=list(first), total_rows=2 * len(first))

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda page: page.update(msg=page["msg"] if page["start_row"] == 0 else []), "incomplete or repeated pages"),
        (lambda page: page.update(total_rows=page["total_rows"] + page["start_row"]), "changed between pages"),
        (lambda page: page.update(start_row=0), "the reply starts at row 0, but row 50 was requested"),
        (repeating(), "repeated pages"),
    ],
    ids=["empty", "growing", "same page again", "same rows again"],
)
def test_pages_that_do_not_fit_together_are_refused(
    catalog: Store, server: SyntheticServer, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    server.fail("Unionize", in_pages(50, change), times=None)
    assert message in reason_of_failure(lambda: catalog.sync_unionizes([FIRST], api_url=server.url))
    assert count(catalog, "unionize") == 0


class Endless(Fault):
    """One row of very many."""

    def apply(self, request: Request, make: MakeReply) -> Reply:
        start = start_of(request)
        counts = {"start_row": start, "num_rows": 1, "total_rows": 10**9}
        return Reply(200, json.dumps({"success": True, "id": 0, **counts, "msg": [{"id": start}]}).encode(), JSON)


def test_paging_ends_even_if_the_server_never_does(catalog: Store, server: SyntheticServer) -> None:
    server.fail("ApiConnectivity", Endless(), times=None)
    with pytest.raises(UpstreamError, match="incomplete or repeated pages"):
        catalog.sync_experiments(api_url=server.url)
    assert server.requests.total == 200


# -- compressed lists ---------------------------------------------------------------------------------------------


def encoded(encode: Callable[[bytes], bytes], encoding: str = "gzip") -> Altered:
    """The correct body, encoded, with the encoding in the headers."""
    return Altered(lambda reply: replace(reply, body=encode(reply.body), headers=(("Content-Encoding", encoding),)))


def in_two_members(body: bytes) -> bytes:
    return gzip.compress(body[:5000]) + gzip.compress(body[5000:])


def test_compressed_lists_are_read(catalog: Store, server: SyntheticServer) -> None:
    server.fail("Unionize", encoded(in_two_members))
    assert catalog.sync_unionizes([FIRST], api_url=server.url).rows == ROWS
    assert server.requests.all[0].headers["accept-encoding"] == "gzip"


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (encoded(lambda body: gzip.compress(body)[:-20]), "the compressed body is truncated"),
        (encoded(lambda body: (packed := gzip.compress(body))[:100] + b"xxxx" + packed[104:]), "is not valid gzip"),
        (encoded(lambda body: body, "br"), "the encoding 'br', which was not requested"),
    ],
    ids=["cut", "damaged", "brotli"],
)
def test_what_cannot_be_decompressed_is_refused(
    catalog: Store, server: SyntheticServer, fault: Fault, message: str
) -> None:
    server.fail("model::ApiConnectivity", fault, times=None)
    with pytest.raises(UpstreamError, match=message):
        catalog.sync_experiments(api_url=server.url)

"""A body that was cut is continued where it was cut, if it is certain that the rest belongs to it."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from bsv_store_synthetic import SyntheticServer, wire_volumes
from bsv_store_synthetic.faults import CutChunks, Fault, IgnoreRange, Truncate, WrongLength, WrongRange
from bsv_store_synthetic.replies import LAST_MODIFIED, Reply
from tests.catalogs import ATLAS
from tests.sources.altered import Altered

if TYPE_CHECKING:
    from bsv_store import Store

FIRST = ATLAS.experiment_ids[0]
VOLUME = f"/grid_data/download/{FIRST}"


def ranges(server: SyntheticServer) -> list[str | None]:
    return [request.headers.get("range") for request in server.requests.all]


def check_fetched(store: Store, server: SyntheticServer, expected: list[str | None]) -> int:
    """The volume arrives whole after requests for these ranges; returns the number of bytes that came."""
    server.requests.clear()
    report = store.fetch([FIRST], refresh=True, api_url=server.url)
    np.testing.assert_array_equal(store.volume(FIRST), ATLAS.volume(FIRST))
    assert report.fetched == (FIRST,)
    assert ranges(server) == expected
    return report.downloaded_bytes


def test_a_cut_body_is_continued_where_it_was_cut(catalog: Store, server: SyntheticServer) -> None:
    size_bytes = check_fetched(catalog, server, [None])
    server.fail(VOLUME, Truncate(1000), times=2)
    # No byte comes twice.
    assert check_fetched(catalog, server, [None, "bytes=1000-", "bytes=2000-"]) == size_bytes
    assert all(request.headers["if-range"].startswith('"') for request in server.requests.all[1:])


def test_a_date_is_used_if_there_is_no_tag(catalog: Store, server: SyntheticServer) -> None:
    headers = (("Last-Modified", LAST_MODIFIED),)
    server.fail(VOLUME, Altered(cut(headers)))
    server.fail(VOLUME, Altered(lambda reply: part(1000)(replace(reply, headers=headers))))
    check_fetched(catalog, server, [None, "bytes=1000-"])
    assert server.requests.all[1].headers["if-range"] == LAST_MODIFIED


def cut(headers: tuple[tuple[str, str], ...]) -> Callable[[Reply], Reply]:
    """The first thousand bytes with these headers."""
    return lambda reply: replace(reply, headers=headers, cut_after=1000)


def compressed(reply: Reply) -> Reply:
    headers = (*reply.headers, ("Content-Encoding", "gzip"))
    return replace(reply, body=gzip.compress(reply.body), headers=headers, cut_after=1000)


@pytest.mark.parametrize(
    "fault",
    [Altered(cut(())), Altered(cut((("ETag", 'W/"abc"'),))), CutChunks(1000), Altered(compressed)],
    ids=["no validator", "weak validator", "no length", "compressed"],
)
def test_nothing_is_continued_without_length_and_validator(
    catalog: Store, server: SyntheticServer, fault: Fault
) -> None:
    server.fail(VOLUME, fault)
    check_fetched(catalog, server, [None, None])


def test_lists_start_again(catalog: Store, server: SyntheticServer) -> None:
    server.fail("ApiConnectivity", Altered(lambda reply: replace(reply, headers=(("ETag", '"a"'),), cut_after=100)))
    catalog.sync_experiments(api_url=server.url)
    assert ranges(server) == [None, None]


@pytest.mark.parametrize("more", [0, 500_000])
def test_a_whole_reply_replaces_what_had_arrived(catalog: Store, server: SyntheticServer, more: int) -> None:
    """Even if it is shorter. An NRRD file must not have bytes before or after it."""

    def former(reply: Reply) -> Reply:
        body = reply.body + bytes(more)
        return replace(reply, body=body, headers=(("ETag", '"former"'),), cut_after=len(body) - 1000)

    server.fail("image=injection_density", Altered(former))
    catalog.fetch([FIRST], kind="injection_density", api_url=server.url)
    volume = catalog.volume(FIRST, kind="injection_density")
    np.testing.assert_array_equal(volume, ATLAS.volume(FIRST, "injection_density"))
    size_bytes = len(wire_volumes.grid_nrrd(ATLAS, FIRST, "injection_density", 100))
    assert ranges(server) == [None, f"bytes={size_bytes + more - 1000}-"]


def test_a_server_that_ignores_ranges_is_read_from_the_start(catalog: Store, server: SyntheticServer) -> None:
    server.fail(VOLUME, Truncate(1000))
    server.fail(VOLUME, IgnoreRange(), times=None)
    check_fetched(catalog, server, [None, "bytes=1000-"])


def test_a_length_beyond_the_end_is_survived_by_asking_for_all_again(catalog: Store, server: SyntheticServer) -> None:
    server.fail(VOLUME, WrongLength(100))
    size_bytes = len(wire_volumes.grid_zip(ATLAS, FIRST, ("density",)))
    # The second asks for the part that is not there: 416.
    check_fetched(catalog, server, [None, f"bytes={size_bytes}-", None])


def part(first: int, last: int = -1, total: int | str | None = None) -> Callable[[Reply], Reply]:
    """A reply 206 with the bytes from 1000 on, whatever its headers say about them.

    ``last`` counts from the end, and ``total`` is the correct number by default.
    """

    def alter(reply: Reply) -> Reply:
        size_bytes = len(reply.body)
        stated = f"bytes {first}-{size_bytes + last}/{size_bytes if total is None else total}"
        headers = (*reply.headers, ("Content-Range", stated))
        return replace(reply, status=206, body=reply.body[1000:], headers=headers)

    return alter


@pytest.mark.parametrize(
    "alter",
    [
        lambda reply: replace(reply, status=206, body=reply.body[1000:]),
        part(1007),
        part(1000, total=10**6),
        part(1000, last=-2),
        part(1000, total="*"),
        lambda reply: part(1000)(replace(reply, headers=(("ETag", '"other"'),))),
    ],
    ids=["no range", "late", "other length", "not to the end", "unknown length", "other object"],
)
def test_a_part_that_does_not_fit_makes_all_start_again(
    catalog: Store, server: SyntheticServer, alter: Callable[[Reply], Reply]
) -> None:
    server.fail(VOLUME, Truncate(1000))
    server.fail(VOLUME, Altered(alter))
    check_fetched(catalog, server, [None, "bytes=1000-", None])


def test_a_part_that_is_another_than_it_says_is_noticed(catalog: Store, server: SyntheticServer) -> None:
    server.fail(VOLUME, Truncate(1000))
    server.fail(VOLUME, WrongRange(7, honest=False))
    check_fetched(catalog, server, [None, "bytes=1000-", None])


def test_a_part_that_was_not_requested_is_refused(catalog: Store, server: SyntheticServer) -> None:
    server.fail(VOLUME, Altered(lambda reply: replace(part(0)(reply), body=reply.body)))
    check_fetched(catalog, server, [None, None])


def test_a_body_without_a_length_is_whole_when_it_ends(catalog: Store, server: SyntheticServer) -> None:
    server.fail(VOLUME, Altered(lambda reply: replace(reply, chunked=True)))
    check_fetched(catalog, server, [None])

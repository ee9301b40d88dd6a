from __future__ import annotations

from io import BytesIO

import pytest

from bsv_store.sources.allen.resume import PartialBody

ETAG = '"abc"'
WHOLE = {"Content-Length": "10", "ETag": ETAG, "Accept-Ranges": "bytes"}


def cut_body(headers: dict[str, str], *, keep: bool = True) -> tuple[PartialBody, BytesIO]:
    """A body of which four bytes have arrived."""
    sink = BytesIO()
    body = PartialBody(sink)
    assert body.begin(200, headers, keep=keep) is None
    body.write(b"0123")
    return body, sink


def test_the_first_request_asks_for_all() -> None:
    assert PartialBody(BytesIO()).request_headers() == {}


def test_a_cut_body_is_asked_for_from_where_it_was_cut() -> None:
    body, _ = cut_body(WHOLE)
    assert body.is_short()
    assert body.request_headers() == {"Range": "bytes=4-", "If-Range": ETAG}


def test_a_date_is_used_if_there_is_no_tag() -> None:
    date = "Sat, 01 Jan 2022 00:00:00 GMT"
    body, _ = cut_body({"Content-Length": "10", "Last-Modified": date})
    assert body.request_headers()["If-Range"] == date


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Length": "10"},
        {"Content-Length": "10", "ETag": 'W/"abc"'},
        {"ETag": ETAG},
        {**WHOLE, "Content-Encoding": "gzip"},
    ],
    ids=["no validator", "weak validator", "no length", "compressed"],
)
def test_nothing_is_continued_without_length_and_validator(headers: dict[str, str]) -> None:
    body, _ = cut_body(headers)
    assert body.request_headers() == {}


def test_nothing_is_continued_unless_asked_to() -> None:
    body, _ = cut_body(WHOLE, keep=False)
    assert body.request_headers() == {}


def test_the_rest_is_appended() -> None:
    body, sink = cut_body(WHOLE)
    assert body.begin(206, {"Content-Range": "bytes 4-9/10", "ETag": ETAG}, keep=True) is None
    body.write(b"456789")
    assert not body.is_short()
    assert sink.getvalue() == b"0123456789"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Range": "bytes 5-9/10", "ETag": ETAG},
        {"Content-Range": "bytes 4-9/11", "ETag": ETAG},
        {"Content-Range": "bytes 4-8/10", "ETag": ETAG},
        {"Content-Range": "bytes 4-9/*", "ETag": ETAG},
        {"Content-Range": "bytes 4-9/10", "ETag": '"other"'},
    ],
    ids=["no range", "late", "other length", "not to the end", "unknown length", "other object"],
)
def test_a_part_that_does_not_fit_makes_all_start_again(headers: dict[str, str]) -> None:
    body, sink = cut_body(WHOLE)
    refusal = body.begin(206, headers, keep=True)
    assert refusal is not None
    assert "another part" in refusal
    assert sink.getvalue() == b""
    assert body.request_headers() == {}


def test_a_part_that_was_not_requested_is_refused() -> None:
    body = PartialBody(BytesIO())
    assert body.begin(206, {"Content-Range": "bytes 0-9/10", "ETag": ETAG}, keep=True) is not None


def test_a_whole_reply_replaces_what_had_arrived() -> None:
    body, sink = cut_body(WHOLE)
    assert body.begin(200, {"Content-Length": "3", "ETag": '"new"'}, keep=True) is None
    body.write(b"abc")
    assert sink.getvalue() == b"abc"
    assert not body.is_short()


def test_a_body_without_length_is_never_called_short() -> None:
    body = PartialBody(BytesIO())
    body.begin(200, {}, keep=True)
    assert not body.is_short()

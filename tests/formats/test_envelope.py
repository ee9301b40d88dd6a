from __future__ import annotations

import json

import pytest

from bsv_store.errors import EnvelopeError, FormatError
from bsv_store.formats.envelope import read_envelope, read_json, read_rows
from tests.formats.bodies import bare, envelope


def test_envelope_gives_rows_and_counts() -> None:
    reply = read_envelope(envelope([{"id": 1}, {"id": 2}], start_row=4, total_rows=9), what="the reply")
    assert reply.messages == [{"id": 1}, {"id": 2}]
    assert (reply.start_row, reply.num_rows, reply.total_rows) == (4, 2, 9)
    assert not reply.is_whole


def test_unknown_extra_keys_are_accepted() -> None:
    assert read_envelope(envelope([{"id": 1}], elapsed=3, note={"a": []}), what="the reply").is_whole


def test_counts_may_be_missing_or_null() -> None:
    reply = read_envelope(json.dumps({"success": True, "msg": [{}], "total_rows": None}).encode(), what="the reply")
    assert (reply.start_row, reply.num_rows, reply.total_rows) == (0, 1, 1)


def test_failure_quotes_the_message() -> None:
    with pytest.raises(EnvelopeError, match=r"the reply: .*database is not available"):
        read_envelope(envelope("the database is not available", success=False), what="the reply")


def test_failure_message_cannot_reach_the_terminal_unescaped() -> None:
    with pytest.raises(EnvelopeError) as caught:
        read_envelope(envelope("\x1b[2J\u202e" + "x" * 5000, success=False), what="the reply")
    assert "\x1b" not in str(caught.value)
    assert "\u202e" not in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"  \n", id="blank"),
        pytest.param(b"<html><body>Service trouble</body></html>", id="html"),
        pytest.param(b"\xef\xbb\xbf\n <!DOCTYPE html>", id="html after a byte order mark"),
        pytest.param(envelope([{"id": 1}])[:-7], id="cut"),
        pytest.param(envelope([{"id": 1}]) + b"}", id="trailing bytes"),
        pytest.param(b'{"success": true, "msg": "caf\xe9"}', id="not UTF-8"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"null", id="null"),
        pytest.param(b"{}", id="no fields"),
        pytest.param(envelope([{"id": float("nan")}]), id="NaN"),
        pytest.param(envelope([{"id": float("-inf")}]), id="-Infinity"),
        pytest.param(envelope([{}], success="true"), id="success as text"),
        pytest.param(envelope([{}], success=1), id="success as number"),
        pytest.param(envelope("fine"), id="message as text"),
        pytest.param(envelope({"id": 1}), id="message as object"),
        pytest.param(envelope([[1]]), id="rows that are lists"),
        pytest.param(envelope([{}], total_rows="9"), id="total as text"),
        pytest.param(envelope([{}], start_row=False), id="start as truth value"),
        pytest.param(envelope([{}], num_rows=1.0), id="count as fraction"),
        pytest.param(b"[" * 200_000, id="nested beyond reason"),
        pytest.param(b'{"success": true, "msg": ' + b"1" * 5000 + b"}", id="a number of 5000 digits"),
    ],
)
def test_invalid_replies_are_refused_by_name(body: bytes) -> None:
    with pytest.raises(EnvelopeError, match="the reply"):
        read_envelope(body, what="the reply")


def test_json_of_any_kind_is_read_and_faulty_json_refused() -> None:
    assert read_json(b'\xef\xbb\xbf{"a": [1.5, null]}', what="x") == {"a": [1.5, None]}
    for body in (b"<p>", b"", b"[1,", b'"\xff"', b"[Infinity]"):
        with pytest.raises(FormatError, match="the file"):
            read_json(body, what="the file")


def test_rows_come_from_an_envelope_or_a_bare_list() -> None:
    rows = [{"id": 1}]
    assert read_rows(envelope(rows), what="x") == rows
    assert read_rows(bare(rows), what="x") == rows


@pytest.mark.parametrize(
    "counts", [{"total_rows": 3}, {"start_row": 2, "total_rows": 3}, {"start_row": 2, "total_rows": 0}]
)
def test_one_page_of_several_is_not_taken_for_the_whole(counts: dict[str, int]) -> None:
    with pytest.raises(EnvelopeError, match="one page of several"):
        read_rows(envelope([{"id": 1}], **counts), what="x")


def test_total_below_the_rows_sent_means_nothing() -> None:
    assert len(read_rows(envelope([{}, {}], total_rows=0), what="x")) == 2


@pytest.mark.parametrize("value", [[1, 2], "text", 5, [[{}]]])
def test_json_without_rows_is_refused(value: object) -> None:
    with pytest.raises(FormatError):
        read_rows(bare(value), what="x")

from __future__ import annotations

import pytest

from bsv_store.errors import FormatError
from bsv_store.formats.fields import (
    checked_amount,
    checked_id,
    checked_text,
    csv_rows,
    float_from_text,
    int_from_text,
    optional_text,
    quoted,
)


def test_quoted_escapes_and_shortens() -> None:
    assert quoted("a\x1b\u202e") == "'a\\x1b\\u202e'"
    assert quoted("x" * 500, limit=10) == "'xxxxxxxxxx...'"
    assert quoted(["é"] * 500, limit=10).isascii()
    assert len(quoted(list(range(1000)), limit=50)) == 53


def test_prose_may_have_lines_and_length_but_no_controls() -> None:
    text = "a\n\tb" + "x" * 9000
    assert checked_text(text, field="f", what="w", prose=True) == text
    for bad in ("a\x00", "a\u202e", "x" * 10_001):
        with pytest.raises(FormatError, match="w: f"):
            checked_text(bad, field="f", what="w", prose=True)


def test_empty_text_is_none_where_text_is_optional() -> None:
    assert optional_text("", field="f", what="w") is None
    assert optional_text(None, field="f", what="w") is None
    assert optional_text("0", field="f", what="w") == "0"


def test_limits_of_ids() -> None:
    assert checked_id(1, field="f", what="w") == 1
    assert checked_id(2**63 - 1, field="f", what="w") == 2**63 - 1
    assert checked_id(2.0, field="f", what="w") == 2
    for bad in (0, -1, 2**63, 1.5, 2.0**53, float("nan"), True, "1", None):
        with pytest.raises(FormatError, match="w: f"):
            checked_id(bad, field="f", what="w")


def test_limits_of_amounts() -> None:
    assert checked_amount(None, field="f", what="w") is None
    assert checked_amount(3, field="f", what="w") == 3.0
    for bad in (-1e-9, float("nan"), float("inf"), True, "1", 10**400):
        with pytest.raises(FormatError, match="w: f"):
            checked_amount(bad, field="f", what="w")


def test_numbers_in_cells() -> None:
    assert int_from_text("007", field="f", what="w") == 7
    assert int_from_text("", field="f", what="w") is None
    assert int_from_text(" 2.0", field="f", what="w") == 2
    assert float_from_text("-1.5e-3", field="f", what="w") == -0.0015
    assert float_from_text(".5", field="f", what="w") == 0.5
    assert float_from_text("", field="f", what="w") is None
    for bad in ("1.5", "+1", "1 2", "1e3", "٣", "1_0", "1" * 20, "9007199254740993.0"):
        with pytest.raises(FormatError, match="w: f"):
            int_from_text(bad, field="f", what="w")
    assert float_from_text(" 1 ", field="f", what="w") == 1.0
    for bad in ("nan", "inf", "1_0", "0x1", "1 2", "1,5", "."):
        with pytest.raises(FormatError, match="w: f"):
            float_from_text(bad, field="f", what="w")


def test_csv_rows_skip_blank_lines_and_keep_line_breaks_in_cells() -> None:
    header, rows = csv_rows(b'a,b\n\n1,"x\ny"\n\n', what="w")
    assert header == ["a", "b"]
    assert rows == [{"a": "1", "b": "x\ny"}]


def test_cell_beyond_any_reason_is_refused() -> None:
    with pytest.raises(FormatError, match="w is not a complete CSV"):
        csv_rows(b"a\n" + b"x" * 1_000_000 + b"\n", what="w")


@pytest.mark.parametrize("body", [b'a\n"x\n', b'a,b\n"x"y,1\n'])
def test_quotes_that_do_not_pair_are_refused(body: bytes) -> None:
    with pytest.raises(FormatError, match="w is not a complete CSV"):
        csv_rows(body, what="w")

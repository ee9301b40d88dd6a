"""Lists of names and ids in messages."""

from __future__ import annotations

import time

import numpy as np

from bsv_store.text import listed, listed_ids, masked, shown


def test_ids_are_listed_in_order_up_to_ten() -> None:
    assert listed_ids({3, 1, 2}) == "1, 2, 3"
    assert listed_ids(range(112, 99, -1)) == "100, 101, 102, 103, 104, 105, 106, 107, 108, 109 and 3 more"


def test_values_are_listed_as_they_come_up_to_a_limit() -> None:
    assert listed(["b", "a"]) == "b, a"
    assert listed((f"{key}: why, oh why" for key in (2, 1, 3)), limit=2, separator="; ") == (
        "2: why, oh why; 1: why, oh why and 1 more"
    )


def test_values_are_shown_in_one_short_line() -> None:
    assert shown(np.zeros((2, 2))) == "array([[0., 0.], [0., 0.]])"
    assert shown("a  b\0") == "'a  b\\x00'"
    # The rest of a long string is not lost without a word.
    assert shown(f"a\0{' ' * 90}b") == f"'a\\x00{' ' * 54}... (93 characters)"


def test_a_long_word_is_masked_in_linear_time() -> None:
    word = "a" * 50_000
    started = time.process_time()
    assert masked(f"{word} {word}://user:secret@host") == f"{word} {word}://user:***@host"
    # 12 s if the time is quadratic.
    assert time.process_time() - started < 2

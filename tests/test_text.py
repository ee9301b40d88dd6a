"""Lists of names and ids in messages."""

from __future__ import annotations

from bsv_store.text import listed, listed_ids


def test_ids_are_listed_in_order_up_to_ten() -> None:
    assert listed_ids({3, 1, 2}) == "1, 2, 3"
    assert listed_ids(range(112, 99, -1)) == "100, 101, 102, 103, 104, 105, 106, 107, 108, 109 and 3 more"


def test_values_are_listed_as_they_come_up_to_a_limit() -> None:
    assert listed(["b", "a"]) == "b, a"
    assert listed((f"{key}: why, oh why" for key in (2, 1, 3)), limit=2, separator="; ") == (
        "2: why, oh why; 1: why, oh why and 1 more"
    )

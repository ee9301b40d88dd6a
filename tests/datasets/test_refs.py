"""References to versions, and the names of datasets and tags."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bsv_store import Selection
from bsv_store.errors import InputError, UnknownDatasetError
from tests.datasets.world import ask

if TYPE_CHECKING:
    from bsv_store import Store

ONE = Selection(ids=[1])


def test_references_name_a_version(filled: Store) -> None:
    names = ("visual-by-AP", "3", "a..b", "a" * 100)
    versions = {name: ask(filled, ONE, name=name) for name in names}
    filled.datasets.tag("visual-by-AP@1", "figure-2")
    filled.datasets.tag("a..b", "v1.0")
    second = ask(filled, Selection(ids=[2]), name="visual-by-AP")
    expected = {
        "visual-by-AP": second,
        "visual-by-AP@latest": second,
        "visual-by-AP@2": second,
        "visual-by-AP@001": versions["visual-by-AP"],
        "visual-by-AP@figure-2": versions["visual-by-AP"],
        "3": versions["3"],
        "3@1": versions["3"],
        "a..b@v1.0": versions["a..b"],
        "a" * 100: versions["a" * 100],
    }
    assert {ref: filled.dataset(ref) for ref in expected} == expected
    assert {filled.dataset(version.ref) for version in expected.values()} == set(expected.values())


def test_invalid_references_are_refused(filled: Store) -> None:
    ask(filled, ONE, name="a")
    for ref in (
        *("", "@3", "a@", "a@0", "a@3@4", "a@-1", "a@1.5", "a/../b@1", "a@Latest", "a@tag/x", "a@\u00b2"),
        *("a@" + "9" * 5_000, "a@\ud800"),
    ):
        with pytest.raises(InputError) as caught:
            filled.dataset(ref)
        # Not looked up.
        assert not isinstance(caught.value, UnknownDatasetError), ref


def test_names_have_no_path_parts_nor_odd_characters(filled: Store) -> None:
    for name in (
        *("", ".", "..", ".a", "-a", "_a", "a/b", "a\\b", "a b", "a\n", "a:b", "a" * 101, "\u00e4", "a@1"),
        *("a\u202eb", "a;--"),
    ):
        with pytest.raises(InputError, match="not a valid dataset name") as caught:
            ask(filled, ONE, name=name)
        assert caught.value.message.isascii()
        assert len(caught.value.message) < 200
    assert filled.datasets.list() == ()


def test_tags_do_not_look_like_numbers_or_latest(filled: Store) -> None:
    ask(filled, ONE, name="a")
    for tag in ("1", "007", "1.5", "1e5", "nan", "inf", "1_000", "latest", "LATEST", "a b", "../x", ""):
        with pytest.raises(InputError):
            filled.datasets.tag("a", tag)
    assert filled.dataset("a").tags == ()


def test_near_names_are_suggested(filled: Store) -> None:
    with pytest.raises(UnknownDatasetError, match="has no datasets"):
        filled.dataset("zzz")
    ask(filled, ONE, name="visual")
    ask(filled, ONE, name="motor")
    for name, hint in {
        "visaul": "Did you mean visual?",
        "VISUAL": "Did you mean visual?",
        "zzz": "Datasets: motor, visual.",
    }.items():
        with pytest.raises(UnknownDatasetError) as caught:
            filled.dataset(name)
        assert caught.value.hint == hint

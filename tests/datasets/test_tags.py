from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bsv_store import Selection
from bsv_store.errors import InputError, UnknownDatasetError
from tests.databases import both_databases
from tests.datasets.world import ask, fill
from tests.stores import store_with

if TYPE_CHECKING:
    from bsv_store import Store

pytestmark = both_databases


def _fill(store: Store) -> None:
    """Versions test@1 and test@2, and other@1."""
    fill(store)
    ask(store, Selection(ids=[1]))
    ask(store, Selection(ids=[2]))
    ask(store, Selection(ids=[3]), name="other")


two = store_with(_fill)


def tag(store: Store, ref: str, name: str, *, move: bool = False) -> int:
    return store.datasets.tag(ref, name, move=move).number


def number(store: Store, ref: str) -> int:
    return store.dataset(ref).number


def test_a_tag_stays_where_it_was_put(two: Store) -> None:
    assert tag(two, "test@1", "figure-2") == 1
    ask(two, Selection(ids=[4]))
    assert number(two, "test@figure-2") == 1
    assert two.dataset("test@1").tags == ("figure-2",)
    assert two.datasets.list()[1].tags == ("figure-2@1",)


def test_a_tag_moves_only_on_request(two: Store) -> None:
    tag(two, "test@1", "paper")
    with pytest.raises(InputError, match="'paper' is on test@1"):
        tag(two, "test@2", "paper")
    assert number(two, "test@paper") == 1
    assert tag(two, "test@2", "paper", move=True) == 2
    assert number(two, "test@paper") == 2


def test_tagging_again_changes_nothing(two: Store) -> None:
    tag(two, "test@1", "paper")
    assert tag(two, "test@paper", "paper") == 1
    assert two.dataset("test@1").tags == ("paper",)


def test_datasets_have_tags_of_their_own(two: Store) -> None:
    tag(two, "test@1", "paper")
    assert tag(two, "other", "paper") == 1
    assert two.dataset("other@paper").name == "other"


def test_a_tag_can_be_taken_off(two: Store) -> None:
    tag(two, "test@1", "paper")
    two.datasets.untag("test", "paper")
    with pytest.raises(UnknownDatasetError, match="no tag 'paper'"):
        number(two, "test@paper")
    with pytest.raises(UnknownDatasetError, match="no tag 'paper'"):
        two.datasets.untag("test", "paper")
    assert number(two, "test@1") == 1


@pytest.mark.parametrize("bad", ["lone \ud800 surrogate", "caf\udce9", "nul \0", "x" * 5_000])
def test_what_cannot_be_a_name_or_tag_cannot_be_taken_off(two: Store, bad: str) -> None:
    with pytest.raises(InputError, match="not a valid tag"):
        two.datasets.untag("test", bad)
    with pytest.raises(InputError, match="not a valid dataset name"):
        two.datasets.untag(bad, "paper")


@pytest.mark.parametrize("name", ["3", "latest", "a/b", ""])
def test_what_cannot_be_a_tag_is_refused(two: Store, name: str) -> None:
    with pytest.raises(InputError):
        tag(two, "test@1", name)


def test_a_version_that_is_not_there_cannot_be_tagged(two: Store) -> None:
    with pytest.raises(UnknownDatasetError, match="no version 9"):
        tag(two, "test@9", "paper")


def test_listings_of_versions_show_the_tags(two: Store) -> None:
    tag(two, "test@2", "paper")
    tag(two, "test@2", "draft")
    tag(two, "other", "paper")
    table = two.datasets.versions()
    assert list(zip(table["name"], table["number"], table["tags"], strict=True)) == [
        ("other", 1, "paper"),
        ("test", 1, None),
        ("test", 2, "draft, paper"),
    ]

from __future__ import annotations

import pytest

from bsv_store.datasets.refs import DatasetRef, check_name, check_tag, near_names, parse_ref
from bsv_store.errors import InputError


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        ("visual-by-AP", DatasetRef("visual-by-AP")),
        ("visual-by-AP@latest", DatasetRef("visual-by-AP")),
        ("a@3", DatasetRef("a", number=3)),
        ("a@007", DatasetRef("a", number=7)),
        ("a@figure-2", DatasetRef("a", tag="figure-2")),
        ("3", DatasetRef("3")),
        ("a..b@v1.0", DatasetRef("a..b", tag="v1.0")),
    ],
)
def test_references_are_parsed(text: str, ref: DatasetRef) -> None:
    assert parse_ref(text) == ref
    assert parse_ref(str(ref)) == ref


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@3",
        "a@",
        "a@0",
        "a@3@4",
        "a@-1",
        "a@1.5",
        "a/../b@1",
        "a@Latest",
        "a@tag/x",
        "a@²",
        "a@" + "9" * 5_000,
        "a@\ud800",
    ],
)
def test_invalid_references_are_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_ref(text)


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", ".a", "-a", "_a", "a/b", "a\\b", "a b", "a\n", "a:b", "a" * 101, "ä", "a@1", "a\u202eb", "a;--"],
)
def test_names_have_no_path_parts_nor_odd_characters(name: str) -> None:
    with pytest.raises(InputError, match="not a valid dataset name") as caught:
        check_name(name)
    assert caught.value.message.isascii()
    assert len(caught.value.message) < 200


def test_longest_name_is_taken() -> None:
    assert check_name("a" * 100) == "a" * 100


@pytest.mark.parametrize(
    "tag", ["1", "007", "1.5", "1e5", "nan", "inf", "1_000", "latest", "LATEST", "a b", "../x", ""]
)
def test_tags_do_not_look_like_numbers_or_latest(tag: str) -> None:
    with pytest.raises(InputError):
        check_tag(tag)


def test_near_names_are_suggested() -> None:
    assert near_names("visaul", ["visual", "motor"]) == "Did you mean visual?"
    assert near_names("VISUAL", ["visual", "motor"]) == "Did you mean visual?"
    assert near_names("zzz", ["visual", "motor"]) == "Datasets: motor, visual."
    assert "has no datasets" in near_names("zzz", [])

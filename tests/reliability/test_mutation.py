"""The explanations of surviving mutants match the code."""

from __future__ import annotations

import tomllib
from pathlib import Path

from tests.reliability.mutation.targets import TARGETS

CHECKOUT = Path(__file__).resolve().parents[2]
SURVIVORS = Path(__file__).with_name("mutation") / "survivors.toml"


def test_each_explained_mutant_is_of_a_line_that_is_there() -> None:
    paths = {path for target in TARGETS.values() for path in target.paths}
    texts = {path: _joined((CHECKOUT / path).read_text(encoding="utf-8")) for path in paths}
    rows = tomllib.loads(SURVIVORS.read_text(encoding="utf-8"))["survivor"]
    assert rows
    for row in rows:
        assert row["before"] in texts[row["path"]], row
        assert row["before"] != row["after"], row
        assert row["reason"], row
    keys = [(row["path"], row["function"], row["before"], row["after"], row.get("nth", 0)) for row in rows]
    assert len(set(keys)) == len(keys)


def test_each_target_is_of_files_that_are_there() -> None:
    for target in TARGETS.values():
        assert [path for path in (*target.paths, *target.tests) if not (CHECKOUT / path).exists()] == []


def _joined(text: str) -> str:
    return " ".join(line.strip() for line in text.splitlines())

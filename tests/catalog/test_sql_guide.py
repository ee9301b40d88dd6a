"""The guide to SQL is current, and its examples run on both databases."""

from __future__ import annotations

from pathlib import Path

import pytest

from bsv_store import Store
from bsv_store.catalog.tables.guide import EXAMPLES, ExampleQuery, sql_guide

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "sql.md"


def test_the_guide_is_current() -> None:
    assert GUIDE.read_text(encoding="utf-8") == sql_guide(), (
        "run: python -m bsv_store.catalog.tables.guide > docs/sql.md"
    )


def test_the_guide_has_every_example_and_view() -> None:
    text = sql_guide()
    assert all(f"```sql\n{example.statement}\n```" in text for example in EXAMPLES)
    for name in ("experiments", "injection_summary", "projections", "dataset_versions"):
        assert f"### {name}\n" in text


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.question[:30])
def test_examples_give_rows_of_the_real_atlas(atlas_psu: Store, example: ExampleQuery) -> None:
    frame = atlas_psu.sql(example.statement)
    assert len(frame) > 0
    assert frame.columns.is_unique

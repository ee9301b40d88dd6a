"""docs/reliability.md names the promises that the tests guard."""

from __future__ import annotations

from tests.docs.blocks import DOCS
from tests.reliability.__main__ import promises, replaced
from tests.reliability.campaigns import CAMPAIGNS
from tests.reliability.mutants import CHECKOUT, MUTANTS


def test_the_table_of_promises_is_current() -> None:
    text = (DOCS / "reliability.md").read_text(encoding="utf-8")
    assert replaced(text, "promises", promises()) == text, "run: python -m tests.reliability --promises"


def test_each_campaign_has_its_tests() -> None:
    folder = DOCS.parent / "tests" / "reliability"
    missing = [name for name, row in CAMPAIGNS.items() if f'campaign("{name}"' not in (folder / row.tests).read_text()]
    assert not missing


def test_each_mutant_changes_one_place() -> None:
    counts = {each.promise: (CHECKOUT / each.path).read_text(encoding="utf-8").count(each.before) for each in MUTANTS}
    assert [promise for promise, count in counts.items() if count != 1] == []

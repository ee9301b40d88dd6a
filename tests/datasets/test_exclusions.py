"""The lab's exclusion list is part of every answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bsv_store import Selection
from tests.databases import both_databases
from tests.datasets.world import ask

if TYPE_CHECKING:
    from bsv_store import Store

pytestmark = both_databases


def test_an_exclusion_makes_the_next_version_and_is_recorded_in_it(filled: Store) -> None:
    first = ask(filled)
    gone = first.members["experiment_id"].iloc[0]
    filled.catalog.exclude([int(gone)], "tissue torn")
    second = ask(filled)
    assert (second.number, second.was_computed) == (2, True)
    assert [(item.experiment_id, item.reason) for item in second.left_out] == [(gone, "excluded: tissue torn")]
    assert gone not in {i for group in second.groups for i in group.experiment_ids}
    filled.catalog.lift_exclusion([int(gone)])
    assert ask(filled).number == 1


def test_a_selection_can_include_excluded_experiments(filled: Store) -> None:
    everybody = ask(filled, selection=Selection(include_excluded=True))
    filled.catalog.exclude([1], "tissue torn")
    again = ask(filled, selection=Selection(include_excluded=True))
    assert (again.number, again.was_computed) == (everybody.number, False)
    assert not again.left_out

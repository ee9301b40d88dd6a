"""Commands in hints, for few and for many experiments."""

from __future__ import annotations

from bsv_store import Selection
from bsv_store.catalog.selection.commands import fetch_command, sync_command

MANY = range(100_000_000, 100_000_283)


def test_few_ids_are_spelled_out() -> None:
    assert sync_command(Selection(ids=[2, 1]), [2, 1]) == "bsv-store sync unionizes --ids 1,2"


def test_a_selection_shorter_than_the_ids_is_used() -> None:
    command = fetch_command(Selection(injected_in="VISp"), MANY, kind="projection_density", spacing_um=100)
    assert '"injected_in":["VISp"]' in command


def test_hundreds_of_ids_are_not_printed() -> None:
    command = fetch_command(Selection(ids=list(MANY)), MANY, kind="projection_density", spacing_um=100)
    assert command == ("bsv-store fetch --ids @FILE --kind projection_density --spacing 100 (FILE: a list of the ids)")
    assert len(sync_command(Selection(ids=list(MANY)), MANY)) < 100

"""Every average, search and table of volumes has the experiments that `Store.select` gives, for every criterion."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from bsv_store import Selection, Store
from bsv_store.errors import EmptySelectionError, ExcludedExperimentError
from tests.datasets.world import FACTS, VISP, add_annotation, change_experiments, voxels

WITHDRAWN, EXCLUDED = 2, 4


@pytest.fixture
def varied(filled: Store) -> Store:
    """The filled store with one experiment withdrawn and one on the exclusion list."""
    change_experiments(filled, [fact for fact in FACTS if fact.id != WITHDRAWN])
    filled.catalog.exclude([EXCLUDED], "bad section")
    ids = voxels(1).astype("uint32")
    ids[:] = VISP
    add_annotation(filled, ids)
    return filled


WISHES = [
    Selection(),
    Selection(include_withdrawn=True),
    Selection(include_excluded=True),
    Selection(include_withdrawn=True, include_excluded=True),
    Selection(injected_in="VISp"),
    Selection(injected_in="VISp", include_withdrawn=True),
    Selection(injected_in=["VISl", "VISpm"], injection="any", include_excluded=True),
    Selection(line="wild-type"),
    Selection(line="any-cre"),
    Selection(line="Rbp4-Cre_KL100"),
    Selection(injected_hemisphere="left"),
    Selection(bilateral=True, include_excluded=True),
    Selection(bilateral=False),
    Selection(min_injection_volume=0.2),
    Selection(max_injection_volume=0.2, include_withdrawn=True),
    Selection(box=((7900, 9000), None, None)),
    Selection(near=(8000, 2000, 7000), radius_um=600, include_withdrawn=True),
    Selection(ids=[WITHDRAWN, 3]),
    Selection(ids=[WITHDRAWN]),
    Selection(ids=[EXCLUDED]),
    Selection(ids=[EXCLUDED, 1], include_excluded=True),
    Selection(exclude_ids=[1, EXCLUDED]),
    Selection(ids=[WITHDRAWN]) & Selection(),
    Selection(ids=[WITHDRAWN]) | Selection(line="any-cre"),
    Selection(include_withdrawn=True) - Selection(ids=[EXCLUDED, 1]),
    Selection(ids=[1]) - Selection(ids=[1]),
]


def _averaged(store: Store, wish: Selection, name: str) -> list[int]:
    members = store.aggregate(wish, name=name).experiments
    return [member.experiment_id for member in members if member.group is not None]


def _calls(varied: Store, number: int, wish: Selection) -> dict[str, Callable[[], Iterable[Any]]]:
    """Every way to ask for the selected experiments."""
    return {
        "average": lambda: _averaged(varied, wish, f"wish-{number}"),
        "point": lambda: varied.search.point((6600, 4000, 5700), selection=wish)["experiment_id"],
        "signal": lambda: varied.atlas.signal(wish, "VISp", spacing_um=100)["experiment_id"],
        "plan": lambda: [*(plan := varied.plan_fetch(wish)).present, *plan.missing],
        "table": lambda: varied.experiments(wish)["experiment_id"],
    }


def test_volumes_of_the_selected_experiments_and_no_others_count(varied: Store) -> None:
    for number, wish in enumerate(WISHES):
        calls = _calls(varied, number, wish)
        try:
            expected = varied.select(wish)
        except ExcludedExperimentError:
            for call in calls.values():
                with pytest.raises(ExcludedExperimentError):
                    call()
            continue
        for name, call in calls.items():
            try:
                found = tuple(sorted(int(each) for each in call()))
            except EmptySelectionError:
                found = ()
            assert found == expected, (name, wish)


def test_the_wishes_differ(varied: Store) -> None:
    answers: list[tuple[object, ...]] = []
    for wish in WISHES:
        try:
            answers.append(varied.select(wish))
        except ExcludedExperimentError:
            answers.append(("error",))
    assert len(set(answers)) > 15
    assert () in answers
    assert sum(WITHDRAWN in answer for answer in answers) > 5
    assert sum(EXCLUDED in answer for answer in answers) > 4

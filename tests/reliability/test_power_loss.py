"""A loss of power at any moment of a job loses nothing that was committed, and the next run works."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bsv_store import open_store
from tests.reliability.jobs import JOBS, Job, copied
from tests.reliability.power_loss import Recorder, recording, states

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads names of open files from /proc")


@pytest.mark.parametrize(
    ("tries", "most"),
    [pytest.param(1, 5, id="sample"), pytest.param(60, None, id="all", marks=pytest.mark.long)],
)
@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_a_loss_of_power_loses_nothing_that_was_committed(
    job: Job, tries: int, most: int | None, lists: Path, server_url: str, tmp_path: Path
) -> None:
    before = copied(lists, tmp_path / "before" / "store")
    with open_store(before) as store:
        job.prepare(store, server_url)
    location = copied(before, tmp_path / "run" / "store")
    with open_store(location) as store:
        recorder = Recorder(location)
        with recording(recorder):
            job.run(store, server_url)
        expected = job.result(store)
    found = list(states(recorder.operations, tries=tries, seed=1))
    last = max(state.crash for state in found)
    chosen = found
    if most is not None:
        acknowledged = [each for each in found if each.crash == last]
        chosen = [*found[:: max(1, len(found) // most)], *acknowledged[:3]]
    for state in chosen:
        what = f"{job.name}: crash after {state.crash} of {last} operations; {recorder.summary(state.crash)}"
        state.build(before, location)
        with open_store(location) as store:
            damage = [each for each in store.admin.verify(deep=True).findings if each.is_damage]
            assert not damage, (what, damage)
            if state.crash == last:
                # The job had returned, so its result was acknowledged.
                assert job.result(store) == expected, what
            job.run(store, server_url)
            assert job.result(store) == expected, what
            damage = [each for each in store.admin.verify(deep=True).findings if each.is_damage]
            assert not damage, (what, damage)

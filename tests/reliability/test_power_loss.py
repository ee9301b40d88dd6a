"""A power failure at any moment of a job loses nothing that was acknowledged, and the next run works.

`tests.reliability.power_loss` describes what a disk may lose. Each state is opened, so that SQLite rolls back what was
not committed. Unless a state with the same content was checked before, it is then verified without damage, all facts
that a user was told are still true, and the job, run again, gives its result without another loss. The content of
temporary files and of journals that roll back nothing is ignored, since it is never read.
"""

from __future__ import annotations

import contextlib
import shutil

import pytest

from bsv_store.errors import NotAStoreError, SchemaTooOldError
from tests.reliability.campaigns import campaign
from tests.reliability.conftest import Observed
from tests.reliability.jobs import JOBS, Facts, Job, Place
from tests.reliability.power_loss import State, key_of, read_folder
from tests.reliability.recording import record


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_a_loss_of_power_loses_nothing_that_was_acknowledged(job: Job, observed: Observed) -> None:
    history, before, after = record(observed.process, job, observed.place)
    survivor = _Survivor(job, observed.other, before, after)
    with campaign("power-loss", part=job.name, share=1 / len(JOBS)) as trials:
        for number, state in enumerate(history.states(trials.seed)):
            if number == trials.size:
                break
            try:
                survivor.check(state)
            except Exception as error:
                what = f"{job.name}, seed {trials.seed}, state {number}: {history.words(state)}: {error}"
                raise AssertionError(what) from error
            trials.done()


def _is_never_read(name: str) -> bool:
    # SQLite has just seen that the journal undoes nothing.
    return "/tmp/" in name or name.endswith("-journal")


class _Survivor:
    """Checks states of a job.

    Parameters
    ----------
    job : Job
    place : Place
        Where they are built.
    before : Facts
        What users were told before the job.
    after : dict of str to Facts
        What they were told by its steps.
    """

    def __init__(self, job: Job, place: Place, before: Facts, after: dict[str, Facts]) -> None:
        self.job, self.place, self.before, self.after = job, place, before, after
        self.checked: set[bytes] = set()

    def check(self, state: State) -> None:
        """Raise AssertionError or an error of bsv-store if the state breaks a promise."""
        shutil.rmtree(self.place.folder, ignore_errors=True)
        self.place.folder.mkdir()
        state.build(self.place.folder)
        with contextlib.suppress(NotAStoreError, SchemaTooOldError):
            self.place.open().close()
        folders, files = read_folder(self.place.folder)
        key = key_of(folders, {n: b"" if _is_never_read(n) else c for n, c in files.items()}, state.acknowledged)
        if key in self.checked:
            return
        self.job.check(self.place, state.acknowledged, self.before, self.after)
        self.checked.add(key)

"""A power failure at any moment of a job loses nothing that was acknowledged, and the next run works.

`tests.reliability.power_loss` describes what a disk may lose. Each state is opened, so that SQLite rolls back what was
not committed. It is then verified without damage, all facts that a user was told are still true, and the job, run
again, gives its result without another loss. A state is not checked again if it has the content of an earlier one,
before or after it was opened. The content of temporary files and of journals that roll back nothing does not count,
since it is never read.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Mapping

import pytest

from bsv_store.errors import NotAStoreError, SchemaTooOldError
from tests.reliability.campaigns import campaign
from tests.reliability.conftest import Observed
from tests.reliability.jobs import JOBS, Facts, Job, Place
from tests.reliability.power_loss import State, digests_of, key_of, read_folder
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


def _is_temporary(name: str) -> bool:
    return "/tmp/" in name


def _is_of_catalog(name: str) -> bool:
    # What the opening of a store reads, and may change.
    return name.startswith("store/") and name.count("/") == 1


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
        # The keys of states, before and after they were opened.
        self.closed: set[bytes] = set()
        self.checked: set[bytes] = set()
        # The digests of the files of the catalog after a store was opened.
        self.opened: dict[bytes, dict[str, bytes]] = {}

    def check(self, state: State) -> None:
        """Raise AssertionError or an error of bsv-store if the state breaks a promise."""
        found = digests_of({name: b"" if _is_temporary(name) else content for name, content in state.files.items()})
        key = key_of(state.folders, found, state.acknowledged)
        if key in self.closed:
            return
        others = {name: digest for name, digest in found.items() if not _is_of_catalog(name)}
        catalog = key_of(state.folders, {name: found[name] for name in found.keys() - others.keys()}, ())
        opened = self.opened.get(catalog)
        if opened is None or self._key(state, others, opened) not in self.checked:
            opened = self.opened[catalog] = self._open(state, others)
            opened_key = self._key(state, others, opened)
            if opened_key not in self.checked:
                self.job.check(self.place, state.acknowledged, self.before, self.after)
                self.checked.add(opened_key)
        self.closed.add(key)

    def _open(self, state: State, others: Mapping[str, bytes]) -> dict[str, bytes]:
        """Build and open a state; returns the digests of the files of its catalog."""
        shutil.rmtree(self.place.folder, ignore_errors=True)
        self.place.folder.mkdir()
        state.build(self.place.folder)
        with contextlib.suppress(NotAStoreError, SchemaTooOldError):
            self.place.open().close()
        folders, files = read_folder(self.place.folder)
        assert folders == state.folders
        assert files.items() >= {name: state.files[name] for name in others}.items()
        # SQLite has just seen that the journal undoes nothing.
        read = {name: b"" if name.endswith("-journal") else files[name] for name in files.keys() - others.keys()}
        return digests_of(read)

    @staticmethod
    def _key(state: State, others: Mapping[str, bytes], opened: Mapping[str, bytes]) -> bytes:
        return key_of(state.folders, {**others, **opened}, state.acknowledged)

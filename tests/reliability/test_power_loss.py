"""A power failure at any moment of a job loses nothing that was acknowledged, and the next run works.

`tests.reliability.power_loss` describes what a disk may lose. Each state is a different content of the folder. It is
checked as follows:

- The store is opened, so that SQLite rolls back what was not committed. This opens no file but those of the catalog,
  and is done once for each content of these.
- The opened store is verified without damage, all facts that a user was told are still true, and the job, run again,
  gives its result, is verified again, and has lost nothing.
- It is recorded which files this opened. Another state with the same names, the same steps acknowledged, and the same
  content of these files has the same outcome, and is not verified again. Of a file that was not opened, only the size
  counts, and not even this if its name says that it is temporary.
"""

from __future__ import annotations

import contextlib
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import pytest

from bsv_store.errors import NotAStoreError, SchemaTooOldError
from tests.reliability.campaigns import campaign
from tests.reliability.conftest import Observed
from tests.reliability.disk import own_control
from tests.reliability.jobs import JOBS, Facts, Job, Place, named
from tests.reliability.power_loss import State, digests_of, key_of, read_folder
from tests.reliability.recording import record


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_a_loss_of_power_loses_nothing_that_was_acknowledged(job: Job, observed: Observed) -> None:
    history, before, after = record(observed.process, job, observed.place)
    survivor = _Survivor(job, observed, before, after)
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
    folder, _, last = name.rpartition("/")
    return folder.endswith("/tmp") or last.startswith(".") or last.endswith((".tmp", ".partial", ".part", "-journal"))


def _is_of_catalog(name: str) -> bool:
    # What the opening of a store reads, and may change.
    return name.startswith("store/") and name.count("/") == 1


class _Survivor:
    """Checks states of a job.

    Parameters
    ----------
    job : Job
    observed : Observed
        The process in which they are checked, and the folder in which they are built.
    before : Facts
        What users were told before the job.
    after : dict of str to Facts
        What they were told by its steps.
    """

    def __init__(self, job: Job, observed: Observed, before: Facts, after: dict[str, Facts]) -> None:
        self.job, self.process, self.place = job, observed.process, observed.place
        self.before, self.after = before, after
        # The digests of the files of the catalog after a store was opened, by those before.
        self.opened: dict[bytes, dict[str, bytes]] = {}
        # By the names of a state: which files a check opened, and the digests with which it passed.
        self.passed: dict[bytes, dict[tuple[str, ...], set[tuple[bytes, ...]]]] = defaultdict(lambda: defaultdict(set))

    def check(self, state: State) -> None:
        """Raise AssertionError or an error of bsv-store if the state breaks a promise."""
        found = digests_of(state.files)
        others = {name: digest for name, digest in found.items() if not _is_of_catalog(name)}
        catalog = key_of(state.folders, {name: found[name] for name in found.keys() - others.keys()}, ())
        opened = self.opened.get(catalog)
        if opened is not None and self._has_passed(state, {**others, **opened}):
            return
        opened = self.opened[catalog] = self._open(state, others)
        digests = {**others, **opened}
        if not self._has_passed(state, digests):
            arguments = self.job.name, self.place, state.acknowledged, self.before, self.after
            names = tuple(sorted(self.process.call(_check, *arguments, in_fork=False)))
            self.passed[self._names(state, digests)][names].add(tuple(digests[name] for name in names))

    def _has_passed(self, state: State, digests: Mapping[str, bytes]) -> bool:
        known = self.passed.get(self._names(state, digests), {})
        return any(tuple(digests[name] for name in names) in passed for names, passed in known.items())

    @staticmethod
    def _names(state: State, digests: Mapping[str, bytes]) -> bytes:
        sizes = {
            name: b"" if _is_temporary(name) else str(len(state.files.get(name, b""))).encode() for name in digests
        }
        return key_of(state.folders, sizes, state.acknowledged)

    def _open(self, state: State, others: Mapping[str, bytes]) -> dict[str, bytes]:
        """Build and open a state; returns the digests of the files of its catalog."""
        shutil.rmtree(self.place.folder, ignore_errors=True)
        self.place.folder.mkdir()
        state.build(self.place.folder)
        opened = self.process.call(_open, self.place, in_fork=False)
        assert not (opened & others.keys()), opened
        folders, files = read_folder(self.place.folder)
        assert folders == state.folders
        assert files.items() >= {name: state.files[name] for name in others}.items()
        # SQLite has just seen that the journal undoes nothing.
        read = {name: b"" if name.endswith("-journal") else files[name] for name in files.keys() - others.keys()}
        return digests_of(read)


# -- in the observed process -------------------------------------------------------------------------------------------


def _open(place: Place) -> set[str]:
    """Open a store; returns the names of the files that this opened."""
    with _following(place) as opened, contextlib.suppress(NotAStoreError, SchemaTooOldError):
        place.open().close()
    return opened


def _check(job: str, place: Place, acknowledged: Sequence[str], before: Facts, after: Mapping[str, Facts]) -> set[str]:
    """Check a state; returns the names of its files that this opened."""
    with _following(place) as opened:
        named(job).check(place, acknowledged, before, after)
    return opened


@contextlib.contextmanager
def _following(place: Place) -> Iterator[set[str]]:
    """The names of the files that are opened, of those that are there now; known in the end."""
    names = {path.stat().st_ino: path.relative_to(place.folder).as_posix() for path in place.folder.rglob("*")}
    control, opened = own_control(), set[str]()
    control.follow()
    try:
        yield opened
    finally:
        control.stop()
    opened.update(names[inode] for inode in control.opened() if inode in names)

"""Record the file operations of a job in a separate process."""

from __future__ import annotations

import shutil

from tests.reliability.disk import ObservedProcess, mark, own_control
from tests.reliability.jobs import Facts, Job, Place, named
from tests.reliability.power_loss import History, inventory, read_folder


def record(process: ObservedProcess, job: Job, place: Place) -> tuple[History, Facts, dict[str, Facts]]:
    """Run a job, and record its operations.

    Parameters
    ----------
    process : ObservedProcess
    job : Job
    place : Place
        Its folder is the root of the process, and is emptied.

    Returns
    -------
    history : History
    before : Facts
        The facts before the job.
    after : dict of str to Facts
        The facts after each of its steps.
    """
    folder = place.folder
    shutil.rmtree(folder, ignore_errors=True)
    place.begin(job.prepare)
    before = job.look(place)
    found = inventory(folder)
    after = process.call(_run, job.name, place)
    history = History.replayed(folder, found, list(process.control.operations()))
    final = history.final()
    # The record is complete: nothing changed a file in a way that was not observed.
    assert (final.folders, dict(final.files)) == read_folder(folder), job.name
    return history, before, after


def _run(name: str, place: Place) -> dict[str, Facts]:
    job, control = named(name), own_control()
    control.start(is_recording=True)
    after = {}
    for step in job.steps:
        step.run(place)
        mark(step.name)
        # Reading facts can write, too, for example the lock of a backup.
        after[step.name] = job.read(place)
    control.stop()
    return after

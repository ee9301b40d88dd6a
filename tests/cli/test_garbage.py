"""Commands do not spend their time searching imported modules for garbage."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import pytest

from bsv_store import Store, create_store
from bsv_store_cli.main import main

COUNTING = """
import gc, sys
searches = []
gc.callbacks.append(lambda phase, facts: searches.append(facts["generation"]) if phase == "stop" else None)
from bsv_store_cli.main import main
imported = len(searches)
try:
    main()
finally:
    print(len(searches) - imported, file=sys.stderr)
"""


def test_a_short_command_does_not_search_for_garbage(tmp_path: Path) -> None:
    create_store(tmp_path / "store").close()
    command = [sys.executable, "-c", COUNTING, "--store", str(tmp_path / "store"), "status"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    # About 100 with the thresholds of Python.
    assert int(done.stderr.splitlines()[-1]) <= 2, done.stderr


def test_garbage_is_collected_as_usual_after_a_first_time_and_after_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_store(tmp_path / "store").close()
    usual, found = gc.get_threshold(), []
    status = Store.status

    def watched(self: Store) -> object:
        kept = [[number] for number in range(250_000)]
        found.append((len(kept), gc.get_threshold()))
        return status(self)

    monkeypatch.setattr(Store, "status", watched)
    monkeypatch.setattr(sys, "argv", ["bsv-store", "--store", str(tmp_path / "store"), "status"])
    callbacks = list(gc.callbacks)
    with pytest.raises(SystemExit):
        main()
    assert found == [(250_000, usual)]
    assert (gc.get_threshold(), gc.callbacks) == (usual, callbacks)


def test_a_command_that_fails_leaves_the_collection_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual, callbacks = gc.get_threshold(), list(gc.callbacks)
    monkeypatch.setattr(sys, "argv", ["bsv-store", "--store", str(tmp_path / "no-store"), "status"])
    with pytest.raises(SystemExit):
        main()
    assert (gc.get_threshold(), gc.callbacks) == (usual, callbacks)

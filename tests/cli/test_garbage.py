"""Commands do not spend their time searching imported modules for garbage."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import pytest

from bsv_store import create_store
from bsv_store_cli.main import main

COUNTING = """
import gc, sys
searches = []
gc.callbacks.append(lambda phase, facts: searches.append(facts["generation"]) if phase == "stop" else None)
from bsv_store_cli.main import main
imported = len(searches)
sys.argv[0] = "bsv-store"
try:
    main()
finally:
    print(len(searches) - imported, file=sys.stderr)
"""


def test_a_short_command_hardly_searches_for_garbage(tmp_path: Path) -> None:
    create_store(tmp_path / "store").close()
    command = [sys.executable, "-c", COUNTING, "--store", str(tmp_path / "store"), "status"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    # More than 100 with the thresholds of Python.
    assert int(done.stderr.splitlines()[-1]) <= 12, done.stderr


def test_garbage_is_collected_as_usual_once_the_store_is_open_and_after_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bsv_store.store.store import Store

    usual, found = gc.get_threshold(), []
    status = Store.status

    def watched(self: Store) -> object:
        found.append(gc.get_threshold())
        return status(self)

    monkeypatch.setattr(Store, "status", watched)
    monkeypatch.setattr(sys, "argv", ["bsv-store", "--store", str(tmp_path / "store"), "status"])
    for expected in ([], [usual]):
        with pytest.raises(SystemExit):
            main()
        assert found == expected
        assert gc.get_threshold() == usual
        if not found:
            create_store(tmp_path / "store").close()

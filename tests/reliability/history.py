"""Past versions of this package, taken from the history of the repository and run in separate processes."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import pytest

from bsv_store.catalog.database import schema

CHECKOUT: Final = Path(__file__).resolve().parents[2]
SCRIPT: Final = Path(__file__).with_name("past_code.py")
_PARTS = ("bsv_store", "cli", "synthetic", "alembic", "migrations", "pyproject.toml")


def _git(*arguments: str, text: str | None = None) -> str:
    done = subprocess.run(
        ["git", "-C", str(CHECKOUT), *arguments], input=text, capture_output=True, text=True, check=True
    )
    return done.stdout


@functools.cache
def last_commits() -> Mapping[str, str]:
    """For each past revision, the last commit that had it and no later one.

    A few revisions were merged together, so that no commit had them as its newest. Skips the test where the history
    is not there.
    """
    if shutil.which("git") is None or not (CHECKOUT / ".git").exists():
        pytest.skip("no history: not a clone of the repository")
    names = sorted(path.name for path in (CHECKOUT / "migrations").glob("[0-9]*.py"))
    commits = _git("rev-list", "HEAD").split()
    trees = _git("cat-file", "--batch-check=%(objectname)", text="".join(f"{each}:migrations\n" for each in commits))
    found: dict[str, str] = {}
    known: dict[str, list[str]] = {}
    for commit, tree in zip(commits, trees.splitlines(), strict=True):
        if tree.endswith(" missing"):
            continue
        if tree not in known:
            listed = _git("ls-tree", "--name-only", tree).splitlines()
            known[tree] = sorted(name for name in listed if name[0].isdigit() and name.endswith(".py"))
        if known[tree] == names[: len(known[tree])]:
            found.setdefault(known[tree][-1][:4], commit)
    past = {revision: commit for revision, commit in sorted(found.items()) if revision != schema.HEAD}
    if not past:
        pytest.skip("no history: a shallow clone")
    return past


class PastCode:
    """The package as it was at the last commit of a revision.

    Parameters
    ----------
    revision : str
    folder : pathlib.Path
        Where it is, or is extracted to.
    """

    def __init__(self, revision: str, folder: Path) -> None:
        if revision not in last_commits():
            pytest.skip(f"no commit of the history had {revision} as its newest revision")
        self._folder = folder / revision
        if not self._folder.exists():
            commit = last_commits()[revision]
            parts = [name for name in _git("ls-tree", "--name-only", commit).splitlines() if name in _PARTS]
            archive = subprocess.run(
                ["git", "-C", str(CHECKOUT), "archive", commit, *parts], capture_output=True, check=True
            ).stdout
            with tarfile.open(fileobj=BytesIO(archive)) as opened:
                opened.extractall(self._folder, filter="data")

    def run(self, command: str, *arguments: object) -> dict[str, Any]:
        """The answer of a function of `tests.reliability.past_code`."""
        done = self._python(str(SCRIPT), command, *arguments)
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        assert Path(answer.pop("package")).is_relative_to(self._folder)
        return answer

    def command_line(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Run ``bsv-store``."""
        return self._python("-m", "bsv_store_cli.main", *arguments)

    def _python(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join(str(self._folder / name) for name in ("", "cli", "synthetic"))
        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"},
            cwd=self._folder,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

"""Break each promise of the store on purpose, and see that the tests notice: ``python -m tests.reliability.mutants``.

Each mutant is a small change of the code, made in a copy of the checkout. The tests that guard the promise run there
and must fail; without a change, they must pass. A mutant that no test notices is an error of the tests.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
_COPIED = ("bsv_store", "cli", "synthetic", "tests", "alembic", "migrations", "benchmarks", "docs", "container")


@dataclass(frozen=True)
class Mutant:
    """A change that breaks a promise.

    Attributes
    ----------
    promise : str
        What the store no longer keeps.
    path : str
        File, relative to the checkout.
    before, after : str
        The text to replace, which occurs once, and its replacement.
    tests : tuple of str
        Arguments of pytest.
    """

    promise: str
    path: str
    before: str
    after: str
    tests: tuple[str, ...]


_FILES = ("tests/volumes/test_files.py",)
_POWER = ("tests/reliability/test_power_loss.py", "-k", "aggregate")
_CLAIMS = ("tests/acquisition/test_claims.py",)

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "the bytes of a file are on the disk before its name",
        "bsv_store/volumes/files.py",
        "        os.fchmod(file.fileno(), self.file_mode)\n        os.fsync(file.fileno())\n",
        "        os.fchmod(file.fileno(), self.file_mode)\n",
        _POWER,
    ),
    Mutant(
        "the name of a file is on the disk before its row",
        "bsv_store/volumes/files.py",
        '        checkpoint("publish:renamed")\n        sync_folder(target.parent)\n',
        '        checkpoint("publish:renamed")\n',
        _POWER,
    ),
    Mutant(
        "files have the permissions of the store",
        "bsv_store/volumes/files.py",
        "        os.fchmod(file.fileno(), self.file_mode)\n        os.fsync",
        "        os.fsync",
        _FILES,
    ),
    Mutant(
        "a file that differs in a bit is not read",
        "bsv_store/volumes/files.py",
        "len(data) == size_bytes, xxhash.xxh3_64_hexdigest(data) == xxh3)",
        "len(data) == size_bytes, True)",
        _FILES,
    ),
    Mutant(
        "the catalog cannot name files outside the store",
        "bsv_store/volumes/files.py",
        'if relative.startswith("/") or ".." in relative.split("/"):',
        'if relative.startswith("/"):',
        _FILES,
    ),
    Mutant(
        "writers on SQLite wait for each other before they read",
        "bsv_store/catalog/database/engine.py",
        'options = {"bsv_begin": "IMMEDIATE"} if patient else',
        'options = {"bsv_begin": "DEFERRED"} if patient else',
        ("tests/catalog/test_engine.py", "-k", "no_update_is_lost"),
    ),
    Mutant(
        "a claim is respected until its lease ends",
        "bsv_store/acquisition/work/claims.py",
        "where=or_(_columns.expires_at < now, _columns.owner.in_([*dead, self.owner])),",
        "where=or_(_columns.expires_at >= now, _columns.expires_at < now),",
        _CLAIMS,
    ),
    Mutant(
        "an owner that lost its claim commits nothing",
        "bsv_store/acquisition/work/claims.py",
        "return {key for key, token in rows if held[key] == token}",
        "return set(held)",
        _CLAIMS,
    ),
    Mutant(
        "claims of processes that have ended are free at once",
        "bsv_store/acquisition/work/claims.py",
        "return [owner for owner in connection.execute(query).scalars() if has_ended(_process(owner))]",
        "return [owner for owner in connection.execute(query).scalars() if False]",
        _CLAIMS,
    ),
    Mutant(
        "names of members of a zip are not trusted",
        "bsv_store/formats/density_zip.py",
        'if name != info.filename or any(mark in name for mark in "/\\\\:\\0") or name in ("", ".", ".."):',
        "if False:",
        ("tests/formats",),
    ),
    Mutant(
        "blocks of large volumes are compared with their hashes",
        "bsv_store/volumes/blocks.py",
        "if _hash(name, number, block) != self._hashes[at : at + _HASH_BYTES]:",
        "if False:",
        ("tests/volumes/test_large_damage.py", "tests/volumes/test_large.py"),
    ),
    Mutant(
        "redirects do not lead to other hosts",
        "bsv_store/sources/allen/redirects.py",
        "if not (_same_host(asked, target) or _both_allen(asked, target)):",
        "if False:",
        ("tests/sources",),
    ),
    Mutant(
        "SQL of users is read-only",
        "bsv_store/catalog/tables/sql.py",
        "    driver.set_authorizer(_authorize)\n",
        "",
        ("tests/catalog/test_sql_hostile.py", "tests/catalog/test_sql.py"),
    ),
    Mutant(
        "damaged rows of the catalog are refused",
        "bsv_store/catalog/seals.py",
        "    if keys:\n        ids = sorted",
        "    if False:\n        ids = sorted",
        ("tests/datasets/test_seals.py",),
    ),
    Mutant(
        "a folder is not used with the database of another store",
        "bsv_store/store/connection.py",
        "    if store_id != config.store_id:",
        "    if False:",
        ("tests/store",),
    ),
    Mutant(
        "a recorded answer holds only while the catalog is unchanged",
        "bsv_store/datasets/answers.py",
        "            DatasetAnswer.change_count == state,\n",
        "",
        ("tests/datasets/test_answers.py",),
    ),
    Mutant(
        "an imported version that is not checked answers no question",
        "bsv_store/datasets/table.py",
        "    return read_origin(connection, identifier).can_answer\n",
        "    return True\n",
        ("tests/datasets/test_imported.py",),
    ),
    Mutant(
        "version numbers are not given again after a restore",
        "bsv_store/datasets/numbers.py",
        "if before is not None and before.number > last_number:",
        "if False:",
        ("tests/maintenance/test_trash.py", "-k", "number"),
    ),
    Mutant(
        "files of a server are compared with their hash before they are used",
        "bsv_store/remote/objects.py",
        "if digest.hexdigest() != file.sha256:",
        "if False:",
        ("tests/remote/test_objects.py",),
    ),
    Mutant(
        "unionize rows of a server are compared with their hashes",
        "bsv_store/remote/unionizes.py",
        "    if found != expected or any(",
        "    if False and any(",
        ("tests/remote/test_mirror.py",),
    ),
    Mutant(
        "a statement on a mirror never sees a part of the unionize rows",
        "bsv_store/remote/database.py",
        "if self.mirror.needs_unionizes(statement) and not is_attached(driver):",
        "if False:",
        ("tests/remote/test_mirror.py",),
    ),
    Mutant(
        "a revoked token is not accepted",
        "bsv_store/catalog/access_tokens.py",
        "return self.revoked_at is None and (self.expires_at is None or at < self.expires_at)",
        "return True",
        ("tests/server/test_access.py",),
    ),
    Mutant(
        "a wrong token is not accepted",
        "bsv_store/catalog/access_tokens.py",
        "return hmac.compare_digest(_hash_of(secret), self.sha256)",
        "return True",
        ("tests/server/test_access.py",),
    ),
)


def run(mutants: tuple[Mutant, ...], *, show: bool = False) -> list[Mutant]:
    """Try mutants; returns those that no test noticed."""
    missed = []
    with tempfile.TemporaryDirectory(prefix="bsv-store-mutants-") as folder:
        copy = _copy(Path(folder) / "checkout")
        for tests in sorted({each.tests for each in mutants}):
            done = _pytest(copy, tests)
            if done.returncode != 0:
                raise SystemExit(f"without a change, {' '.join(tests)} fails:\n{done.stdout[-3000:]}")
        for mutant in mutants:
            start = time.monotonic()
            done = _tried(copy, mutant)
            # 1: tests failed; others mean that pytest could not run them.
            is_noticed = done.returncode == 1
            _say(f"{'noticed' if is_noticed else 'MISSED':<8} {time.monotonic() - start:5.0f} s  {mutant.promise}")
            if show:
                _say(done.stdout[-1500:])
            if not is_noticed:
                missed.append(mutant)
    return missed


def _copy(target: Path) -> Path:
    target.mkdir()
    for name in _COPIED:
        shutil.copytree(CHECKOUT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    for file in CHECKOUT.iterdir():
        if file.is_file():
            shutil.copy(file, target / file.name)
    return target


def _tried(copy: Path, mutant: Mutant) -> subprocess.CompletedProcess[str]:
    path = copy / mutant.path
    text = path.read_text(encoding="utf-8")
    if text.count(mutant.before) != 1:
        raise SystemExit(f"{mutant.path} has this text {text.count(mutant.before)} times:\n{mutant.before}")
    try:
        path.write_text(text.replace(mutant.before, mutant.after), encoding="utf-8")
        return _pytest(copy, mutant.tests)
    finally:
        path.write_text(text, encoding="utf-8")


def _pytest(copy: Path, tests: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(copy), str(copy / "cli"), str(copy / "synthetic")])
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", "-p", "no:cacheprovider"]
    command += ["-m", "not long and not integration", *tests]
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Try all mutants, or those whose promise has a word in it; 1 if one was missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.reliability.mutants", description=__doc__)
    parser.add_argument("word", nargs="?", default="", help="only mutants whose promise or file has this text")
    parser.add_argument("--show", action="store_true", help="print the end of the output of pytest")
    arguments = parser.parse_args()
    chosen = tuple(each for each in MUTANTS if arguments.word in each.promise or arguments.word in each.path)
    missed = run(chosen, show=arguments.show)
    _say(f"{len(chosen) - len(missed)} of {len(chosen)} mutants were noticed")
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())

"""Break each promise of the store on purpose, and check that the tests notice: ``python -m tests.reliability.mutants``.

Each mutant is a small change of the code in a copy of the checkout. The tests that guard the promise run there and must
fail; without the change they must pass. A mutant that no test notices is a fault of the tests.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
_COPIED = ("bsv_store", "cli", "synthetic", "tests", "alembic", "migrations", "benchmarks", "docs", "container")
# Exit codes: of pytest if a test failed, and for tests that did not end, which is a failure, too. All tests together
# take some minutes.
_FAILED, _ENDLESS = 1, -signal.SIGKILL
_TIMEOUT_S = 1200.0


@dataclass(frozen=True)
class Mutant:
    """A change that breaks a promise.

    Attributes
    ----------
    promise : str
        The promise that the change breaks.
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
_KILLS = "tests/reliability/test_kills.py"
_POWER_DELETE = ("tests/reliability/test_power_loss.py", "-k", "delete")
_POWER_EXPORT = ("tests/reliability/test_power_loss.py", "-k", "export")
_POWER_BACKUP = ("tests/reliability/test_power_loss.py", "-k", "backup")
_SCHEDULES = ("tests/reliability/test_schedules.py", "-k", "sqlite")

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
        "a file with a flipped bit is not read",
        "bsv_store/volumes/files.py",
        "len(data) == size_bytes, xxhash.xxh3_64_hexdigest(data) == xxh3)",
        "len(data) == size_bytes, True)",
        _FILES,
    ),
    Mutant(
        "the catalog cannot name files outside the store",
        "bsv_store/volumes/files.py",
        "if not is_inside(relative):",
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
        "claims of processes that have ended are taken over at once",
        "bsv_store/acquisition/work/claims.py",
        "return [owner for owner in connection.execute(query).scalars() if _has_ended(owner)]",
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
        "select(removed + rows)",
        "select(removed * 0)",
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
        "a version with damaged rows is not returned as an answer",
        "bsv_store/datasets/aggregate.py",
        "            if has_fingerprint(version):\n",
        "            if version:\n",
        ("tests/datasets/test_damaged_versions.py",),
    ),
    Mutant(
        "a version with damaged rows is not opened",
        "bsv_store/datasets/recorded_rows.py",
        "    if has_fingerprint(version) is False:\n",
        "    if False:\n",
        ("tests/datasets/test_damaged_versions.py",),
    ),
    Mutant(
        "a recorded answer without a valid seal is ignored",
        "bsv_store/datasets/answers.py",
        "sealed.get(str(each)) == _seal(each, state) and ",
        "",
        ("tests/datasets/test_damaged_versions.py", "-k", "answer"),
    ),
    Mutant(
        "files that bsv-store did not create are not collected",
        "bsv_store/maintenance/gc.py",
        "if isinstance(identified(found, self._experiments), Foreign):",
        "if False:",
        ("tests/maintenance/test_gc.py", "-k", "others"),
    ),
    Mutant(
        "version numbers are not reused after a restore",
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
    Mutant(
        "the row of a deleted version is gone before its file is moved",
        "bsv_store/datasets/delete.py",
        '        checkpoint("delete:removed")\n',
        '        files.move_to_trash(version.relative_path, item)\n        checkpoint("delete:removed")\n',
        (_KILLS, "-k", "delete"),
    ),
    Mutant(
        "what a killed process has published is not requested again",
        "bsv_store/acquisition/tasks/orphans.py",
        "            if file is None or array_sha256 not in (None, file.layout.array_sha256)",
        "            if True or array_sha256 not in (None, file.layout.array_sha256)",
        (_KILLS, "-k", "checkpoint and fetch-sqlite"),
    ),
    Mutant(
        "a migration is one transaction",
        "alembic/env.py",
        '    checkpoint("migrate:step")\n',
        '    context.get_bind().connection.driver_connection.commit()\n    checkpoint("migrate:step")\n',
        (_KILLS, "-k", "grade"),
    ),
    Mutant(
        "a backup that was killed at its first write does not block its target",
        "bsv_store/maintenance/backup/repository.py",
        'not name.startswith(f"{TMP}/")',
        'not name.startswith("./tmp/")',
        (_KILLS, "-k", "backup"),
    ),
    Mutant(
        "no damaged byte of a backup is restored",
        "bsv_store/maintenance/backup/repository.py",
        "    if size != size_bytes or digest.hexdigest() != sha256:\n",
        "    if False:\n",
        ("tests/reliability/test_flips.py", "-k", "backup"),
    ),
    Mutant(
        "a run that failed leaves no claims",
        "bsv_store/acquisition/work/sharing.py",
        "            self._claims.release_all()\n",
        "            pass\n",
        ("tests/reliability/test_bad_replies.py", "-k", "annotation"),
    ),
    Mutant(
        "a file in use is not collected as garbage",
        "bsv_store/catalog/unused_files.py",
        "            if path in used or _size_if_older",
        "            if _size_if_older",
        ("tests/maintenance/test_gc_beside.py", "-k", "committed_before"),
    ),
    Mutant(
        "the name of a new folder is on the disk before the rows of its files",
        "bsv_store/volumes/folders.py",
        "        sync_folder(new.parent)\n",
        "",
        _POWER_BACKUP,
    ),
    Mutant(
        "a commit on SQLite is on the disk when it returns",
        "bsv_store/catalog/database/sqlite.py",
        "PRAGMA synchronous = EXTRA",
        "PRAGMA synchronous = FULL",
        _POWER_DELETE,
    ),
    Mutant(
        "an exported file is on the disk when the export returns",
        "bsv_store/formats/output_file.py",
        "            temporary.replace(target)\n            sync_folder(target.parent)\n",
        "            temporary.replace(target)\n",
        _POWER_EXPORT,
    ),
    Mutant(
        "the objects of a backup are on the disk before its snapshot",
        "bsv_store/maintenance/backup/target.py",
        "                    os.fsync(file.fileno())\n",
        "",
        _POWER_BACKUP,
    ),
    Mutant(
        "errors of Postgres after a lost connection are errors of the package",
        "bsv_store/catalog/database/engine.py",
        "        except PendingRollbackError as error:\n",
        "        except ZeroDivisionError as error:\n",
        ("tests/catalog/test_postgres_connections.py", "-k", "after_a_lost_connection"),
    ),
    Mutant(
        "a store with an old schema is refused",
        "bsv_store/catalog/database/schema.py",
        "    if revision == HEAD:\n        return\n    if revision is None:",
        "    if revision is not None and revision <= HEAD:\n        return\n    if revision is None:",
        ("tests/reliability/test_refusals.py", "-k", "0018"),
    ),
    Mutant(
        "a store in a later format is refused",
        "bsv_store/config/store_file.py",
        "    if type(version) is int and version > FORMAT_VERSION:",
        "    if False:",
        ("tests/reliability/test_refusals.py", "-k", "format"),
    ),
    Mutant(
        "an upgrade keeps the meaning of saved selections",
        "migrations/0006_experiment_id.py",
        '"hemisphere": "injected_hemisphere"',
        '"hemisphere": "hemisphere"',
        ("tests/catalog/revisions", "-k", "sqlite and 0005"),
    ),
    Mutant(
        "temporary folders of killed processes are removed",
        "bsv_store/temporary.py",
        'return state == "ended" or (',
        "return (",
        ("tests/test_temporary.py",),
    ),
    Mutant(
        "a damaged copy of the catalog of a server is not used again",
        "bsv_store/remote/database.py",
        "            self.mirror.distrust_copies()\n            self.engine.dispose()\n",
        "            self.mirror.distrust_copies()\n",
        ("tests/remote/test_mirror.py", "-k", "damaged_while"),
    ),
    Mutant(
        "a first backup that was killed does not block later ones",
        "bsv_store/maintenance/backup/repository.py",
        'if not name.startswith(f"{TMP}/")',
        "if True",
        ("tests/maintenance/backup/test_backup.py", "-k", "first_backup"),
    ),
    Mutant(
        "files that are younger than the grace period are not collected",
        "bsv_store/maintenance/gc.py",
        "        self._before = now - grace\n",
        "        self._before = now\n",
        ("tests/maintenance/test_gc.py", "-k", "sqlite"),
    ),
    Mutant(
        "experiments on the exclusion list are not selected",
        "bsv_store/catalog/selection/resolve.py",
        "            yield terms.opposite(terms.on_exclusion_list())\n",
        "            pass\n",
        ("tests/datasets/test_exclusions.py", "-k", "sqlite"),
    ),
    Mutant(
        "a version is restored from the trash with its tags",
        "bsv_store/datasets/deleted_rows.py",
        "    if new:\n",
        "    if False:\n",
        ("tests/maintenance/test_trash.py", "-k", "tags"),
    ),
    Mutant(
        "volumes behind tagged, exported and cited versions are not evicted",
        "bsv_store/maintenance/quota.py",
        "elif row.array_sha256 in needed:",
        "elif False:",
        ("tests/maintenance/test_quota.py", "-k", "sqlite"),
    ),
    Mutant(
        "claims of processes that have ended protect no files",
        "bsv_store/acquisition/work/claims.py",
        "    return {key for key, owner in claims if owner not in ended}",
        "    return {key for key, owner in claims}",
        ("tests/acquisition/test_claims.py", "-k", "protect_no_files"),
    ),
    Mutant(
        "an HDF5 file cannot make the library open another file",
        "bsv_store/volumes/hdf5.py",
        "            if problem is not None:\n                raise DamagedFileError(",
        "            if False:\n                raise DamagedFileError(",
        ("tests/security/test_hdf5.py", "-k", "external and as_volume"),
    ),
    Mutant(
        "no file is unpickled",
        "bsv_store/atlas/parcellation.py",
        "return _checked_labels(read_npy(stream, what=what, max_bytes=grid.size * 8), grid, what=what)",
        "return _checked_labels(np.load(stream, allow_pickle=True), grid, what=what)",
        ("tests/security/test_no_pickle.py", "-k", "one_place"),
    ),
    Mutant(
        "a snapshot runs no SQL other than the creation of indexes",
        "bsv_store/maintenance/backup/database_copy.py",
        "driver.set_authorizer(_authorize_index)",
        "pass",
        ("tests/security/test_paths.py", "-k", "ATTACH or TABLE"),
    ),
    Mutant(
        "pruning a cache removes its own files only",
        "bsv_store/remote/eviction.py",
        "return _OBJECT.fullmatch(name) is not None",
        "return True",
        ("tests/security/test_paths.py", "-k", "pruning"),
    ),
    Mutant(
        "a snapshot is pruned before the objects that only it needs",
        "bsv_store/maintenance/backup/prune.py",
        ", is_durable=True)",
        ")",
        ("tests/reliability/test_power_loss.py", "-k", "prune"),
    ),
    Mutant(
        "folders of the cache are on the disk before an average in them is acknowledged",
        "bsv_store/remote/folder.py",
        "                sync_folder(new.parent)\n",
        "                pass\n",
        ("tests/reliability/test_power_loss.py", "-k", "network"),
    ),
    Mutant(
        "an error of the disk while HDF5 reads is an error of the package",
        "bsv_store/volumes/hdf5.py",
        "            self._error = self._error or error\n            raise\n",
        "            raise\n",
        ("tests/reliability/test_io_sweep.py", "-k", "network"),
    ),
    Mutant(
        "a folder that is a link is not emptied",
        "bsv_store/maintenance/trash.py",
        " if folder.is_dir() and not folder.is_symlink() else ()\n",
        " if folder.is_dir() else ()\n",
        ("tests/security/test_paths.py", "-k", "linked_folders and trash"),
    ),
    Mutant(
        "logs have no passwords and tokens",
        "bsv_store/text.py",
        "return _SECRETS.sub(",
        "return text or _SECRETS.sub(",
        ("tests/security/test_secrets.py", "-k", "logs"),
    ),
    Mutant(
        "names cannot reverse a line of a page",
        "bsv_store/reports/html_page/markup.py",
        "return escape(visible(content))",
        "return escape(content)",
        ("tests/security/test_display.py", "-k", "harmless and HTML"),
    ),
    Mutant(
        "CSV for spreadsheets has no formulas",
        "bsv_store/text.py",
        "isinstance(value, str) and value.startswith(_FORMULA_STARTS)",
        "False",
        ("tests/security/test_csv_formulas.py", "-k", "formula and not exported"),
    ),
    Mutant(
        "pages of other sites cannot send queries",
        "bsv_store/server/access/middleware.py",
        "and self._is_of_another_site(headers):",
        "and False:",
        ("tests/security/test_server.py", "-k", "other_sites"),
    ),
    Mutant(
        "documents that are nested too deeply are refused",
        "bsv_store/documents.py",
        "        level = below\n    raise _too_deep()\n",
        "        level = below\n",
        ("tests/test_documents.py",),
    ),
    Mutant(
        "a member of a zip file is not decompressed beyond its limit",
        "bsv_store/formats/zip_archive.py",
        "    if info.file_size > limit:\n",
        "    if False:\n",
        ("tests/formats/test_zip_archive.py",),
    ),
    Mutant(
        "HDF5 does not decompress a chunk to more than its size",
        "bsv_store/volumes/hdf5_limits.py",
        "    if found != size or not inflater.eof:\n",
        "    if False:\n",
        ("tests/reliability/test_bombs.py", "-k", "deflate"),
    ),
    Mutant(
        "a result that was collected before its row is published again",
        "bsv_store/datasets/publish.py",
        "    if not files.path(path).exists():\n",
        "    if False:\n",
        _SCHEDULES,
    ),
)


def run(mutants: tuple[Mutant, ...], *, show: bool = False) -> list[Mutant]:
    """Try mutants; returns those that no test noticed."""
    missed = []
    with tempfile.TemporaryDirectory(prefix="bsv-store-mutants-") as folder:
        copy = copy_checkout(Path(folder) / "checkout")
        for tests in sorted({each.tests for each in mutants}):
            done = _pytest(copy, tests)
            if done.returncode != 0:
                raise SystemExit(f"without a change, {' '.join(tests)} fails:\n{done.stdout[-3000:]}")
        for mutant in mutants:
            start = time.monotonic()
            done = _tried(copy, mutant)
            # Other codes mean that pytest could not run the tests.
            is_noticed = done.returncode in (_FAILED, _ENDLESS)
            _say(f"{'noticed' if is_noticed else 'MISSED':<8} {time.monotonic() - start:5.0f} s  {mutant.promise}")
            if show:
                _say(done.stdout[-1500:])
            if not is_noticed:
                missed.append(mutant)
    return missed


def copy_checkout(target: Path) -> Path:
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
    # A group of its own, since the tests have processes, too.
    with subprocess.Popen(
        command, cwd=copy, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            output, _ = process.communicate(timeout=_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            return subprocess.CompletedProcess(command, _ENDLESS, output)
    return subprocess.CompletedProcess(command, process.returncode, output)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Try all mutants, or those with a given text in the promise or path; 1 if one was missed."""
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

"""Administration of the cache of remote stores: list, prune and verify it, without a network and without a store."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import sqlite3
from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bsv_store import check
from bsv_store.errors import InputError
from bsv_store.progress import shown_progress
from bsv_store.remote.core import complete_copies, is_undamaged, opened_core
from bsv_store.remote.eviction import CachedObject, listed_objects, remove_object
from bsv_store.remote.folder import SERVERS, cache_errors, cache_folder, cache_max_bytes
from bsv_store.remote.leftovers import remove_leftovers
from bsv_store.remote.local_records import listed_results, remove_result
from bsv_store.remote.state import damaged_state, read_state
from bsv_store.text import number_of, size_text

if TYPE_CHECKING:
    from bsv_store.progress import Progress
    from bsv_store.remote.local_records import LocalResult

_BLOCK: Final = 1 << 20
_OTHER_BYTES: Final = "its bytes do not have the hash that it was stored with"
_NAMED = (
    "SELECT path, file_sha256 FROM volume UNION ALL SELECT path, file_sha256 FROM annotation "
    "UNION ALL SELECT path, file_sha256 FROM template "
    "UNION ALL SELECT path, file_sha256 FROM dataset_version"
)


@dataclass(frozen=True, slots=True)
class CachedServer:
    """What the cache has of one server.

    Attributes
    ----------
    url : str
        Its address; the name of its folder if that is not known.
    folder : pathlib.Path
    catalog_bytes : int
        Size of the copies of its catalog.
    results : tuple of LocalResult
        The averages that were computed here.
    files, files_bytes : int
        Number and size of the files in the cache that its catalog names.
    last_used : datetime.datetime
        When the server was last asked, or an average was computed; aware UTC.
    """

    url: str
    folder: Path
    catalog_bytes: int
    results: tuple[LocalResult, ...]
    files: int
    files_bytes: int
    last_used: datetime


@dataclass(frozen=True, slots=True)
class CachedFile:
    """A file in the cache.

    Attributes
    ----------
    sha256 : str
        Of the complete file.
    name : str or None
        Its path in a store; None if no catalog in the cache names it.
    servers : tuple of str
        Addresses of the servers whose catalog names it.
    path : pathlib.Path
    size_bytes : int
        On disk.
    last_used : datetime.datetime
        Aware UTC, to about ten minutes.
    is_partial : bool
        Whether only some blocks of it are in the cache.
    """

    sha256: str
    name: str | None
    servers: tuple[str, ...]
    path: Path
    size_bytes: int
    last_used: datetime
    is_partial: bool


@dataclass(frozen=True, slots=True)
class CacheContents:
    """The content of the cache. ``print()`` shows a summary.

    Attributes
    ----------
    folder : pathlib.Path
    max_bytes : int
        The setting ``cache_max_bytes``: the limit of the size of the files.
    servers : tuple of CachedServer
    files : tuple of CachedFile
        The least recently used ones first.
    """

    folder: Path
    max_bytes: int
    servers: tuple[CachedServer, ...]
    files: tuple[CachedFile, ...]

    @property
    def size_bytes(self) -> int:
        """Size of the files, without catalogs and averages."""
        return sum(each.size_bytes for each in self.files)

    def __str__(self) -> str:
        parts = sum(each.is_partial for each in self.files)
        partial = f", {parts} of them in part" if parts else ""
        return (
            f"{self.folder}: {number_of(len(self.files), 'file')}{partial}, {size_text(self.size_bytes)} of at most "
            f"{size_text(self.max_bytes)}; {number_of(len(self.servers), 'server')}."
        )


@dataclass(frozen=True, slots=True)
class CachePruning:
    """What a prune removes. ``print()`` shows a summary.

    Attributes
    ----------
    is_applied : bool
        Whether it was removed; otherwise this is a plan.
    files : tuple of CachedFile
    servers : tuple of CachedServer
        Whose catalogs and averages are removed.
    averages : tuple of LocalResult
        Averages of other servers that are removed.
    averages_bytes : int
        Total size of their files that are removed. A file to which another name refers is kept, and not counted.
    kept_bytes : int
        Size of the files that stay.
    """

    is_applied: bool
    files: tuple[CachedFile, ...]
    servers: tuple[CachedServer, ...]
    averages: tuple[LocalResult, ...]
    averages_bytes: int
    kept_bytes: int

    @property
    def size_bytes(self) -> int:
        """Total size of what is removed."""
        catalogs = sum(each.catalog_bytes + _results_bytes(each.results) for each in self.servers)
        return catalogs + self.averages_bytes + sum(each.size_bytes for each in self.files)

    def __str__(self) -> str:
        counts = [(len(self.files), "file"), (len(self.averages), "average")]
        what = ", ".join(number_of(*each) for each in counts if each[0]) or number_of(0, "file")
        if self.servers:
            averages = sum(len(each.results) for each in self.servers)
            what += f" and the catalogs of {number_of(len(self.servers), 'server')}"
            what += f" with {number_of(averages, 'average')}" if averages else ""
        done = "Removed" if self.is_applied else "Would remove"
        return f"{done} {what}, {size_text(self.size_bytes)}; {size_text(self.kept_bytes)} of files remain."


@dataclass(frozen=True, slots=True)
class CacheFinding:
    """A damaged file in the cache."""

    path: Path
    name: str | None
    problem: str


@dataclass(frozen=True, slots=True)
class CacheVerification:
    """Result of verifying the cache.

    Attributes
    ----------
    files, size_bytes : int
        Number and size of the files that were read.
    partial : int
        Number of partial files, whose parts are verified when they are used.
    findings : tuple of CacheFinding
    discarded : int
        Number of damaged files that were removed.
    """

    files: int
    size_bytes: int
    partial: int
    findings: tuple[CacheFinding, ...]
    discarded: int


def list_cache(folder: Path | str | None = None) -> CacheContents:
    """The servers and files in the cache.

    Parameters
    ----------
    folder : path, optional
        By default the setting ``cache``.
    """
    place = _folder(folder)
    named: dict[str, str] = {}
    servers_of: dict[str, list[str]] = {}
    found = listed_objects(place)
    servers = []
    for server in sorted((place / SERVERS).glob("*/")):
        if not any(server.iterdir()):
            # The server could not be reached when it was opened.
            continue
        url, files = _url(server), _named_files(server)
        for sha256, name in files.items():
            named.setdefault(sha256, name)
            servers_of.setdefault(sha256, []).append(url)
        servers.append(_server(server, url, [each for each in found if each.sha256 in files]))
    listed = tuple(
        CachedFile(
            each.sha256,
            named.get(each.sha256),
            tuple(servers_of.get(each.sha256, ())),
            each.path,
            each.size_bytes,
            each.last_used,
            each.is_partial,
        )
        for each in found
    )
    return CacheContents(place, cache_max_bytes(), tuple(servers), listed)


def prune_cache(
    *,
    max_bytes: int | None = None,
    unused_for: timedelta | None = None,
    server: str | None = None,
    averages: Sequence[str] = (),
    apply: bool = False,
    folder: Path | str | None = None,
) -> CachePruning:
    """Remove files from the cache, by any of several rules. Files are downloaded again when they are needed.

    Parameters
    ----------
    max_bytes : int, optional
        Remove the least recently used files until the others are not larger together.
    unused_for : datetime.timedelta, optional
        Remove files that were not used for this time.
    server : str, optional
        Address of a server: remove the copy of its catalog, the averages that were computed here, and the files that
        no other catalog in the cache names.
    averages : sequence of str
        References of averages that were computed here, such as ``visual@local-0123456789ab``: remove them.
    apply : bool
        Remove; otherwise only plan.
    folder : path, optional
        By default the setting ``cache``.

    Raises
    ------
    InputError
        If no rule is given, a value is not valid, or the cache has nothing from the server or no such average.
    StoreError
        If something cannot be removed.
    """
    such_as = "visual@local-0123456789ab"
    given = check.several("averages", averages, such_as=f'["{such_as}"]')
    refs = [check.text("averages", each, such_as=such_as) for each in given]
    if max_bytes is None and unused_for is None and server is None and not refs:
        raise InputError("no rule says what to remove", hint="For example: bsv-store cache prune --max-bytes 5GB")
    limit = None if max_bytes is None else check.whole_number("max_bytes", max_bytes, least=0)
    age = None if unused_for is None else check.duration("unused_for", unused_for)
    contents = list_cache(folder)
    servers = () if server is None else _servers_at(contents, server)
    results = _averages_named(contents, refs)
    removed = _chosen(contents, limit, age, {each.url for each in servers})
    if apply:
        removed = [each for each in removed if remove_object(contents.folder, _object(each))]
        for each in servers:
            with cache_errors(each.folder):
                shutil.rmtree(each.folder)
        for folder_of, result in results:
            with cache_errors(folder_of):
                remove_result(folder_of, result)
        remove_leftovers(contents.folder)
    gone = {each.path for each in removed}
    kept = sum(each.size_bytes for each in contents.files if each.path not in gone)
    others = [each for each in contents.servers if each not in servers]
    named = tuple(result for each in others for result in each.results if (each.folder, result) in results)
    averages_bytes = sum(_freed_bytes(each, refs) for each in others)
    return CachePruning(apply, tuple(removed), servers, named, averages_bytes, kept)


def verify_cache(
    *, discard_damaged: bool = False, folder: Path | str | None = None, progress: Progress | None = None
) -> CacheVerification:
    """Compare every byte of the complete files, catalogs and averages that were computed here with their hash.

    The recorded state of each server is compared with its checksum.

    Parameters
    ----------
    discard_damaged : bool
        Remove what is damaged; it is downloaded, or an average computed, again when it is needed.
    folder : path, optional
        By default the setting ``cache``.
    progress : Progress, optional
    """
    contents = list_cache(folder)
    is_discarding = check.boolean("discard_damaged", discard_damaged)
    wanted = [
        _Checked(each.path, each.name, each.sha256, each.size_bytes, partial(each.path.unlink, missing_ok=True))
        for each in contents.files
        if not each.is_partial
    ]
    wanted += [
        _Checked(
            server.folder / result.path,
            result.ref,
            result.file_sha256,
            result.size_bytes,
            partial(remove_result, server.folder, result, other_names=True),
        )
        for server in contents.servers
        for result in server.results
    ]
    wanted += [
        _Checked(copy, f"the catalog of {server.url}", None, copy.stat().st_size, partial(copy.unlink, missing_ok=True))
        for server in contents.servers
        for copy in complete_copies(server.folder)
    ]
    shown = shown_progress(progress)
    findings: list[CacheFinding] = []
    shown.start(len(wanted), "verifying the cache")
    try:
        for each in wanted:
            problem = _problem(each.path, each.sha256, lambda count: shown.advance(0, size_bytes=count))
            if problem is not None:
                findings.append(CacheFinding(each.path, each.name, problem))
                if is_discarding:
                    with cache_errors(each.path):
                        each.remove()
            shown.advance()
    finally:
        shown.finish()
    for server in contents.servers:
        if (state := damaged_state(server.folder)) is not None:
            findings.append(CacheFinding(state, f"the state of {server.url}", "it is damaged"))
            if is_discarding:
                with cache_errors(state):
                    state.unlink(missing_ok=True)
    return CacheVerification(
        len(wanted),
        sum(each.size_bytes for each in wanted),
        sum(each.is_partial for each in contents.files),
        tuple(findings),
        len(findings) if is_discarding else 0,
    )


@dataclass(frozen=True, slots=True)
class _Checked:
    """A file to verify, and how it is removed."""

    path: Path
    name: str | None
    # None if its name has another hash.
    sha256: str | None
    size_bytes: int
    remove: Callable[[], object]


def _folder(folder: Path | str | None) -> Path:
    return cache_folder(None if folder is None else check.path("folder", folder))


def _problem(path: Path, sha256: str | None, on_bytes: Callable[[int], object]) -> str | None:
    digest = hashlib.sha256()
    try:
        if sha256 is None:
            return None if is_undamaged(path) else _OTHER_BYTES
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
                on_bytes(len(block))
    except FileNotFoundError:
        return "it is missing"
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    return None if digest.hexdigest() == sha256 else _OTHER_BYTES


def _chosen(
    contents: CacheContents, max_bytes: int | None, unused_for: timedelta | None, urls: Collection[str]
) -> list[CachedFile]:
    """The files that the rules remove, the least recently used ones first."""
    now = datetime.now(UTC)
    chosen = {
        each.path
        for each in contents.files
        if (unused_for is not None and now - each.last_used >= unused_for)
        or (each.servers and urls and set(each.servers).issubset(urls))
    }
    if max_bytes is not None:
        size = sum(each.size_bytes for each in contents.files if each.path not in chosen)
        for each in contents.files:
            if size <= max_bytes:
                break
            if each.path not in chosen:
                chosen.add(each.path)
                size -= each.size_bytes
    return [each for each in contents.files if each.path in chosen]


def _servers_at(contents: CacheContents, address: str) -> tuple[CachedServer, ...]:
    wanted = check.text("server", address, such_as="https://lab.example/bsv").rstrip("/")
    found = tuple(each for each in contents.servers if wanted in (each.url, each.folder.name))
    if not found:
        known = ", ".join(each.url for each in contents.servers) or "none"
        raise InputError(f"the cache has nothing of the server {wanted}", hint=f"Servers in the cache: {known}.")
    return found


def _averages_named(contents: CacheContents, refs: Collection[str]) -> list[tuple[Path, LocalResult]]:
    """The averages with these references, each with the folder of its server."""
    found = [(each.folder, result) for each in contents.servers for result in each.results if result.ref in refs]
    if missing := sorted(set(refs) - {result.ref for _, result in found}):
        raise InputError(f"the cache has no average {missing[0]!r}", hint="List the averages: bsv-store cache list.")
    return found


def _server(folder: Path, url: str, files: list[CachedObject]) -> CachedServer:
    results = tuple(listed_results(folder))
    own = [each for each in folder.iterdir() if each.is_file()]
    facts = []
    for path in own:
        # A running process may be replacing it.
        with contextlib.suppress(FileNotFoundError):
            facts.append(path.stat())
    used = max([folder.stat().st_mtime, *(each.st_mtime for each in facts)])
    times = [datetime.fromtimestamp(used, UTC), *(datetime.fromisoformat(each.created_at) for each in results)]
    return CachedServer(
        url,
        folder,
        sum(each.st_size for each in facts),
        results,
        len(files),
        sum(each.size_bytes for each in files),
        max(times),
    )


def _url(server: Path) -> str:
    """The address of the server with a folder; the name of the folder if its state is missing or damaged."""
    state = read_state(server)
    return server.name if state is None else state.url


def _named_files(server: Path) -> dict[str, str]:
    """The paths of the files that the copy of a server's catalog names, by their SHA-256; empty without a copy."""
    state = read_state(server)
    if state is None or not (server / state.core).is_file():
        return {}
    try:
        with closing(opened_core(server / state.core)) as driver:
            return {sha256: path for path, sha256 in driver.execute(_NAMED)}
    except sqlite3.Error:
        # A damaged copy is downloaded again when the store is opened. Until then its files have no names.
        return {}


def _object(file: CachedFile) -> CachedObject:
    return CachedObject(file.sha256, file.path, file.size_bytes, file.last_used, file.is_partial)


def _freed_bytes(server: CachedServer, refs: Collection[str]) -> int:
    """The size of the files of a server that are used only by the averages with these references."""
    kept = {each.path for each in server.results if each.ref not in refs}
    return _results_bytes([each for each in server.results if each.path not in kept])


def _results_bytes(results: Collection[LocalResult]) -> int:
    # Several names may share a file.
    return sum({each.path: each.size_bytes for each in results}.values())

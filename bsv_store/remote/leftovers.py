"""Removal of files that killed processes left in the cache of remote stores."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from bsv_store.remote.eviction import is_object_name, listed_objects
from bsv_store.remote.folder import SERVERS, make_private
from bsv_store.remote.local_records import RESULTS, listed_results
from bsv_store.remote.locks import locked_if_free
from bsv_store.remote.partial import MARKS_ENDING, remove_partial


def remove_leftovers(folder: Path) -> None:
    """Remove leftovers of killed processes: times of use, marks of blocks, locks, unrecorded results, catalogs."""
    known = {each.sha256 for each in listed_objects(folder)}
    for path in (folder / "uses").glob("*/*"):
        if path.name not in known and is_object_name(path.name):
            # Another process may be removing it too.
            path.unlink(missing_ok=True)
    for path in (folder / "partial").glob(f"*/*{MARKS_ENDING}"):
        file = path.with_name(path.name.removesuffix(MARKS_ENDING))
        if not is_object_name(file.name):
            continue
        with locked_if_free(make_private(folder / "locks") / file.name) as is_free:
            if is_free and not file.exists():
                remove_partial(file)
    for path in (folder / "locks").glob("*"):
        if is_object_name(path.name):
            # Releasing a lock removes its file.
            with locked_if_free(path):
                pass
    yesterday = (datetime.now(UTC) - timedelta(days=1)).timestamp()
    for server in (folder / SERVERS).glob("*/"):
        recorded = {server / each.path for each in listed_results(server)}
        for path in (*(server / RESULTS).glob("*.nc"), *server.glob("*.tmp*")):
            if path not in recorded and path.stat().st_mtime < yesterday:
                path.unlink(missing_ok=True)

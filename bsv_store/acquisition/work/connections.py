"""The limit on connections to one host that all runs on one store share.

Each run limits its own connections, but a lab may start sixteen runs at once. Connections are therefore claimed in the
store's database: this works across hosts, and claims of dead processes are released. A run claims its connections when
it starts. It gets one even if none is left, so that it need not wait until another run has filled the store; the total
therefore never exceeds the setting ``max_connections`` by more than one for each further run.
"""

from __future__ import annotations

from pathlib import Path

from bsv_store import check
from bsv_store.acquisition.work.claims import Claims
from bsv_store.catalog.database.engine import Database
from bsv_store.config import setting
from bsv_store.sources.allen import max_connections


def checked_workers(workers: int | None, store: Path) -> int:
    """The number of simultaneous downloads: ``workers``, else the setting; at most the setting ``max_connections``.

    Raises
    ------
    InputError
        If it is not a positive integer.
    """
    if workers is None:
        workers = setting("fetch_workers", store=store).value  # type: ignore[assignment]  # checked by its type
    return min(check.whole_number("workers", workers, least=1), max_connections(store))


def claim_connections(database: Database, claims: Claims, host: str, *, wanted: int, limit: int) -> int:
    """Claim connections to a host, and return how many the run may open; at least 1.

    Parameters
    ----------
    database : Database
    claims : Claims
        Of the run; the connections are its own until these are released.
    host : str
        Name and port of the server.
    wanted : int
    limit : int
        Connections to the host that all runs share.
    """
    keys = [f"connection/{host}/{number}" for number in range(limit)]
    granted: set[str] = set()
    # Another run may claim the same keys at the same time; retry with those still free, fewer each time.
    for _ in keys:
        with database.writing() as connection:
            free = sorted(claims.free(connection, keys) - granted)
            granted |= claims.take(connection, free[: wanted - len(granted)])
        if len(granted) == wanted or not free:
            break
    return max(1, len(granted))
